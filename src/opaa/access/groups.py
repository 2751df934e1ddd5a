"""Groups and their members."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.models import Group, GroupMember
from opaa.access.service import checked_name
from opaa.audit import service as audit
from opaa.errors import ConflictError, InvalidInputError, NotFoundError

LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Person:
    """A user as others refer to one."""

    id: UUID
    login: str
    display_name: str
    origin: str


async def list_groups(
    session: AsyncSession, *, search: str = "", after: str = "", limit: int = 50
) -> list[tuple[Group, int]]:
    """Groups by name, those after the name `after`, with their number of members."""
    members = (
        select(func.count()).select_from(GroupMember).where(GroupMember.group_id == Group.id).correlate(Group)
    ).scalar_subquery()
    query = select(Group, members).order_by(func.lower(Group.name)).limit(limit)
    if search.strip():
        query = query.where(func.lower(Group.name).contains(search.strip().lower(), autoescape=True))
    if after:
        query = query.where(func.lower(Group.name) > after.lower())
    return [(group, count) for group, count in await session.execute(query)]


async def find_group(session: AsyncSession, name_or_id: str) -> Group:
    """A group by name (any case) or id. Raises NotFoundError."""
    try:
        condition = Group.id == UUID(name_or_id)
    except ValueError:
        condition = func.lower(Group.name) == " ".join(name_or_id.split()).lower()
    group = await session.scalar(select(Group).where(condition))
    if group is None:
        raise NotFoundError(f"There is no group {name_or_id[:100]!r}")
    return group


async def create_group(
    session: AsyncSession,
    organization_id: UUID,
    name: str,
    *,
    actor: str,
    origin: str = LOCAL,
    external_id: str | None = None,
) -> Group:
    """A new group without members. Raises ConflictError when the name is taken."""
    group = Group(
        organization_id=organization_id,
        name=checked_name(name, "A group's name"),
        origin=origin,
        external_id=external_id,
    )
    session.add(group)
    await _flush(session, group.name)
    await audit.record(
        session, organization_id, actor, "group.created", target=f"group:{group.id}", details={"name": group.name}
    )
    return group


async def rename_group(session: AsyncSession, group: Group, name: str, *, actor: str) -> None:
    before, group.name = group.name, checked_name(name, "A group's name")
    await _flush(session, group.name)
    await audit.record(
        session,
        group.organization_id,
        actor,
        "group.renamed",
        target=f"group:{group.id}",
        details={"from": before, "to": group.name},
    )


async def delete_group(session: AsyncSession, group: Group, *, actor: str) -> None:
    """The group, its memberships and its roles in workspaces; ACLs that name it match nobody any more."""
    await audit.record(
        session,
        group.organization_id,
        actor,
        "group.deleted",
        target=f"group:{group.id}",
        details={"name": group.name},
    )
    await session.delete(group)
    await session.flush()


async def members(session: AsyncSession, group_id: UUID) -> list[Person]:
    rows = await session.execute(
        text(
            "SELECT u.id, u.login, u.display_name, m.origin FROM group_members m JOIN users u ON u.id = m.user_id"
            " WHERE m.group_id = :group ORDER BY lower(u.login)"
        ),
        {"group": group_id},
    )
    return [Person(*row) for row in rows]


async def add_members(
    session: AsyncSession, group: Group, user_ids: Collection[UUID], *, actor: str, origin: str = LOCAL
) -> None:
    """Those who are members already stay. Raises InvalidInputError for somebody who does not exist."""
    wanted = set(user_ids)
    known = set(await session.scalars(text("SELECT id FROM users WHERE id = ANY (:ids)"), {"ids": list(wanted)}))
    for missing in wanted - known:
        raise InvalidInputError(f"There is no user {missing}")
    existing = set(await session.scalars(select(GroupMember.user_id).where(GroupMember.group_id == group.id)))
    for user_id in sorted(wanted - existing):
        session.add(
            GroupMember(organization_id=group.organization_id, group_id=group.id, user_id=user_id, origin=origin)
        )
        await audit.record(
            session,
            group.organization_id,
            actor,
            "group.member-added",
            target=f"group:{group.id}",
            details={"user": str(user_id), "origin": origin},
        )
    await session.flush()


async def remove_members(session: AsyncSession, group: Group, user_ids: Collection[UUID], *, actor: str) -> None:
    statement = delete(GroupMember).where(GroupMember.group_id == group.id, GroupMember.user_id.in_(user_ids))
    for user_id in await session.scalars(statement.returning(GroupMember.user_id)):
        await audit.record(
            session,
            group.organization_id,
            actor,
            "group.member-removed",
            target=f"group:{group.id}",
            details={"user": str(user_id)},
        )


async def _flush(session: AsyncSession, name: str) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        raise ConflictError(f"There is already a group named {name}, or with this external id") from error
