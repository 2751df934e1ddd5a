import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import type { Run } from "../../api/client";

/** The newest run of each source as it goes on, by the API's event stream; reconnects by itself. */
export function useRuns(): ReadonlyMap<string, Run> {
  const [runs, setRuns] = useState<ReadonlyMap<string, Run>>(new Map());
  const client = useQueryClient();
  useEffect(() => {
    const events = new EventSource("/api/v1/events");
    events.addEventListener("run", (event: MessageEvent<string>) => {
      const run = JSON.parse(event.data) as Run;
      setRuns((all) => new Map(all).set(run.source_id, run));
      if (run.finished_at) {
        void client.invalidateQueries({ queryKey: ["sources"] });
        void client.invalidateQueries({ queryKey: ["documents"] });
        void client.invalidateQueries({ queryKey: ["errors", run.source_id] });
      }
    });
    return () => events.close();
  }, [client]);
  return runs;
}
