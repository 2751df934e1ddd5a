import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "./app/app.css";

import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { BrowserRouter } from "react-router";

import { Problem } from "./api/client";
import { App } from "./app/App";
import { Appearance } from "./app/Appearance";
import { LanguageProvider } from "./app/i18n";
import { ResetPage } from "./features/auth/ResetPage";
import { SessionGate } from "./features/auth/session";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (count, error) => error instanceof Problem && error.temporary && count < 30,
      retryDelay: 2000,
      staleTime: 5_000,
    },
  },
});
const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <LanguageProvider>
        <Appearance>
          <Notifications position="top-right" />
          <QueryClientProvider client={client}>
            {window.location.pathname === "/reset" ? (
              <ResetPage />
            ) : (
              <SessionGate>
                <BrowserRouter>
                  <App />
                </BrowserRouter>
              </SessionGate>
            )}
          </QueryClientProvider>
        </Appearance>
      </LanguageProvider>
    </StrictMode>,
  );
}
