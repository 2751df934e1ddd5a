import { Button, Group, Modal, Select, Stack, TagsInput, TextInput } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { change, type Source } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { ProblemAlert } from "../../app/states";
import { useMe } from "../auth/session";

const texts = {
  en: {
    title: "Connect a folder",
    name: "Name",
    path: "Folder",
    pathHint: "Absolute path on the server, a mounted share too.",
    workspace: "Workspace",
    workspaceHint: "Its members may read the documents.",
    include: "Only files like",
    globHint: "Globs such as *.md or reports/**; empty: all files.",
    cancel: "Cancel",
    connect: "Connect and index",
  },
  de: {
    title: "Ordner verbinden",
    name: "Name",
    path: "Ordner",
    pathHint: "Absoluter Pfad auf dem Server, auch eine eingehängte Freigabe.",
    workspace: "Arbeitsbereich",
    workspaceHint: "Seine Mitglieder dürfen die Dokumente lesen.",
    include: "Nur Dateien wie",
    globHint: "Muster wie *.md oder berichte/**; leer: alle Dateien.",
    cancel: "Abbrechen",
    connect: "Verbinden und indexieren",
  },
};

export function AddSourceDialog({ onClose }: { onClose: () => void }) {
  const t = useTexts(texts);
  const me = useMe();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [path, setPath] = useState("");
  const [include, setInclude] = useState<string[]>([]);
  const [workspace, setWorkspace] = useState<string | null>(me.workspaces[0]?.id ?? null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      const settings = include.length > 0 ? { path, include } : { path };
      const source = await change<Source>("POST", "/sources", { name, workspace, settings });
      await change("POST", `/sources/${source.id}/sync`, {});
      await client.invalidateQueries({ queryKey: ["sources"] });
      onClose();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };

  return (
    <Modal opened onClose={onClose} title={t("title")}>
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
          <TextInput
            label={t("path")}
            description={t("pathHint")}
            required
            value={path}
            onChange={(event) => setPath(event.currentTarget.value)}
          />
          <Select
            label={t("workspace")}
            description={t("workspaceHint")}
            data={me.workspaces.map((item) => ({ value: item.id, label: item.name }))}
            value={workspace}
            onChange={setWorkspace}
            allowDeselect={false}
          />
          <TagsInput label={t("include")} description={t("globHint")} value={include} onChange={setInclude} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel")}
            </Button>
            <Button type="submit" loading={busy}>
              {t("connect")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
