import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

/** Runs changes one at a time, keeps what went wrong for the page to show, and has what they concern read anew. */
export function useAction(...keys: string[]) {
  const client = useQueryClient();
  const [problem, setProblem] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const run = async (action: () => Promise<unknown>): Promise<boolean> => {
    setProblem(null);
    setBusy(true);
    try {
      await action();
      await Promise.all(keys.map((key) => client.invalidateQueries({ queryKey: [key] })));
      return true;
    } catch (error) {
      setProblem(error);
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { run, busy, problem };
}
