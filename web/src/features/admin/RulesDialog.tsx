import { Button, Group, Modal, Paper, Stack, Text, TextInput, Title } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { change, get, type Page, type Source, type TagRule, type Workspace } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { Loading, ProblemAlert } from "../../app/states";
import { useAction } from "../../app/useAction";
import { PrincipalBadges } from "./PrincipalBadges";
import { PrincipalSelect } from "./Principals";

const texts = {
  en: {
    title: "Who may read what in {name}",
    rules: "Tag rules",
    rulesHint:
      "The first rule whose tag a document has decides who may read it, before what its source says. They hold from the next request on.",
    noRules: "There is no rule: the sources decide.",
    tag: "Tag of a new rule",
    add: "Add rule",
    up: "Move {tag} up",
    remove: "Remove rule {tag}",
    let: "Let somebody read {tag}",
    sources: "Sources",
    sourcesHint: "Who may read what a source brings, where it says nothing itself.",
    everyone: "Everyone in the workspace",
    inherit: "Everyone in the workspace again ({name})",
    letSource: "Let only somebody read {name}",
  },
  de: {
    title: "Wer in {name} was lesen darf",
    rules: "Regeln für Marken",
    rulesHint:
      "Die erste Regel, deren Marke ein Dokument hat, entscheidet, wer es lesen darf, vor dem, was seine Quelle sagt. Sie gelten ab der nächsten Anfrage.",
    noRules: "Es gibt keine Regel: Die Quellen entscheiden.",
    tag: "Marke einer neuen Regel",
    add: "Regel hinzufügen",
    up: "{tag} nach oben",
    remove: "Regel {tag} entfernen",
    let: "Jemanden {tag} lesen lassen",
    sources: "Quellen",
    sourcesHint: "Wer lesen darf, was eine Quelle bringt, wo sie selbst nichts sagt.",
    everyone: "Alle im Arbeitsbereich",
    inherit: "Wieder alle im Arbeitsbereich ({name})",
    letSource: "Nur jemanden {name} lesen lassen",
  },
};

/** The tag rules of a workspace, and what holds for the documents of each of its sources. */
export function RulesDialog({ workspace, onClose }: { workspace: Workspace; onClose: () => void }) {
  const t = useTexts(texts);
  return (
    <Modal opened onClose={onClose} title={t("title", { name: workspace.name })} size="xl">
      <Stack>
        <TagRules workspace={workspace} />
        <Sources workspace={workspace} />
      </Stack>
    </Modal>
  );
}

function TagRules({ workspace }: { workspace: Workspace }) {
  const t = useTexts(texts);
  const { run, busy, problem } = useAction("tag-rules");
  const [tag, setTag] = useState("");
  const path = `/workspaces/${workspace.id}/tag-rules`;
  const query = useQuery({ queryKey: ["tag-rules", workspace.id], queryFn: () => get<Page<TagRule>>(path) });
  if (query.isPending) return <Loading />;
  if (query.error) return <ProblemAlert error={query.error} retry={() => void query.refetch()} />;
  const rules = query.data.items.map((each) => ({ tag: each.tag, principals: each.principals }));
  const set = (next: typeof rules) => run(() => change("PUT", path, { rules: next }));
  const setPrincipals = (index: number, principals: string[]) =>
    void set(rules.map((rule, place) => (place === index ? { ...rule, principals } : rule)));
  const moveUp = (index: number) => {
    const next = [...rules];
    const [moved] = next.splice(index, 1);
    if (moved) next.splice(index - 1, 0, moved);
    void set(next);
  };
  const add = (event: FormEvent) => {
    event.preventDefault();
    const everyone = [`workspace:${workspace.id}`];
    void set([...rules, { tag, principals: everyone }]).then((done) => done && setTag(""));
  };
  return (
    <Stack component="section" aria-label={t("rules")}>
      <Title order={3} size="h5">
        {t("rules")}
      </Title>
      <Text size="sm" c="dimmed">
        {t("rulesHint")}
      </Text>
      {problem !== null && <ProblemAlert error={problem} />}
      {rules.length === 0 && <Text size="sm">{t("noRules")}</Text>}
      {rules.map((rule, index) => (
        <Paper key={rule.tag} withBorder p="sm">
          <Stack gap="xs">
            <Group justify="space-between">
              <Text fw={600}>{rule.tag}</Text>
              <Group gap="xs">
                {index > 0 && (
                  <Button size="xs" variant="default" onClick={() => moveUp(index)}>
                    {t("up", { tag: rule.tag })}
                  </Button>
                )}
                <Button
                  size="xs"
                  color="red"
                  variant="light"
                  onClick={() => void set(rules.filter((each) => each.tag !== rule.tag))}
                >
                  {t("remove", { tag: rule.tag })}
                </Button>
              </Group>
            </Group>
            <PrincipalBadges
              principals={rule.principals}
              onRemove={(principal) =>
                setPrincipals(
                  index,
                  rule.principals.filter((each) => each !== principal),
                )
              }
            />
            <PrincipalSelect
              label={t("let", { tag: rule.tag })}
              workspace={workspace.id}
              onChoose={(principal) => setPrincipals(index, [...new Set([...rule.principals, principal])])}
            />
          </Stack>
        </Paper>
      ))}
      <form onSubmit={add}>
        <Group align="flex-end">
          <TextInput
            label={t("tag")}
            required
            maxLength={100}
            withAsterisk={false}
            value={tag}
            onChange={(e) => setTag(e.currentTarget.value)}
          />
          <Button type="submit" variant="default" loading={busy}>
            {t("add")}
          </Button>
        </Group>
      </form>
    </Stack>
  );
}

function Sources({ workspace }: { workspace: Workspace }) {
  const t = useTexts(texts);
  const { run, busy, problem } = useAction("sources");
  const query = useQuery({ queryKey: ["sources"], queryFn: () => get<Page<Source>>("/sources") });
  if (query.isPending) return <Loading />;
  if (query.error) return <ProblemAlert error={query.error} retry={() => void query.refetch()} />;
  const sources = query.data.items.filter((each) => each.workspace.id === workspace.id);
  if (sources.length === 0) return null;
  const set = (source: Source, principals: string[] | null) =>
    void run(() => change("PATCH", `/sources/${source.id}`, { principals }));
  return (
    <Stack component="section" aria-label={t("sources")}>
      <Title order={3} size="h5">
        {t("sources")}
      </Title>
      <Text size="sm" c="dimmed">
        {t("sourcesHint")}
      </Text>
      {problem !== null && <ProblemAlert error={problem} />}
      {sources.map((source) => (
        <Paper key={source.id} withBorder p="sm">
          <Stack gap="xs">
            <Text fw={600} style={{ overflowWrap: "anywhere" }}>
              {source.name}
            </Text>
            {source.principals ? (
              <PrincipalBadges
                principals={source.principals}
                onRemove={(principal) =>
                  set(source, source.principals?.filter((each) => each !== principal) ?? null)
                }
              />
            ) : (
              <Text size="sm">{t("everyone")}</Text>
            )}
            <PrincipalSelect
              label={t("letSource", { name: source.name })}
              onChoose={(principal) => set(source, [...new Set([...(source.principals ?? []), principal])])}
            />
            {source.principals && (
              <Group>
                <Button size="xs" variant="default" loading={busy} onClick={() => set(source, null)}>
                  {t("inherit", { name: source.name })}
                </Button>
              </Group>
            )}
          </Stack>
        </Paper>
      ))}
    </Stack>
  );
}
