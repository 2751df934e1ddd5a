import { useQuery } from "@tanstack/react-query";

import { get, type Account, type GroupInfo, type Page, type Workspace } from "../../api/client";

/** What principals are called, as far as one may see the people, groups and workspaces that they are. */
export function usePrincipalNames(): (principal: string) => string {
  const people = useQuery({
    queryKey: ["users", "names"],
    queryFn: () => get<Page<Account>>("/users?limit=200"),
    retry: false,
  });
  const groups = useQuery({
    queryKey: ["groups", "names"],
    queryFn: () => get<Page<GroupInfo>>("/groups?limit=200"),
    retry: false,
  });
  const workspaces = useQuery({
    queryKey: ["workspaces"],
    queryFn: () => get<Page<Workspace>>("/workspaces"),
  });
  const names = new Map<string, string>([
    ...(people.data?.items ?? []).map((each): [string, string] => [`user:${each.id}`, each.login]),
    ...(groups.data?.items ?? []).map((each): [string, string] => [`group:${each.id}`, each.name]),
    ...(workspaces.data?.items ?? []).map((each): [string, string] => [`workspace:${each.id}`, each.name]),
  ]);
  return (principal) => names.get(principal) ?? principal;
}
