import { Alert, Button, Center, Loader, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

import { Problem } from "../api/client";
import { useTexts } from "./i18n";

const texts = {
  en: {
    again: "Try again",
    failed: "That did not work",
    loading: "Loading",
    request: "Request {id}",
    away: "Trying again by itself …",
  },
  de: {
    again: "Noch einmal",
    failed: "Das hat nicht geklappt",
    loading: "Lädt",
    request: "Anfrage {id}",
    away: "Neuer Versuch läuft von selbst …",
  },
};

export function Loading() {
  const t = useTexts(texts);
  return (
    <Center py="xl" role="status" aria-label={t("loading")}>
      <Loader />
    </Center>
  );
}

/** What went wrong, in the API's own words, with what a person can do. */
export function ProblemAlert({ error, retry }: { error: unknown; retry?: () => void }) {
  const t = useTexts(texts);
  const problem = error instanceof Problem ? error : null;
  return (
    <Alert color="red" title={t("failed")} role="alert">
      <Stack gap="xs" align="flex-start">
        <Text size="sm">{problem?.message ?? String(error)}</Text>
        {problem?.temporary && retry && <Text size="sm">{t("away")}</Text>}
        {problem?.requestId && (
          <Text size="xs" c="dimmed">
            {t("request", { id: problem.requestId })}
          </Text>
        )}
        {retry && (
          <Button size="xs" variant="default" onClick={retry}>
            {t("again")}
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

export function EmptyState({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <Stack align="center" py={48} px="md" gap="sm" ta="center">
      <Title order={2} size="h3">
        {title}
      </Title>
      {children}
    </Stack>
  );
}
