"""Workspaces, and the principals that a person acts as."""

from uuid import UUID

from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.models import Workspace, WorkspaceMember
from opaa.access.permissions import ADMINS
from opaa.audit import service as audit
from opaa.db.session import Database, TenantContext
from opaa.errors import ConflictError, InvalidInputError, NotFoundError


async def readable_workspaces(session: AsyncSession, user_id: UUID, role: str) -> list[Workspace]:
    """The workspaces whose documents a person may read by membership, by name; owners and admins: all."""
    query = select(Workspace).order_by(func.lower(Workspace.name))
    if role not in ADMINS:
        query = query.join(WorkspaceMember, WorkspaceMember.workspace_id == Workspace.id).where(
            WorkspaceMember.user_id == user_id
        )
    return list(await session.scalars(query))


def principals(user_id: UUID, workspaces: list[Workspace]) -> tuple[str, ...]:
    return (f"user:{user_id}", *(workspace_principal(workspace.id) for workspace in workspaces))


def workspace_principal(workspace_id: UUID) -> str:
    """Everyone in a workspace, as documents' ACLs name them."""
    return f"workspace:{workspace_id}"


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
    workspace = Workspace(organization_id=organization_id, name=_checked_name(name))
    session.add(workspace)
    await _flush_name(session, workspace.name)
    await session.execute(text("SELECT opaa_create_workspace_partitions(:id)"), {"id": workspace.id})
    return workspace


async def rename_workspace(session: AsyncSession, workspace: Workspace, name: str) -> None:
    workspace.name = _checked_name(name)
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


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise InvalidInputError("A workspace's name is 1 to 200 printable characters")
    return name


async def _flush_name(session: AsyncSession, name: str) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        raise ConflictError(f"There is already a workspace named {name}") from error
