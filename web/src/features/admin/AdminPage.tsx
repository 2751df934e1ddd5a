import { Stack, Tabs, Title } from "@mantine/core";
import { useNavigate, useParams } from "react-router";

import { useTexts } from "../../app/i18n";
import { EmptyState } from "../../app/states";
import { useMe } from "../auth/session";
import { AuditPanel } from "./AuditPanel";
import { GroupsPanel } from "./GroupsPanel";
import { PeoplePanel } from "./PeoplePanel";

const texts = {
  en: {
    title: "Administration",
    people: "People",
    groups: "Groups",
    audit: "Audit log",
    denied: "This is not for your role",
  },
  de: {
    title: "Verwaltung",
    people: "Personen",
    groups: "Gruppen",
    audit: "Protokoll",
    denied: "Das ist nichts für Ihre Rolle",
  },
};

/** Accounts, groups and the audit log, as far as one's role shows them. */
export default function AdminPage() {
  const t = useTexts(texts);
  const { can } = useMe();
  const { tab } = useParams();
  const navigate = useNavigate();
  const panels = [
    { name: "people" as const, operation: "users:read", panel: <PeoplePanel /> },
    { name: "groups" as const, operation: "groups:read", panel: <GroupsPanel /> },
    { name: "audit" as const, operation: "audit:read", panel: <AuditPanel /> },
  ].filter((each) => can.operations.includes(each.operation));
  const first = panels[0];
  if (!first) return <EmptyState title={t("denied")} />;
  const chosen = panels.some((each) => each.name === tab) ? tab : first.name;

  return (
    <Stack maw={1100} mx="auto">
      <Title order={1} size="h2">
        {t("title")}
      </Title>
      <Tabs value={chosen} onChange={(value) => void navigate(`/admin/${value ?? ""}`)} keepMounted={false}>
        <Tabs.List>
          {panels.map((each) => (
            <Tabs.Tab key={each.name} value={each.name}>
              {t(each.name)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {panels.map((each) => (
          <Tabs.Panel key={each.name} value={each.name} pt="md">
            {each.panel}
          </Tabs.Panel>
        ))}
      </Tabs>
    </Stack>
  );
}
