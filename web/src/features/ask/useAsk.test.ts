import { describe, expect, it } from "vitest";

import { Problem } from "../../api/client";
import { applied, newTurn } from "./useAsk";

describe("applied", () => {
  it("gathers what streams and lets the whole answer replace it", () => {
    let turn = newTurn("How many days?");
    turn = applied(turn, "status", { phase: "answering" });
    turn = applied(turn, "delta", { text: "Thirty " });
    turn = applied(turn, "delta", { text: "days [1]" });
    turn = applied(turn, "citation", { citation: { marker: 1 } });
    expect(turn.text).toBe("Thirty days [1]");
    expect(turn.citations).toHaveLength(1);
    turn = applied(turn, "done", { answer: "30 days [1].", citations: [{ marker: 1 }, { marker: 2 }] });
    expect(turn.text).toBe("30 days [1].");
    expect(turn.citations).toHaveLength(2);
    expect(turn.phase).toBeNull();
  });

  it("shows a problem in the API's words", () => {
    const turn = applied(newTurn("x"), "error", {
      status: 503,
      code: "database-unavailable",
      detail: "Away.",
    });
    expect(turn.error).toBeInstanceOf(Problem);
    expect((turn.error as Problem).message).toBe("Away.");
    expect((turn.error as Problem).temporary).toBe(true);
  });

  it("ignores events that it does not know", () => {
    const turn = newTurn("x");
    expect(applied(turn, "later-version", {})).toBe(turn);
  });
});
