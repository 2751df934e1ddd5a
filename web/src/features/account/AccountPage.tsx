import { Stack, Tabs, Title } from "@mantine/core";
import { useNavigate, useParams } from "react-router";

import { useTexts } from "../../app/i18n";
import { SecurityPanel } from "./SecurityPanel";
import { TokensPanel } from "./TokensPanel";

const texts = {
  en: { title: "My account", security: "Security", tokens: "API tokens" },
  de: { title: "Mein Konto", security: "Sicherheit", tokens: "API-Token" },
};

/** One's own sessions, two-step log-in and tokens. */
export default function AccountPage() {
  const t = useTexts(texts);
  const { tab } = useParams();
  const navigate = useNavigate();
  return (
    <Stack maw={1000} mx="auto">
      <Title order={1} size="h2">
        {t("title")}
      </Title>
      <Tabs
        value={tab === "tokens" ? "tokens" : "security"}
        onChange={(value) => void navigate(`/account/${value ?? ""}`)}
        keepMounted={false}
      >
        <Tabs.List>
          <Tabs.Tab value="security">{t("security")}</Tabs.Tab>
          <Tabs.Tab value="tokens">{t("tokens")}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="security" pt="md">
          <SecurityPanel />
        </Tabs.Panel>
        <Tabs.Panel value="tokens" pt="md">
          <TokensPanel path="/tokens" />
        </Tabs.Panel>
      </Tabs>
    </Stack>
  );
}
