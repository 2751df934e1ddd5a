import { useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { createContext, useContext, type ReactNode } from "react";

import { get, Problem, useSessionToken, type Me } from "../../api/client";
import { Loading, ProblemAlert } from "../../app/states";
import { LoginPage } from "./LoginPage";

const Context = createContext<Me | null>(null);

/** Who is logged in. Only below `SessionGate`. */
export function useMe(): Me {
  const me = useContext(Context);
  if (!me) throw new Error("nobody is logged in");
  return me;
}

/** Somebody else is here now, or nobody: what the one before saw is forgotten. */
export function beSomebody(client: QueryClient, me: Me | null): void {
  client.removeQueries({ predicate: (query) => query.queryKey[0] !== "me" });
  client.setQueryData(["me"], me);
}

/** Shows its children to somebody who is logged in, the log-in page to everybody else. The address stays. */
export function SessionGate({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const query = useQuery({
    queryKey: ["me"],
    queryFn: () => get<Me>("/auth/me"),
    retry: (count, error) => error instanceof Problem && error.temporary && count < 100,
    retryDelay: 2000,
    staleTime: 60_000,
  });
  useSessionToken(query.data?.csrf_token ?? "", () => {
    beSomebody(client, null);
  });
  if (query.isPending)
    return query.failureReason ? (
      <ProblemAlert error={query.failureReason} retry={() => void query.refetch()} />
    ) : (
      <Loading />
    );
  if (query.error && !(query.error instanceof Problem && query.error.status === 401))
    return <ProblemAlert error={query.error} retry={() => void query.refetch()} />;
  if (!query.data)
    return (
      <LoginPage
        onLogin={(me) => {
          beSomebody(client, me);
        }}
      />
    );
  return <Context.Provider value={query.data}>{children}</Context.Provider>;
}
