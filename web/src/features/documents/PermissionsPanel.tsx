import { Button, Group, Paper, Stack, TagsInput, Text, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useNavigate } from "react-router";

import { change, get, type DocumentInfo, type Permissions } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { Confirm } from "../../app/Shown";
import { Loading, ProblemAlert } from "../../app/states";
import { useAction } from "../../app/useAction";
import { ExplainView } from "../admin/ExplainView";
import { PrincipalBadges } from "../admin/PrincipalBadges";
import { usePrincipalNames } from "../admin/principalNames";
import { PrincipalSelect } from "../admin/Principals";
import { useMe } from "../auth/session";

const texts = {
  en: {
    title: "Who may read this",
    bySource: "by its source",
    byRule: "by a tag's rule",
    byDocument: "set here",
    remove: "Take {name} away",
    sure: "{name} can no longer read it from the next request on. If that is you, you cannot open it any more.",
    cancel: "Cancel",
    inherit: "As the source and the tags say",
    tags: "Tags",
    tagsHint: "Rules of the workspace may decide by them who can read it.",
    save: "Save tags",
    add: "Let somebody read it",
    explain: "Why can, or cannot, somebody read it?",
  },
  de: {
    title: "Wer das lesen darf",
    bySource: "durch die Quelle",
    byRule: "durch die Regel einer Marke",
    byDocument: "hier festgelegt",
    remove: "{name} ausschließen",
    sure: "{name} kann es ab sofort nicht mehr lesen. Sind Sie das selbst, so können Sie es nicht mehr öffnen.",
    cancel: "Abbrechen",
    inherit: "Wie Quelle und Marken es sagen",
    tags: "Marken",
    tagsHint: "Regeln des Arbeitsbereichs können danach entscheiden, wer es lesen darf.",
    save: "Marken speichern",
    add: "Jemanden lesen lassen",
    explain: "Warum kann es jemand lesen, oder nicht?",
  },
};

/** Who may read a document and why, for those who may change it. */
export function PermissionsPanel({ document }: { document: DocumentInfo }) {
  const t = useTexts(texts);
  const me = useMe();
  const query = useQuery({
    queryKey: ["permissions", document.id],
    queryFn: () => get<Permissions>(`/documents/${document.id}/permissions`),
  });
  return (
    <Paper withBorder p="md" component="section" aria-label={t("title")}>
      <Stack>
        <Title order={2} size="h4">
          {t("title")}
        </Title>
        {query.isPending && <Loading />}
        {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
        {query.data && <Editor key={query.dataUpdatedAt} document={document} permissions={query.data} />}
        {me.can.operations.includes("access:explain") && (
          <>
            <Title order={3} size="h5">
              {t("explain")}
            </Title>
            <ExplainView document={document.id} />
          </>
        )}
      </Stack>
    </Paper>
  );
}

function Editor({ document, permissions }: { document: DocumentInfo; permissions: Permissions }) {
  const t = useTexts(texts);
  const nameOf = usePrincipalNames();
  const { run, busy, problem } = useAction("permissions");
  const [tags, setTags] = useState(permissions.own_tags);
  const origin = permissions.origin;
  const set = (principals: string[] | null, ownTags: string[]) =>
    run(() => change("PUT", `/documents/${document.id}/permissions`, { principals, tags: ownTags }));
  const own = permissions.own_principals;
  const [lost, setLost] = useState<string | null>(null);
  const navigate = useNavigate();
  const takeAway = async (principal: string) => {
    const left = permissions.principals.filter((each) => each !== principal);
    setLost(null);
    if (!(await set(left, permissions.own_tags))) return;
    const readable = await get(`/documents/${document.id}`).then(
      () => true,
      () => false,
    );
    if (!readable) void navigate("/documents");
  };

  return (
    <Stack>
      {problem !== null && <ProblemAlert error={problem} />}
      <Group>
        <PrincipalBadges principals={permissions.principals} onRemove={setLost} />
        <Text size="sm" c="dimmed">
          {t(origin === "document" ? "byDocument" : origin === "source" ? "bySource" : "byRule")}
        </Text>
      </Group>
      {lost && (
        <Confirm
          title={t("remove", { name: nameOf(lost) })}
          text={t("sure", { name: nameOf(lost) })}
          action={t("remove", { name: nameOf(lost) })}
          cancel={t("cancel")}
          onClose={() => setLost(null)}
          onConfirm={() => void takeAway(lost)}
        />
      )}
      <PrincipalSelect
        label={t("add")}
        workspace={document.workspace.id}
        onChoose={(principal) =>
          void set([...new Set([...permissions.principals, principal])], permissions.own_tags)
        }
      />
      {own && (
        <Group>
          <Button
            variant="default"
            size="xs"
            loading={busy}
            onClick={() => void set(null, permissions.own_tags)}
          >
            {t("inherit")}
          </Button>
        </Group>
      )}
      <Group align="flex-end">
        <TagsInput
          flex={1}
          label={t("tags")}
          description={t("tagsHint")}
          value={tags}
          onChange={setTags}
          maxTags={20}
        />
        <Button variant="default" loading={busy} onClick={() => void set(own ?? null, tags)}>
          {t("save")}
        </Button>
      </Group>
    </Stack>
  );
}
