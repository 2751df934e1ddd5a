import { Badge, Button, Checkbox, Group, Modal, Select, Stack, Table, Text, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { change, get, type NewToken, type Operation, type Page, type Token } from "../../api/client";
import { formatDate } from "../../app/format";
import { useLanguage, useTexts } from "../../app/i18n";
import { Confirm, ShownOnce } from "../../app/Shown";
import { EmptyState, Loading, ProblemAlert } from "../../app/states";
import { useAction } from "../../app/useAction";
import { useMe } from "../auth/session";

const texts = {
  en: {
    hint: "Programs use a token instead of a log-in. It can never do more than the account may at the moment.",
    create: "New token",
    empty: "There is no token",
    name: "Name",
    scopes: "Scopes",
    used: "Last used",
    expires: "Expires",
    never: "never",
    limits: "Limits",
    workspaces: "Only these workspaces",
    networks: "Only from these networks, separated by commas",
    networksHint: "Such as 10.0.0.0/8. Empty: from anywhere.",
    lifetime: "Expires after",
    days: "{count} days",
    noScope: "Choose at least one scope.",
    made: "Your token",
    madeHint: "Copy it now: it is not shown again.",
    rotate: "Rotate",
    rotateThis: "Rotate {name}",
    revoke: "Revoke",
    revokeThis: "Revoke {name}",
    sure: "Programs that use {name} stop working at once.",
    sureRotate: "{name} gets a new secret. The old one works for one more hour.",
    cancel: "Cancel",
  },
  de: {
    hint: "Programme benutzen statt einer Anmeldung ein Token. Es darf nie mehr, als das Konto gerade darf.",
    create: "Neues Token",
    empty: "Es gibt kein Token",
    name: "Name",
    scopes: "Rechte",
    used: "Zuletzt benutzt",
    expires: "Läuft ab",
    never: "nie",
    limits: "Grenzen",
    workspaces: "Nur diese Arbeitsbereiche",
    networks: "Nur aus diesen Netzen, durch Kommas getrennt",
    networksHint: "Etwa 10.0.0.0/8. Leer: von überall.",
    lifetime: "Läuft ab nach",
    days: "{count} Tagen",
    noScope: "Wählen Sie mindestens ein Recht.",
    made: "Ihr Token",
    madeHint: "Kopieren Sie es jetzt: Es wird nicht noch einmal gezeigt.",
    rotate: "Erneuern",
    rotateThis: "{name} erneuern",
    revoke: "Widerrufen",
    revokeThis: "{name} widerrufen",
    sure: "Programme, die {name} benutzen, gehen sofort nicht mehr.",
    sureRotate: "{name} bekommt ein neues Geheimnis. Das alte gilt noch eine Stunde.",
    cancel: "Abbrechen",
  },
};
const LIFETIMES = ["30", "90", "365"];
const OVERLAP_S = 3600;

/** The tokens of oneself, or of a service account, at `path`. */
export function TokensPanel({ path }: { path: string }) {
  const t = useTexts(texts);
  const { language } = useLanguage();
  const { run, busy, problem } = useAction("tokens");
  const [creating, setCreating] = useState(false);
  const [made, setMade] = useState<NewToken | null>(null);
  const [doomed, setDoomed] = useState<Token | null>(null);
  const [rotated, setRotated] = useState<Token | null>(null);
  const query = useQuery({ queryKey: ["tokens", path], queryFn: () => get<Page<Token>>(path) });

  const rotate = (token: Token) =>
    run(async () => {
      const body = { overlap_s: OVERLAP_S };
      setMade(await change<NewToken>("POST", `${path}/${token.id}/rotate`, body));
      setRotated(null);
    });

  return (
    <Stack>
      <Text c="dimmed" size="sm">
        {t("hint")}
      </Text>
      <Group>
        <Button onClick={() => setCreating(true)}>{t("create")}</Button>
      </Group>
      {problem !== null && <ProblemAlert error={problem} />}
      {query.isPending && <Loading />}
      {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
      {query.data?.items.length === 0 && <EmptyState title={t("empty")} />}
      {query.data && query.data.items.length > 0 && (
        <Table.ScrollContainer minWidth={700}>
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t("name")}</Table.Th>
                <Table.Th>{t("scopes")}</Table.Th>
                <Table.Th>{t("limits")}</Table.Th>
                <Table.Th>{t("used")}</Table.Th>
                <Table.Th>{t("expires")}</Table.Th>
                <Table.Td />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {query.data.items.map((token) => (
                <Table.Tr key={token.id}>
                  <Table.Td>{token.name}</Table.Td>
                  <Table.Td>
                    <Group gap={4}>
                      {token.scopes.map((scope) => (
                        <Badge key={scope} variant="outline" tt="none">
                          {scope}
                        </Badge>
                      ))}
                    </Group>
                  </Table.Td>
                  <Table.Td>
                    {[...(token.networks ?? []), ...(token.workspace_ids ?? [])].join(", ")}
                  </Table.Td>
                  <Table.Td>
                    {token.last_used_at ? formatDate(token.last_used_at, language) : t("never")}
                  </Table.Td>
                  <Table.Td>
                    {token.expires_at ? formatDate(token.expires_at, language) : t("never")}
                  </Table.Td>
                  <Table.Td>
                    <Group gap="xs" wrap="nowrap">
                      <Button
                        size="xs"
                        variant="default"
                        aria-label={t("rotateThis", { name: token.name })}
                        onClick={() => setRotated(token)}
                      >
                        {t("rotate")}
                      </Button>
                      <Button
                        size="xs"
                        color="red"
                        variant="light"
                        aria-label={t("revokeThis", { name: token.name })}
                        onClick={() => setDoomed(token)}
                      >
                        {t("revoke")}
                      </Button>
                    </Group>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {creating && (
        <CreateToken
          path={path}
          onClose={() => setCreating(false)}
          onMade={(token) => {
            setCreating(false);
            setMade(token);
          }}
        />
      )}
      {made && (
        <ShownOnce title={t("made")} hint={t("madeHint")} secret={made.token} onClose={() => setMade(null)} />
      )}
      {rotated && (
        <Confirm
          title={t("rotateThis", { name: rotated.name })}
          text={t("sureRotate", { name: rotated.name })}
          action={t("rotate")}
          cancel={t("cancel")}
          busy={busy}
          onClose={() => setRotated(null)}
          onConfirm={() => void rotate(rotated)}
        />
      )}
      {doomed && (
        <Confirm
          title={t("revokeThis", { name: doomed.name })}
          text={t("sure", { name: doomed.name })}
          action={t("revoke")}
          cancel={t("cancel")}
          busy={busy}
          onClose={() => setDoomed(null)}
          onConfirm={() => {
            void run(() => change("DELETE", `${path}/${doomed.id}`)).then(() => setDoomed(null));
          }}
        />
      )}
    </Stack>
  );
}

function CreateToken(props: { path: string; onClose: () => void; onMade: (token: NewToken) => void }) {
  const t = useTexts(texts);
  const me = useMe();
  const { run, busy, problem } = useAction("tokens");
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<string[]>(["ask", "search", "documents:read"]);
  const [workspaces, setWorkspaces] = useState<string[]>([]);
  const [networks, setNetworks] = useState("");
  const [days, setDays] = useState<string | null>("90");
  const operations = useQuery({
    queryKey: ["operations"],
    queryFn: () => get<Page<Operation>>("/access/operations"),
  });
  const own = new Set(me.can.operations);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const listed = networks
      .split(",")
      .map((each) => each.trim())
      .filter(Boolean);
    const expires = days && new Date(Date.now() + Number(days) * 24 * 3600 * 1000).toISOString();
    void run(async () =>
      props.onMade(
        await change<NewToken>("POST", props.path, {
          name,
          scopes,
          workspaces: workspaces.length ? workspaces : null,
          networks: listed.length ? listed : null,
          expires_at: expires,
        }),
      ),
    );
  };

  return (
    <Modal opened onClose={props.onClose} title={t("create")} size="lg">
      <form onSubmit={submit}>
        <Stack>
          {problem !== null && <ProblemAlert error={problem} />}
          <TextInput
            label={t("name")}
            required
            maxLength={100}
            withAsterisk={false}
            data-autofocus
            value={name}
            onChange={(e) => setName(e.currentTarget.value)}
          />
          <Select
            label={t("lifetime")}
            data={[
              ...LIFETIMES.map((each) => ({ value: each, label: t("days", { count: each }) })),
              { value: "", label: t("never") },
            ]}
            value={days ?? ""}
            allowDeselect={false}
            onChange={(value) => setDays(value === "" ? null : value)}
          />
          <TextInput
            label={t("networks")}
            description={t("networksHint")}
            value={networks}
            onChange={(e) => setNetworks(e.currentTarget.value)}
          />
          {me.workspaces.length > 0 && (
            <Checkbox.Group label={t("workspaces")} value={workspaces} onChange={setWorkspaces}>
              <Group mt="xs">
                {me.workspaces.map((workspace) => (
                  <Checkbox key={workspace.id} value={workspace.id} label={workspace.name} />
                ))}
              </Group>
            </Checkbox.Group>
          )}
          <Checkbox.Group label={t("scopes")} value={scopes} onChange={setScopes}>
            <Stack gap="xs" mt="xs">
              {(operations.data?.items ?? [])
                .filter((each) => own.has(each.name))
                .map((each) => (
                  <Checkbox key={each.name} value={each.name} label={each.name} description={each.meaning} />
                ))}
            </Stack>
          </Checkbox.Group>
          {scopes.length === 0 && (
            <Text size="sm" c="red" role="alert">
              {t("noScope")}
            </Text>
          )}
          <Button type="submit" loading={busy} disabled={scopes.length === 0}>
            {t("create")}
          </Button>
        </Stack>
      </form>
    </Modal>
  );
}
