import { Alert, Button, Group, Modal, PasswordInput, Stack } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useState, type FormEvent } from "react";

import { change } from "../../api/client";
import { useTexts } from "../../app/i18n";

const texts = {
  en: {
    title: "Change password",
    current: "Current password",
    next: "New password",
    hint: "At least 12 characters. Your other sessions end.",
    save: "Change",
    cancel: "Cancel",
    done: "The password was changed",
  },
  de: {
    title: "Passwort ändern",
    current: "Bisheriges Passwort",
    next: "Neues Passwort",
    hint: "Mindestens 12 Zeichen. Ihre anderen Sitzungen enden.",
    save: "Ändern",
    cancel: "Abbrechen",
    done: "Das Passwort wurde geändert",
  },
};

export function PasswordDialog({ onClose }: { onClose: () => void }) {
  const t = useTexts(texts);
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      await change("POST", "/auth/password", { current_password: current, new_password: next });
      notifications.show({ message: t("done") });
      onClose();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
      setBusy(false);
    }
  };

  return (
    <Modal opened onClose={onClose} title={t("title")}>
      <form onSubmit={(event) => void submit(event)}>
        <Stack>
          {problem && (
            <Alert color="red" role="alert">
              {problem}
            </Alert>
          )}
          <PasswordInput
            label={t("current")}
            autoComplete="current-password"
            required
            data-autofocus
            value={current}
            onChange={(e) => setCurrent(e.currentTarget.value)}
          />
          <PasswordInput
            label={t("next")}
            description={t("hint")}
            autoComplete="new-password"
            required
            minLength={12}
            value={next}
            onChange={(e) => setNext(e.currentTarget.value)}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel")}
            </Button>
            <Button type="submit" loading={busy}>
              {t("save")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
