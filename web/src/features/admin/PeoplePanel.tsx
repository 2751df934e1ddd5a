import {
  Badge,
  Button,
  Code,
  Group,
  Menu,
  Modal,
  Select,
  Stack,
  Table,
  Text,
  TextInput,
} from "@mantine/core";
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { change, get, type Account, type Page, type ResetLink } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { EmptyState, Loading, ProblemAlert } from "../../app/states";
import { useMe } from "../auth/session";

const texts = {
  en: {
    table: "People",
    search: "Search people",
    add: "Add a person",
    login: "Login",
    name: "Name",
    role: "Role",
    state: "State",
    disabled: "disabled",
    twoStep: "two-step",
    none: "Nobody is called so",
    more: "Show more",
    actions: "Actions for {login}",
    disable: "Disable",
    enable: "Enable",
    link: "Link for a new password",
    linkHint: "Give this link to {login}. It works once, until {until}.",
    logout: "Log out everywhere",
    create: "Add",
    cancel: "Cancel",
    close: "Close",
    addHint: "The person chooses a password with the link that is shown next.",
    roleOf: "Role of {login}",
  },
  de: {
    table: "Personen",
    search: "Personen suchen",
    add: "Person hinzufügen",
    login: "Anmeldename",
    name: "Name",
    role: "Rolle",
    state: "Zustand",
    disabled: "gesperrt",
    twoStep: "zweistufig",
    none: "So heißt niemand",
    more: "Mehr zeigen",
    actions: "Aktionen für {login}",
    disable: "Sperren",
    enable: "Entsperren",
    link: "Link für ein neues Passwort",
    linkHint: "Geben Sie {login} diesen Link. Er gilt einmal, bis {until}.",
    logout: "Überall abmelden",
    create: "Hinzufügen",
    cancel: "Abbrechen",
    close: "Schließen",
    addHint: "Die Person wählt ihr Passwort mit dem Link, der danach gezeigt wird.",
    roleOf: "Rolle von {login}",
  },
};
const ROLES = ["owner", "admin", "auditor", "member"];

export function PeoplePanel() {
  const t = useTexts(texts);
  const me = useMe();
  const client = useQueryClient();
  const [search, setSearch] = useState("");
  const [adding, setAdding] = useState(false);
  const [link, setLink] = useState<{ account: Account; link: ResetLink } | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const mayWrite = me.can.operations.includes("users:write");
  const query = useInfiniteQuery({
    queryKey: ["users", search],
    queryFn: ({ pageParam }) =>
      get<Page<Account>>(`/users?q=${encodeURIComponent(search)}${pageParam ? `&cursor=${pageParam}` : ""}`),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
  const people = query.data?.pages.flatMap((page) => page.items) ?? [];

  const act = async (action: () => Promise<unknown>) => {
    setProblem(null);
    try {
      await action();
      await client.invalidateQueries({ queryKey: ["users"] });
    } catch (error) {
      setProblem(error);
    }
  };
  const showLink = (account: Account) =>
    act(async () => {
      setLink({ account, link: await change<ResetLink>("POST", `/users/${account.id}/reset-link`) });
    });

  return (
    <Stack>
      <Group justify="space-between" align="flex-end">
        <TextInput label={t("search")} value={search} onChange={(e) => setSearch(e.currentTarget.value)} />
        {mayWrite && <Button onClick={() => setAdding(true)}>{t("add")}</Button>}
      </Group>
      {problem !== null && <ProblemAlert error={problem} />}
      {query.isPending && <Loading />}
      {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
      {query.data && people.length === 0 && <EmptyState title={t("none")} />}
      {people.length > 0 && (
        <Table.ScrollContainer
          minWidth={560}
          scrollAreaProps={{ viewportProps: { tabIndex: 0, role: "region", "aria-label": t("table") } }}
        >
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t("login")}</Table.Th>
                <Table.Th>{t("name")}</Table.Th>
                <Table.Th>{t("role")}</Table.Th>
                <Table.Th>{t("state")}</Table.Th>
                <Table.Td />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {people.map((account) => (
                <Table.Tr key={account.id}>
                  <Table.Td>{account.login}</Table.Td>
                  <Table.Td>{account.display_name}</Table.Td>
                  <Table.Td>
                    {mayWrite ? (
                      <Select
                        aria-label={t("roleOf", { login: account.login })}
                        size="xs"
                        data={ROLES}
                        value={account.role}
                        allowDeselect={false}
                        onChange={(role) => void act(() => change("PATCH", `/users/${account.id}`, { role }))}
                      />
                    ) : (
                      account.role
                    )}
                  </Table.Td>
                  <Table.Td>
                    <Group gap="xs">
                      {account.disabled && <Badge color="gray">{t("disabled")}</Badge>}
                      {account.two_step && <Badge variant="outline">{t("twoStep")}</Badge>}
                    </Group>
                  </Table.Td>
                  <Table.Td>
                    {mayWrite && (
                      <Menu>
                        <Menu.Target>
                          <Button
                            size="xs"
                            variant="default"
                            aria-label={t("actions", { login: account.login })}
                          >
                            …
                          </Button>
                        </Menu.Target>
                        <Menu.Dropdown>
                          <Menu.Item onClick={() => void showLink(account)}>{t("link")}</Menu.Item>
                          <Menu.Item
                            onClick={() => void act(() => change("DELETE", `/users/${account.id}/sessions`))}
                          >
                            {t("logout")}
                          </Menu.Item>
                          <Menu.Item
                            onClick={() =>
                              void act(() =>
                                change("PATCH", `/users/${account.id}`, { disabled: !account.disabled }),
                              )
                            }
                          >
                            {account.disabled ? t("enable") : t("disable")}
                          </Menu.Item>
                        </Menu.Dropdown>
                      </Menu>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {query.hasNextPage && (
        <Button
          variant="default"
          onClick={() => void query.fetchNextPage()}
          loading={query.isFetchingNextPage}
        >
          {t("more")}
        </Button>
      )}
      {adding && (
        <AddPerson
          onClose={() => setAdding(false)}
          onAdded={(account) => {
            setAdding(false);
            void showLink(account);
          }}
        />
      )}
      {link && (
        <Modal opened onClose={() => setLink(null)} title={t("link")}>
          <Stack>
            <Text size="sm">
              {t("linkHint", {
                login: link.account.login,
                until: new Date(link.link.expires_at).toLocaleString(),
              })}
            </Text>
            <Code block>{`${window.location.origin}/reset#${link.link.token}`}</Code>
            <Button onClick={() => setLink(null)}>{t("close")}</Button>
          </Stack>
        </Modal>
      )}
    </Stack>
  );
}

function AddPerson({ onClose, onAdded }: { onClose: () => void; onAdded: (account: Account) => void }) {
  const t = useTexts(texts);
  const [login, setLogin] = useState("");
  const [name, setName] = useState("");
  const [role, setRole] = useState<string | null>("member");
  const [problem, setProblem] = useState<unknown>(null);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setProblem(null);
    try {
      onAdded(await change<Account>("POST", "/users", { login, display_name: name || null, role }));
    } catch (error) {
      setProblem(error);
    }
  };
  return (
    <Modal opened onClose={onClose} title={t("add")}>
      <form onSubmit={(event) => void submit(event)}>
        <Stack>
          {problem !== null && <ProblemAlert error={problem} />}
          <TextInput
            label={t("login")}
            description={t("addHint")}
            required
            maxLength={320}
            data-autofocus
            value={login}
            onChange={(e) => setLogin(e.currentTarget.value)}
          />
          <TextInput
            label={t("name")}
            maxLength={200}
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
          />
          <Select label={t("role")} data={ROLES} value={role} onChange={setRole} allowDeselect={false} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel")}
            </Button>
            <Button type="submit">{t("create")}</Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
