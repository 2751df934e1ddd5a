import { Button, Group, Modal, Stack, Text, TextInput, Title } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { IconFolderPlus, IconPlus } from "@tabler/icons-react";
import { useState, type FormEvent } from "react";

import { change, get, type Page, type Source } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { EmptyState, Loading, ProblemAlert } from "../../app/states";
import { useMe } from "../auth/session";
import { AddSourceDialog } from "./AddSourceDialog";
import { SourceCard } from "./SourceCard";
import { useRuns } from "./useRuns";

const texts = {
  en: {
    title: "Sources",
    hint: "Where documents come from, and how far their indexing is.",
    add: "Connect a folder",
    none: "No sources yet",
    noneHint: "Connect a folder of this server, or upload documents.",
    noWorkspace: "Create a workspace first",
    noWorkspaceHint: "Documents live in workspaces, and who may read one is decided there.",
    workspace: "New workspace",
    name: "Name",
    cancel: "Cancel",
    create: "Create",
  },
  de: {
    title: "Quellen",
    hint: "Woher die Dokumente kommen und wie weit ihre Indexierung ist.",
    add: "Ordner verbinden",
    none: "Noch keine Quellen",
    noneHint: "Verbinden Sie einen Ordner dieses Servers oder laden Sie Dokumente hoch.",
    noWorkspace: "Legen Sie zuerst einen Arbeitsbereich an",
    noWorkspaceHint: "Dokumente liegen in Arbeitsbereichen; dort wird entschieden, wer sie lesen darf.",
    workspace: "Neuer Arbeitsbereich",
    name: "Name",
    cancel: "Abbrechen",
    create: "Anlegen",
  },
};

export default function SourcesPage() {
  const t = useTexts(texts);
  const me = useMe();
  const runs = useRuns();
  const [dialog, setDialog] = useState<"source" | "workspace" | null>(null);
  const query = useQuery({ queryKey: ["sources"], queryFn: () => get<Page<Source>>("/sources") });

  return (
    <Stack maw={1000} mx="auto">
      <Group justify="space-between">
        <div>
          <Title order={1}>{t("title")}</Title>
          <Text c="dimmed">{t("hint")}</Text>
        </div>
        <Group>
          {me.can.manage_workspaces && (
            <Button
              variant="default"
              leftSection={<IconPlus size={16} aria-hidden />}
              onClick={() => setDialog("workspace")}
            >
              {t("workspace")}
            </Button>
          )}
          {me.can.manage_sources && me.workspaces.length > 0 && (
            <Button
              leftSection={<IconFolderPlus size={16} aria-hidden />}
              onClick={() => setDialog("source")}
            >
              {t("add")}
            </Button>
          )}
        </Group>
      </Group>
      {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
      {query.isPending && <Loading />}
      {query.data?.items.length === 0 && (
        <EmptyState title={me.workspaces.length > 0 ? t("none") : t("noWorkspace")}>
          <Text c="dimmed">{me.workspaces.length > 0 ? t("noneHint") : t("noWorkspaceHint")}</Text>
        </EmptyState>
      )}
      {query.data?.items.map((source) => (
        <SourceCard key={source.id} source={source} run={newest(runs.get(source.id), source)} />
      ))}
      {dialog === "source" && <AddSourceDialog onClose={() => setDialog(null)} />}
      {dialog === "workspace" && <WorkspaceDialog onClose={() => setDialog(null)} />}
    </Stack>
  );
}

function newest(live: Source["last_run"] | undefined, source: Source): Source["last_run"] {
  const stored = source.last_run;
  if (!live || !stored) return live ?? stored;
  return live.created_at >= stored.created_at && !(live.id === stored.id && stored.finished_at)
    ? live
    : stored;
}

function WorkspaceDialog({ onClose }: { onClose: () => void }) {
  const t = useTexts(texts);
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [error, setError] = useState<unknown>(null);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      await change("POST", "/workspaces", { name });
      await Promise.all([
        client.invalidateQueries({ queryKey: ["me"] }),
        client.invalidateQueries({ queryKey: ["workspaces"] }),
      ]);
      onClose();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Modal opened onClose={onClose} title={t("workspace")}>
      <form onSubmit={(event) => void submit(event)}>
        <Stack>
          {error !== null && <ProblemAlert error={error} />}
          <TextInput
            label={t("name")}
            required
            maxLength={200}
            data-autofocus
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel")}
            </Button>
            <Button type="submit">{t("create")}</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
