import { Button, Stack, Switch, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { change, get, type Organization } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { Loading, ProblemAlert } from "../../app/states";
import { useAction } from "../../app/useAction";

const texts = {
  en: {
    name: "Name of the organization",
    save: "Save",
    questions: "Keep the text of questions in the audit log",
    questionsHint: "Off: the log says who asked and when, not what.",
    saved: "Saved",
  },
  de: {
    name: "Name der Organisation",
    save: "Speichern",
    questions: "Den Text von Fragen im Protokoll festhalten",
    questionsHint: "Aus: Im Protokoll steht, wer wann gefragt hat, nicht was.",
    saved: "Gespeichert",
  },
};

export function OrganizationPanel() {
  const query = useQuery({ queryKey: ["organization"], queryFn: () => get<Organization>("/organization") });
  if (query.isPending) return <Loading />;
  if (query.error) return <ProblemAlert error={query.error} retry={() => void query.refetch()} />;
  return <Form organization={query.data} />;
}

function Form({ organization }: { organization: Organization }) {
  const t = useTexts(texts);
  const { run, busy, problem } = useAction("organization", "me");
  const [name, setName] = useState(organization.name);
  const [questions, setQuestions] = useState(organization.audit_questions);
  const [saved, setSaved] = useState(false);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run(() => change("PATCH", "/organization", { name, audit_questions: questions })).then(setSaved);
  };
  return (
    <form onSubmit={submit}>
      <Stack maw={480}>
        {problem !== null && <ProblemAlert error={problem} />}
        <TextInput
          label={t("name")}
          required
          maxLength={200}
          withAsterisk={false}
          value={name}
          onChange={(e) => setName(e.currentTarget.value)}
        />
        <Switch
          label={t("questions")}
          description={t("questionsHint")}
          checked={questions}
          onChange={(e) => setQuestions(e.currentTarget.checked)}
        />
        <Button type="submit" loading={busy}>
          {t("save")}
        </Button>
        <div role="status">{saved && t("saved")}</div>
      </Stack>
    </form>
  );
}
