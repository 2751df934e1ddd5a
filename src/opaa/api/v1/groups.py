"""Groups of people."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from opaa.access import groups as service
from opaa.access.models import Group
from opaa.api.dependencies import GroupsRead, GroupsWrite, Limit, SessionDependency
from opaa.api.schemas import Input, Listing, Page
from opaa.errors import ConflictError

router = APIRouter(prefix="/groups", tags=["groups"])


class GroupIn(Input):
    name: Annotated[str, Field(min_length=1, max_length=200)]


class MembersIn(Input):
    user_ids: Annotated[list[UUID], Field(min_length=1, max_length=1000)]


class GroupOut(BaseModel):
    """`origin` is `local`, `scim` or `provider:<name>`: who keeps its members."""

    id: UUID
    name: str
    origin: str
    member_count: int
    created_at: datetime


class GroupMemberOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    login: str
    display_name: str
    origin: str


def group_out(group: Group, members: int) -> GroupOut:
    return GroupOut(
        id=group.id, name=group.name, origin=group.origin, member_count=members, created_at=group.created_at
    )


@router.get("")
async def list_groups(
    identity: GroupsRead,
    session: SessionDependency,
    *,
    q: Annotated[str, Query(max_length=200, description="Part of the name.")] = "",
    cursor: Annotated[str, Query(max_length=200, description="`next_cursor` of the page before.")] = "",
    limit: Limit = 50,
) -> Page[GroupOut]:
    found = await service.list_groups(
        session, search=q.replace("\0", ""), after=cursor.replace("\0", ""), limit=limit + 1
    )
    items = [group_out(*each) for each in found[:limit]]
    return Page(items=items, next_cursor=items[-1].name if len(found) > limit else None)


@router.post("", status_code=201)
async def create_group(body: GroupIn, identity: GroupsWrite, session: SessionDependency) -> GroupOut:
    group = await service.create_group(session, identity.organization_id, body.name, actor=identity.actor)
    await session.commit()
    return group_out(group, 0)


@router.get("/{group_id}")
async def get_group(group_id: UUID, identity: GroupsRead, session: SessionDependency) -> GroupOut:
    group = await service.find_group(session, str(group_id))
    return group_out(group, len(await service.members(session, group.id)))


@router.patch("/{group_id}")
async def rename_group(group_id: UUID, body: GroupIn, identity: GroupsWrite, session: SessionDependency) -> GroupOut:
    group = await _local(session, group_id)
    await service.rename_group(session, group, body.name, actor=identity.actor)
    await session.commit()
    return group_out(group, len(await service.members(session, group.id)))


@router.delete("/{group_id}", status_code=204)
async def delete_group(group_id: UUID, identity: GroupsWrite, session: SessionDependency) -> None:
    """What it gave access to, its members lose at once."""
    await service.delete_group(session, await service.find_group(session, str(group_id)), actor=identity.actor)
    await session.commit()


@router.get("/{group_id}/members")
async def list_members(group_id: UUID, identity: GroupsRead, session: SessionDependency) -> Listing[GroupMemberOut]:
    group = await service.find_group(session, str(group_id))
    return Listing(items=[GroupMemberOut.model_validate(each) for each in await service.members(session, group.id)])


@router.post("/{group_id}/members", status_code=204)
async def add_members(group_id: UUID, body: MembersIn, identity: GroupsWrite, session: SessionDependency) -> None:
    """Those who are members already stay."""
    await service.add_members(session, await _local(session, group_id), body.user_ids, actor=identity.actor)
    await session.commit()


@router.delete("/{group_id}/members/{user_id}", status_code=204)
async def remove_member(group_id: UUID, user_id: UUID, identity: GroupsWrite, session: SessionDependency) -> None:
    await service.remove_members(session, await _local(session, group_id), [user_id], actor=identity.actor)
    await session.commit()


async def _local(session: SessionDependency, group_id: UUID) -> Group:
    """A group whose members are kept here. Raises ConflictError for one that a directory keeps."""
    group = await service.find_group(session, str(group_id))
    if group.origin != service.LOCAL:
        raise ConflictError(f"The members of {group.name} are kept by {group.origin}; change them there")
    return group
