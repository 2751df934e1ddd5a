import {
  Alert,
  Button,
  Center,
  Divider,
  Paper,
  PasswordInput,
  Stack,
  Text,
  TextInput,
  Title,
} from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState, type FormEvent } from "react";

import { change, get, Problem, type LoginMethods, type Me } from "../../api/client";
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
    at: "Log in with {provider}",
    or: "or",
    cancelled: "You did not log in: the identity provider refused, or you cancelled.",
    expired: "The log-in took too long, or was begun in another browser. Try again.",
    unavailable: "The identity provider cannot be reached. Try again in a moment.",
    invalid: "The identity provider's answer could not be trusted. Tell your administrator if this goes on.",
    refused: "You have no account here, or it is disabled. Ask your administrator.",
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
    at: "Mit {provider} anmelden",
    or: "oder",
    cancelled: "Sie sind nicht angemeldet: Der Identitätsanbieter hat abgelehnt, oder Sie haben abgebrochen.",
    expired: "Die Anmeldung dauerte zu lange oder begann in einem anderen Browser. Versuchen Sie es erneut.",
    unavailable: "Der Identitätsanbieter ist nicht erreichbar. Versuchen Sie es gleich noch einmal.",
    invalid: "Der Antwort des Identitätsanbieters ist nicht zu trauen. Melden Sie es, wenn das so bleibt.",
    refused: "Sie haben hier kein Konto, oder es ist gesperrt. Fragen Sie Ihre Administration.",
  },
};

const REASONS = ["cancelled", "expired", "unavailable", "invalid", "refused"] as const;

/** Why a log-in at an identity provider failed, which the server says in the address. */
function failure(): (typeof REASONS)[number] | undefined {
  const error = new URLSearchParams(window.location.search).get("error");
  return REASONS.find((reason) => error === `sso-${reason}`);
}

/** Where to log in at a provider, and to come back to the page one wanted. */
function startAddress(name: string): string {
  const { pathname, search } = window.location;
  const next = pathname === "/login" ? "/" : pathname + search;
  return `/api/v1/auth/sso/${encodeURIComponent(name)}/start?next=${encodeURIComponent(next)}`;
}

export function LoginPage({ onLogin }: { onLogin: (me: Me) => void }) {
  const t = useTexts(texts);
  const [login, setLogin] = useState("");
  const [password, setPassword] = useState("");
  const [code, setCode] = useState<string | null>(null); // null: not asked for
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const [wait, setWait] = useState(0);
  const methods = useQuery({
    queryKey: ["login-methods"],
    queryFn: () => get<LoginMethods>("/auth/providers"),
  });
  const providers = methods.data?.providers ?? [];
  const withPassword = methods.data?.password ?? true;
  const reason = failure();

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
            {!problem && reason && (
              <Alert color="red" role="alert">
                {t(reason)}
              </Alert>
            )}
            {problem && (
              <Alert color="red" role="alert">
                {wait > 0 ? t("locked", { seconds: wait }) : problem}
              </Alert>
            )}
            {providers.map((provider) => (
              <Button
                key={provider.name}
                component="a"
                href={startAddress(provider.name)}
                variant={withPassword ? "default" : "filled"}
                fullWidth
              >
                {t("at", { provider: provider.label })}
              </Button>
            ))}
            {providers.length > 0 && withPassword && <Divider label={t("or")} />}
            {withPassword && (
              <>
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
              </>
            )}
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
