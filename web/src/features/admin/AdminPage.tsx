import { Stack, Tabs, Title } from "@mantine/core";
import { useNavigate, useParams } from "react-router";

import { useTexts } from "../../app/i18n";
import { EmptyState } from "../../app/states";
import { useMe } from "../auth/session";
import { AuditPanel } from "./AuditPanel";
import { ExplainView } from "./ExplainView";
import { GroupsPanel } from "./GroupsPanel";
import { OrganizationPanel } from "./OrganizationPanel";
import { PeoplePanel } from "./PeoplePanel";
import { ServiceAccountsPanel } from "./ServiceAccountsPanel";
import { WorkspacesPanel } from "./WorkspacesPanel";

const texts = {
  en: {
    title: "Administration",
    people: "People",
    groups: "Groups",
    audit: "Audit log",
    workspaces: "Workspaces",
    services: "Service accounts",
    explain: "Explain access",
    organization: "Organization",
    denied: "This is not for your role",
  },
  de: {
    title: "Verwaltung",
    people: "Personen",
    groups: "Gruppen",
    audit: "Protokoll",
    workspaces: "Arbeitsbereiche",
    services: "Dienstkonten",
    explain: "Zugriff erklären",
    organization: "Organisation",
    denied: "Das ist nichts für Ihre Rolle",
  },
};

/** Everything that is administered, as far as one's role shows it. */
export default function AdminPage() {
  const t = useTexts(texts);
  const { can } = useMe();
  const { tab } = useParams();
  const navigate = useNavigate();
  const panels = [
    { name: "people" as const, operation: "users:read", panel: <PeoplePanel /> },
    { name: "groups" as const, operation: "groups:read", panel: <GroupsPanel /> },
    { name: "workspaces" as const, operation: "workspaces:write", panel: <WorkspacesPanel /> },
    { name: "services" as const, operation: "service-accounts:read", panel: <ServiceAccountsPanel /> },
    { name: "explain" as const, operation: "access:explain", panel: <ExplainView /> },
    { name: "audit" as const, operation: "audit:read", panel: <AuditPanel /> },
    { name: "organization" as const, operation: "organization:write", panel: <OrganizationPanel /> },
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
