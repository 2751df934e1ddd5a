import { Badge, Button, Group, Modal, Select, Stack, Table, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { change, get, type Member, type Page, type Workspace } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { EmptyState, Loading, ProblemAlert } from "../../app/states";
import { useAction } from "../../app/useAction";
import { useMe } from "../auth/session";
import { PrincipalSelect } from "./Principals";
import { RulesDialog } from "./RulesDialog";

const texts = {
  en: {
    hint: "Owners and admins of the organization are admin in every workspace.",
    name: "Name of a new workspace",
    create: "Create",
    empty: "There is no workspace yet",
    workspace: "Workspace",
    documents: "Documents",
    mine: "Your role",
    members: "Members",
    rules: "Rules",
    rulesOf: "Rules of {name}",
    open: "Members of {name}",
    nobody: "Nobody has a role of their own here.",
    add: "Add a person or group",
    role: "Role of {name}",
    remove: "Remove {name}",
    rename: "Rename",
    newName: "New name",
    delete: "Delete workspace",
    typeName: "Type {name} to delete it with its sources and documents. This cannot be undone.",
    admin: "admin",
    editor: "editor",
    viewer: "viewer",
  },
  de: {
    hint: "Eigentümer und Admins der Organisation sind in jedem Arbeitsbereich Admin.",
    name: "Name eines neuen Arbeitsbereichs",
    create: "Anlegen",
    empty: "Es gibt noch keinen Arbeitsbereich",
    workspace: "Arbeitsbereich",
    documents: "Dokumente",
    mine: "Ihre Rolle",
    members: "Mitglieder",
    rules: "Regeln",
    rulesOf: "Regeln von {name}",
    open: "Mitglieder von {name}",
    nobody: "Niemand hat hier eine eigene Rolle.",
    add: "Person oder Gruppe hinzufügen",
    role: "Rolle von {name}",
    remove: "{name} entfernen",
    rename: "Umbenennen",
    newName: "Neuer Name",
    delete: "Arbeitsbereich löschen",
    typeName:
      "Geben Sie {name} ein, um ihn samt Quellen und Dokumenten zu löschen. Das lässt sich nicht rückgängig machen.",
    admin: "Admin",
    editor: "Bearbeitung",
    viewer: "Lesen",
  },
};
const ROLES = ["admin", "editor", "viewer"] as const;

export function WorkspacesPanel() {
  const t = useTexts(texts);
  const me = useMe();
  const { run, busy, problem } = useAction("workspaces", "me");
  const [name, setName] = useState("");
  const [opened, setOpened] = useState<Workspace | null>(null);
  const [ruled, setRuled] = useState<Workspace | null>(null);
  const query = useQuery({ queryKey: ["workspaces"], queryFn: () => get<Page<Workspace>>("/workspaces") });

  const create = (event: FormEvent) => {
    event.preventDefault();
    void run(() => change("POST", "/workspaces", { name })).then((done) => done && setName(""));
  };

  return (
    <Stack>
      <Text c="dimmed" size="sm">
        {t("hint")}
      </Text>
      {me.can.operations.includes("workspaces:create") && (
        <form onSubmit={create}>
          <Group align="flex-end">
            <TextInput
              label={t("name")}
              required
              maxLength={200}
              withAsterisk={false}
              value={name}
              onChange={(e) => setName(e.currentTarget.value)}
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
                <Table.Th>{t("workspace")}</Table.Th>
                <Table.Th>{t("documents")}</Table.Th>
                <Table.Th>{t("mine")}</Table.Th>
                <Table.Td />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {query.data.items.map((workspace) => (
                <Table.Tr key={workspace.id}>
                  <Table.Td style={{ overflowWrap: "anywhere" }}>{workspace.name}</Table.Td>
                  <Table.Td>{workspace.document_count}</Table.Td>
                  <Table.Td>
                    <Badge variant="outline">{workspace.role}</Badge>
                  </Table.Td>
                  <Table.Td>
                    {workspace.role === "admin" && (
                      <Group gap="xs">
                        <Button
                          size="xs"
                          variant="default"
                          aria-label={t("open", { name: workspace.name })}
                          onClick={() => setOpened(workspace)}
                        >
                          {t("members")}
                        </Button>
                        <Button
                          size="xs"
                          variant="default"
                          aria-label={t("rulesOf", { name: workspace.name })}
                          onClick={() => setRuled(workspace)}
                        >
                          {t("rules")}
                        </Button>
                      </Group>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {ruled && <RulesDialog workspace={ruled} onClose={() => setRuled(null)} />}
      {opened && <Members workspace={opened} onClose={() => setOpened(null)} />}
    </Stack>
  );
}

function Members({ workspace, onClose }: { workspace: Workspace; onClose: () => void }) {
  const t = useTexts(texts);
  const me = useMe();
  const { run, problem } = useAction("members");
  const whole = useAction("workspaces", "me");
  const [name, setName] = useState(workspace.name);
  const [doomed, setDoomed] = useState("");
  const path = `/workspaces/${workspace.id}`;
  const query = useQuery({
    queryKey: ["members", workspace.id],
    queryFn: () => get<Page<Member>>(`${path}/members`),
  });
  const place = (principal: string) => `${path}/members/${encodeURIComponent(principal)}`;

  return (
    <Modal opened onClose={onClose} title={t("open", { name: workspace.name })} size="lg">
      <Stack>
        {problem !== null && <ProblemAlert error={problem} />}
        {whole.problem !== null && <ProblemAlert error={whole.problem} />}
        {query.isPending && <Loading />}
        {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
        {query.data?.items.length === 0 && <Text size="sm">{t("nobody")}</Text>}
        {query.data?.items.map((member) => (
          <Group key={member.principal} justify="space-between" wrap="nowrap">
            <Text size="sm" style={{ overflowWrap: "anywhere" }}>
              {member.name}
            </Text>
            <Group gap="xs" wrap="nowrap">
              <Select
                aria-label={t("role", { name: member.name })}
                size="xs"
                w={130}
                allowDeselect={false}
                data={ROLES.map((each) => ({ value: each, label: t(each) }))}
                value={member.role}
                onChange={(role) => void run(() => change("PUT", place(member.principal), { role }))}
              />
              <Button
                size="xs"
                variant="default"
                aria-label={t("remove", { name: member.name })}
                onClick={() => void run(() => change("DELETE", place(member.principal)))}
              >
                ×
              </Button>
            </Group>
          </Group>
        ))}
        <PrincipalSelect
          label={t("add")}
          onChoose={(principal) => void run(() => change("PUT", place(principal), { role: "viewer" }))}
        />
        <Group align="flex-end">
          <TextInput
            label={t("newName")}
            maxLength={200}
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
          />
          <Button
            variant="default"
            loading={whole.busy}
            disabled={!name.trim() || name === workspace.name}
            onClick={() =>
              void whole.run(() => change("PATCH", path, { name })).then((done) => done && onClose())
            }
          >
            {t("rename")}
          </Button>
        </Group>
        {me.can.operations.includes("workspaces:delete") && (
          <Group align="flex-end">
            <TextInput
              label={t("delete")}
              description={t("typeName", { name: workspace.name })}
              value={doomed}
              onChange={(e) => setDoomed(e.currentTarget.value)}
            />
            <Button
              color="red"
              loading={whole.busy}
              disabled={doomed !== workspace.name}
              onClick={() => void whole.run(() => change("DELETE", path)).then((done) => done && onClose())}
            >
              {t("delete")}
            </Button>
          </Group>
        )}
      </Stack>
    </Modal>
  );
}
