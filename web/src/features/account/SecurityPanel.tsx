import { Badge, Button, Code, Group, Stack, Table, Text, TextInput, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { change, get, type Page, type Session, type TwoStepSecret } from "../../api/client";
import { formatDate } from "../../app/format";
import { useLanguage, useTexts } from "../../app/i18n";
import { ShownOnce } from "../../app/Shown";
import { Loading, ProblemAlert } from "../../app/states";
import { useAction } from "../../app/useAction";

const texts = {
  en: {
    sessions: "Where you are logged in",
    device: "Device",
    address: "Address",
    seen: "Last seen",
    method: "By",
    current: "This one",
    end: "Log out here",
    endThis: "Log out here: {address}",
    others: "Log out everywhere else",
    twoStep: "Two-step log-in",
    hint: "Besides your password, log-in asks for a code of an authenticator app on your phone.",
    begin: "Set up",
    secret: "Enter this key into your authenticator app, then the code that it shows.",
    open: "Open in an app on this device",
    code: "Code",
    confirm: "Switch on",
    recovery: "Recovery codes",
    recoveryHint: "Each works once, if you lose your phone. They are shown only now.",
    disable: "Switch off",
    disableHint: "If two-step log-in is on, a code switches it off.",
    on: "Two-step log-in is on.",
    off: "Two-step log-in is off.",
  },
  de: {
    sessions: "Wo Sie angemeldet sind",
    device: "Gerät",
    address: "Adresse",
    seen: "Zuletzt gesehen",
    method: "Über",
    current: "Diese hier",
    end: "Hier abmelden",
    endThis: "Hier abmelden: {address}",
    others: "Überall sonst abmelden",
    twoStep: "Anmeldung in zwei Schritten",
    hint: "Außer dem Passwort wird ein Code einer Authenticator-App auf Ihrem Telefon verlangt.",
    begin: "Einrichten",
    secret: "Geben Sie diesen Schlüssel in Ihre Authenticator-App ein, dann den Code, den sie zeigt.",
    open: "In einer App auf diesem Gerät öffnen",
    code: "Code",
    confirm: "Einschalten",
    recovery: "Wiederherstellungscodes",
    recoveryHint: "Jeder gilt einmal, falls Sie Ihr Telefon verlieren. Sie werden nur jetzt gezeigt.",
    disable: "Ausschalten",
    disableHint: "Ist die Anmeldung in zwei Schritten an, so schaltet ein Code sie aus.",
    on: "Die Anmeldung in zwei Schritten ist an.",
    off: "Die Anmeldung in zwei Schritten ist aus.",
  },
};

export function SecurityPanel() {
  return (
    <Stack gap="xl">
      <Sessions />
      <TwoStep />
    </Stack>
  );
}

function Sessions() {
  const t = useTexts(texts);
  const { language } = useLanguage();
  const { run, busy, problem } = useAction("sessions");
  const query = useQuery({ queryKey: ["sessions"], queryFn: () => get<Page<Session>>("/sessions") });
  if (query.isPending) return <Loading />;
  if (query.error) return <ProblemAlert error={query.error} retry={() => void query.refetch()} />;
  return (
    <Stack component="section" aria-label={t("sessions")}>
      <Title order={2} size="h4">
        {t("sessions")}
      </Title>
      {problem !== null && <ProblemAlert error={problem} />}
      <Table.ScrollContainer minWidth={560}>
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t("device")}</Table.Th>
              <Table.Th>{t("address")}</Table.Th>
              <Table.Th>{t("method")}</Table.Th>
              <Table.Th>{t("seen")}</Table.Th>
              <Table.Td />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {query.data.items.map((session) => (
              <Table.Tr key={session.id}>
                <Table.Td style={{ overflowWrap: "anywhere" }}>{session.user_agent || "–"}</Table.Td>
                <Table.Td>{session.address}</Table.Td>
                <Table.Td>{session.method}</Table.Td>
                <Table.Td>{formatDate(session.last_seen_at, language)}</Table.Td>
                <Table.Td>
                  {session.current ? (
                    <Badge>{t("current")}</Badge>
                  ) : (
                    <Button
                      size="xs"
                      variant="default"
                      aria-label={t("endThis", { address: session.address })}
                      onClick={() => void run(() => change("DELETE", `/sessions/${session.id}`))}
                    >
                      {t("end")}
                    </Button>
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {query.data.items.length > 1 && (
        <Group>
          <Button
            variant="default"
            loading={busy}
            onClick={() => void run(() => change("DELETE", "/sessions"))}
          >
            {t("others")}
          </Button>
        </Group>
      )}
    </Stack>
  );
}

function TwoStep() {
  const t = useTexts(texts);
  const { run, busy, problem } = useAction();
  const [secret, setSecret] = useState<TwoStepSecret | null>(null);
  const [codes, setCodes] = useState<string[] | null>(null);
  const [status, setStatus] = useState<"on" | "off" | null>(null);
  const [code, setCode] = useState("");

  const confirm = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      const made = await change<{ codes: string[] }>("POST", "/two-step/confirm", { code });
      setCodes(made.codes);
      setSecret(null);
      setCode("");
      setStatus("on");
    });
  };
  const disable = (event: FormEvent) => {
    event.preventDefault();
    void run(async () => {
      await change("POST", "/two-step/disable", { code });
      setCode("");
      setStatus("off");
    });
  };

  return (
    <Stack component="section" aria-label={t("twoStep")} align="flex-start">
      <Title order={2} size="h4">
        {t("twoStep")}
      </Title>
      <Text size="sm" c="dimmed">
        {t("hint")}
      </Text>
      {status && (
        <Text size="sm" role="status">
          {t(status)}
        </Text>
      )}
      {problem !== null && <ProblemAlert error={problem} />}
      {secret ? (
        <form onSubmit={confirm}>
          <Stack align="flex-start">
            <Text size="sm">{t("secret")}</Text>
            <Code block>{secret.secret}</Code>
            <Button component="a" href={secret.uri} variant="default" size="xs">
              {t("open")}
            </Button>
            <TextInput
              label={t("code")}
              autoComplete="one-time-code"
              required
              withAsterisk={false}
              value={code}
              onChange={(e) => setCode(e.currentTarget.value)}
            />
            <Button type="submit" loading={busy}>
              {t("confirm")}
            </Button>
          </Stack>
        </form>
      ) : (
        <>
          <Button
            variant="default"
            loading={busy}
            onClick={() => void run(async () => setSecret(await change<TwoStepSecret>("POST", "/two-step")))}
          >
            {t("begin")}
          </Button>
          <form onSubmit={disable}>
            <Group align="flex-end">
              <TextInput
                label={t("code")}
                description={t("disableHint")}
                autoComplete="one-time-code"
                required
                withAsterisk={false}
                value={code}
                onChange={(e) => setCode(e.currentTarget.value)}
              />
              <Button type="submit" color="red" variant="light" loading={busy}>
                {t("disable")}
              </Button>
            </Group>
          </form>
        </>
      )}
      {codes && (
        <ShownOnce
          title={t("recovery")}
          hint={t("recoveryHint")}
          secret={codes.join("\n")}
          onClose={() => setCodes(null)}
        />
      )}
    </Stack>
  );
}
