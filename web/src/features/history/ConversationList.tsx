import { ActionIcon, Button, Group, Menu, Modal, NavLink, Stack, Text, TextInput } from "@mantine/core";
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { IconDots } from "@tabler/icons-react";
import { useState, type FormEvent } from "react";
import { Link, useLocation, useNavigate } from "react-router";

import { change, get, type Conversation, type Page } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { ProblemAlert } from "../../app/states";

const texts = {
  en: {
    title: "History",
    none: "Your questions will be listed here.",
    more: "Show more",
    rename: "Rename",
    remove: "Delete",
    actions: "Actions for {title}",
    sure: "Delete this conversation with all its answers?",
    cancel: "Cancel",
    save: "Save",
    name: "Title",
  },
  de: {
    title: "Verlauf",
    none: "Hier stehen später Ihre Fragen.",
    more: "Mehr zeigen",
    rename: "Umbenennen",
    remove: "Löschen",
    actions: "Aktionen für {title}",
    sure: "Dieses Gespräch mit allen Antworten löschen?",
    cancel: "Abbrechen",
    save: "Speichern",
    name: "Titel",
  },
};

export function ConversationList({ onOpen }: { onOpen: () => void }) {
  const t = useTexts(texts);
  const { pathname } = useLocation();
  const [editing, setEditing] = useState<{ conversation: Conversation; action: "rename" | "remove" } | null>(
    null,
  );
  const query = useInfiniteQuery({
    queryKey: ["conversations"],
    queryFn: ({ pageParam }) =>
      get<Page<Conversation>>(`/conversations?limit=30${pageParam ? `&cursor=${pageParam}` : ""}`),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
  const conversations = query.data?.pages.flatMap((page) => page.items) ?? [];

  return (
    <Stack gap={2}>
      <Text size="xs" fw={700} c="dimmed" px="xs" component="h2" m={0}>
        {t("title")}
      </Text>
      {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
      {query.isSuccess && conversations.length === 0 && (
        <Text size="sm" c="dimmed" px="xs">
          {t("none")}
        </Text>
      )}
      {conversations.map((conversation) => (
        <Group key={conversation.id} gap={0} wrap="nowrap">
          <NavLink
            component={Link}
            to={`/c/${conversation.id}`}
            label={<span className="conversation">{conversation.title}</span>}
            active={pathname === `/c/${conversation.id}`}
            onClick={onOpen}
            miw={0}
          />
          <Menu position="bottom-end">
            <Menu.Target>
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label={t("actions", { title: conversation.title })}
              >
                <IconDots size={16} aria-hidden />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item onClick={() => setEditing({ conversation, action: "rename" })}>
                {t("rename")}
              </Menu.Item>
              <Menu.Item color="red" onClick={() => setEditing({ conversation, action: "remove" })}>
                {t("remove")}
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </Group>
      ))}
      {query.hasNextPage && (
        <Button
          variant="subtle"
          size="xs"
          loading={query.isFetchingNextPage}
          onClick={() => void query.fetchNextPage()}
        >
          {t("more")}
        </Button>
      )}
      {editing && <EditDialog {...editing} onClose={() => setEditing(null)} />}
    </Stack>
  );
}

function EditDialog({
  conversation,
  action,
  onClose,
}: {
  conversation: Conversation;
  action: "rename" | "remove";
  onClose: () => void;
}) {
  const t = useTexts(texts);
  const client = useQueryClient();
  const navigate = useNavigate();
  const { pathname } = useLocation();
  const [title, setTitle] = useState(conversation.title);
  const [error, setError] = useState<unknown>(null);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    try {
      if (action === "rename") await change("PATCH", `/conversations/${conversation.id}`, { title });
      else {
        await change("DELETE", `/conversations/${conversation.id}`);
        if (pathname === `/c/${conversation.id}`) await navigate("/");
      }
      await client.invalidateQueries({ queryKey: ["conversations"] });
      onClose();
    } catch (problem) {
      setError(problem);
    }
  };

  return (
    <Modal opened onClose={onClose} title={action === "rename" ? t("rename") : t("remove")}>
      <form onSubmit={(event) => void submit(event)}>
        <Stack>
          {error !== null && <ProblemAlert error={error} />}
          {action === "rename" ? (
            <TextInput
              label={t("name")}
              value={title}
              maxLength={120}
              required
              data-autofocus
              onChange={(e) => setTitle(e.currentTarget.value)}
            />
          ) : (
            <Text>{t("sure")}</Text>
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel")}
            </Button>
            <Button type="submit" color={action === "remove" ? "red" : undefined}>
              {action === "rename" ? t("save") : t("remove")}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
