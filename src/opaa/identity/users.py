"""Accounts as administrators see them: listed, changed, disabled, deleted, given new passwords."""

import hmac
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.permissions import OWNER, ROLES
from opaa.audit import service as audit
from opaa.db.base import utc_now
from opaa.db.session import Database
from opaa.errors import AuthenticationError, ConflictError, InvalidInputError, NotFoundError, PermissionDeniedError
from opaa.identity import credentials
from opaa.identity.credentials import ALPHABET, SECRET_DIGITS, UUID_DIGITS, SecretKey
from opaa.identity.logins import normal_login
from opaa.identity.models import PERSON, User
from opaa.identity.service import set_password
from opaa.identity.sessions import end_sessions, outside

RESET_LINK_LIFETIME = timedelta(hours=24)
TIME_DIGITS = 8


async def list_users(
    session: AsyncSession, *, kind: str = PERSON, search: str = "", after: UUID | None = None, limit: int = 50
) -> list[User]:
    """Accounts in the order in which they were made, those after the one with the id `after`."""
    query = select(User).where(User.kind == kind).order_by(User.id).limit(limit)
    if search.strip():
        wanted = search.strip().lower()
        query = query.where(
            or_(
                func.lower(User.login).contains(wanted, autoescape=True),
                func.lower(User.display_name).contains(wanted, autoescape=True),
            )
        )
    if after is not None:
        query = query.where(User.id > after)
    return list(await session.scalars(query))


async def get_user(session: AsyncSession, user_id: UUID, *, kind: str = PERSON) -> User:
    """Raises NotFoundError."""
    user = await session.get(User, user_id)
    if user is None or user.kind != kind:
        raise NotFoundError(f"There is no such account {user_id}")
    return user


def may_change(actor_role: str, user: User, new_role: str | None = None) -> None:
    """Only owners touch owners, or make one. Raises PermissionDeniedError."""
    if actor_role != OWNER and OWNER in {user.role, new_role}:
        raise PermissionDeniedError("Only an owner may change an owner, or make one")


def may_make(actor_role: str, role: str) -> None:
    """Raises PermissionDeniedError when somebody else than an owner makes an owner."""
    if role == OWNER and actor_role != OWNER:
        raise PermissionDeniedError("Only an owner may make an owner")


def checked_email(email: str | None) -> str | None:
    """The address in one spelling, or None. Raises InvalidInputError."""
    if not email:
        return None
    email = normal_login(email)
    local, _, domain = email.rpartition("@")
    if not local or "." not in domain or not domain.isascii():
        raise InvalidInputError(f"{email[:100]!r} is not an e-mail address")
    return email


async def change_user(
    session: AsyncSession,
    user: User,
    *,
    actor: str,
    actor_role: str,
    role: str | None = None,
    display_name: str | None = None,
    email: str | None = None,
    disabled: bool | None = None,
) -> User:
    """Change what is given. A role or a disabled account takes effect with the next request.

    Raises PermissionDeniedError, InvalidInputError, and ConflictError when no owner would be left.
    """
    may_change(actor_role, user, role)
    changed: dict[str, object] = {}
    if role is not None and role != user.role:
        if role not in ROLES:
            raise InvalidInputError(f"{role[:100]!r} is not a role; the roles are {', '.join(ROLES)}")
        await _keep_an_owner(session, user)
        changed["role"] = {"from": user.role, "to": role}
        user.role = role
    if display_name is not None:
        user.display_name = checked_display_name(display_name)
        changed["display_name"] = True
    if email is not None:
        user.email = checked_email(email)
        user.email_verified = False
        changed["email"] = True
    if disabled is not None and disabled != (user.disabled_at is not None):
        if disabled:
            await _keep_an_owner(session, user)
            await end_sessions(session, user, actor=actor)
        user.disabled_at = utc_now() if disabled else None
        changed["disabled"] = disabled
    if changed:
        await audit.record(
            session, user.organization_id, actor, "user.changed", target=f"user:{user.id}", details=changed
        )
    await session.flush()
    return user


async def delete_user(session: AsyncSession, user: User, *, actor: str, actor_role: str) -> None:
    """The account with its sessions, tokens, memberships and conversations. The audit log keeps its id."""
    may_change(actor_role, user)
    await _keep_an_owner(session, user)
    await audit.record(
        session,
        user.organization_id,
        actor,
        "user.deleted",
        target=f"user:{user.id}",
        private={"login": user.login},
    )
    await session.delete(user)
    await session.flush()


async def _keep_an_owner(session: AsyncSession, user: User) -> None:
    """Raises ConflictError when the organization would be left without an owner."""
    if user.role != OWNER:
        return
    owners = select(User.id).where(User.role == OWNER, User.disabled_at.is_(None), User.kind == PERSON)
    if not [owner for owner in await session.scalars(owners.with_for_update()) if owner != user.id]:
        raise ConflictError("This is the organization's last owner; make another one first")


def checked_display_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise InvalidInputError("A display name is 1 to 200 printable characters")
    return name


async def reset_token(session: AsyncSession, key: SecretKey, user: User, *, actor: str) -> tuple[str, datetime]:
    """What a link to choose a new password carries, and until when it works: once, and not after another change."""
    if user.kind != PERSON:
        raise InvalidInputError(f"{user.login} is a service account and has no password")
    until = utc_now() + RESET_LINK_LIFETIME
    body = (
        credentials.base62(user.organization_id.int, UUID_DIGITS)
        + credentials.base62(user.id.int, UUID_DIGITS)
        + credentials.base62(int(until.timestamp()), TIME_DIGITS)
    )
    await audit.record(session, user.organization_id, actor, "password.reset-link", target=f"user:{user.id}")
    return body + _signature(key, body, user), until


async def reset_with_token(database: Database, key: SecretKey, token: str, password: str) -> None:
    """Set a new password with a link's token. Raises AuthenticationError."""
    refused = AuthenticationError("The link is wrong, was used already or has expired; ask for a new one")
    body, signature = token[:-SECRET_DIGITS], token[-SECRET_DIGITS:]
    if len(body) != 2 * UUID_DIGITS + TIME_DIGITS or not set(token) <= set(ALPHABET):
        raise refused
    organization, user_number, until = (
        credentials.from_base62(part) or 0
        for part in (body[:UUID_DIGITS], body[UUID_DIGITS : 2 * UUID_DIGITS], body[2 * UUID_DIGITS :])
    )
    if max(organization, user_number) >= 1 << 128 or until < int(datetime.now(UTC).timestamp()):
        raise refused
    async with database.transaction(outside(UUID(int=organization))) as session:
        user = await session.get(User, UUID(int=user_number), with_for_update=True)
        if user is None or user.disabled_at is not None:
            raise refused
        if not hmac.compare_digest(_signature(key, body, user), signature):
            raise refused
        await set_password(session, user, password, actor=f"user:{user.id}")


def _signature(key: SecretKey, body: str, user: User) -> str:
    """Bound to the password it replaces, so that it works once."""
    message = f"{body}.{user.password_hash or ''}".encode()
    return credentials.base62(int.from_bytes(key.sign("password-reset", message), "big"), SECRET_DIGITS)
