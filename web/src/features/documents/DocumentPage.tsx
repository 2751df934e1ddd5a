import { Alert, Anchor, Button, Group, Paper, Stack, Table, Text, Title } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { Link, useParams, useSearchParams } from "react-router";

import { get, type DocumentInfo, type DocumentText } from "../../api/client";
import { fileName, formatBytes, formatDate } from "../../app/format";
import { useLanguage, useTexts } from "../../app/i18n";
import { Loading, ProblemAlert } from "../../app/states";
import { useMe } from "../auth/session";
import { around } from "./highlight";
import { PermissionsPanel } from "./PermissionsPanel";

const texts = {
  en: {
    back: "All documents",
    more: "Show more",
    size: "Size",
    file: "File",
    changed: "Changed",
    indexed: "Indexed",
    source: "Source",
    text: "Text",
    details: "Details",
  },
  de: {
    back: "Alle Dokumente",
    more: "Mehr zeigen",
    size: "Größe",
    file: "Datei",
    changed: "Geändert",
    indexed: "Indexiert",
    source: "Quelle",
    text: "Text",
    details: "Einzelheiten",
  },
};
const WINDOW_CHARS = 100_000;

/** One document: what is known of it and its whole text, a quote marked when the address names one. */
export default function DocumentPage() {
  const t = useTexts(texts);
  const { language } = useLanguage();
  const me = useMe();
  const { documentId } = useParams();
  const [search] = useSearchParams();
  const start = Number(search.get("start") ?? 0);
  const end = Number(search.get("end") ?? 0);
  const info = useQuery({
    queryKey: ["document", documentId],
    queryFn: () => get<DocumentInfo>(`/documents/${documentId}`),
  });
  const text = useInfiniteQuery({
    queryKey: ["whole-text", documentId, end],
    queryFn: ({ pageParam }) => {
      const length =
        pageParam === 0 ? Math.max(WINDOW_CHARS, Math.min(end + WINDOW_CHARS, 1_000_000)) : WINDOW_CHARS;
      return get<DocumentText>(`/documents/${documentId}/text?offset=${pageParam}&length=${length}`);
    },
    initialPageParam: 0,
    getNextPageParam: (page) => {
      const reached = page.offset + Array.from(page.text).length;
      return reached < page.total_chars ? reached : undefined;
    },
  });
  const mark = useRef<HTMLElement>(null);
  const loaded = text.data !== undefined;
  useEffect(() => {
    if (loaded) mark.current?.scrollIntoView({ block: "center" });
  }, [loaded]);

  if (info.error) return <ProblemAlert error={info.error} retry={() => void info.refetch()} />;
  if (!info.data) return <Loading />;
  const workspace = me.workspaces.find((each) => each.id === info.data.workspace.id);
  const mayShare = workspace?.operations.includes("documents:share") ?? false;
  const whole = text.data?.pages.map((page) => page.text).join("") ?? "";
  const parts = end > start ? around(whole, start, end) : { before: whole, quote: "", after: "" };
  const rows: [string, string][] = [
    [t("source"), `${info.data.source.name} · ${info.data.workspace.name}`],
    [t("file"), fileName(info.data.uri)],
    [t("size"), formatBytes(info.data.size_bytes, language)],
    [t("changed"), formatDate(info.data.source_updated_at, language)],
    [t("indexed"), formatDate(info.data.indexed_at, language)],
    ...Object.entries(info.data.metadata).map(([key, value]): [string, string] => [
      key,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  ];

  return (
    <Stack maw={900} mx="auto">
      <Anchor component={Link} to="/documents" size="sm">
        ← {t("back")}
      </Anchor>
      <Title order={1} style={{ overflowWrap: "anywhere" }}>
        {info.data.title}
      </Title>
      {info.data.warnings.map((warning) => (
        <Alert key={warning} color="yellow">
          {warning}
        </Alert>
      ))}
      <Table withRowBorders={false} verticalSpacing={2} aria-label={t("details")}>
        <Table.Tbody>
          {rows.map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Th w={140} style={{ verticalAlign: "top" }}>
                <Text size="sm" c="dimmed">
                  {name}
                </Text>
              </Table.Th>
              <Table.Td style={{ overflowWrap: "anywhere" }}>{value}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {text.error && <ProblemAlert error={text.error} retry={() => void text.refetch()} />}
      {text.isPending && <Loading />}
      {loaded && (
        <Paper withBorder p="md" component="section" aria-label={t("text")} tabIndex={0}>
          <div className="passage">
            {parts.before}
            {parts.quote && <mark ref={mark}>{parts.quote}</mark>}
            {parts.after}
          </div>
        </Paper>
      )}
      {text.hasNextPage && (
        <Group justify="center">
          <Button
            variant="default"
            loading={text.isFetchingNextPage}
            onClick={() => void text.fetchNextPage()}
          >
            {t("more")}
          </Button>
        </Group>
      )}
      {mayShare && <PermissionsPanel document={info.data} />}
    </Stack>
  );
}
