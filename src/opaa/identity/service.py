"""Who somebody is: accounts, the identity behind a credential, log-in and sessions."""

import hashlib
import math
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.models import Workspace
from opaa.access.permissions import ADMIN, ADMINS, role_allows
from opaa.access.service import Access, access_of, principals
from opaa.audit import service as audit
from opaa.db.base import utc_now
from opaa.db.session import Database, TenantContext
from opaa.errors import AuthenticationError, ConflictError, InvalidInputError, NotFoundError, OpaaError
from opaa.identity import credentials, totp
from opaa.identity.credentials import SecretKey
from opaa.identity.logins import login_key, normal_login
from opaa.identity.models import PERSON, LoginAttempts, LoginSession, User
from opaa.identity.passwords import DUMMY_HASH, LONGEST_PASSWORD, check_password, hash_password, verify_password
from opaa.identity.sessions import end_sessions, outside, start_session

FREE_ATTEMPTS = 5
LONGEST_LOCK_S = 15 * 60
FORGET_ATTEMPTS_AFTER = timedelta(days=1)
SEEN_EVERY = timedelta(minutes=1)


class LockedError(OpaaError):
    """Too many wrong passwords; `retry_after_s` says when to try again."""

    code = "locked"
    status = 429

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too many wrong passwords; try again in {retry_after_s} seconds")
        self.retry_after_s = retry_after_s


class TotpRequiredError(AuthenticationError):
    """The password is right; the account also wants a code of its authenticator app."""

    code = "totp-required"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who makes a request, what that person may read, and by which credential."""

    organization_id: UUID
    user_id: UUID
    login: str
    display_name: str
    role: str
    access: Access
    must_change_password: bool = False
    session_id: UUID | None = None
    authenticated_at: datetime | None = None
    token_id: UUID | None = None
    scopes: tuple[str, ...] | None = None

    @property
    def workspaces(self) -> tuple[Workspace, ...]:
        return self.access.workspaces

    @property
    def context(self) -> TenantContext:
        return TenantContext(self.organization_id, principals(self.user_id, self.access))

    @property
    def actor(self) -> str:
        return f"user:{self.user_id}"

    def in_scope(self, operation: str) -> bool:
        """Whether the credential allows the operation, as far as it goes."""
        return self.scopes is None or operation in self.scopes

    def may(self, operation: str, workspace_id: UUID | None = None) -> bool:
        """Whether both the person's roles and the token's scopes allow the operation, in that workspace."""
        workspace_role = self.access.roles.get(workspace_id) if workspace_id else None
        return self.in_scope(operation) and role_allows(self.role, operation, workspace_role)

    def may_somewhere(self, operation: str) -> bool:
        # Owners and admins are admin in every workspace, also while there is none yet.
        roles = {ADMIN if self.role in ADMINS else None, *self.access.roles.values()}
        return self.in_scope(operation) and any(role_allows(self.role, operation, role) for role in roles)


async def create_user(
    session: AsyncSession,
    organization_id: UUID,
    login: str,
    password: str | None,
    *,
    role: str,
    display_name: str = "",
    kind: str = PERSON,
    email: str | None = None,
) -> User:
    """A new account. Raises InvalidInputError, or ConflictError when the login, or one that looks like it, is taken."""
    login = normal_login(login)
    user = User(
        organization_id=organization_id,
        kind=kind,
        login=login,
        login_key=login_key(login),
        display_name=" ".join(display_name.split())[:200] or login[:200],
        email=email,
        role=role,
        password_hash=await hash_password(password) if password else None,
    )
    session.add(user)
    try:
        async with session.begin_nested():
            await session.flush()
    except IntegrityError as error:
        raise ConflictError(f"There is already a user {login}, or one whose login looks like it") from error
    return user


async def first_admin(database: Database, organization_id: UUID) -> str | None:
    """Create the account `admin` when the organization has nobody yet, and return its generated password once."""
    async with database.transaction(outside(organization_id)) as session:
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
    async with database.session(outside(organization_id)) as session:
        user = await session.scalar(select(User).where(User.kind == PERSON).order_by(User.id).limit(1))
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
    return Identity(
        user.organization_id,
        user.id,
        user.login,
        user.display_name,
        user.role,
        await access_of(session, user.id, user.role),
        user.must_change_password,
    )


async def log_in(
    database: Database,
    key: SecretKey,
    organization_id: UUID,
    login: str,
    password: str,
    *,
    code: str | None = None,
    lifetime_s: int,
    user_agent: str,
    address: str,
) -> str:
    """Check a password, and a one-time code where the account has one, and return the value of a new session's cookie.

    Raises AuthenticationError (the same for an unknown login and a wrong password), TotpRequiredError or LockedError.
    """
    async with database.session(outside(organization_id)) as session:
        attempts = await _attempts(session, organization_id, login)
        now = utc_now()
        if attempts.locked_until and attempts.locked_until > now:
            raise LockedError(math.ceil((attempts.locked_until - now).total_seconds()))
        user = await session.scalar(select(User).where(func.lower(User.login) == login.strip().lower()))
        known = user is not None and user.password_hash is not None and user.disabled_at is None and user.kind == PERSON
        stored = user.password_hash if user and known and user.password_hash else DUMMY_HASH
        right = await verify_password(stored, password[: LONGEST_PASSWORD + 1]) and known
        if user is not None and right and user.totp_confirmed_at is not None:
            if not code:
                raise TotpRequiredError("Enter the code of your authenticator app")
            right = totp.accept(key, user, code, now)
        if user is None or not right:
            _count_failure(attempts, now)
            await audit.record(
                session,
                organization_id,
                f"user:{user.id}" if user else "anonymous",
                "login.failed",
                outcome="denied",
                private={"address": address},
            )
            await session.commit()
            raise AuthenticationError("The login, the password or the code is wrong")
        await session.delete(attempts)
        cookie = await start_session(
            session, key, user, method="password", lifetime_s=lifetime_s, user_agent=user_agent, address=address
        )
        await session.commit()
        return cookie


async def _attempts(session: AsyncSession, organization_id: UUID, login: str) -> LoginAttempts:
    """The row of a login, held until the transaction ends: guesses at the same login wait for each other."""
    now = utc_now()
    await session.execute(
        delete(LoginAttempts).where(
            LoginAttempts.updated_at < now - FORGET_ATTEMPTS_AFTER,
        )
    )
    digest = hashlib.sha256(login.strip().lower().encode("utf-8", "replace")).digest()
    values = {"organization_id": organization_id, "login_hash": digest, "failures": 0, "updated_at": now}
    await session.execute(insert(LoginAttempts).values(**values).on_conflict_do_nothing())
    return await session.get_one(LoginAttempts, (organization_id, digest), with_for_update=True, populate_existing=True)


def _count_failure(attempts: LoginAttempts, now: datetime) -> None:
    attempts.failures += 1
    attempts.updated_at = now
    if attempts.failures >= FREE_ATTEMPTS:
        wait_s = min(2 ** min(attempts.failures - FREE_ATTEMPTS, 20) * 5, LONGEST_LOCK_S)
        attempts.locked_until = now + timedelta(seconds=wait_s)


async def forget_attempts(session: AsyncSession, login: str) -> None:
    """Lift the lock of a login."""
    digest = hashlib.sha256(login.strip().lower().encode("utf-8", "replace")).digest()
    await session.execute(delete(LoginAttempts).where(LoginAttempts.login_hash == digest))


async def authenticate_session(database: Database, key: SecretKey, cookie: str) -> Identity:
    """The person behind a session cookie. Raises AuthenticationError."""
    credential = credentials.parse_session(cookie)
    if credential is None:
        raise AuthenticationError("Log in to go on")
    async with database.session(outside(credential.organization_id)) as session:
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
    return replace(identity, session_id=row.id, authenticated_at=row.created_at)


async def log_out(database: Database, identity: Identity) -> None:
    async with database.transaction(identity.context) as session:
        row = await session.get(LoginSession, identity.session_id) if identity.session_id else None
        if row is not None:
            await session.delete(row)
            await audit.record(session, identity.organization_id, identity.actor, "logout")


async def change_password(database: Database, identity: Identity, current: str, new: str) -> None:
    """Set a new password and end the person's other sessions. Wrong guesses count as those at log-in do."""
    check_password(new)
    async with database.session(identity.context) as session:
        attempts = await _attempts(session, identity.organization_id, identity.login)
        now = utc_now()
        if attempts.locked_until and attempts.locked_until > now:
            raise LockedError(math.ceil((attempts.locked_until - now).total_seconds()))
        user = await session.get_one(User, identity.user_id)
        if user.password_hash is None or not await verify_password(user.password_hash, current):
            _count_failure(attempts, now)
            await session.commit()
            raise AuthenticationError("The current password is wrong")
        await session.delete(attempts)
        user.password_hash = await hash_password(new)
        user.must_change_password = False
        await end_sessions(session, user, actor=identity.actor, keep=identity.session_id)
        await audit.record(session, identity.organization_id, identity.actor, "password.changed")
        await session.commit()


async def set_password(session: AsyncSession, user: User, password: str, *, actor: str = "system") -> None:
    """An administrator's reset: every session ends, and a lock is lifted."""
    check_password(password)
    if user.kind != PERSON:
        raise InvalidInputError(f"{user.login} is a service account and has no password")
    user.password_hash = await hash_password(password)
    await forget_attempts(session, user.login)
    await end_sessions(session, user, actor=actor)
    await audit.record(session, user.organization_id, actor, "password.reset", target=f"user:{user.id}")
