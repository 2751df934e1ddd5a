"""Log-in, sessions, passwords and API tokens; the only writer of their tables."""

import asyncio
import math
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.models import Workspace
from opaa.access.permissions import check_scopes, role_allows
from opaa.access.service import principals, readable_workspaces
from opaa.audit import service as audit
from opaa.db.base import utc_now, uuid7
from opaa.db.session import Database, TenantContext
from opaa.errors import AuthenticationError, ConflictError, InvalidInputError, NotFoundError, OpaaError
from opaa.identity import credentials
from opaa.identity.credentials import Credential, SecretKey
from opaa.identity.models import ApiToken, LoginSession, User

FREE_ATTEMPTS = 5
LONGEST_LOCK_S = 15 * 60
SEEN_EVERY = timedelta(minutes=1)
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1024
# 19 MiB, 2 passes, 1 lane: OWASP's first choice for argon2id.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
DUMMY_HASH = HASHER.hash("compared when there is no such user, so that both take the same time")


class LockedError(OpaaError):
    """Too many wrong passwords; `retry_after_s` says when to try again."""

    code = "locked"
    status = 429

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too many wrong passwords; try again in {retry_after_s} seconds")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a request, what that person may read, and by which credential."""

    organization_id: UUID
    user_id: UUID
    login: str
    display_name: str
    role: str
    workspaces: tuple[Workspace, ...]
    must_change_password: bool = False
    session_id: UUID | None = None
    token_id: UUID | None = None
    scopes: tuple[str, ...] | None = None

    @property
    def context(self) -> TenantContext:
        return TenantContext(self.organization_id, principals(self.user_id, list(self.workspaces)))

    @property
    def actor(self) -> str:
        return f"user:{self.user_id}"

    def may(self, operation: str) -> bool:
        """Whether both the person's role and the token's scopes allow the operation."""
        return role_allows(self.role, operation) and (self.scopes is None or operation in self.scopes)


def _outside(organization_id: UUID) -> TenantContext:
    """The organization's own tables, no content: what may be read before anybody is known."""
    return TenantContext(organization_id, ())


async def create_user(
    session: AsyncSession, organization_id: UUID, login: str, password: str | None, *, role: str, display_name: str = ""
) -> User:
    login = login.strip()
    if not 1 <= len(login) <= 320 or not login.isprintable():
        raise InvalidInputError("A login is 1 to 320 printable characters")
    user = User(
        organization_id=organization_id,
        login=login,
        display_name=display_name or login,
        role=role,
        password_hash=await hash_password(password) if password else None,
    )
    session.add(user)
    try:
        await session.flush()
    except IntegrityError as error:
        raise ConflictError(f"There is already a user {login}") from error
    return user


async def first_admin(database: Database, organization_id: UUID) -> str | None:
    """Create the account `admin` when the organization has nobody yet, and return its generated password once."""
    async with database.transaction(_outside(organization_id)) as session:
        if await session.scalar(select(User.id).limit(1)):
            return None
        password = secrets.token_urlsafe(15)
        try:
            await create_user(session, organization_id, "admin", password, role="owner", display_name="Administrator")
        except ConflictError:  # another process was first
            return None
        return password


async def first_user(database: Database, organization_id: UUID) -> Identity:
    """The oldest account, which everybody is where authentication is off."""
    async with database.session(_outside(organization_id)) as session:
        user = await session.scalar(select(User).order_by(User.id).limit(1))
        if user is None:
            raise AuthenticationError("There is no account yet")
        return await identity_of(session, user)


async def find_user(session: AsyncSession, login: str) -> User:
    """A user by login (any case) or id. Raises NotFoundError."""
    user = await session.scalar(select(User).where(func.lower(User.login) == login.strip().lower()))
    if user is None:
        try:
            user = await session.get(User, UUID(login))
        except ValueError:
            user = None
    if user is None:
        raise NotFoundError(f"There is no user {login[:100]!r}")
    return user


async def identity_of(session: AsyncSession, user: User) -> Identity:
    """What a user may do at this moment; the session is in the organization's context."""
    if user.disabled_at is not None:
        raise AuthenticationError("This account is disabled")
    workspaces = await readable_workspaces(session, user.id, user.role)
    return Identity(
        user.organization_id,
        user.id,
        user.login,
        user.display_name,
        user.role,
        tuple(workspaces),
        user.must_change_password,
    )


async def log_in(
    database: Database,
    key: SecretKey,
    organization_id: UUID,
    login: str,
    password: str,
    *,
    lifetime_s: int,
    user_agent: str,
    address: str,
) -> str:
    """Check a password and return the value of a new session's cookie.

    Raises AuthenticationError (the same for an unknown login and a wrong password) or LockedError.
    """
    async with database.session(_outside(organization_id)) as session:
        query = select(User).where(func.lower(User.login) == login.strip().lower()).with_for_update()
        user = await session.scalar(query)
        now = utc_now()
        if user and user.locked_until and user.locked_until > now:
            raise LockedError(math.ceil((user.locked_until - now).total_seconds()))
        known = user is not None and user.password_hash is not None and user.disabled_at is None
        stored = user.password_hash if user and known and user.password_hash else DUMMY_HASH
        if not await verify_password(stored, password[: LONGEST_PASSWORD + 1]) or user is None or not known:
            if user is not None:
                _count_failure(user, now)
                await audit.record(
                    session, organization_id, f"user:{user.id}", "login.failed", details={"from": address}
                )
                await session.commit()
            raise AuthenticationError("The login or the password is wrong")
        user.failed_logins, user.locked_until, user.last_login_at = 0, None, now
        secret = credentials.new_secret()
        row = LoginSession(
            id=uuid7(),
            organization_id=organization_id,
            user_id=user.id,
            secret_hash=credentials.hash_secret(key, "session", secret),
            user_agent=user_agent[:400],
            address=address[:100],
            expires_at=now + timedelta(seconds=lifetime_s),
        )
        session.add(row)
        await audit.record(session, organization_id, f"user:{user.id}", "login", details={"from": address})
        await session.commit()
        return credentials.format_session(organization_id, row.id, secret)


def _count_failure(user: User, now: datetime) -> None:
    user.failed_logins += 1
    if user.failed_logins >= FREE_ATTEMPTS:
        wait_s = min(2 ** (user.failed_logins - FREE_ATTEMPTS) * 5, LONGEST_LOCK_S)
        user.locked_until = now + timedelta(seconds=wait_s)


async def authenticate_session(database: Database, key: SecretKey, cookie: str) -> Identity:
    """The person behind a session cookie. Raises AuthenticationError."""
    credential = credentials.parse_session(cookie)
    if credential is None:
        raise AuthenticationError("Log in to go on")
    async with database.session(_outside(credential.organization_id)) as session:
        row = await session.get(LoginSession, credential.row_id)
        now = utc_now()
        if (
            row is None
            or row.expires_at <= now
            or not credentials.matches(key, "session", credential.secret, row.secret_hash)
        ):
            raise AuthenticationError("The session has ended; log in again")
        user = await session.get_one(User, row.user_id)
        identity = await identity_of(session, user)
        if now - row.last_seen_at > SEEN_EVERY:
            row.last_seen_at = now
            await session.commit()
    return _with(identity, session_id=row.id)


async def authenticate_token(database: Database, key: SecretKey, value: str) -> Identity:
    """The person behind an API token, limited to the token's scopes. Raises AuthenticationError."""
    credential = credentials.parse_token(value)
    if credential is None:
        raise AuthenticationError("The token is not one of this installation's")
    async with database.session(_outside(credential.organization_id)) as session:
        row = await session.get(ApiToken, credential.row_id)
        now = utc_now()
        if row is None or not _valid(row, key, credential, now):
            raise AuthenticationError("The token is unknown, expired or revoked")
        user = await session.get_one(User, row.user_id)
        identity = await identity_of(session, user)
        if row.last_used_at is None or now - row.last_used_at > SEEN_EVERY:
            row.last_used_at = now
            await session.commit()
    return _with(identity, token_id=row.id, scopes=tuple(row.scopes))


def _valid(row: ApiToken, key: SecretKey, credential: Credential, now: datetime) -> bool:
    alive = row.revoked_at is None and (row.expires_at is None or row.expires_at > now)
    return alive and credentials.matches(key, "token", credential.secret, row.secret_hash)


def _with(
    identity: Identity,
    *,
    session_id: UUID | None = None,
    token_id: UUID | None = None,
    scopes: tuple[str, ...] | None = None,
) -> Identity:
    return Identity(
        identity.organization_id,
        identity.user_id,
        identity.login,
        identity.display_name,
        identity.role,
        identity.workspaces,
        identity.must_change_password,
        session_id,
        token_id,
        scopes,
    )


async def log_out(database: Database, identity: Identity) -> None:
    async with database.transaction(identity.context) as session:
        row = await session.get(LoginSession, identity.session_id) if identity.session_id else None
        if row is not None:
            await session.delete(row)
            await audit.record(session, identity.organization_id, identity.actor, "logout")


async def change_password(database: Database, identity: Identity, current: str, new: str) -> None:
    """Set a new password and end the person's other sessions."""
    check_password(new)
    async with database.transaction(identity.context) as session:
        user = await session.get_one(User, identity.user_id)
        if user.password_hash is None or not await verify_password(user.password_hash, current):
            raise AuthenticationError("The current password is wrong")
        user.password_hash = await hash_password(new)
        user.must_change_password = False
        others = select(LoginSession).where(
            LoginSession.user_id == user.id, LoginSession.id != (identity.session_id or user.id)
        )
        for row in await session.scalars(others):
            await session.delete(row)
        await audit.record(session, identity.organization_id, identity.actor, "password.changed")


async def set_password(session: AsyncSession, user: User, password: str) -> None:
    """An administrator's reset: every session ends."""
    check_password(password)
    user.password_hash = await hash_password(password)
    user.failed_logins, user.locked_until = 0, None
    for row in await session.scalars(select(LoginSession).where(LoginSession.user_id == user.id)):
        await session.delete(row)
    await audit.record(session, user.organization_id, "system", "password.reset", target=f"user:{user.id}")


def check_password(password: str) -> None:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInputError(f"A password is {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")


async def hash_password(password: str) -> str:
    return await asyncio.to_thread(HASHER.hash, password)


async def verify_password(stored: str, password: str) -> bool:
    try:
        return await asyncio.to_thread(HASHER.verify, stored, password)
    except VerificationError:
        return False


async def create_token(
    session: AsyncSession,
    key: SecretKey,
    user: User,
    name: str,
    scopes: list[str],
    *,
    expires_at: datetime | None = None,
) -> tuple[ApiToken, str]:
    """A new API token and, this once, its text."""
    name = name.strip()
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise InvalidInputError("A token's name is 1 to 200 printable characters")
    if expires_at is not None and expires_at <= utc_now():
        raise InvalidInputError("The token would have expired already")
    secret = credentials.new_secret()
    token = ApiToken(
        id=uuid7(),
        organization_id=user.organization_id,
        user_id=user.id,
        name=name,
        secret_hash=credentials.hash_secret(key, "token", secret),
        scopes=check_scopes(scopes),
        expires_at=expires_at,
    )
    session.add(token)
    await audit.record(session, user.organization_id, f"user:{user.id}", "token.created", target=f"token:{token.id}")
    return token, credentials.format_token(user.organization_id, token.id, secret)


async def list_tokens(session: AsyncSession, user_id: UUID) -> list[ApiToken]:
    query = select(ApiToken).where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None)).order_by(ApiToken.id)
    return list(await session.scalars(query))


async def revoke_token(session: AsyncSession, user_id: UUID, token_id: UUID) -> None:
    token = await session.get(ApiToken, token_id)
    if token is None or token.user_id != user_id or token.revoked_at is not None:
        raise NotFoundError(f"There is no token {token_id}")
    token.revoked_at = utc_now()
    await audit.record(session, token.organization_id, f"user:{user_id}", "token.revoked", target=f"token:{token_id}")
