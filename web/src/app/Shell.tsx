import {
  ActionIcon,
  AppShell,
  Burger,
  Button,
  Group,
  Menu,
  NavLink,
  ScrollArea,
  Text,
  useMantineColorScheme,
} from "@mantine/core";
import { useDisclosure, useHotkeys } from "@mantine/hooks";
import { useQueryClient } from "@tanstack/react-query";
import { IconDatabase, IconFiles, IconMessagePlus, IconUser, IconUsers } from "@tabler/icons-react";
import { useState, type ReactNode } from "react";
import { Link, useLocation, useNavigate } from "react-router";

import { change } from "../api/client";
import { PasswordDialog } from "../features/auth/PasswordDialog";
import { beSomebody, useMe } from "../features/auth/session";
import { ConversationList } from "../features/history/ConversationList";
import { useLanguage, useTexts } from "./i18n";
import { Mark } from "./Mark";

const texts = {
  en: {
    skip: "Skip to the content",
    menu: "Menu",
    ask: "New question",
    documents: "Documents",
    sources: "Sources",
    admin: "Administration",
    account: "Account",
    password: "Change password",
    security: "Sessions and two-step log-in",
    tokens: "API tokens",
    logout: "Log out",
    light: "Light",
    dark: "Dark",
    auto: "As the system",
    appearance: "Appearance",
    language: "Language",
    version: "OPAA {version}",
    nav: "Main",
  },
  de: {
    skip: "Zum Inhalt",
    menu: "Menü",
    ask: "Neue Frage",
    documents: "Dokumente",
    sources: "Quellen",
    admin: "Verwaltung",
    account: "Konto",
    password: "Passwort ändern",
    security: "Sitzungen und zwei Schritte",
    tokens: "API-Token",
    logout: "Abmelden",
    light: "Hell",
    dark: "Dunkel",
    auto: "Wie das System",
    appearance: "Darstellung",
    language: "Sprache",
    version: "OPAA {version}",
    nav: "Hauptmenü",
  },
};

export function Shell({ children }: { children: ReactNode }) {
  const t = useTexts(texts);
  const [opened, { toggle, close }] = useDisclosure(false);
  const navigate = useNavigate();
  const { pathname } = useLocation();
  const { can } = useMe();
  const links = [
    { to: "/", label: t("ask"), icon: <IconMessagePlus size={18} aria-hidden /> },
    { to: "/documents", label: t("documents"), icon: <IconFiles size={18} aria-hidden /> },
    { to: "/sources", label: t("sources"), icon: <IconDatabase size={18} aria-hidden /> },
    ...(can.operations.includes("users:read")
      ? [{ to: "/admin", label: t("admin"), icon: <IconUsers size={18} aria-hidden /> }]
      : []),
  ];
  useHotkeys([["mod+K", () => void navigate("/")]], []);

  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 280, breakpoint: "sm", collapsed: { mobile: !opened } }}
      padding="md"
    >
      <a href="#content" className="skip-link">
        {t("skip")}
      </a>
      <AppShell.Header>
        <Group h="100%" px="md" justify="space-between" wrap="nowrap">
          <Group gap="sm" wrap="nowrap">
            <Burger opened={opened} onClick={toggle} hiddenFrom="sm" size="sm" aria-label={t("menu")} />
            <Button
              component={Link}
              to="/"
              variant="subtle"
              color="gray"
              px="xs"
              leftSection={<Mark size={26} />}
              onClick={close}
            >
              <Text fw={700} size="lg">
                OPAA
              </Text>
            </Button>
          </Group>
          <AccountMenu />
        </Group>
      </AppShell.Header>
      <AppShell.Navbar p="sm" aria-label={t("nav")}>
        <AppShell.Section>
          {links.map((link) => (
            <NavLink
              key={link.to}
              component={Link}
              to={link.to}
              label={link.label}
              leftSection={link.icon}
              active={link.to === "/" ? pathname === "/" : pathname.startsWith(link.to)}
              aria-current={pathname === link.to ? "page" : undefined}
              onClick={close}
            />
          ))}
        </AppShell.Section>
        <AppShell.Section grow component={ScrollArea} mt="md">
          <ConversationList onOpen={close} />
        </AppShell.Section>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1}>
        {children}
      </AppShell.Main>
    </AppShell>
  );
}

function AccountMenu() {
  const t = useTexts(texts);
  const me = useMe();
  const client = useQueryClient();
  const { language, setLanguage } = useLanguage();
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const [dialog, setDialog] = useState(false);

  const logOut = async () => {
    await change("POST", "/auth/logout").catch(() => undefined);
    beSomebody(client, null);
  };

  return (
    <>
      <Menu position="bottom-end" width={220}>
        <Menu.Target>
          <ActionIcon variant="default" size="lg" radius="xl" aria-label={t("account")}>
            <IconUser size={18} aria-hidden />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Label>
            {me.user.display_name} · {me.organization.name}
          </Menu.Label>
          <Menu.Item component={Link} to="/account/security">
            {t("security")}
          </Menu.Item>
          <Menu.Item component={Link} to="/account/tokens">
            {t("tokens")}
          </Menu.Item>
          <Menu.Item onClick={() => setDialog(true)}>{t("password")}</Menu.Item>
          <Menu.Divider />
          <Menu.Label>{t("appearance")}</Menu.Label>
          {(["light", "dark", "auto"] as const).map((scheme) => (
            <Menu.Item
              key={scheme}
              onClick={() => setColorScheme(scheme)}
              fw={colorScheme === scheme ? 700 : undefined}
            >
              {t(scheme)}
            </Menu.Item>
          ))}
          <Menu.Divider />
          <Menu.Label>{t("language")}</Menu.Label>
          <Menu.Item onClick={() => setLanguage("en")} fw={language === "en" ? 700 : undefined} lang="en">
            English
          </Menu.Item>
          <Menu.Item onClick={() => setLanguage("de")} fw={language === "de" ? 700 : undefined} lang="de">
            Deutsch
          </Menu.Item>
          <Menu.Divider />
          <Menu.Item onClick={() => void logOut()}>{t("logout")}</Menu.Item>
          <Menu.Label>{t("version", { version: me.version })}</Menu.Label>
        </Menu.Dropdown>
      </Menu>
      {dialog && <PasswordDialog onClose={() => setDialog(false)} />}
    </>
  );
}
