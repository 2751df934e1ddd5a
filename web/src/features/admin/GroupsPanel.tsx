import { Badge, Button, Group, Modal, Select, Stack, Table, Text, TextInput } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { change, get, type Account, type GroupInfo, type GroupMember, type Page } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { EmptyState, Loading, ProblemAlert } from "../../app/states";
import { useMe } from "../auth/session";

const texts = {
  en: {
    name: "Name of a new group",
    create: "Create",
    empty: "There is no group yet",
    hint: "Groups get roles in workspaces and stand in the permissions of documents.",
    group: "Group",
    members: "Members",
    origin: "Kept by",
    open: "Members of {name}",
    show: "{count} members of {name}",
    remove: "Remove {login}",
    delete: "Delete group",
    sure: "Delete {name}? What it gave access to, its members lose at once.",
    add: "Add somebody",
    nobody: "Nobody is in this group.",
  },
  de: {
    name: "Name einer neuen Gruppe",
    create: "Anlegen",
    empty: "Es gibt noch keine Gruppe",
    hint: "Gruppen bekommen Rollen in Arbeitsbereichen und stehen in den Rechten von Dokumenten.",
    group: "Gruppe",
    members: "Mitglieder",
    origin: "Gepflegt von",
    open: "Mitglieder von {name}",
    show: "{count} Mitglieder von {name}",
    remove: "{login} entfernen",
    delete: "Gruppe löschen",
    sure: "{name} löschen? Was sie zugänglich machte, verlieren ihre Mitglieder sofort.",
    add: "Jemanden hinzufügen",
    nobody: "Niemand ist in dieser Gruppe.",
  },
};

export function GroupsPanel() {
  const t = useTexts(texts);
  const me = useMe();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [opened, setOpened] = useState<GroupInfo | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const mayWrite = me.can.operations.includes("groups:write");
  const query = useQuery({ queryKey: ["groups"], queryFn: () => get<Page<GroupInfo>>("/groups?limit=200") });

  const create = async (event: FormEvent) => {
    event.preventDefault();
    setProblem(null);
    try {
      await change("POST", "/groups", { name });
      setName("");
      await client.invalidateQueries({ queryKey: ["groups"] });
    } catch (error) {
      setProblem(error);
    }
  };

  return (
    <Stack>
      <Text c="dimmed" size="sm">
        {t("hint")}
      </Text>
      {mayWrite && (
        <form onSubmit={(event) => void create(event)}>
          <Group align="flex-end">
            <TextInput
              label={t("name")}
              required
              maxLength={200}
              withAsterisk={false}
              value={name}
              onChange={(e) => setName(e.currentTarget.value)}
            />
            <Button type="submit">{t("create")}</Button>
          </Group>
        </form>
      )}
      {problem !== null && <ProblemAlert error={problem} />}
      {query.isPending && <Loading />}
      {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
      {query.data?.items.length === 0 && <EmptyState title={t("empty")} />}
      {query.data && query.data.items.length > 0 && (
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t("group")}</Table.Th>
              <Table.Th>{t("members")}</Table.Th>
              <Table.Th>{t("origin")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {query.data.items.map((group) => (
              <Table.Tr key={group.id}>
                <Table.Td>{group.name}</Table.Td>
                <Table.Td>
                  <Button
                    size="xs"
                    variant="default"
                    aria-label={t("show", { count: group.member_count, name: group.name })}
                    onClick={() => setOpened(group)}
                  >
                    {group.member_count}
                  </Button>
                </Table.Td>
                <Table.Td>
                  <Badge variant="outline">{group.origin}</Badge>
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
      {opened && <Members group={opened} mayWrite={mayWrite} onClose={() => setOpened(null)} />}
    </Stack>
  );
}

function Members({ group, mayWrite, onClose }: { group: GroupInfo; mayWrite: boolean; onClose: () => void }) {
  const t = useTexts(texts);
  const client = useQueryClient();
  const [search, setSearch] = useState("");
  const [sure, setSure] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const path = `/groups/${group.id}/members`;
  const members = useQuery({ queryKey: ["groups", group.id], queryFn: () => get<Page<GroupMember>>(path) });
  const found = useQuery({
    queryKey: ["users", search, "choice"],
    queryFn: () => get<Page<Account>>(`/users?limit=20&q=${encodeURIComponent(search)}`),
    enabled: mayWrite,
  });
  const local = group.origin === "local";
  const act = async (action: () => Promise<unknown>, close = false) => {
    setProblem(null);
    try {
      await action();
      await client.invalidateQueries({ queryKey: ["groups"] });
      if (close) onClose();
    } catch (error) {
      setProblem(error);
    }
  };
  const present = new Set(members.data?.items.map((each) => each.id));

  return (
    <Modal opened onClose={onClose} title={t("open", { name: group.name })}>
      <Stack>
        {problem !== null && <ProblemAlert error={problem} />}
        {members.isPending && <Loading />}
        {members.data?.items.length === 0 && <Text size="sm">{t("nobody")}</Text>}
        {members.data?.items.map((member) => (
          <Group key={member.id} justify="space-between">
            <Text size="sm">
              {member.display_name} · {member.login}
            </Text>
            {mayWrite && local && (
              <Button
                size="xs"
                variant="default"
                onClick={() => void act(() => change("DELETE", `${path}/${member.id}`))}
              >
                {t("remove", { login: member.login })}
              </Button>
            )}
          </Group>
        ))}
        {mayWrite && local && (
          <Select
            label={t("add")}
            searchable
            value={null}
            searchValue={search}
            onSearchChange={setSearch}
            data={(found.data?.items ?? [])
              .filter((each) => !present.has(each.id))
              .map((each) => ({ value: each.id, label: `${each.display_name} · ${each.login}` }))}
            onChange={(id) => {
              if (id) void act(() => change("POST", path, { user_ids: [id] }));
            }}
          />
        )}
        {mayWrite && !sure && (
          <Button color="red" variant="light" onClick={() => setSure(true)}>
            {t("delete")}
          </Button>
        )}
        {sure && (
          <>
            <Text size="sm">{t("sure", { name: group.name })}</Text>
            <Button color="red" onClick={() => void act(() => change("DELETE", `/groups/${group.id}`), true)}>
              {t("delete")}
            </Button>
          </>
        )}
      </Stack>
    </Modal>
  );
}
