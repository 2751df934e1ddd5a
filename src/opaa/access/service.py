"""Workspaces, and what a person may read and do in them."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.acl import group_principal, user_principal, workspace_principal
from opaa.access.models import GroupMember, Workspace, WorkspaceGroup, WorkspaceMember
from opaa.access.permissions import ADMIN, ADMINS, strongest
from opaa.audit import service as audit
from opaa.db.session import Database, TenantContext
from opaa.errors import ConflictError, InvalidInputError, NotFoundError


@dataclass(frozen=True, slots=True)
class Access:
    """The workspaces that a person belongs to, by name, the role in each, and the person's groups."""

    workspaces: tuple[Workspace, ...]
    roles: dict[UUID, str]
    group_ids: tuple[UUID, ...]


async def access_of(session: AsyncSession, user_id: UUID, role: str) -> Access:
    """What a person has at this moment; owners and admins are admin in every workspace."""
    groups = tuple(
        await session.scalars(
            select(GroupMember.group_id).where(GroupMember.user_id == user_id).order_by(GroupMember.group_id)
        )
    )
    roles: dict[UUID, set[str]] = {}
    direct = select(WorkspaceMember.workspace_id, WorkspaceMember.role).where(WorkspaceMember.user_id == user_id)
    through = select(WorkspaceGroup.workspace_id, WorkspaceGroup.role).where(WorkspaceGroup.group_id.in_(groups))
    for workspace_id, workspace_role in await session.execute(direct.union_all(through)):
        roles.setdefault(workspace_id, set()).add(workspace_role)
    query = select(Workspace).order_by(func.lower(Workspace.name))
    if role not in ADMINS:
        query = query.where(Workspace.id.in_(roles))
    workspaces = tuple(await session.scalars(query))
    return Access(
        workspaces,
        {each.id: ADMIN if role in ADMINS else strongest(roles[each.id]) for each in workspaces},
        groups,
    )


def principals(user_id: UUID, access: Access) -> tuple[str, ...]:
    """What ACLs can call a person."""
    return (
        user_principal(user_id),
        *(group_principal(group_id) for group_id in access.group_ids),
        *(workspace_principal(workspace.id) for workspace in access.workspaces),
    )


async def find_workspace(session: AsyncSession, name_or_id: str) -> Workspace:
    """A workspace by name (any case) or id. Raises NotFoundError, which names those that exist."""
    try:
        condition = Workspace.id == UUID(name_or_id)
    except ValueError:
        condition = func.lower(Workspace.name) == name_or_id.strip().lower()
    workspace = await session.scalar(select(Workspace).where(condition))
    if workspace is None:
        names = list(await session.scalars(select(Workspace.name).order_by(Workspace.name).limit(10)))
        known = f"; there is {', '.join(names)}" if names else "; there is none yet (opaa workspace create NAME)"
        raise NotFoundError(f"There is no workspace {name_or_id[:100]!r}{known}")
    return workspace


async def list_workspaces(session: AsyncSession) -> list[Workspace]:
    return list(await session.scalars(select(Workspace).order_by(func.lower(Workspace.name))))


async def create_workspace(session: AsyncSession, organization_id: UUID, name: str) -> Workspace:
    """A new workspace with its partitions of the index. Raises ConflictError when the name is taken."""
    workspace = Workspace(organization_id=organization_id, name=checked_name(name, "A workspace's name"))
    session.add(workspace)
    await _flush_name(session, workspace.name)
    await session.execute(text("SELECT opaa_create_workspace_partitions(:id)"), {"id": workspace.id})
    return workspace


async def rename_workspace(session: AsyncSession, workspace: Workspace, name: str) -> None:
    workspace.name = checked_name(name, "A workspace's name")
    await _flush_name(session, workspace.name)


async def delete_workspace(database: Database, organization_id: UUID, workspace_id: UUID, *, actor: str) -> None:
    """The workspace with its sources, documents and index. Cannot be undone."""
    async with database.transaction(TenantContext.system(organization_id)) as session:
        workspace = await session.get(Workspace, workspace_id)
        if workspace is None:
            raise NotFoundError(f"There is no workspace {workspace_id}")
        await session.delete(workspace)
        await session.flush()
        await session.execute(text("SELECT opaa_drop_workspace_partitions(:id)"), {"id": workspace_id})
        await audit.record(
            session,
            organization_id,
            actor,
            "workspace.deleted",
            target=f"workspace:{workspace_id}",
            details={"name": workspace.name},
        )


def checked_name(name: str, what: str) -> str:
    """A name for people, with single spaces. Raises InvalidInputError."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise InvalidInputError(f"{what} is 1 to 200 printable characters")
    return name


async def _flush_name(session: AsyncSession, name: str) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        raise ConflictError(f"There is already a workspace named {name}") from error
