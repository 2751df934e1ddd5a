"""People and groups as a directory provisions them (SCIM 2.0, RFC 7643 and 7644), on the models of scim2-models.

People are the organization's persons, service accounts are not seen. Groups are those that a directory made; groups
made here or by an identity provider's claims are somebody else's. Owners are seen and never changed.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from scim2_models import (
    Context,
    EnterpriseUser,
    MutabilityException,
    NotFoundException,
    PatchOp,
    ScimFilter,
    ScimPolicy,
    UniquenessException,
)
from scim2_models import Group as ScimGroup
from scim2_models import User as ScimUser
from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access import groups
from opaa.access.models import Group, GroupMember
from opaa.access.permissions import OWNER
from opaa.audit import service as audit
from opaa.db.base import utc_now
from opaa.errors import ConflictError, InvalidInputError
from opaa.identity.logins import login_key, normal_login
from opaa.identity.models import PERSON, User
from opaa.identity.scim_filters import GROUP_COLUMNS, USER_COLUMNS, condition
from opaa.identity.service import create_user
from opaa.identity.sessions import end_sessions
from opaa.identity.users import checked_email

ORIGIN = "scim"
REMOVED = "scim:removed"  # who was deleted in the directory: the account is disabled, and unknown to SCIM
MOST_RESULTS = 200
PERSON_MODEL = ScimUser[EnterpriseUser]
# Directories send attributes that nobody asked for, and booleans as texts.
POLICY = ScimPolicy(
    unknown=ScimPolicy.Unknown.ignore,
    remove_value_as_filter=ScimPolicy.RemoveValue.apply,
    unmatched_path_filter=ScimPolicy.UnmatchedPathFilter.create,
)


class Directory:
    """What a directory does in one organization; `base` is the address of SCIM here, `actor` who is audited."""

    def __init__(self, session: AsyncSession, organization_id: UUID, actor: str, base: str) -> None:
        self.session = session
        self.organization_id = organization_id
        self.actor = actor
        self.base = base

    # ── people ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_users(self, filter_text: str | None, start: int, count: int) -> tuple[list[ScimUser[Any]], int]:
        """One page of people and how many there are. Raises InvalidFilterException."""
        query = select(User).where(*_seen())
        if filter_text:
            query = query.where(condition(ScimFilter[PERSON_MODEL](filter_text), USER_COLUMNS))
        rows, total = await self._page(query, User.id, start, count)
        memberships = await self._groups_of([user.id for user in rows])
        return [self.user_resource(user, memberships.get(user.id, [])) for user in rows], total

    async def get_user(self, user_id: str) -> ScimUser[Any]:
        user = await self._user(user_id)
        return self.user_resource(user, (await self._groups_of([user.id])).get(user.id, []))

    async def create_user(self, payload: dict[str, Any]) -> ScimUser[Any]:
        """A new person, or one whom the directory had deleted. Raises UniquenessException."""
        wanted = PERSON_MODEL.model_validate(payload, scim_ctx=Context.RESOURCE_CREATION_REQUEST, scim_policy=POLICY)
        login = normal_login(wanted.user_name or "")
        user = await self.session.scalar(
            select(User).where(User.login_key == login_key(login), User.provisioned_by == REMOVED)
        )
        if user is None:
            try:
                user = await create_user(self.session, self.organization_id, login, None, role="member")
            except ConflictError as error:
                raise UniquenessException(detail=error.message) from error
            action = "user.provisioned"
        else:
            action = "user.changed"
        user.provisioned_by = ORIGIN
        await self._apply(user, wanted, replace=True)
        await self._audit(action, f"user:{user.id}", {"provider": ORIGIN})
        return await self.get_user(str(user.id))

    async def replace_user(self, user_id: str, payload: dict[str, Any]) -> ScimUser[Any]:
        user = await self._changeable(user_id)
        wanted = PERSON_MODEL.model_validate(payload, scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST, scim_policy=POLICY)
        await self._apply(user, wanted, replace=True)
        return await self.get_user(user_id)

    async def patch_user(self, user_id: str, payload: dict[str, Any]) -> ScimUser[Any]:
        user = await self._changeable(user_id)
        resource = self.user_resource(user, [])
        patch = PatchOp[PERSON_MODEL].model_validate(
            payload, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=POLICY
        )
        before = resource.model_copy(deep=True)
        patch.patch(resource, scim_policy=POLICY)
        if before.name != resource.name and before.display_name == resource.display_name:
            resource.display_name = None  # the name was changed, not the name to display
        await self._apply(user, resource, replace=False)
        return await self.get_user(user_id)

    async def delete_user(self, user_id: str) -> None:
        """The account is disabled and unknown to SCIM; what it owns here stays until an administrator deletes it."""
        user = await self._changeable(user_id)
        await self._set_active(user, active=False)
        user.provisioned_by, user.external_id = REMOVED, None
        origin = select(GroupMember.group_id).where(GroupMember.user_id == user.id, GroupMember.origin == ORIGIN)
        for group in await self.session.scalars(select(Group).where(Group.id.in_(origin))):
            await groups.remove_members(self.session, group, [user.id], actor=self.actor)
        await self._audit("user.deprovisioned", f"user:{user.id}", {})
        await self.session.flush()

    def user_resource(self, user: User, memberships: list[Group]) -> ScimUser[Any]:
        found = {
            "id": str(user.id),
            "externalId": user.external_id,
            "userName": user.login,
            "displayName": user.display_name,
            "name": {"formatted": user.display_name},
            "active": user.disabled_at is None,
            "emails": [{"value": user.email, "primary": True, "type": "work"}] if user.email else None,
            "groups": [
                {"value": str(group.id), "display": group.name, "$ref": f"{self.base}/Groups/{group.id}"}
                for group in memberships
            ],
            "meta": self._meta("User", "Users", user.id, user.created_at),
        }
        return PERSON_MODEL.model_validate({name: value for name, value in found.items() if value is not None})

    async def _apply(self, user: User, wanted: ScimUser[Any], *, replace: bool) -> None:
        """Make an account what the directory says. Raises UniquenessException, InvalidInputError."""
        changed: dict[str, Any] = {}
        login = normal_login(wanted.user_name or user.login)
        if login != user.login:
            changed["login"] = True
            user.login, user.login_key = login, login_key(login)
        name = wanted.display_name or _full_name(wanted) or (user.login[:200] if replace else user.display_name)
        name = "".join(character for character in " ".join(name.split()) if character.isprintable())[:200]
        if name != user.display_name:
            changed["display_name"] = True
            user.display_name = name
        if wanted.external_id != user.external_id:
            changed["external_id"] = True
            user.external_id = wanted.external_id[:400] if wanted.external_id else None
        email = checked_email(_email(wanted))
        if email != user.email:
            changed["email"] = True
            user.email, user.email_verified = email, email is not None
        active = wanted.active is not False
        if active != (user.disabled_at is None):
            changed["disabled"] = not active
            await self._set_active(user, active=active)
        try:
            async with self.session.begin_nested():
                await self.session.flush()
        except IntegrityError as error:
            raise UniquenessException(detail="There is another user with this userName or externalId") from error
        if changed:
            await self._audit("user.changed", f"user:{user.id}", changed)

    async def _set_active(self, user: User, *, active: bool) -> None:
        if not active and user.disabled_at is None:
            await end_sessions(self.session, user, actor=self.actor)
            user.disabled_at = utc_now()
        elif active:
            user.disabled_at = None

    # ── groups ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def list_groups(
        self, filter_text: str | None, start: int, count: int, *, with_members: bool
    ) -> tuple[list[ScimGroup], int]:
        """One page of the directory's groups and how many there are. Raises InvalidFilterException."""
        query = select(Group).where(Group.origin == ORIGIN)
        if filter_text:
            query = query.where(condition(ScimFilter[ScimGroup](filter_text), GROUP_COLUMNS))
        rows, total = await self._page(query, Group.id, start, count)
        return [await self.group_resource(group, with_members=with_members) for group in rows], total

    async def get_group(self, group_id: str, *, with_members: bool = True) -> ScimGroup:
        return await self.group_resource(await self._group(group_id), with_members=with_members)

    async def create_group(self, payload: dict[str, Any]) -> ScimGroup:
        wanted = ScimGroup.model_validate(payload, scim_ctx=Context.RESOURCE_CREATION_REQUEST, scim_policy=POLICY)
        try:
            group = await groups.create_group(
                self.session,
                self.organization_id,
                wanted.display_name or "",
                actor=self.actor,
                origin=ORIGIN,
                external_id=wanted.external_id,
            )
        except ConflictError as error:
            raise UniquenessException(detail=error.message) from error
        await self._set_members(group, wanted)
        return await self.group_resource(group, with_members=True)

    async def replace_group(self, group_id: str, payload: dict[str, Any]) -> ScimGroup:
        group = await self._group(group_id)
        wanted = ScimGroup.model_validate(payload, scim_ctx=Context.RESOURCE_REPLACEMENT_REQUEST, scim_policy=POLICY)
        return await self._change_group(group, wanted)

    async def patch_group(self, group_id: str, payload: dict[str, Any]) -> ScimGroup:
        group = await self._group(group_id)
        resource = await self.group_resource(group, with_members=True)
        patch = PatchOp[ScimGroup].model_validate(payload, scim_ctx=Context.RESOURCE_PATCH_REQUEST, scim_policy=POLICY)
        patch.patch(resource, scim_policy=POLICY)
        return await self._change_group(group, resource)

    async def delete_group(self, group_id: str) -> None:
        await groups.delete_group(self.session, await self._group(group_id), actor=self.actor)

    async def group_resource(self, group: Group, *, with_members: bool) -> ScimGroup:
        listed = await groups.members(self.session, group.id) if with_members else []
        found = {
            "id": str(group.id),
            "externalId": group.external_id,
            "displayName": group.name,
            "members": [
                {
                    "value": str(person.id),
                    "display": person.display_name,
                    "type": "User",
                    "$ref": f"{self.base}/Users/{person.id}",
                }
                for person in listed
            ],
            "meta": self._meta("Group", "Groups", group.id, group.created_at),
        }
        return ScimGroup.model_validate({name: value for name, value in found.items() if value is not None})

    async def _change_group(self, group: Group, wanted: ScimGroup) -> ScimGroup:
        try:
            if wanted.display_name and wanted.display_name != group.name:
                await groups.rename_group(self.session, group, wanted.display_name, actor=self.actor)
            if wanted.external_id != group.external_id:
                group.external_id = wanted.external_id
                await self.session.flush()
        except ConflictError as error:
            raise UniquenessException(detail=error.message) from error
        await self._set_members(group, wanted)
        return await self.group_resource(group, with_members=True)

    async def _set_members(self, group: Group, wanted: ScimGroup) -> None:
        ids = {_uuid(member.value, "member") for member in wanted.members or [] if member.value}
        existing = {person.id for person in await groups.members(self.session, group.id)}
        known = set(await self.session.scalars(select(User.id).where(User.id.in_(ids - existing), *_seen())))
        if missing := ids - existing - known:
            raise InvalidInputError(f"There is no user {min(missing)}")
        await groups.remove_members(self.session, group, existing - ids, actor=self.actor)
        await groups.add_members(self.session, group, known, actor=self.actor, origin=ORIGIN)

    # ── both ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _page(self, query: Select[Any], order: Any, start: int, count: int) -> tuple[list[Any], int]:  # noqa: ANN401
        total = await self.session.scalar(select(func.count()).select_from(query.subquery())) or 0
        page = query.order_by(order).offset(max(start, 1) - 1).limit(max(0, min(count, MOST_RESULTS)))
        return list(await self.session.scalars(page)), total

    async def _groups_of(self, user_ids: list[UUID]) -> dict[UUID, list[Group]]:
        query = (
            select(GroupMember.user_id, Group)
            .join(Group, Group.id == GroupMember.group_id)
            .where(GroupMember.user_id.in_(user_ids), Group.origin == ORIGIN)
            .order_by(Group.id)
        )
        found: dict[UUID, list[Group]] = {}
        for user_id, group in await self.session.execute(query):
            found.setdefault(user_id, []).append(group)
        return found

    async def _user(self, user_id: str) -> User:
        found = await self.session.scalar(select(User).where(User.id == _uuid(user_id, "user"), *_seen()))
        if found is None:
            raise NotFoundException(detail=f"There is no user {user_id[:100]}")
        return found

    async def _changeable(self, user_id: str) -> User:
        user = await self._user(user_id)
        if user.role == OWNER:
            raise MutabilityException(detail="Owners are changed here, not by a directory")
        return user

    async def _group(self, group_id: str) -> Group:
        query = select(Group).where(Group.id == _uuid(group_id, "group"), Group.origin == ORIGIN)
        found = await self.session.scalar(query)
        if found is None:
            raise NotFoundException(detail=f"There is no group {group_id[:100]}")
        return found

    def _meta(self, kind: str, place: str, identifier: UUID, created: datetime) -> dict[str, Any]:
        return {"resourceType": kind, "created": created, "location": f"{self.base}/{place}/{identifier}"}

    async def _audit(self, action: str, target: str, details: dict[str, Any]) -> None:
        await audit.record(self.session, self.organization_id, self.actor, action, target=target, details=details)


def _seen() -> tuple[ColumnElement[bool], ...]:
    return User.kind == PERSON, or_(User.provisioned_by.is_(None), User.provisioned_by != REMOVED)


def _uuid(value: str, what: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise NotFoundException(detail=f"There is no {what} {value[:100]}") from None


def _full_name(wanted: ScimUser[Any]) -> str:
    if wanted.name is None:
        return ""
    return wanted.name.formatted or " ".join(part for part in (wanted.name.given_name, wanted.name.family_name) if part)


def _email(wanted: ScimUser[Any]) -> str | None:
    addresses = [email for email in wanted.emails or [] if email.value]
    primary = next((email for email in addresses if email.primary), None) or next(iter(addresses), None)
    return primary.value if primary else None
