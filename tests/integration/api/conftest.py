"""The whole application over HTTP, in this process, on the real database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from opaa.access.models import WorkspaceMember
from opaa.answering.service import AnswerOptions, AnswerService
from opaa.api.app import create_app
from opaa.db.session import Database, TenantContext
from opaa.identity.credentials import load_secret_key
from opaa.identity.models import User
from opaa.identity.service import create_user
from opaa.identity.tokens import create_token
from opaa.indexing.runs import queue_run
from opaa.retrieval.service import SearchService
from opaa.runtime import Runtime, open_indexer
from opaa.settings import load
from opaa.sources.models import Source
from opaa.vectors.pgvector import PgVectorStore
from tests.conftest import Tenant
from tests.fakes.hash_embedder import HashEmbedder

PASSWORD = "correct horse battery staple"


@dataclass
class Api:
    """A client per person, and what the tests do behind the API's back."""

    runtime: Runtime
    tenant: Tenant
    app: Any
    folder: Path
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, **headers: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        client = httpx.AsyncClient(transport=transport, base_url="http://opaa.test", headers=headers)
        self.clients.append(client)
        return client

    async def user(self, login: str, role: str = "member", *, member: bool = True) -> User:
        async with self.runtime.database.transaction(self.tenant.system) as session:
            user = await create_user(session, self.tenant.organization_id, login, PASSWORD, role=role)
            if member:
                session.add(
                    WorkspaceMember(
                        organization_id=self.tenant.organization_id,
                        workspace_id=self.tenant.workspace_id,
                        user_id=user.id,
                        role="editor",
                    )
                )
        return user

    async def bearer(self, user: User, *scopes: str) -> httpx.AsyncClient:
        async with self.runtime.database.transaction(TenantContext(user.organization_id, ())) as session:
            _, token = await create_token(session, self.runtime.key, user, "test", list(scopes))
        return self.client(Authorization=f"Bearer {token}")

    async def log_in(self, login: str) -> httpx.AsyncClient:
        client = self.client()
        answer = await client.post("/api/v1/auth/login", json={"login": login, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        client.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
        return client

    async def work(self) -> None:
        """Carry out what is queued."""
        from opaa.indexing.jobs import Worker

        async with open_indexer(self.runtime) as indexer:
            await Worker(self.runtime.database, indexer).run(until_idle=True)

    async def index(self, files: dict[str, str]) -> Source:
        """A source with these files, indexed."""
        self.folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (self.folder / name).write_text(content)
        from opaa.access.models import Workspace
        from opaa.sources.service import create_source

        async with self.runtime.database.transaction(self.tenant.system) as session:
            workspace = await session.get_one(Workspace, self.tenant.workspace_id)
            source = await create_source(
                session, "test", workspace, kind="filesystem", name="Folder", settings={"path": str(self.folder)}
            )
            run = await queue_run(session, "test", source)
        async with open_indexer(self.runtime) as indexer:
            await indexer.run(self.tenant.organization_id, run.id)
        return source


def make_runtime(database: Database, tenant: Tenant, tmp_path: Path, model: Any = None, **environment: str) -> Runtime:
    settings = load({"OPAA_DATA_DIR": str(tmp_path / "data"), "OPAA_MAX_UPLOAD_BYTES": "200000", **environment})
    embedder, store = HashEmbedder(), PgVectorStore()
    search = SearchService(database, store, embedder)  # type: ignore[arg-type]
    options = AnswerOptions(timeout_s=5, max_question_chars=settings.max_question_chars)
    answers = AnswerService(database, search, model, options)
    key = load_secret_key(settings)
    return Runtime(
        settings,
        database,
        key,
        store,
        tenant.organization_id,
        None,
        embedder,
        model,
        search,
        answers,  # type: ignore[arg-type]
    )


@asynccontextmanager
async def serving(runtime: Runtime, tenant: Tenant, tmp_path: Path) -> AsyncIterator[Api]:
    @asynccontextmanager
    async def opened(_: object) -> AsyncIterator[Runtime]:
        yield runtime

    app = create_app(runtime.settings, opened)
    app.app.state.runtime = runtime  # type: ignore[attr-defined]
    api = Api(runtime, tenant, app, tmp_path / "folder")
    try:
        yield api
    finally:
        for client in api.clients:
            await client.aclose()


@pytest.fixture
async def api(database: Database, tenant: Tenant, tmp_path: Path) -> AsyncIterator[Api]:
    async with serving(make_runtime(database, tenant, tmp_path), tenant, tmp_path) as opened:
        yield opened


def assert_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """A problem document of this status, and what it says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["type"] == f"urn:opaa:error:{body['code']}"
    assert body["detail"]
    assert code is None or body["code"] == code
    return body
