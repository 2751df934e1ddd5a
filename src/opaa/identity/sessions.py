"""Sessions: where people are logged in, and how that ends. They are rows here; the browser has only a name for one."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.audit import service as audit
from opaa.db.base import utc_now, uuid7
from opaa.db.session import Database, TenantContext
from opaa.errors import AuthenticationError, NotFoundError
from opaa.identity import credentials
from opaa.identity.credentials import SecretKey
from opaa.identity.external import SignOnError
from opaa.identity.flows import use_once
from opaa.identity.models import PERSON, LoginSession, User


def outside(organization_id: UUID) -> TenantContext:
    """The organization without anybody's principals: what may be read before anybody is known."""
    return TenantContext(organization_id, ())


async def start_session(
    session: AsyncSession,
    key: SecretKey,
    user: User,
    *,
    method: str,
    lifetime_s: int,
    user_agent: str,
    address: str,
    issuer: str | None = None,
    subject: str | None = None,
    provider_session: str | None = None,
) -> str:
    """A new session of a person, always with a new id; returns the cookie's value. The caller commits.

    Raises AuthenticationError for an account that is disabled or cannot log in.
    """
    if user.disabled_at is not None or user.kind != PERSON:
        raise AuthenticationError("This account cannot log in")
    now = utc_now()
    user.last_login_at = now
    secret = credentials.new_secret()
    row = LoginSession(
        id=uuid7(),
        organization_id=user.organization_id,
        user_id=user.id,
        secret_hash=credentials.hash_secret(key, "session", secret),
        user_agent=user_agent[:400],
        address=address[:100],
        method=method,
        issuer=issuer,
        subject=subject,
        provider_session=provider_session,
        expires_at=now + timedelta(seconds=lifetime_s),
    )
    session.add(row)
    await audit.record(
        session,
        user.organization_id,
        f"user:{user.id}",
        "login",
        details={"method": method},
        private={"address": address, "user_agent": user_agent[:400]},
    )
    return credentials.format_session(user.organization_id, row.id, secret)


async def list_sessions(session: AsyncSession, user_id: UUID) -> list[LoginSession]:
    """Where a person is logged in, the last seen first."""
    query = select(LoginSession).where(LoginSession.user_id == user_id, LoginSession.expires_at > utc_now())
    return list(await session.scalars(query.order_by(LoginSession.last_seen_at.desc(), LoginSession.id)))


async def end_session(session: AsyncSession, user_id: UUID, session_id: UUID, *, actor: str) -> None:
    """Raises NotFoundError for a session that is not the person's."""
    row = await session.get(LoginSession, session_id)
    if row is None or row.user_id != user_id:
        raise NotFoundError(f"There is no session {session_id}")
    await session.delete(row)
    await audit.record(
        session, row.organization_id, actor, "session.ended", target=f"user:{user_id}", details={"sessions": 1}
    )


async def end_sessions(session: AsyncSession, user: User, *, actor: str, keep: UUID | None = None) -> int:
    """End every session of a person, but for `keep`; how many."""
    doomed = delete(LoginSession).where(LoginSession.user_id == user.id)
    if keep is not None:
        doomed = doomed.where(LoginSession.id != keep)
    ended = len(list(await session.scalars(doomed.returning(LoginSession.id))))
    if ended:
        await audit.record(
            session,
            user.organization_id,
            actor,
            "session.ended",
            target=f"user:{user.id}",
            details={"sessions": ended},
        )
    return ended


async def end_provider_sessions(
    database: Database,
    organization_id: UUID,
    provider: str,
    issuer: str,
    *,
    subject: str | None,
    provider_session: str | None,
    token_id: str,
    remember_until: datetime,
) -> int:
    """End the sessions that an identity provider has ended: one of its sessions, or all of a subject's; how many.

    Raises SignOnError for a logout token that was used before.
    """
    doomed = delete(LoginSession).where(LoginSession.issuer == issuer, LoginSession.method == provider)
    if provider_session is not None:
        doomed = doomed.where(LoginSession.provider_session == provider_session)
    if subject is not None:
        doomed = doomed.where(LoginSession.subject == subject)
    async with database.transaction(outside(organization_id)) as session:
        if not await use_once(session, organization_id, f"logout {issuer} {token_id}", remember_until):
            raise SignOnError("expired", "the logout token was used already")
        people = list(await session.scalars(doomed.returning(LoginSession.user_id)))
        for user_id in sorted(set(people)):
            await audit.record(
                session,
                organization_id,
                f"provider:{provider}",
                "session.ended",
                target=f"user:{user_id}",
                details={"sessions": people.count(user_id)},
            )
    return len(people)
