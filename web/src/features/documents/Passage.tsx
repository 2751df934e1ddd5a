import { Anchor, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { Link } from "react-router";

import { get, type DocumentInfo, type DocumentText } from "../../api/client";
import { formatDate } from "../../app/format";
import { useLanguage, useTexts } from "../../app/i18n";
import { Loading, ProblemAlert } from "../../app/states";
import { around } from "./highlight";

const texts = {
  en: {
    open: "Open the document",
    updated: "Changed {date}",
    earlier: "… earlier text in the document",
    later: "… more in the document",
  },
  de: {
    open: "Dokument öffnen",
    updated: "Geändert {date}",
    earlier: "… davor steht mehr im Dokument",
    later: "… danach steht mehr im Dokument",
  },
};
const CONTEXT_CHARS = 6000;

interface Props {
  documentId: string;
  start: number;
  end: number;
}

/** A quote in its document: the text around it, the quote marked and scrolled to. */
export function Passage({ documentId, start, end }: Props) {
  const t = useTexts(texts);
  const { language } = useLanguage();
  const offset = Math.max(0, start - CONTEXT_CHARS);
  const text = useQuery({
    queryKey: ["text", documentId, offset],
    queryFn: () =>
      get<DocumentText>(
        `/documents/${documentId}/text?offset=${offset}&length=${2 * CONTEXT_CHARS + (end - start)}`,
      ),
  });
  const info = useQuery({
    queryKey: ["document", documentId],
    queryFn: () => get<DocumentInfo>(`/documents/${documentId}`),
  });
  const mark = useRef<HTMLElement>(null);
  const loaded = text.data !== undefined;
  useEffect(() => {
    if (loaded) mark.current?.scrollIntoView({ block: "center" });
  }, [loaded, start, documentId]);

  if (text.error) return <ProblemAlert error={text.error} retry={() => void text.refetch()} />;
  if (!text.data) return <Loading />;
  const parts = around(text.data.text, start - offset, end - offset);
  const rest = text.data.total_chars - offset - Array.from(text.data.text).length;
  return (
    <Stack gap="sm">
      {info.data && (
        <Stack gap={2}>
          <Group gap="xs">
            <Text size="xs" c="dimmed">
              {info.data.source.name} · {info.data.workspace.name}
            </Text>
            {info.data.source_updated_at && (
              <Text size="xs" c="dimmed">
                {t("updated", { date: formatDate(info.data.source_updated_at, language) })}
              </Text>
            )}
          </Group>
          <Anchor component={Link} size="sm" to={`/documents/${documentId}?start=${start}&end=${end}`}>
            {t("open")}
          </Anchor>
        </Stack>
      )}
      {offset > 0 && (
        <Text size="xs" c="dimmed">
          {t("earlier")}
        </Text>
      )}
      <div className="passage">
        {parts.before}
        <mark ref={mark} data-testid="quote">
          {parts.quote}
        </mark>
        {parts.after}
      </div>
      {rest > 0 && (
        <Text size="xs" c="dimmed">
          {t("later")}
        </Text>
      )}
    </Stack>
  );
}
