import {
  ActionIcon,
  Anchor,
  Badge,
  Button,
  Group,
  Modal,
  Select,
  Stack,
  Table,
  Text,
  TextInput,
  Title,
  Tooltip,
} from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { IconAlertTriangle, IconTrash } from "@tabler/icons-react";
import { useState } from "react";
import { Link } from "react-router";

import { change, get, type DocumentInfo, type Page, type Source } from "../../api/client";
import { fileName, formatBytes, formatDate } from "../../app/format";
import { useLanguage, useTexts } from "../../app/i18n";
import { EmptyState, Loading, ProblemAlert } from "../../app/states";
import { useMe } from "../auth/session";
import { UploadPanel } from "./UploadPanel";

const texts = {
  en: {
    title: "Documents",
    filter: "Filter by title or file name",
    workspace: "Workspace",
    source: "Source",
    all: "All",
    none: "No documents",
    noneHint: "Upload some above, or connect a folder under Sources.",
    nothing: "Nothing fits the filter",
    name: "Title",
    size: "Size",
    changed: "Changed",
    more: "Show more",
    remove: "Delete {title}",
    sure: "Delete “{title}” from OPAA? The file is removed, too.",
    cancel: "Cancel",
    yes: "Delete",
  },
  de: {
    title: "Dokumente",
    filter: "Nach Titel oder Dateiname filtern",
    workspace: "Arbeitsbereich",
    source: "Quelle",
    all: "Alle",
    none: "Keine Dokumente",
    noneHint: "Laden Sie oben welche hoch oder verbinden Sie unter Quellen einen Ordner.",
    nothing: "Nichts passt zum Filter",
    name: "Titel",
    size: "Größe",
    changed: "Geändert",
    more: "Mehr zeigen",
    remove: "{title} löschen",
    sure: "„{title}“ aus OPAA löschen? Auch die Datei wird entfernt.",
    cancel: "Abbrechen",
    yes: "Löschen",
  },
};

export default function DocumentsPage() {
  const t = useTexts(texts);
  const { language } = useLanguage();
  const me = useMe();
  const [filter, setFilter] = useState("");
  const [search] = useDebouncedValue(filter, 250);
  const [workspace, setWorkspace] = useState<string | null>(null);
  const [source, setSource] = useState<string | null>(null);
  const [doomed, setDoomed] = useState<DocumentInfo | null>(null);
  const sources = useQuery({ queryKey: ["sources"], queryFn: () => get<Page<Source>>("/sources") });
  const parameters = new URLSearchParams({ limit: "50" });
  if (search) parameters.set("q", search);
  if (workspace) parameters.set("workspace", workspace);
  if (source) parameters.set("source", source);
  const query = useInfiniteQuery({
    queryKey: ["documents", parameters.toString()],
    queryFn: ({ pageParam }) =>
      get<Page<DocumentInfo>>(
        `/documents?${parameters.toString()}${pageParam ? `&cursor=${pageParam}` : ""}`,
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    placeholderData: keepPreviousData,
  });
  const documents = query.data?.pages.flatMap((page) => page.items) ?? [];
  const filtered = Boolean(search || workspace || source);

  return (
    <Stack maw={1100} mx="auto">
      <Title order={1}>{t("title")}</Title>
      {me.can.upload && <UploadPanel />}
      <Group align="flex-end">
        <TextInput
          label={t("filter")}
          value={filter}
          maxLength={200}
          onChange={(event) => setFilter(event.currentTarget.value)}
          style={{ flex: "1 1 220px" }}
        />
        <Select
          label={t("workspace")}
          placeholder={t("all")}
          data={me.workspaces.map((item) => ({ value: item.id, label: item.name }))}
          value={workspace}
          onChange={setWorkspace}
          clearable
          w={180}
        />
        <Select
          label={t("source")}
          placeholder={t("all")}
          data={(sources.data?.items ?? []).map((item) => ({ value: item.id, label: item.name }))}
          value={source}
          onChange={setSource}
          clearable
          w={200}
        />
      </Group>
      {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
      {query.isPending && <Loading />}
      {query.isSuccess && documents.length === 0 && (
        <EmptyState title={filtered ? t("nothing") : t("none")}>
          {!filtered && <Text c="dimmed">{t("noneHint")}</Text>}
        </EmptyState>
      )}
      {documents.length > 0 && (
        <Table.ScrollContainer minWidth={0}>
          <Table highlightOnHover verticalSpacing="xs">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t("name")}</Table.Th>
                <Table.Th visibleFrom="sm">{t("workspace")}</Table.Th>
                <Table.Th visibleFrom="md">{t("size")}</Table.Th>
                <Table.Th visibleFrom="md">{t("changed")}</Table.Th>
                <Table.Th aria-label={t("yes")} />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {documents.map((document) => (
                <Table.Tr key={document.id}>
                  <Table.Td>
                    <Group gap="xs" wrap="nowrap">
                      <Anchor
                        component={Link}
                        to={`/documents/${document.id}`}
                        style={{ overflowWrap: "anywhere" }}
                      >
                        {document.title}
                      </Anchor>
                      {document.warnings.length > 0 && (
                        <Tooltip
                          label={document.warnings.join(" ")}
                          multiline
                          maw={320}
                          events={{ hover: true, focus: true, touch: true }}
                        >
                          <IconAlertTriangle
                            size={16}
                            color="var(--mantine-color-yellow-7)"
                            role="img"
                            aria-label={document.warnings.join(" ")}
                            tabIndex={0}
                          />
                        </Tooltip>
                      )}
                    </Group>
                    <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
                      {fileName(document.uri)}
                    </Text>
                  </Table.Td>
                  <Table.Td visibleFrom="sm">
                    <Badge variant="light">{document.workspace.name}</Badge>
                  </Table.Td>
                  <Table.Td visibleFrom="md">{formatBytes(document.size_bytes, language)}</Table.Td>
                  <Table.Td visibleFrom="md">
                    {formatDate(document.source_updated_at ?? document.indexed_at, language)}
                  </Table.Td>
                  <Table.Td>
                    {document.deletable && (
                      <ActionIcon
                        variant="subtle"
                        color="red"
                        aria-label={t("remove", { title: document.title })}
                        onClick={() => setDoomed(document)}
                      >
                        <IconTrash size={16} aria-hidden />
                      </ActionIcon>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {query.hasNextPage && (
        <Button
          variant="default"
          loading={query.isFetchingNextPage}
          onClick={() => void query.fetchNextPage()}
        >
          {t("more")}
        </Button>
      )}
      {doomed && <DeleteDialog document={doomed} onClose={() => setDoomed(null)} />}
    </Stack>
  );
}

function DeleteDialog({ document, onClose }: { document: DocumentInfo; onClose: () => void }) {
  const t = useTexts(texts);
  const client = useQueryClient();
  const [error, setError] = useState<unknown>(null);
  const remove = async () => {
    try {
      await change("DELETE", `/documents/${document.id}`);
      await client.invalidateQueries({ queryKey: ["documents"] });
      onClose();
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Modal opened onClose={onClose} title={t("yes")}>
      <Stack>
        {error !== null && <ProblemAlert error={error} />}
        <Text>{t("sure", { title: document.title })}</Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose} data-autofocus>
            {t("cancel")}
          </Button>
          <Button color="red" onClick={() => void remove()}>
            {t("yes")}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
