"""Who has which role in a workspace: people, and groups."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.models import Workspace, WorkspaceGroup, WorkspaceMember
from opaa.access.permissions import WORKSPACE_ROLES
from opaa.audit import service as audit
from opaa.errors import InvalidInputError, NotFoundError

TABLES: dict[str, type[WorkspaceMember] | type[WorkspaceGroup]] = {"user": WorkspaceMember, "group": WorkspaceGroup}


@dataclass(frozen=True, slots=True)
class Member:
    """A person or a group with a role in a workspace; `principal` reads `user:…` or `group:…`."""

    principal: str
    name: str
    role: str


async def list_members(session: AsyncSession, workspace_id: UUID) -> list[Member]:
    """People and groups with a role of their own here, by name; the organization's owners and admins are not listed."""
    rows = await session.execute(
        text(
            "SELECT 'user:' || u.id, u.login AS name, m.role FROM workspace_members m JOIN users u ON u.id = m.user_id"
            " WHERE m.workspace_id = :workspace"
            " UNION ALL SELECT 'group:' || g.id, g.name, m.role FROM workspace_groups m"
            " JOIN groups g ON g.id = m.group_id WHERE m.workspace_id = :workspace ORDER BY name"
        ),
        {"workspace": workspace_id},
    )
    return [Member(*row) for row in rows]


async def set_member(session: AsyncSession, workspace: Workspace, principal: str, role: str, *, actor: str) -> None:
    """Give a person or a group a role in a workspace. Raises InvalidInputError, NotFoundError."""
    if role not in WORKSPACE_ROLES:
        raise InvalidInputError(f"{role[:100]!r} is not a workspace role; they are {', '.join(WORKSPACE_ROLES)}")
    kind, identifier = parse_member(principal)
    principal = f"{kind}:{identifier}"
    table = TABLES[kind]
    row: WorkspaceMember | WorkspaceGroup | None = await session.get(table, (workspace.id, identifier))
    before = row.role if row is not None else None
    if row is None:
        names = {"user": "users", "group": "groups"}
        exists = text(f"SELECT EXISTS (SELECT FROM {names[kind]} WHERE id = :id)")  # noqa: S608 - a fixed name
        if not await session.scalar(exists, {"id": identifier}):
            raise NotFoundError(f"There is no {kind} {identifier}")
        row = table(
            organization_id=workspace.organization_id,
            workspace_id=workspace.id,
            role=role,
            **{f"{kind}_id": identifier},
        )
        session.add(row)
    row.role = role
    await session.flush()
    await audit.record(
        session,
        workspace.organization_id,
        actor,
        "workspace.member-set",
        target=f"workspace:{workspace.id}",
        details={"principal": principal, "from": before, "to": role},
    )


async def remove_member(session: AsyncSession, workspace: Workspace, principal: str, *, actor: str) -> None:
    kind, identifier = parse_member(principal)
    row: WorkspaceMember | WorkspaceGroup | None = await session.get(TABLES[kind], (workspace.id, identifier))
    if row is None:
        raise NotFoundError(f"{principal[:100]} has no role in {workspace.name}")
    await session.delete(row)
    await session.flush()
    await audit.record(
        session,
        workspace.organization_id,
        actor,
        "workspace.member-removed",
        target=f"workspace:{workspace.id}",
        details={"principal": principal, "from": row.role},
    )


def parse_member(principal: str) -> tuple[str, UUID]:
    """`user:ID` or `group:ID` as kind and id. Raises InvalidInputError."""
    kind, _, identifier = principal.partition(":")
    try:
        if kind in TABLES:
            return kind, UUID(identifier)
    except ValueError:
        pass
    raise InvalidInputError(f"{principal[:100]!r} is not a member; members read user:ID or group:ID")
