"""From what an identity provider says to an account here: found, joined or made, with its groups and roles."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access import groups
from opaa.access.models import Group, GroupMember, Workspace, WorkspaceGroup
from opaa.access.permissions import ADMIN, AUDITOR, MEMBER, OWNER
from opaa.audit import service as audit
from opaa.db.base import utc_now
from opaa.db.session import Database
from opaa.errors import ConflictError, InvalidInputError, NotFoundError
from opaa.identity.credentials import SecretKey
from opaa.identity.external import ExternalIdentity, SignOnError
from opaa.identity.models import PERSON, User, UserIdentity
from opaa.identity.service import create_user
from opaa.identity.sessions import outside, start_session
from opaa.identity.users import checked_email
from opaa.settings.identity_providers import ClaimMapping, OidcProvider, SamlProvider

STRENGTH = (ADMIN, AUDITOR, MEMBER)  # the strongest first
Provider = OidcProvider | SamlProvider


async def sign_on(
    database: Database,
    key: SecretKey,
    organization_id: UUID,
    provider: Provider,
    external: ExternalIdentity,
    *,
    lifetime_s: int,
    user_agent: str,
    address: str,
) -> str:
    """Start a session for somebody whom a provider has identified; returns the value of its cookie.

    Raises SignOnError, which is audited, when this person has no account here and gets none.
    """
    for attempt in range(2):
        try:
            async with database.transaction(outside(organization_id)) as session:
                user = await account_of(session, organization_id, provider, external)
                await synchronise(session, user, provider, external)
                return await start_session(
                    session,
                    key,
                    user,
                    method=provider.name,
                    lifetime_s=lifetime_s,
                    user_agent=user_agent,
                    address=address,
                    issuer=external.issuer,
                    subject=external.subject,
                    provider_session=external.session,
                )
        except SignOnError as error:
            error.who = {"issuer": external.issuer, "subject": external.subject}
            raise
        except IntegrityError:
            # Another log-in was faster to make the same group or role; the second look finds it.
            if attempt:
                raise
    raise AssertionError  # not reached


async def refuse(
    database: Database, organization_id: UUID, provider: str, error: SignOnError, private: Mapping[str, str]
) -> None:
    """Write a failed log-in down."""
    async with database.transaction(outside(organization_id)) as session:
        await audit.record(
            session,
            organization_id,
            "anonymous",
            "login.failed",
            outcome="denied",
            details={"method": provider, "reason": error.reason, "problem": error.message},
            private={**private, **error.who},
        )


async def account_of(
    session: AsyncSession, organization_id: UUID, provider: Provider, external: ExternalIdentity
) -> User:
    """The account of `(issuer, subject)`; else one joined by a trusted address; else a new one. Raises SignOnError."""
    # One log-in of a person at a time, so that the first two at once do not make two accounts.
    await session.execute(
        select(func.pg_advisory_xact_lock(func.hashtextextended(f"{external.issuer} {external.subject}", 0)))
    )
    identity = await session.scalar(
        select(UserIdentity).where(UserIdentity.issuer == external.issuer, UserIdentity.subject == external.subject)
    )
    if identity is not None:
        identity.last_login_at = utc_now()
        return _enabled(await session.get_one(User, identity.user_id))
    user = await _by_trusted_address(session, provider, external)
    action = "identity.linked"
    if user is None:
        user = await _new_account(session, organization_id, provider, external)
        action = "user.provisioned"
    await link(session, user, provider.name, external.issuer, external.subject, actor=provider.origin, action=action)
    return _enabled(user)


def _enabled(user: User) -> User:
    if user.disabled_at is not None or user.kind != PERSON:
        raise SignOnError("refused", "the account is disabled")
    return user


async def link(
    session: AsyncSession, user: User, provider: str, issuer: str, subject: str, *, actor: str, action: str
) -> UserIdentity:
    """From now on whoever logs in as `(issuer, subject)` is this user."""
    row = UserIdentity(
        organization_id=user.organization_id,
        user_id=user.id,
        provider=provider,
        issuer=issuer,
        subject=subject,
        last_login_at=utc_now(),
    )
    session.add(row)
    await session.flush()
    await audit.record(
        session,
        user.organization_id,
        actor,
        action,
        target=f"user:{user.id}",
        details={"provider": provider},
        private={"issuer": issuer, "subject": subject},
    )
    return row


async def identities_of(session: AsyncSession, user_id: UUID) -> list[UserIdentity]:
    """Who an account is at identity providers."""
    query = select(UserIdentity).where(UserIdentity.user_id == user_id)
    return list(await session.scalars(query.order_by(UserIdentity.id)))


async def link_by_hand(
    session: AsyncSession, user: User, provider: str, issuer: str, subject: str, *, actor: str
) -> UserIdentity:
    """An administrator says who an account is at a provider. Raises ConflictError when somebody is that already."""
    if user.kind != PERSON:
        raise InvalidInputError(f"{user.login} is a service account and does not log in")
    try:
        async with session.begin_nested():
            return await link(session, user, provider, issuer, subject, actor=actor, action="identity.linked")
    except IntegrityError as error:
        raise ConflictError("An account is linked to this issuer and subject already") from error


async def unlink(session: AsyncSession, user: User, identity_id: UUID, *, actor: str) -> None:
    """Raises NotFoundError."""
    row = await session.get(UserIdentity, identity_id)
    if row is None or row.user_id != user.id:
        raise NotFoundError(f"There is no such identity {identity_id}")
    await session.delete(row)
    await session.flush()
    await audit.record(
        session,
        user.organization_id,
        actor,
        "identity.unlinked",
        target=f"user:{user.id}",
        details={"provider": row.provider},
    )


async def _by_trusted_address(session: AsyncSession, provider: Provider, external: ExternalIdentity) -> User | None:
    """An account without an identity at this provider, whose address the provider vouches for."""
    email = trusted_address(provider, external)
    if email is None:
        return None
    found = list(
        await session.scalars(
            select(User)
            .where(or_(func.lower(User.email) == email.lower(), func.lower(User.login) == email.lower()))
            .where(User.kind == PERSON)
            .limit(2)
        )
    )
    if len(found) != 1:
        return None
    taken = select(UserIdentity.id).where(UserIdentity.user_id == found[0].id, UserIdentity.issuer == external.issuer)
    if await session.scalar(taken):
        raise SignOnError("refused", "the account with this address belongs to somebody else at this provider")
    return found[0]


def trusted_address(provider: Provider, external: ExternalIdentity) -> str | None:
    """The e-mail address, if the provider says that it is verified and is trusted for its domain."""
    try:
        email = checked_email(external.email)
    except InvalidInputError:
        return None
    if email is None or not external.email_verified:
        return None
    domain = email.rpartition("@")[2].lower()
    return email if domain in {each.lower().lstrip("@") for each in provider.trusted_email_domains} else None


async def _new_account(
    session: AsyncSession, organization_id: UUID, provider: Provider, external: ExternalIdentity
) -> User:
    if not provider.sign_up:
        raise SignOnError("refused", "there is no account for this person, and the provider may not make one")
    try:
        # An address that nobody has verified is not kept: it could be anybody's.
        email = checked_email(external.email) if external.email_verified else None
    except InvalidInputError:
        email = None
    login = email or external.login or external.subject
    try:
        user = await create_user(
            session,
            organization_id,
            login,
            None,
            role=mapped_role(provider, external) or MEMBER,
            display_name=_printable(external.display_name),
            email=email,
        )
    except InvalidInputError as error:
        raise SignOnError("refused", "the provider's login for this person cannot be one here") from error
    except ConflictError as error:
        message = "there is another account with this login, or one that looks like it; an administrator can link them"
        raise SignOnError("refused", message) from error
    user.email_verified = email is not None
    user.provisioned_by = provider.origin
    await session.flush()
    return user


async def synchronise(session: AsyncSession, user: User, provider: Provider, external: ExternalIdentity) -> None:
    """Make the person's role and memberships those of the claims, as far as this provider keeps them."""
    name = _printable(external.display_name)
    if name and user.provisioned_by == provider.origin:
        user.display_name = name
    role = mapped_role(provider, external)
    if role is not None and user.role not in {OWNER, role}:
        await audit.record(
            session,
            user.organization_id,
            provider.origin,
            "user.changed",
            target=f"user:{user.id}",
            details={"role": {"from": user.role, "to": role}},
        )
        user.role = role
    wanted: dict[UUID, Group] = {}
    for value in external.values:
        mapping = provider.mapping.get(value)
        group = await _group(session, user.organization_id, provider, value, mapping)
        if group is not None:
            wanted[group.id] = group
    await _set_memberships(session, user, provider.origin, wanted)
    await _set_workspace_roles(session, user.organization_id, provider)


def mapped_role(provider: Provider, external: ExternalIdentity) -> str | None:
    """The strongest role that the claims give; None where this provider's mapping gives none to anybody."""
    if all(mapping.role is None for mapping in provider.mapping.values()):
        return None
    given = {provider.mapping[value].role for value in external.values if value in provider.mapping}
    return min((role for role in given if role is not None), key=STRENGTH.index, default=MEMBER)


async def _group(
    session: AsyncSession, organization_id: UUID, provider: Provider, value: str, mapping: ClaimMapping | None
) -> Group | None:
    """The group that a value of the claims stands for, made when it is new."""
    if mapping is None and not provider.create_groups:
        return None
    if mapping is not None and mapping.group is None and not mapping.workspaces:
        return None
    name = (mapping.group if mapping else None) or value
    external_id = f"{provider.origin}:{value}"[:400]
    condition = Group.external_id == external_id
    if mapping is not None and mapping.group is not None:
        # The operator named the group; one that is there already is meant.
        condition = func.lower(Group.name) == " ".join(mapping.group.split()).lower()
    for candidate in (name, f"{name} ({provider.title})"):
        found = await session.scalar(select(Group).where(condition))
        if found is not None:
            return found
        try:
            async with session.begin_nested():
                return await groups.create_group(
                    session,
                    organization_id,
                    candidate,
                    actor=provider.origin,
                    origin=provider.origin,
                    external_id=external_id,
                )
        except ConflictError:
            continue  # a local group of that name is somebody else's
        except InvalidInputError:
            return None
    return None


async def _set_memberships(session: AsyncSession, user: User, origin: str, wanted: Mapping[UUID, Group]) -> None:
    """The memberships that `origin` keeps become `wanted`; those that others keep stay."""
    query = select(Group).join(GroupMember, GroupMember.group_id == Group.id)
    mine = {
        group.id: group
        for group in await session.scalars(query.where(GroupMember.user_id == user.id, GroupMember.origin == origin))
    }
    for group_id, group in mine.items():
        if group_id not in wanted:
            await groups.remove_members(session, group, [user.id], actor=origin)
    for group_id, group in wanted.items():
        if group_id not in mine:
            await groups.add_members(session, group, [user.id], actor=origin, origin=origin)


async def _set_workspace_roles(session: AsyncSession, organization_id: UUID, provider: Provider) -> None:
    """The roles in workspaces that the mapping gives to groups; one that it no longer gives is taken away."""
    wanted: dict[tuple[UUID, UUID], str] = {}
    for value, mapping in provider.mapping.items():
        if not mapping.workspaces:
            continue
        group = await _group(session, organization_id, provider, value, mapping)
        names = {" ".join(name.split()).lower(): role for name, role in mapping.workspaces.items()}
        query = select(Workspace).where(func.lower(Workspace.name).in_(names))
        for workspace in await session.scalars(query):
            if group is not None:
                wanted[(workspace.id, group.id)] = names[workspace.name.lower()]
    existing = {(row.workspace_id, row.group_id): row for row in await session.scalars(select(WorkspaceGroup))}
    for (workspace_id, group_id), role in wanted.items():
        row = existing.get((workspace_id, group_id))
        if row is not None and (row.origin != provider.origin or row.role == role):
            continue  # an administrator's own choice stays
        before = row.role if row is not None else None
        if row is None:
            row = WorkspaceGroup(
                organization_id=organization_id, workspace_id=workspace_id, group_id=group_id, origin=provider.origin
            )
            session.add(row)
        row.role = role
        await session.flush()
        await _audit_role(session, provider, row, before, role)
    for place, row in existing.items():
        if row.origin == provider.origin and place not in wanted:
            await session.execute(
                delete(WorkspaceGroup).where(
                    WorkspaceGroup.workspace_id == row.workspace_id, WorkspaceGroup.group_id == row.group_id
                )
            )
            await _audit_role(session, provider, row, row.role, None)


async def _audit_role(
    session: AsyncSession, provider: Provider, row: WorkspaceGroup, before: str | None, after: str | None
) -> None:
    await audit.record(
        session,
        row.organization_id,
        provider.origin,
        "workspace.member-set" if after else "workspace.member-removed",
        target=f"workspace:{row.workspace_id}",
        details={"principal": f"group:{row.group_id}", "from": before, "to": after},
    )


def _printable(name: str) -> str:
    """A provider's text as a display name: one line, without what cannot be seen."""
    return "".join(character for character in " ".join(name.split()) if character.isprintable())[:200]
