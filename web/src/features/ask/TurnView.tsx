import {
  ActionIcon,
  Alert,
  Anchor,
  Button,
  CopyButton,
  Group,
  List,
  Loader,
  Paper,
  Stack,
  Text,
  Textarea,
  Tooltip,
} from "@mantine/core";
import { IconCheck, IconCopy, IconThumbDown, IconThumbUp } from "@tabler/icons-react";
import { useState } from "react";
import { Link } from "react-router";

import { change, type Citation } from "../../api/client";
import { fileName, formatNumber } from "../../app/format";
import { useLanguage, useTexts } from "../../app/i18n";
import { ProblemAlert } from "../../app/states";
import { AnswerMarkdown } from "./markdown";
import type { Turn } from "./useAsk";

const texts = {
  en: {
    rewriting: "Understanding the question …",
    searching: "Searching the documents …",
    answering: "Writing the answer …",
    sources: "Sources",
    nearest: "The nearest documents",
    copy: "Copy the answer",
    copied: "Copied",
    up: "Good answer",
    down: "Bad answer",
    comment: "What was wrong?",
    send: "Send",
    thanks: "Thank you.",
    stopped: "Stopped.",
    degraded: "Limited answer",
    by: "{model} · {seconds} s",
    extractive: "Sentences from the documents",
    cost: "{cost} $",
    answer: "Answer",
    question: "Question",
    removed: "{count} unverifiable references were removed.",
  },
  de: {
    rewriting: "Frage wird verstanden …",
    searching: "Dokumente werden durchsucht …",
    answering: "Antwort wird geschrieben …",
    sources: "Quellen",
    nearest: "Die nächstliegenden Dokumente",
    copy: "Antwort kopieren",
    copied: "Kopiert",
    up: "Gute Antwort",
    down: "Schlechte Antwort",
    comment: "Was war falsch?",
    send: "Senden",
    thanks: "Danke.",
    stopped: "Angehalten.",
    degraded: "Eingeschränkte Antwort",
    by: "{model} · {seconds} s",
    extractive: "Sätze aus den Dokumenten",
    cost: "{cost} $",
    answer: "Antwort",
    question: "Frage",
    removed: "{count} nicht belegbare Verweise wurden entfernt.",
  },
};
type Phase = "rewriting" | "searching" | "answering";

interface Props {
  turn: Turn;
  open: Citation | null;
  onOpen: (citation: Citation | null) => void;
  onJudge: (rating: "up" | "down") => void;
}

/** A question and its answer. */
export function TurnView({ turn, open, onOpen, onJudge }: Props) {
  const t = useTexts(texts);
  const { citations, answer } = turn;
  return (
    <Stack gap="sm" component="article">
      <Paper
        bg="var(--mantine-color-default-hover)"
        p="sm"
        px="md"
        radius="lg"
        style={{ alignSelf: "flex-end", maxWidth: "90%" }}
      >
        <Text style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }} aria-label={t("question")}>
          {turn.question}
        </Text>
      </Paper>
      {turn.phase && (
        <Group gap="xs" role="status">
          <Loader size="xs" />
          <Text size="sm" c="dimmed">
            {t(turn.phase as Phase)}
          </Text>
        </Group>
      )}
      {answer?.degraded && (
        <Alert color="yellow" title={t("degraded")}>
          {answer.degraded_detail}
        </Alert>
      )}
      <div aria-live="polite" aria-busy={turn.phase !== null} aria-label={t("answer")} role="region">
        {turn.text && <AnswerMarkdown text={turn.text} citations={citations} open={open} onOpen={onOpen} />}
      </div>
      {turn.stopped && (
        <Text size="sm" c="dimmed">
          {t("stopped")}
        </Text>
      )}
      {turn.error !== null && <ProblemAlert error={turn.error} />}
      {answer && (
        <>
          {answer.found ? <SourceList turn={turn} onOpen={onOpen} /> : <Nearest turn={turn} />}
          {answer.removed_citations > 0 && (
            <Text size="xs" c="dimmed">
              {t("removed", { count: answer.removed_citations })}
            </Text>
          )}
          <Footer turn={turn} onJudge={onJudge} />
        </>
      )}
    </Stack>
  );
}

function SourceList({ turn, onOpen }: { turn: Turn; onOpen: (citation: Citation) => void }) {
  const t = useTexts(texts);
  const first = turn.citations.filter(
    (citation, index, all) => all.findIndex((other) => other.marker === citation.marker) === index,
  );
  if (first.length === 0) return null;
  return (
    <Stack gap={4}>
      <Text size="sm" fw={600}>
        {t("sources")}
      </Text>
      <List size="sm" listStyleType="none" spacing={4}>
        {first.map((citation) => (
          <List.Item key={citation.marker}>
            <Anchor component="button" type="button" size="sm" ta="left" onClick={() => onOpen(citation)}>
              [{citation.marker}] {citation.title}
            </Anchor>{" "}
            <Text span size="xs" c="dimmed">
              {[
                ...citation.heading_path.filter((heading) => heading !== citation.title),
                fileName(citation.uri),
              ].join(" › ")}
            </Text>
          </List.Item>
        ))}
      </List>
    </Stack>
  );
}

function Nearest({ turn }: { turn: Turn }) {
  const t = useTexts(texts);
  const nearest = turn.answer?.nearest ?? [];
  if (nearest.length === 0) return null;
  return (
    <Stack gap={4}>
      <Text size="sm" fw={600}>
        {t("nearest")}
      </Text>
      <List size="sm" listStyleType="none" spacing={4}>
        {nearest.map((hit) => (
          <List.Item key={hit.document_id}>
            <Anchor component={Link} to={`/documents/${hit.document_id}`} size="sm">
              {hit.title}
            </Anchor>
          </List.Item>
        ))}
      </List>
    </Stack>
  );
}

function Footer({ turn, onJudge }: { turn: Turn; onJudge: (rating: "up" | "down") => void }) {
  const t = useTexts(texts);
  const { language } = useLanguage();
  const [comment, setComment] = useState("");
  const [stage, setStage] = useState<"idle" | "asking" | "thanked">("idle");
  const [error, setError] = useState<unknown>(null);
  const answer = turn.answer;
  if (!answer) return null;

  const judge = async (rating: "up" | "down", words = "") => {
    try {
      await change("POST", "/feedback", { message_id: answer.message_id, rating, comment: words });
      onJudge(rating);
      setStage(rating === "down" && !words ? "asking" : "thanked");
    } catch (problem) {
      setError(problem);
    }
  };
  const model = answer.model === "extractive" ? t("extractive") : answer.model;
  const seconds = formatNumber(Math.round(answer.took_ms / 10) / 100, language);

  return (
    <Stack gap="xs">
      <Group gap={4}>
        <CopyButton value={turn.text}>
          {({ copied, copy }) => (
            <Tooltip label={copied ? t("copied") : t("copy")}>
              <ActionIcon variant="subtle" color="gray" onClick={copy} aria-label={t("copy")}>
                {copied ? <IconCheck size={16} aria-hidden /> : <IconCopy size={16} aria-hidden />}
              </ActionIcon>
            </Tooltip>
          )}
        </CopyButton>
        <ActionIcon
          variant={turn.feedback === "up" ? "filled" : "subtle"}
          color="gray"
          aria-pressed={turn.feedback === "up"}
          aria-label={t("up")}
          onClick={() => void judge("up")}
        >
          <IconThumbUp size={16} aria-hidden />
        </ActionIcon>
        <ActionIcon
          variant={turn.feedback === "down" ? "filled" : "subtle"}
          color="gray"
          aria-pressed={turn.feedback === "down"}
          aria-label={t("down")}
          onClick={() => void judge("down")}
        >
          <IconThumbDown size={16} aria-hidden />
        </ActionIcon>
        <Text size="xs" c="dimmed" ml="xs">
          {t("by", { model, seconds })}
          {Number(answer.usage.cost) > 0 && ` · ${t("cost", { cost: answer.usage.cost })}`}
        </Text>
      </Group>
      {error !== null && <ProblemAlert error={error} />}
      {stage === "asking" && (
        <Group align="flex-end">
          <Textarea
            label={t("comment")}
            value={comment}
            maxLength={4000}
            autosize
            style={{ flex: 1 }}
            onChange={(e) => setComment(e.currentTarget.value)}
          />
          <Button size="xs" onClick={() => void judge("down", comment)}>
            {t("send")}
          </Button>
        </Group>
      )}
      {stage === "thanked" && (
        <Text size="xs" c="dimmed" role="status">
          {t("thanks")}
        </Text>
      )}
    </Stack>
  );
}
