import { Button, FileButton, Group, Paper, Progress, Select, Stack, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { IconUpload } from "@tabler/icons-react";
import { useState, type DragEvent } from "react";

import { get, type ItemError, type Page, type Run } from "../../api/client";
import { formatBytes } from "../../app/format";
import { useLanguage, useTexts } from "../../app/i18n";
import { useMe } from "../auth/session";
import { upload } from "./uploads";

const texts = {
  en: {
    title: "Upload documents",
    drop: "Drop files here, or",
    choose: "Choose files",
    where: "Workspace",
    sending: "Sending",
    indexing: "Indexing",
    done: "Indexed",
    large: "Larger than the limit of {limit}",
    clear: "Clear the list",
    none: "Create a workspace first.",
  },
  de: {
    title: "Dokumente hochladen",
    drop: "Dateien hierher ziehen oder",
    choose: "Dateien wählen",
    where: "Arbeitsbereich",
    sending: "Wird gesendet",
    indexing: "Wird indexiert",
    done: "Indexiert",
    large: "Größer als die Grenze von {limit}",
    clear: "Liste leeren",
    none: "Legen Sie zuerst einen Arbeitsbereich an.",
  },
};
const POLL_MS = 500;

interface Transfer {
  id: number;
  name: string;
  size: number;
  state: "sending" | "indexing" | "done" | "failed";
  share: number;
  message: string;
}

async function indexed(runId: string): Promise<Run> {
  for (;;) {
    const run = await get<Run>(`/runs/${runId}`);
    if (run.state !== "queued" && run.state !== "running") return run;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Chooses or catches files, sends them one after the other, and follows each until it is indexed. */
export function UploadPanel() {
  const t = useTexts(texts);
  const me = useMe();
  const client = useQueryClient();
  const { language } = useLanguage();
  const [workspace, setWorkspace] = useState<string | null>(me.workspaces[0]?.id ?? null);
  const [transfers, setTransfers] = useState<Transfer[]>([]);
  const [over, setOver] = useState(false);

  const update = (id: number, change: Partial<Transfer>) =>
    setTransfers((all) => all.map((item) => (item.id === id ? { ...item, ...change } : item)));

  const send = async (file: File, id: number, target: string) => {
    if (file.size > me.max_upload_bytes) {
      update(id, {
        state: "failed",
        message: t("large", { limit: formatBytes(me.max_upload_bytes, language) }),
      });
      return;
    }
    try {
      const { uploads } = await upload(file, target, (share) => update(id, { share }));
      const stored = uploads[0];
      if (!stored) return;
      update(id, { state: "indexing" });
      const run = await indexed(stored.run_id);
      const errors = await get<Page<ItemError>>(`/sources/${stored.source_id}/errors?limit=200`);
      const error = errors.items.find((item) => item.external_id === stored.external_id);
      if (error || run.state !== "succeeded")
        update(id, { state: "failed", message: error?.message ?? run.error ?? run.state });
      else update(id, { state: "done" });
    } catch (problem) {
      update(id, { state: "failed", message: problem instanceof Error ? problem.message : String(problem) });
    }
    await client.invalidateQueries({ queryKey: ["documents"] });
    await client.invalidateQueries({ queryKey: ["workspaces"] });
  };

  const add = async (files: File[]) => {
    if (!workspace || files.length === 0) return;
    const first = Date.now();
    const added = files.map((file, index) => ({
      id: first + index,
      name: file.name,
      size: file.size,
      state: "sending" as const,
      share: 0,
      message: "",
    }));
    setTransfers((all) => [...added, ...all]);
    for (const [index, file] of files.entries()) await send(file, first + index, workspace);
  };

  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void add([...event.dataTransfer.files]);
  };
  const active = transfers.some((item) => item.state === "sending" || item.state === "indexing");

  if (me.workspaces.length === 0) return <Text c="dimmed">{t("none")}</Text>;
  return (
    <Paper
      withBorder
      p="md"
      className="drop"
      data-over={over}
      component="section"
      aria-label={t("title")}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <Group align="flex-end">
        <Select
          label={t("where")}
          data={me.workspaces.map((item) => ({ value: item.id, label: item.name }))}
          value={workspace}
          onChange={setWorkspace}
          allowDeselect={false}
          w={220}
        />
        <Text size="sm" c="dimmed" visibleFrom="sm" pb={8}>
          {t("drop")}
        </Text>
        <FileButton multiple onChange={(files) => void add(files)} inputProps={{ "aria-label": t("title") }}>
          {(props) => (
            <Button {...props} leftSection={<IconUpload size={16} aria-hidden />}>
              {t("choose")}
            </Button>
          )}
        </FileButton>
      </Group>
      {transfers.length > 0 && (
        <Stack gap="xs" mt="md" aria-live="polite">
          {transfers.map((item) => (
            <div key={item.id} data-testid="transfer" data-state={item.state}>
              <Group justify="space-between" wrap="nowrap">
                <Text size="sm" truncate>
                  {item.name} · {formatBytes(item.size, language)}
                </Text>
                <Text size="sm" c={item.state === "failed" ? "red" : "dimmed"} ta="right">
                  {item.state === "failed" ? item.message : t(item.state)}
                </Text>
              </Group>
              <Progress
                value={item.state === "sending" ? item.share * 100 : 100}
                animated={item.state === "indexing"}
                color={item.state === "failed" ? "red" : undefined}
                size="sm"
                aria-label={item.name}
              />
            </div>
          ))}
          {!active && (
            <Button variant="subtle" size="xs" onClick={() => setTransfers([])}>
              {t("clear")}
            </Button>
          )}
        </Stack>
      )}
    </Paper>
  );
}
