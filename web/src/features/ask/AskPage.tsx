import {
  ActionIcon,
  Box,
  Button,
  Drawer,
  Group,
  Paper,
  Select,
  Stack,
  Text,
  Textarea,
  Title,
} from "@mantine/core";
import { useHotkeys, useMediaQuery } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { IconArrowUp, IconPlayerStop } from "@tabler/icons-react";
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import { Link, useLocation, useParams } from "react-router";

import {
  get,
  type Answer,
  type Citation,
  type ConversationWithMessages,
  type Page,
  type Workspace,
} from "../../api/client";
import { useLanguage, useTexts } from "../../app/i18n";
import { Loading, ProblemAlert } from "../../app/states";
import { useMe } from "../auth/session";
import { Passage } from "../documents/Passage";
import { TurnView } from "./TurnView";
import { newTurn, useAsk, type Turn } from "./useAsk";

const texts = {
  en: {
    welcome: "What would you like to know?",
    hint: "OPAA answers from the documents that you may read, and shows where it read it.",
    label: "Your question",
    placeholder: "Ask a question …",
    send: "Ask",
    stop: "Stop",
    everywhere: "All workspaces",
    workspace: "Where to look",
    empty: "There are no documents yet. Upload some, or connect a folder.",
    upload: "Upload documents",
    connect: "Connect a folder",
    examples: "For example",
    source: "Source",
    keys: "Enter asks, Shift+Enter breaks the line, / comes back here, Esc stops.",
    long: "The question is too long ({max} characters at most).",
  },
  de: {
    welcome: "Was möchten Sie wissen?",
    hint: "OPAA antwortet aus den Dokumenten, die Sie lesen dürfen, und zeigt, wo es steht.",
    label: "Ihre Frage",
    placeholder: "Stellen Sie eine Frage …",
    send: "Fragen",
    stop: "Anhalten",
    everywhere: "Alle Arbeitsbereiche",
    workspace: "Wo gesucht wird",
    empty: "Es gibt noch keine Dokumente. Laden Sie welche hoch oder verbinden Sie einen Ordner.",
    upload: "Dokumente hochladen",
    connect: "Ordner verbinden",
    examples: "Zum Beispiel",
    source: "Quelle",
    keys: "Enter fragt, Umschalt+Enter bricht um, / kommt hierher zurück, Esc hält an.",
    long: "Die Frage ist zu lang (höchstens {max} Zeichen).",
  },
};
const EXAMPLES = {
  en: [
    "How many requests per minute does the Plus plan allow?",
    "What does E-412 mean and how do I fix it?",
    "May I work from Norway for three weeks?",
    "Who may sign firmware, and how many people are needed?",
  ],
  de: [
    "Wann verfällt der Resturlaub?",
    "Welche Klimakammer ist gesperrt und warum?",
    "Ab wie vielen Stunden Fahrzeit darf ich erste Klasse fahren?",
    "Darf man bei einem Ausfall die Warteschlange leeren?",
  ],
};

export function AskPage() {
  const { conversationId } = useParams();
  const { key } = useLocation();
  const query = useQuery({
    queryKey: ["conversation", conversationId],
    queryFn: () => get<ConversationWithMessages>(`/conversations/${conversationId}`),
    enabled: conversationId !== undefined,
    staleTime: Infinity,
    gcTime: 0,
  });
  if (conversationId === undefined) return <Conversation key={key} initial={[]} conversationId={null} />;
  if (query.error) return <ProblemAlert error={query.error} retry={() => void query.refetch()} />;
  if (!query.data) return <Loading />;
  return <Conversation key={conversationId} initial={turnsOf(query.data)} conversationId={conversationId} />;
}

/** A stored conversation as turns. */
export function turnsOf(conversation: ConversationWithMessages): Turn[] {
  const turns: Turn[] = [];
  for (const message of conversation.messages) {
    if (message.role === "user") {
      turns.push({ ...newTurn(message.content), phase: null });
      continue;
    }
    const last = turns.at(-1);
    if (!last) continue;
    const answer = message.answer as unknown as Answer | null;
    turns[turns.length - 1] = {
      ...last,
      text: message.content,
      citations: answer?.citations ?? [],
      answer,
      feedback: (message.feedback?.rating as "up" | "down" | undefined) ?? null,
    };
  }
  return turns;
}

function Conversation({ initial, conversationId }: { initial: Turn[]; conversationId: string | null }) {
  const t = useTexts(texts);
  const { language } = useLanguage();
  const me = useMe();
  const { turns, busy, ask, stop, judge } = useAsk(initial, conversationId);
  const [question, setQuestion] = useState("");
  const [workspace, setWorkspace] = useState<string | null>(null);
  const [open, setOpen] = useState<{ turn: number; citation: Citation } | null>(null);
  const wide = useMediaQuery("(min-width: 75em)", true);
  const box = useRef<HTMLTextAreaElement>(null);
  const end = useRef<HTMLDivElement>(null);
  const workspaces = useQuery({
    queryKey: ["workspaces"],
    queryFn: () => get<Page<Workspace>>("/workspaces"),
  });
  const documents = workspaces.data?.items.reduce((sum, item) => sum + item.document_count, 0);
  const choices = useMemo(() => me.workspaces.map((item) => ({ value: item.id, label: item.name })), [me]);
  const tooLong = question.length > me.max_question_chars;

  useHotkeys([["/", () => box.current?.focus()]]);
  useHotkeys([["Escape", () => (busy ? stop() : setOpen(null))]], []);
  const length = turns.length;
  useEffect(() => {
    if (length > 0) end.current?.scrollIntoView({ block: "end", behavior: "smooth" });
  }, [length]);

  const submit = (text: string) => {
    const asked = text.trim();
    if (!asked || busy || asked.length > me.max_question_chars) return;
    setQuestion("");
    setOpen(null);
    void ask(asked, workspace);
  };
  const keyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      submit(question);
    }
  };

  const passage = open && (
    <Passage
      documentId={open.citation.document_id}
      start={open.citation.start_offset}
      end={open.citation.end_offset}
    />
  );
  return (
    <Group align="flex-start" wrap="nowrap" gap="lg" justify="center">
      <Stack maw={820} w="100%" miw={0} gap="lg">
        {turns.length === 0 ? (
          <Welcome documents={documents} onExample={submit} />
        ) : (
          turns.map((turn, index) => (
            <TurnView
              key={index}
              turn={turn}
              open={open?.turn === index ? open.citation : null}
              onOpen={(citation) => setOpen(citation && { turn: index, citation })}
              onJudge={(rating) => judge(index, rating)}
            />
          ))
        )}
        <Paper withBorder p="sm" radius="lg" pos="sticky" bottom={12} shadow="sm" style={{ zIndex: 2 }}>
          <Textarea
            ref={box}
            aria-label={t("label")}
            placeholder={t("placeholder")}
            variant="unstyled"
            autosize
            minRows={1}
            maxRows={8}
            autoFocus
            value={question}
            error={tooLong ? t("long", { max: me.max_question_chars }) : undefined}
            onChange={(event) => setQuestion(event.currentTarget.value)}
            onKeyDown={keyDown}
            px="xs"
          />
          <Group justify="space-between" mt={4} wrap="nowrap">
            <Select
              aria-label={t("workspace")}
              placeholder={t("everywhere")}
              data={choices}
              value={workspace}
              onChange={setWorkspace}
              clearable
              size="xs"
              w={190}
              comboboxProps={{ position: "top-start" }}
            />
            {busy ? (
              <Button
                size="xs"
                variant="default"
                leftSection={<IconPlayerStop size={16} aria-hidden />}
                onClick={stop}
              >
                {t("stop")}
              </Button>
            ) : (
              <ActionIcon
                size="lg"
                radius="xl"
                aria-label={t("send")}
                disabled={!question.trim() || tooLong}
                onClick={() => submit(question)}
              >
                <IconArrowUp size={18} aria-hidden />
              </ActionIcon>
            )}
          </Group>
        </Paper>
        <Text size="xs" c="dimmed" ta="center" visibleFrom="sm">
          {t("keys")}
        </Text>
        <div ref={end} />
        {documents === 0 && me.can.upload && turns.length === 0 && (
          <Group justify="center">
            <Button component={Link} to="/documents" variant="light">
              {t("upload")}
            </Button>
            {me.can.manage_sources && (
              <Button component={Link} to="/sources" variant="light">
                {t("connect")}
              </Button>
            )}
          </Group>
        )}
      </Stack>
      {wide ? (
        open && (
          <Paper
            withBorder
            p="md"
            w={440}
            pos="sticky"
            top={72}
            mah="calc(100dvh - 90px)"
            style={{ display: "flex", flexDirection: "column", flexShrink: 0 }}
            component="aside"
            aria-label={t("source")}
          >
            <Group justify="space-between" wrap="nowrap" mb="xs" align="flex-start">
              <Title order={2} size="h5">
                {open.citation.title}
              </Title>
              <Button
                size="compact-xs"
                variant="subtle"
                color="gray"
                onClick={() => setOpen(null)}
                aria-label={language === "de" ? "Schließen" : "Close"}
              >
                ✕
              </Button>
            </Group>
            <Box style={{ overflow: "auto" }}>{passage}</Box>
          </Paper>
        )
      ) : (
        <Drawer
          opened={open !== null}
          onClose={() => setOpen(null)}
          position="right"
          size="100%"
          title={open?.citation.title}
          closeButtonProps={{ "aria-label": language === "de" ? "Schließen" : "Close" }}
        >
          {passage}
        </Drawer>
      )}
    </Group>
  );
}

function Welcome({
  documents,
  onExample,
}: {
  documents: number | undefined;
  onExample: (question: string) => void;
}) {
  const t = useTexts(texts);
  const { language } = useLanguage();
  const sources = useQuery({ queryKey: ["sources"], queryFn: () => get<Page<{ name: string }>>("/sources") });
  const samples = sources.data?.items.some((source) => source.name.startsWith("Samples:"));
  return (
    <Stack align="center" ta="center" py={48} gap="sm">
      <Title order={1}>{t("welcome")}</Title>
      <Text c="dimmed">{documents === 0 ? t("empty") : t("hint")}</Text>
      {samples && documents !== 0 && (
        <Box mt="md" w="100%" maw={560}>
          <Text size="sm" c="dimmed" mb="xs">
            {t("examples")}
          </Text>
          <Stack gap="xs">
            {EXAMPLES[language].map((example) => (
              <Button
                key={example}
                variant="default"
                onClick={() => onExample(example)}
                styles={{ label: { whiteSpace: "normal" } }}
                h="auto"
                py="xs"
              >
                {example}
              </Button>
            ))}
          </Stack>
        </Box>
      )}
    </Stack>
  );
}
