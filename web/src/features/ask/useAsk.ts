import { useQueryClient } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";

import { Problem, problemOf, send, type Answer, type Citation, type SearchResult } from "../../api/client";
import { readEvents } from "../../api/sse";

export interface Turn {
  question: string;
  phase: string | null;
  text: string;
  citations: Citation[];
  sources: SearchResult[];
  answer: Answer | null;
  error: unknown;
  stopped: boolean;
  feedback: "up" | "down" | null;
}

export function newTurn(question: string): Turn {
  return {
    question,
    phase: "searching",
    text: "",
    citations: [],
    sources: [],
    answer: null,
    error: null,
    stopped: false,
    feedback: null,
  };
}

/** Applies one event of the answer's stream to a turn. */
export function applied(turn: Turn, event: string, data: unknown): Turn {
  switch (event) {
    case "status":
      return { ...turn, phase: (data as { phase: string }).phase };
    case "sources":
      return { ...turn, sources: (data as { results: SearchResult[] }).results };
    case "delta":
      return { ...turn, text: turn.text + (data as { text: string }).text };
    case "citation":
      return { ...turn, citations: [...turn.citations, (data as { citation: Citation }).citation] };
    case "done": {
      const answer = data as Answer;
      return { ...turn, phase: null, text: answer.answer, citations: answer.citations, answer };
    }
    case "error":
      return { ...turn, phase: null, error: problemOf((data as { status: number }).status, data) };
    default:
      return turn;
  }
}

/** The turns of a conversation on the screen, and how to ask the next question. */
export function useAsk(initial: Turn[], conversationId: string | null) {
  const [turns, setTurns] = useState<Turn[]>(initial);
  const [busy, setBusy] = useState(false);
  const conversation = useRef(conversationId);
  const controller = useRef<AbortController | null>(null);
  const client = useQueryClient();

  useEffect(() => () => controller.current?.abort(), []);

  const change = useCallback((update: (turn: Turn) => Turn) => {
    setTurns((all) => all.map((turn, index) => (index === all.length - 1 ? update(turn) : turn)));
  }, []);

  const ask = useCallback(
    async (question: string, workspace: string | null) => {
      const abort = new AbortController();
      controller.current = abort;
      setBusy(true);
      setTurns((all) => [...all, newTurn(question)]);
      try {
        const response = await send("/ask", {
          method: "POST",
          signal: abort.signal,
          headers: { "Content-Type": "application/json", Accept: "text/event-stream" },
          body: JSON.stringify({ question, workspace, conversation_id: conversation.current }),
        });
        if (!response.body) throw new Problem(0, "unreachable", "The answer is empty");
        let ended = false;
        for await (const { event, data } of readEvents(response.body)) {
          const body = JSON.parse(data) as unknown;
          if (event === "done") conversation.current = (body as Answer).conversation_id;
          ended = ended || event === "done" || event === "error";
          change((turn) => applied(turn, event, body));
        }
        if (!ended) throw new Problem(0, "interrupted", "The answer was cut off; ask again");
        await client.invalidateQueries({ queryKey: ["conversations"] });
      } catch (error) {
        const stopped = error instanceof DOMException && error.name === "AbortError";
        change((turn) => ({ ...turn, phase: null, stopped, error: stopped ? null : error }));
      } finally {
        setBusy(false);
      }
    },
    [change, client],
  );

  const stop = useCallback(() => controller.current?.abort(), []);
  const judge = useCallback((index: number, feedback: "up" | "down") => {
    setTurns((all) => all.map((turn, position) => (position === index ? { ...turn, feedback } : turn)));
  }, []);
  return { turns, busy, ask, stop, judge, conversation };
}
