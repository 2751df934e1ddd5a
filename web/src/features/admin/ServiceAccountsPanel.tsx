import { Badge, Button, Group, Modal, Select, Stack, Table, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { change, get, type Page, type ServiceAccount } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { Confirm } from "../../app/Shown";
import { EmptyState, Loading, ProblemAlert } from "../../app/states";
import { useAction } from "../../app/useAction";
import { TokensPanel } from "../account/TokensPanel";
import { useMe } from "../auth/session";

const texts = {
  en: {
    hint: "Accounts of programs: they cannot log in, they have tokens. They get into workspaces as people do.",
    login: "Login of a new service account",
    role: "Role",
    create: "Create",
    empty: "There is no service account yet",
    account: "Account",
    tokens: "Tokens",
    tokensOf: "Tokens of {login}",
    disable: "Disable",
    enable: "Enable",
    disabled: "disabled",
    delete: "Delete",
    deleteThis: "Delete {login}",
    sure: "Delete {login} with its tokens? Programs that use them stop working at once.",
    cancel: "Cancel",
  },
  de: {
    hint: "Konten von Programmen: Sie melden sich nicht an, sie haben Token. In Arbeitsbereiche kommen sie wie Personen.",
    login: "Anmeldename eines neuen Dienstkontos",
    role: "Rolle",
    create: "Anlegen",
    empty: "Es gibt noch kein Dienstkonto",
    account: "Konto",
    tokens: "Token",
    tokensOf: "Token von {login}",
    disable: "Sperren",
    enable: "Entsperren",
    disabled: "gesperrt",
    delete: "Löschen",
    deleteThis: "{login} löschen",
    sure: "{login} mit seinen Token löschen? Programme, die sie benutzen, gehen sofort nicht mehr.",
    cancel: "Abbrechen",
  },
};

export function ServiceAccountsPanel() {
  const t = useTexts(texts);
  const me = useMe();
  const { run, busy, problem } = useAction("service-accounts");
  const [login, setLogin] = useState("");
  const [role, setRole] = useState("member");
  const [opened, setOpened] = useState<ServiceAccount | null>(null);
  const [doomed, setDoomed] = useState<ServiceAccount | null>(null);
  const mayWrite = me.can.operations.includes("service-accounts:write");
  const query = useQuery({
    queryKey: ["service-accounts"],
    queryFn: () => get<Page<ServiceAccount>>("/service-accounts?limit=200"),
  });
  const create = (event: FormEvent) => {
    event.preventDefault();
    void run(() => change("POST", "/service-accounts", { login, role })).then((done) => done && setLogin(""));
  };

  return (
    <Stack>
      <Text c="dimmed" size="sm">
        {t("hint")}
      </Text>
      {mayWrite && (
        <form onSubmit={create}>
          <Group align="flex-end">
            <TextInput
              label={t("login")}
              required
              maxLength={320}
              withAsterisk={false}
              value={login}
              onChange={(e) => setLogin(e.currentTarget.value)}
            />
            <Select
              label={t("role")}
              data={["member", "auditor", "admin"]}
              allowDeselect={false}
              value={role}
              onChange={(value) => setRole(value ?? "member")}
            />
            <Button type="submit" loading={busy}>
              {t("create")}
            </Button>
          </Group>
        </form>
      )}
      {problem !== null && <ProblemAlert error={problem} />}
      {query.isPending && <Loading />}
      {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
      {query.data?.items.length === 0 && <EmptyState title={t("empty")} />}
      {query.data && query.data.items.length > 0 && (
        <Table.ScrollContainer minWidth={460}>
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t("account")}</Table.Th>
                <Table.Th>{t("role")}</Table.Th>
                <Table.Td />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {query.data.items.map((account) => (
                <Table.Tr key={account.id}>
                  <Table.Td style={{ overflowWrap: "anywhere" }}>
                    {account.login} {account.disabled && <Badge color="gray">{t("disabled")}</Badge>}
                  </Table.Td>
                  <Table.Td>{account.role}</Table.Td>
                  <Table.Td>
                    <Group gap="xs">
                      <Button
                        size="xs"
                        variant="default"
                        aria-label={t("tokensOf", { login: account.login })}
                        onClick={() => setOpened(account)}
                      >
                        {t("tokens")}
                      </Button>
                      {mayWrite && (
                        <>
                          <Button
                            size="xs"
                            variant="default"
                            onClick={() =>
                              void run(() =>
                                change("PATCH", `/service-accounts/${account.id}`, {
                                  disabled: !account.disabled,
                                }),
                              )
                            }
                          >
                            {t(account.disabled ? "enable" : "disable")}
                          </Button>
                          <Button
                            size="xs"
                            color="red"
                            variant="light"
                            aria-label={t("deleteThis", { login: account.login })}
                            onClick={() => setDoomed(account)}
                          >
                            {t("delete")}
                          </Button>
                        </>
                      )}
                    </Group>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {opened && (
        <Modal
          opened
          onClose={() => setOpened(null)}
          title={t("tokensOf", { login: opened.login })}
          size="xl"
        >
          <TokensPanel path={`/service-accounts/${opened.id}/tokens`} />
        </Modal>
      )}
      {doomed && (
        <Confirm
          title={t("deleteThis", { login: doomed.login })}
          text={t("sure", { login: doomed.login })}
          action={t("delete")}
          cancel={t("cancel")}
          busy={busy}
          onClose={() => setDoomed(null)}
          onConfirm={() => {
            void run(() => change("DELETE", `/service-accounts/${doomed.id}`)).then(() => setDoomed(null));
          }}
        />
      )}
    </Stack>
  );
}
