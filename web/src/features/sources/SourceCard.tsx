import {
  ActionIcon,
  Alert,
  Badge,
  Button,
  Card,
  Group,
  Menu,
  Modal,
  Progress,
  Stack,
  Table,
  Text,
  Title,
} from "@mantine/core";
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { IconDots, IconRefresh } from "@tabler/icons-react";
import { useState } from "react";

import { change, get, type ItemError, type Page, type Run, type Source } from "../../api/client";
import { formatDate, formatNumber } from "../../app/format";
import { useLanguage, useTexts } from "../../app/i18n";
import { Loading, ProblemAlert } from "../../app/states";
import { useMe } from "../auth/session";

const texts = {
  en: {
    sync: "Synchronise",
    cancel: "Cancel the run",
    full: "Index everything again",
    pause: "Pause",
    resume: "Resume",
    remove: "Remove",
    actions: "Actions for {name}",
    documents: "Documents: {count}",
    errors: "Errors: {count}",
    paused: "paused",
    queued: "waiting",
    running: "running",
    succeeded: "up to date",
    failed: "failed",
    cancelled: "cancelled",
    never: "never synchronised",
    counts: "{added} added, {changed} changed, {unchanged} unchanged, {removed} removed, {failed} failed",
    progress: "{processed} of {discovered} files",
    last: "Last run {date}",
    sure: "Remove “{name}” and its {count} documents from the index? The files stay where they are.",
    keep: "Keep",
    file: "File",
    why: "Why",
    errorsTitle: "What could not be indexed",
    more: "Show more",
    upload: "Uploaded files",
  },
  de: {
    sync: "Abgleichen",
    cancel: "Lauf abbrechen",
    full: "Alles neu indexieren",
    pause: "Anhalten",
    resume: "Fortsetzen",
    remove: "Entfernen",
    actions: "Aktionen für {name}",
    documents: "Dokumente: {count}",
    errors: "Fehler: {count}",
    paused: "angehalten",
    queued: "wartet",
    running: "läuft",
    succeeded: "aktuell",
    failed: "fehlgeschlagen",
    cancelled: "abgebrochen",
    never: "noch nie abgeglichen",
    counts:
      "{added} neu, {changed} geändert, {unchanged} unverändert, {removed} entfernt, {failed} fehlgeschlagen",
    progress: "{processed} von {discovered} Dateien",
    last: "Letzter Lauf {date}",
    sure: "„{name}“ mit {count} Dokumenten aus dem Index entfernen? Die Dateien bleiben, wo sie sind.",
    keep: "Behalten",
    file: "Datei",
    why: "Grund",
    errorsTitle: "Was nicht indexiert werden konnte",
    more: "Mehr zeigen",
    upload: "Hochgeladene Dateien",
  },
};
const COLORS = {
  queued: "gray",
  running: "blue",
  succeeded: "green",
  failed: "red",
  cancelled: "gray",
} as const;

/** A source, its run while it goes on, and what an administrator may do with it. */
export function SourceCard({ source, run }: { source: Source; run: Run | null }) {
  const t = useTexts(texts);
  const { language } = useLanguage();
  const me = useMe();
  const client = useQueryClient();
  const [error, setError] = useState<unknown>(null);
  const [dialog, setDialog] = useState<"remove" | "errors" | null>(null);
  const active = run?.state === "queued" || run?.state === "running";

  const act = async (action: () => Promise<unknown>) => {
    setError(null);
    try {
      await action();
      await client.invalidateQueries({ queryKey: ["sources"] });
      setDialog(null);
    } catch (problem) {
      setError(problem);
    }
  };
  const path = typeof source.settings.path === "string" ? source.settings.path : t("upload");

  return (
    <Card withBorder component="article" aria-label={source.name} data-testid="source">
      <Group justify="space-between" align="flex-start">
        <div style={{ minWidth: 0, flex: "1 1 240px" }}>
          <Group gap="xs">
            <Title order={2} size="h4">
              {source.name}
            </Title>
            <Badge variant="light">{source.workspace.name}</Badge>
            <Badge
              color={source.paused ? "gray" : run ? COLORS[run.state] : "gray"}
              variant="light"
              data-testid="state"
            >
              {source.paused ? t("paused") : run ? t(run.state) : t("never")}
            </Badge>
          </Group>
          <Text size="sm" c="dimmed" style={{ overflowWrap: "anywhere" }}>
            {path}
          </Text>
        </div>
        {me.can.manage_sources && (
          <Group gap="xs" wrap="nowrap">
            {active ? (
              <Button
                size="xs"
                variant="default"
                onClick={() => void act(() => change("POST", `/runs/${run.id}/cancel`))}
              >
                {t("cancel")}
              </Button>
            ) : (
              <Button
                size="xs"
                variant="light"
                leftSection={<IconRefresh size={14} aria-hidden />}
                disabled={source.paused}
                onClick={() => void act(() => change("POST", `/sources/${source.id}/sync`, {}))}
              >
                {t("sync")}
              </Button>
            )}
            <Menu position="bottom-end">
              <Menu.Target>
                <ActionIcon variant="subtle" color="gray" aria-label={t("actions", { name: source.name })}>
                  <IconDots size={16} aria-hidden />
                </ActionIcon>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Item
                  disabled={source.paused}
                  onClick={() => void act(() => change("POST", `/sources/${source.id}/sync`, { full: true }))}
                >
                  {t("full")}
                </Menu.Item>
                <Menu.Item
                  onClick={() =>
                    void act(() => change("PATCH", `/sources/${source.id}`, { paused: !source.paused }))
                  }
                >
                  {source.paused ? t("resume") : t("pause")}
                </Menu.Item>
                <Menu.Item color="red" onClick={() => setDialog("remove")}>
                  {t("remove")}
                </Menu.Item>
              </Menu.Dropdown>
            </Menu>
          </Group>
        )}
      </Group>
      {error !== null && <ProblemAlert error={error} />}
      {active && run && (
        <Stack gap={4} mt="sm">
          <Progress
            value={run.discovered > 0 ? (100 * run.processed) / run.discovered : 0}
            animated
            aria-label={t("running")}
          />
          <Group justify="space-between" wrap="nowrap">
            <Text size="xs" c="dimmed" truncate>
              {run.current_item}
            </Text>
            <Text size="xs" c="dimmed" style={{ flexShrink: 0 }}>
              {t("progress", {
                processed: formatNumber(run.processed, language),
                discovered: formatNumber(run.discovered, language),
              })}
            </Text>
          </Group>
        </Stack>
      )}
      {run?.state === "failed" && (
        <Alert color="red" mt="sm" role="alert">
          {run.error}
        </Alert>
      )}
      <Group gap="md" mt="sm">
        <Text size="sm">{t("documents", { count: formatNumber(source.document_count, language) })}</Text>
        {source.error_count > 0 && (
          <Button size="compact-sm" variant="subtle" color="red" onClick={() => setDialog("errors")}>
            {t("errors", { count: source.error_count })}
          </Button>
        )}
        {run?.finished_at && (
          <Text size="sm" c="dimmed">
            {t("last", { date: formatDate(run.finished_at, language) })}:{" "}
            {t("counts", {
              added: run.added,
              changed: run.changed,
              unchanged: run.unchanged,
              removed: run.removed,
              failed: run.failed,
            })}
          </Text>
        )}
      </Group>
      {dialog === "errors" && <ErrorsDialog source={source} onClose={() => setDialog(null)} />}
      {dialog === "remove" && (
        <Modal opened onClose={() => setDialog(null)} title={t("remove")}>
          <Stack>
            <Text>{t("sure", { name: source.name, count: source.document_count })}</Text>
            <Group justify="flex-end">
              <Button variant="default" data-autofocus onClick={() => setDialog(null)}>
                {t("keep")}
              </Button>
              <Button color="red" onClick={() => void act(() => change("DELETE", `/sources/${source.id}`))}>
                {t("remove")}
              </Button>
            </Group>
          </Stack>
        </Modal>
      )}
    </Card>
  );
}

function ErrorsDialog({ source, onClose }: { source: Source; onClose: () => void }) {
  const t = useTexts(texts);
  const query = useInfiniteQuery({
    queryKey: ["errors", source.id],
    queryFn: ({ pageParam }) =>
      get<Page<ItemError>>(`/sources/${source.id}/errors?limit=100&cursor=${encodeURIComponent(pageParam)}`),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
  const items = query.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <Modal opened onClose={onClose} title={t("errorsTitle")} size="xl">
      {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
      {query.isPending && <Loading />}
      <Table verticalSpacing="xs">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t("file")}</Table.Th>
            <Table.Th>{t("why")}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {items.map((item) => (
            <Table.Tr key={item.external_id}>
              <Table.Td style={{ overflowWrap: "anywhere" }}>{item.external_id}</Table.Td>
              <Table.Td>
                <Badge variant="light" color="red">
                  {item.reason}
                </Badge>{" "}
                {item.message}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {query.hasNextPage && (
        <Button
          variant="default"
          mt="sm"
          loading={query.isFetchingNextPage}
          onClick={() => void query.fetchNextPage()}
        >
          {t("more")}
        </Button>
      )}
    </Modal>
  );
}
