import { Badge, Button, Group, List, Stack, Text, TextInput } from "@mantine/core";
import { useState, type FormEvent } from "react";

import { get, type Explanation } from "../../api/client";
import { formatDate } from "../../app/format";
import { useLanguage, useTexts } from "../../app/i18n";
import { ProblemAlert } from "../../app/states";
import { useAction } from "../../app/useAction";
import { usePrincipalNames } from "./principalNames";

const texts = {
  en: {
    hint: "Why a person can or cannot read a document, through which group, source or tag, and since when.",
    user: "Login of the person",
    document: "Document's id",
    documentHint: "It is in the address of the document's page.",
    at: "On (empty: now)",
    explain: "Explain",
    allowed: "Can read it",
    denied: "Cannot read it",
    since: "since {date}",
    "account-missing-or-disabled": "The account did not exist, or is disabled.",
    "document-missing": "There was no such document.",
    "not-in-workspace": "The person is not in the workspace {workspace}.",
    "organization-role":
      "The organization's role {role} makes the person {workspace_role} in every workspace.",
    "workspace-role": "The person has the role {role} in {workspace}, through {through}.",
    "document-acl": "The document may be read by {principals} ({origin}).",
    "acl-names-user": "That names the person.",
    "acl-names-group": "That names {group}, in which the person is ({origin}).",
    "acl-names-workspace": "That names everyone in {workspace}.",
    "acl-names-nobody-the-person-is": "That names neither the person nor a group of the person.",
  },
  de: {
    hint: "Warum jemand ein Dokument lesen kann oder nicht, durch welche Gruppe, Quelle oder Marke, und seit wann.",
    user: "Anmeldename der Person",
    document: "Kennung des Dokuments",
    documentHint: "Sie steht in der Adresse der Seite des Dokuments.",
    at: "Am (leer: jetzt)",
    explain: "Erklären",
    allowed: "Kann es lesen",
    denied: "Kann es nicht lesen",
    since: "seit {date}",
    "account-missing-or-disabled": "Das Konto gab es nicht, oder es ist gesperrt.",
    "document-missing": "Ein solches Dokument gab es nicht.",
    "not-in-workspace": "Die Person ist nicht im Arbeitsbereich {workspace}.",
    "organization-role": "Die Rolle {role} in der Organisation macht die Person überall zu {workspace_role}.",
    "workspace-role": "Die Person hat in {workspace} die Rolle {role}, durch {through}.",
    "document-acl": "Das Dokument dürfen lesen: {principals} ({origin}).",
    "acl-names-user": "Das nennt die Person.",
    "acl-names-group": "Das nennt {group}, worin die Person ist ({origin}).",
    "acl-names-workspace": "Das nennt alle in {workspace}.",
    "acl-names-nobody-the-person-is": "Das nennt weder die Person noch eine ihrer Gruppen.",
  },
};
type Key = keyof (typeof texts)["en"];

/** Asks the history of permissions about a person and a document; `document` is fixed on the document's own page. */
export function ExplainView({ document }: { document?: string }) {
  const t = useTexts<Key>(texts);
  const { language } = useLanguage();
  const nameOf = usePrincipalNames();
  const { run, busy, problem } = useAction();
  const [user, setUser] = useState("");
  const [target, setTarget] = useState("");
  const [at, setAt] = useState("");
  const [found, setFound] = useState<Explanation | null>(null);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const query = new URLSearchParams({ user, document: document ?? target });
    if (at) query.set("at", new Date(at).toISOString());
    void run(async () => setFound(await get<Explanation>(`/access/explain?${query}`)));
  };
  const words = (detail: Record<string, unknown>): Record<string, string> =>
    Object.fromEntries(
      Object.entries(detail).map(([key, value]) => [
        key,
        Array.isArray(value) ? value.map((each) => nameOf(String(each))).join(", ") : nameOf(String(value)),
      ]),
    );

  return (
    <Stack>
      <Text c="dimmed" size="sm">
        {t("hint")}
      </Text>
      <form onSubmit={submit}>
        <Group align="flex-end">
          <TextInput
            label={t("user")}
            required
            withAsterisk={false}
            value={user}
            onChange={(e) => setUser(e.currentTarget.value)}
          />
          {!document && (
            <TextInput
              label={t("document")}
              description={t("documentHint")}
              required
              withAsterisk={false}
              value={target}
              onChange={(e) => setTarget(e.currentTarget.value)}
            />
          )}
          <TextInput
            label={t("at")}
            type="datetime-local"
            value={at}
            onChange={(e) => setAt(e.currentTarget.value)}
          />
          <Button type="submit" loading={busy}>
            {t("explain")}
          </Button>
        </Group>
      </form>
      {problem !== null && <ProblemAlert error={problem} />}
      {found && (
        <Stack gap="xs" role="status">
          <Badge color={found.allowed ? "green" : "red"}>{t(found.allowed ? "allowed" : "denied")}</Badge>
          <List size="sm">
            {found.reasons.map((step) => (
              <List.Item key={step.kind + JSON.stringify(step.detail)}>
                {step.kind in texts.en ? t(step.kind as Key, words(step.detail)) : step.kind}{" "}
                {step.since && (
                  <Text span c="dimmed" size="sm">
                    {t("since", { date: formatDate(step.since, language) })}
                  </Text>
                )}
              </List.Item>
            ))}
          </List>
        </Stack>
      )}
    </Stack>
  );
}
