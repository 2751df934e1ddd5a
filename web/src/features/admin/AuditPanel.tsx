import { Alert, Anchor, Button, Code, Group, Select, Stack, Table, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";

import { get, type AuditEntry, type Page, type Verification } from "../../api/client";
import { useTexts } from "../../app/i18n";
import { EmptyState, Loading, ProblemAlert } from "../../app/states";

const texts = {
  en: {
    table: "Recorded",
    action: "Action",
    actionHint: "Such as login or user.*",
    actor: "Actor",
    target: "Target",
    outcome: "Outcome",
    any: "any",
    time: "Time",
    details: "Details",
    none: "Nothing like that is recorded",
    more: "Show more",
    verify: "Verify",
    intact: "Intact: {sealed} rows sealed, {waiting} waiting for the next seal.",
    broken: "The log was changed: {count} findings.",
    csv: "Export CSV",
    json: "Export JSON Lines",
  },
  de: {
    table: "Verzeichnet",
    action: "Vorgang",
    actionHint: "Etwa login oder user.*",
    actor: "Wer",
    target: "Ziel",
    outcome: "Ergebnis",
    any: "alle",
    time: "Zeit",
    details: "Einzelheiten",
    none: "So etwas ist nicht verzeichnet",
    more: "Mehr zeigen",
    verify: "Prüfen",
    intact: "Unversehrt: {sealed} Zeilen versiegelt, {waiting} warten auf das nächste Siegel.",
    broken: "Das Protokoll wurde verändert: {count} Befunde.",
    csv: "Als CSV ausgeben",
    json: "Als JSON Lines ausgeben",
  },
};

export function AuditPanel() {
  const t = useTexts(texts);
  const [action, setAction] = useState("");
  const [actor, setActor] = useState("");
  const [target, setTarget] = useState("");
  const [outcome, setOutcome] = useState<string | null>("");
  const [verification, setVerification] = useState<Verification | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const filters = new URLSearchParams({ action, actor, target, outcome: outcome ?? "" }).toString();
  const query = useInfiniteQuery({
    queryKey: ["audit", filters],
    queryFn: ({ pageParam }) =>
      get<Page<AuditEntry>>(`/audit?${filters}${pageParam ? `&cursor=${pageParam}` : ""}`),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
  });
  const entries = query.data?.pages.flatMap((page) => page.items) ?? [];
  const verify = async () => {
    setProblem(null);
    try {
      setVerification(await get<Verification>("/audit/verify"));
    } catch (error) {
      setProblem(error);
    }
  };

  return (
    <Stack>
      <Group align="flex-end">
        <TextInput
          label={t("action")}
          placeholder={t("actionHint")}
          value={action}
          onChange={(e) => setAction(e.currentTarget.value)}
        />
        <TextInput
          label={t("actor")}
          placeholder="user:…"
          value={actor}
          onChange={(e) => setActor(e.currentTarget.value)}
        />
        <TextInput
          label={t("target")}
          placeholder="document:…"
          value={target}
          onChange={(e) => setTarget(e.currentTarget.value)}
        />
        <Select
          label={t("outcome")}
          data={[{ value: "", label: t("any") }, "success", "denied", "failure"]}
          value={outcome}
          onChange={setOutcome}
          allowDeselect={false}
        />
        <Button variant="default" onClick={() => void verify()}>
          {t("verify")}
        </Button>
      </Group>
      <Group>
        <Anchor href={`/api/v1/audit/export?format=csv&${filters}`}>{t("csv")}</Anchor>
        <Anchor href={`/api/v1/audit/export?format=jsonl&${filters}`}>{t("json")}</Anchor>
      </Group>
      {problem !== null && <ProblemAlert error={problem} />}
      {verification && (
        <Alert color={verification.intact ? "green" : "red"} role={verification.intact ? "status" : "alert"}>
          {verification.intact
            ? t("intact", { sealed: verification.sealed, waiting: verification.waiting })
            : t("broken", { count: verification.problems.length })}
          {verification.problems.slice(0, 20).map((each) => (
            <div key={`${each.kind}-${String(each.sequence)}-${String(each.audit_id)}`}>
              {each.kind}: {each.message}
            </div>
          ))}
        </Alert>
      )}
      {query.isPending && <Loading />}
      {query.error && <ProblemAlert error={query.error} retry={() => void query.refetch()} />}
      {query.data && entries.length === 0 && <EmptyState title={t("none")} />}
      {entries.length > 0 && (
        <Table.ScrollContainer
          minWidth={720}
          scrollAreaProps={{ viewportProps: { tabIndex: 0, role: "region", "aria-label": t("table") } }}
        >
          <Table>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t("time")}</Table.Th>
                <Table.Th>{t("actor")}</Table.Th>
                <Table.Th>{t("action")}</Table.Th>
                <Table.Th>{t("target")}</Table.Th>
                <Table.Th>{t("outcome")}</Table.Th>
                <Table.Th>{t("details")}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {entries.map((entry) => (
                <Table.Tr key={entry.id}>
                  <Table.Td>{new Date(entry.at).toLocaleString()}</Table.Td>
                  <Table.Td>{entry.actor}</Table.Td>
                  <Table.Td>{entry.action}</Table.Td>
                  <Table.Td>{entry.target}</Table.Td>
                  <Table.Td>{entry.outcome}</Table.Td>
                  <Table.Td>
                    <Code>{JSON.stringify({ ...entry.details, ...entry.private })}</Code>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {query.hasNextPage && (
        <Button
          variant="default"
          onClick={() => void query.fetchNextPage()}
          loading={query.isFetchingNextPage}
        >
          {t("more")}
        </Button>
      )}
    </Stack>
  );
}
