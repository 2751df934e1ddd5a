import { Button, Code, CopyButton, Group, Modal, Stack, Text } from "@mantine/core";

import { useTexts } from "./i18n";

const texts = {
  en: { copy: "Copy", copied: "Copied", close: "Close" },
  de: { copy: "Kopieren", copied: "Kopiert", close: "Schließen" },
};

/** A secret that is shown this once. */
export function ShownOnce(props: { title: string; hint: string; secret: string; onClose: () => void }) {
  const t = useTexts(texts);
  return (
    <Modal opened onClose={props.onClose} title={props.title} closeOnClickOutside={false}>
      <Stack>
        <Text size="sm">{props.hint}</Text>
        <Code block style={{ overflowWrap: "anywhere", whiteSpace: "pre-wrap" }}>
          {props.secret}
        </Code>
        <Group justify="flex-end">
          <CopyButton value={props.secret}>
            {({ copied, copy }) => <Button onClick={copy}>{t(copied ? "copied" : "copy")}</Button>}
          </CopyButton>
          <Button variant="default" onClick={props.onClose}>
            {t("close")}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

/** Asks before something that cannot be undone. */
export function Confirm(props: {
  title: string;
  text: string;
  action: string;
  cancel: string;
  busy?: boolean;
  onConfirm: () => void;
  onClose: () => void;
}) {
  return (
    <Modal opened onClose={props.onClose} title={props.title}>
      <Stack>
        <Text size="sm">{props.text}</Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={props.onClose} data-autofocus>
            {props.cancel}
          </Button>
          <Button color="red" loading={props.busy ?? false} onClick={props.onConfirm}>
            {props.action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
