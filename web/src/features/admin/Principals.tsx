import { Select, Stack } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { get, type Account, type GroupInfo, type Page } from "../../api/client";
import { useTexts } from "../../app/i18n";

const texts = {
  en: {
    choose: "Person or group",
    people: "People",
    groups: "Groups",
    everyone: "Everyone in the workspace",
  },
  de: {
    choose: "Person oder Gruppe",
    people: "Personen",
    groups: "Gruppen",
    everyone: "Alle im Arbeitsbereich",
  },
};

/** Finds people and groups; `onChoose` gets a principal such as `user:…` and what it is called. */
export function PrincipalSelect(props: {
  workspace?: string;
  label?: string;
  onChoose: (principal: string, name: string) => void;
}) {
  const t = useTexts(texts);
  const [search, setSearch] = useState("");
  const term = encodeURIComponent(search);
  const people = useQuery({
    queryKey: ["users", search, "choice"],
    queryFn: () => get<Page<Account>>(`/users?limit=20&q=${term}`),
  });
  const groups = useQuery({
    queryKey: ["groups", search, "choice"],
    queryFn: () => get<Page<GroupInfo>>(`/groups?limit=20&q=${term}`),
  });
  const choices = [
    {
      group: t("groups"),
      items: [
        ...(props.workspace ? [{ value: `workspace:${props.workspace}`, label: t("everyone") }] : []),
        ...(groups.data?.items ?? []).map((each) => ({ value: `group:${each.id}`, label: each.name })),
      ],
    },
    {
      group: t("people"),
      items: (people.data?.items ?? []).map((each) => ({ value: `user:${each.id}`, label: each.login })),
    },
  ];
  return (
    <Stack gap={0} flex={1}>
      <Select
        label={props.label ?? t("choose")}
        searchable
        value={null}
        searchValue={search}
        onSearchChange={setSearch}
        data={choices}
        onChange={(principal, option) => {
          if (principal) props.onChoose(principal, option?.label ?? principal);
        }}
      />
    </Stack>
  );
}
