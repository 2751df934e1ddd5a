"""Fixtures that run the real parts: one embedded PostgreSQL for the whole run, an organization of its own per test."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from opaa.db import migrate
from opaa.db.base import uuid7
from opaa.db.embedded import EmbeddedPostgres, Urls
from opaa.db.session import Database, TenantContext


@pytest.fixture(scope="session")
def database_urls() -> Iterator[Urls]:
    """A migrated database on an embedded server of this run's own."""
    with tempfile.TemporaryDirectory(prefix="opaa-test-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        urls = server.acquire()
        try:
            migrate.upgrade(urls.owner, urls.application)
            yield urls
        finally:
            server.release()


@pytest.fixture
async def database(database_urls: Urls) -> AsyncIterator[Database]:
    database = Database(database_urls.application, pool_size=8)
    yield database
    await database.close()


@dataclass(frozen=True)
class Tenant:
    """An organization with one workspace (and its partitions) and one user who may read it."""

    organization_id: UUID
    workspace_id: UUID
    user_id: UUID

    @property
    def system(self) -> TenantContext:
        return TenantContext.system(self.organization_id)

    @property
    def member(self) -> TenantContext:
        return TenantContext(self.organization_id, (f"user:{self.user_id}", f"workspace:{self.workspace_id}"))


async def create_tenant(database: Database) -> Tenant:
    tenant = Tenant(uuid7(), uuid7(), uuid7())
    async with database.transaction(tenant.system) as session:
        parameters = {"o": tenant.organization_id, "w": tenant.workspace_id, "u": tenant.user_id}
        await session.execute(
            text("INSERT INTO organizations (id, slug, name) VALUES (:o, :slug, 'Test')"),
            {**parameters, "slug": f"t-{tenant.organization_id.hex}"},
        )
        await session.execute(
            text("INSERT INTO workspaces (id, organization_id, name) VALUES (:w, :o, 'Main')"), parameters
        )
        await session.execute(
            text("INSERT INTO users (id, organization_id, login, login_key) VALUES (:u, :o, 'somebody', 'somebody')"),
            parameters,
        )
        await session.execute(text("SELECT opaa_create_workspace_partitions(:w)"), parameters)
    return tenant


@pytest.fixture
async def tenant(database: Database) -> Tenant:
    return await create_tenant(database)
