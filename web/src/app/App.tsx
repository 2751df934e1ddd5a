import { lazy, Suspense } from "react";
import { Navigate, Route, Routes } from "react-router";

import { AskPage } from "../features/ask/AskPage";
import { useTexts } from "./i18n";
import { Shell } from "./Shell";
import { EmptyState, Loading } from "./states";

const DocumentsPage = lazy(() => import("../features/documents/DocumentsPage"));
const DocumentPage = lazy(() => import("../features/documents/DocumentPage"));
const AdminPage = lazy(() => import("../features/admin/AdminPage"));
const AccountPage = lazy(() => import("../features/account/AccountPage"));
const SourcesPage = lazy(() => import("../features/sources/SourcesPage"));

const texts = { en: { lost: "There is no such page" }, de: { lost: "Diese Seite gibt es nicht" } };

function NotFound() {
  const t = useTexts(texts);
  return <EmptyState title={t("lost")} />;
}

export function App() {
  return (
    <Shell>
      <Suspense fallback={<Loading />}>
        <Routes>
          <Route index element={<AskPage key="new" />} />
          <Route path="c/:conversationId" element={<AskPage />} />
          <Route path="documents" element={<DocumentsPage />} />
          <Route path="documents/:documentId" element={<DocumentPage />} />
          <Route path="sources" element={<SourcesPage />} />
          <Route path="admin/:tab?" element={<AdminPage />} />
          <Route path="account/:tab?" element={<AccountPage />} />
          <Route path="login" element={<Navigate to="/" replace />} />
          <Route path="*" element={<NotFound />} />
        </Routes>
      </Suspense>
    </Shell>
  );
}
