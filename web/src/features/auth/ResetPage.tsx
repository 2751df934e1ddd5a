import { Alert, Anchor, Button, Center, Paper, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useState, type FormEvent } from "react";

import { change } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { Mark } from "../../app/Mark";

const texts = {
  en: {
    title: "Choose a new password",
    hint: "12 characters or more. You are logged out everywhere else.",
    password: "New password",
    again: "New password, again",
    different: "The two are not the same.",
    submit: "Set password",
    done: "Your password is set.",
    login: "Log in",
    missing: "The link is not complete. Open it again from the message that you got, or ask for a new one.",
  },
  de: {
    title: "Neues Passwort wählen",
    hint: "Mindestens 12 Zeichen. Sie werden überall sonst abgemeldet.",
    password: "Neues Passwort",
    again: "Neues Passwort, noch einmal",
    different: "Die beiden sind nicht gleich.",
    submit: "Passwort setzen",
    done: "Ihr Passwort ist gesetzt.",
    login: "Anmelden",
    missing:
      "Der Link ist nicht vollständig. Öffnen Sie ihn noch einmal aus der Nachricht, oder bitten Sie um einen neuen.",
  },
};

/** Where a reset link leads: `/reset#TOKEN`. What stands behind # is never sent to a server by itself. */
export function ResetPage() {
  const t = useTexts(texts);
  const [token] = useState(() => window.location.hash.slice(1));
  const [password, setPassword] = useState("");
  const [again, setAgain] = useState("");
  const [busy, setBusy] = useState(false);
  const [done, setDone] = useState(false);
  const [problem, setProblem] = useState<string | null>(token ? null : t("missing"));

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (password !== again) {
      setProblem(t("different"));
      return;
    }
    setBusy(true);
    setProblem(null);
    try {
      await change("POST", "/auth/reset-password", { token, new_password: password });
      setDone(true);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
    setBusy(false);
  };

  return (
    <Center component="main" mih="100dvh" p="md">
      <Paper withBorder p="xl" radius="md" w="100%" maw={400}>
        <form onSubmit={(event) => void submit(event)}>
          <Stack>
            <Mark size={44} />
            <div>
              <Title order={1} size="h2">
                {t("title")}
              </Title>
              <Text c="dimmed" size="sm">
                {t("hint")}
              </Text>
            </div>
            {problem && (
              <Alert color="red" role="alert">
                {problem}
              </Alert>
            )}
            {done ? (
              <Alert color="green" role="status">
                {t("done")} <Anchor href="/">{t("login")}</Anchor>
              </Alert>
            ) : (
              token && (
                <>
                  <PasswordInput
                    label={t("password")}
                    name="new-password"
                    autoComplete="new-password"
                    withAsterisk={false}
                    required
                    autoFocus
                    value={password}
                    onChange={(e) => setPassword(e.currentTarget.value)}
                  />
                  <PasswordInput
                    label={t("again")}
                    name="new-password-again"
                    autoComplete="new-password"
                    withAsterisk={false}
                    required
                    value={again}
                    onChange={(e) => setAgain(e.currentTarget.value)}
                  />
                  <Button type="submit" loading={busy} fullWidth>
                    {t("submit")}
                  </Button>
                </>
              )
            )}
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
