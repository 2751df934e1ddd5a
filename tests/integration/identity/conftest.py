"""The application with identity providers, in this process or behind a real port."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import text

from opaa.access.models import Group, GroupMember, Workspace, WorkspaceGroup
from opaa.audit.chain import Filters, entries
from opaa.db.session import Database
from opaa.identity.models import User
from opaa.identity.providers import sign_on_clients
from tests.conftest import Tenant
from tests.integration.api.conftest import (
    Api,
    make_runtime,
    serving,
)

BASE = "http://opaa.test"


@asynccontextmanager
async def serving_with(
    database: Database,
    tenant: Tenant,
    folder: Path,
    providers: list[dict[str, Any]],
    *,
    base: str = BASE,
    transport: Any = None,
    **environment: str,
) -> AsyncIterator[Api]:
    """The application in this process; `transport` is what its requests to providers go through."""
    async with database.transaction(tenant.system) as session:
        slug = await session.scalar(text("SELECT slug FROM organizations"))
    listed = json.dumps([{"organization": slug, **provider} for provider in providers])
    environment = {"OPAA_PUBLIC_URL": base, "OPAA_IDENTITY_PROVIDERS": listed, **environment}
    runtime = make_runtime(database, tenant, folder, **environment)
    runtime.sign_on = sign_on_clients(runtime.settings, lambda: transport)
    async with serving(runtime, tenant, folder) as api:
        yield api


@asynccontextmanager
async def listening(app: Any, port: int) -> AsyncIterator[None]:
    """The application behind a real port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning", lifespan="off"))
    serving_task = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        await serving_task


async def me(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/api/v1/auth/me")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def users(api: Api) -> dict[str, User]:
    from sqlalchemy import select

    async with api.runtime.database.session(api.tenant.system) as session:
        return {user.login: user for user in await session.scalars(select(User))}


async def memberships(api: Api, user: User) -> set[tuple[str, str]]:
    """The names of a user's groups, and who keeps each membership."""
    from sqlalchemy import select

    query = select(Group.name, GroupMember.origin).join(GroupMember, GroupMember.group_id == Group.id)
    async with api.runtime.database.session(api.tenant.system) as session:
        return {(name, origin) for name, origin in await session.execute(query.where(GroupMember.user_id == user.id))}


async def workspace_roles(api: Api) -> set[tuple[str, str, str]]:
    """Workspace, group and role of every group's role."""
    from sqlalchemy import select

    query = (
        select(Workspace.name, Group.name, WorkspaceGroup.role)
        .join(Workspace, Workspace.id == WorkspaceGroup.workspace_id)
        .join(Group, Group.id == WorkspaceGroup.group_id)
    )
    async with api.runtime.database.session(api.tenant.system) as session:
        return {(workspace, group, role) for workspace, group, role in await session.execute(query)}


async def audited(api: Api, action: str) -> list[Any]:
    async with api.runtime.database.session(api.tenant.system) as session:
        return await entries(session, Filters(action=action))
