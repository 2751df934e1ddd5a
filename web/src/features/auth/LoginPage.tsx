import { Alert, Button, Center, Paper, PasswordInput, Stack, Text, TextInput, Title } from "@mantine/core";
import { useEffect, useState, type FormEvent } from "react";

import { change, Problem, type Me } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { Mark } from "../../app/Mark";

const texts = {
  en: {
    title: "Log in to OPAA",
    login: "Login",
    password: "Password",
    submit: "Log in",
    code: "Code of your authenticator app",
    codeHint: "Or one of your recovery codes.",
    claim: "Answers from your organization's own documents.",
    locked: "Too many wrong passwords. Try again in {seconds} s.",
  },
  de: {
    title: "Bei OPAA anmelden",
    login: "Anmeldename",
    password: "Passwort",
    submit: "Anmelden",
    code: "Code Ihrer Authenticator-App",
    codeHint: "Oder einer Ihrer Wiederherstellungscodes.",
    claim: "Antworten aus den Dokumenten Ihrer Organisation.",
    locked: "Zu viele falsche Passwörter. Neuer Versuch in {seconds} s.",
  },
};

export function LoginPage({ onLogin }: { onLogin: (me: Me) => void }) {
  const t = useTexts(texts);
  const [login, setLogin] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState<string | null>(null); // null: not asked for
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [wait, setWait] = useState(0);

  useEffect(() => {
    if (wait <= 0) return;
    const timer = setTimeout(() => setWait(wait - 1), 1000);
    return () => clearTimeout(timer);
  }, [wait]);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      onLogin(await change<Me>("POST", "/auth/login", { login, password, code: code || null }));
    } catch (error) {
      if (error instanceof Problem && error.code === "totp-required") {
        setCode("");
        setBusy(false);
        return;
      }
      if (error instanceof Problem && error.retryAfter) setWait(error.retryAfter);
      setProblem(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
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
                {t("claim")}
              </Text>
            </div>
            {problem && (
              <Alert color="red" role="alert">
                {wait > 0 ? t("locked", { seconds: wait }) : problem}
              </Alert>
            )}
            <TextInput
              label={t("login")}
              name="login"
              autoComplete="username"
              required
              autoFocus
              withAsterisk={false}
              value={login}
              onChange={(e) => setLogin(e.currentTarget.value)}
            />
            <PasswordInput
              label={t("password")}
              name="password"
              autoComplete="current-password"
              withAsterisk={false}
              required
              value={password}
              onChange={(e) => setPassword(e.currentTarget.value)}
            />
            {code !== null && (
              <TextInput
                label={t("code")}
                description={t("codeHint")}
                name="code"
                autoComplete="one-time-code"
                required
                autoFocus
                withAsterisk={false}
                value={code}
                onChange={(e) => setCode(e.currentTarget.value)}
              />
            )}
            <Button type="submit" loading={busy} disabled={wait > 0} fullWidth>
              {t("submit")}
            </Button>
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
