import { createTheme, Drawer, MantineProvider, Modal } from "@mantine/core";
import { useMemo, type ReactNode } from "react";

import { useTexts } from "./i18n";

const texts = { en: { close: "Close" }, de: { close: "Schließen" } };

/** The colours and shapes of the whole UI, and the names of the buttons that Mantine draws itself. */
export function Appearance({ children }: { children: ReactNode }) {
  const t = useTexts(texts);
  const theme = useMemo(() => {
    const defaultProps = { closeButtonProps: { "aria-label": t("close") } };
    return createTheme({
      primaryColor: "cyan",
      primaryShade: 9,
      defaultRadius: "md",
      cursorType: "pointer",
      respectReducedMotion: true,
      components: {
        Modal: Modal.extend({ defaultProps }),
        Drawer: Drawer.extend({ defaultProps }),
      },
    });
  }, [t]);
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto">
      {children}
    </MantineProvider>
  );
}
