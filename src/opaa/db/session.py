"""Sessions with tenant context: the only way to the tables.

Every transaction of a session first sets, for itself alone, which organization it works for and which principals it
acts as; row-level security reads both. Without them a session sees no row.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import URL, event, make_url, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction

from opaa.errors import DatabaseUnavailableError, InvalidInputError, SettingsError, StorageFullError

EVERYTHING = "*"
APPLICATION_ROLE = "opaa_app"
CONNECT_TIMEOUT_S = 5
# What text can hold and PostgreSQL cannot: refused by the driver, in a text, in JSON (PostgreSQL appendix A, class 22).
UNSTORABLE = {None, "22021", "22P05"}


@dataclass(frozen=True, slots=True)
class TenantContext:
    """Whose rows a session may touch: one organization's, and in it those whose ACL names one of the principals."""

    organization_id: UUID
    principals: tuple[str, ...]

    @classmethod
    def system(cls, organization_id: UUID) -> "TenantContext":
        """For jobs that work on a whole organization, such as indexing. Never for a person's request."""
        return cls(organization_id, (EVERYTHING,))


class TenantSession(Session):
    """The synchronous half of a session; holds the context for the event below."""


@event.listens_for(TenantSession, "after_begin")
def _set_context(session: TenantSession, transaction: SessionTransaction, connection: Connection) -> None:
    context: TenantContext | None = session.info.get("context")
    if context is None:
        return
    connection.execute(
        text("SELECT opaa_set_context(:organization_id, CAST(:principals AS text[]))"),
        {"organization_id": context.organization_id, "principals": list(context.principals)},
    )


class Database:
    """A pool of connections of the application's role."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 16,
        step_down: bool = False,
        statement_timeout_s: float = 30,
        audit_key: bytes = b"",
    ) -> None:
        """`step_down`: the URL's role owns the tables, so each connection becomes `opaa_app` first.

        `audit_key` authenticates what sessions write to the audit log.
        """
        self.url = url
        self.audit_key = audit_key
        self.step_down = step_down
        options = f"-c statement_timeout={int(statement_timeout_s * 1000)} -c timezone=UTC"
        if step_down:
            options += f" -c role={APPLICATION_ROLE}"
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            pool_pre_ping=False,
            connect_args={
                "options": options,
                "connect_timeout": CONNECT_TIMEOUT_S,
                "application_name": "opaa",
            },
        )

    @asynccontextmanager
    async def session(self, context: TenantContext | None) -> AsyncIterator[AsyncSession]:
        """A session in `context`. Nothing is committed unless the caller does; None sees no tenant's row.

        Raises DatabaseUnavailableError, StorageFullError.
        """
        session = AsyncSession(
            self.engine,
            sync_session_class=TenantSession,
            expire_on_commit=False,
            info={"context": context, "audit_key": self.audit_key},
        )
        try:
            async with session:
                yield session
        except (DBAPIError, PoolTimeoutError) as error:
            raise translate(error) from error

    @asynccontextmanager
    async def transaction(self, context: TenantContext | None) -> AsyncIterator[AsyncSession]:
        """A session whose one transaction is committed at the end of the block."""
        async with self.session(context) as session, session.begin():
            yield session

    async def require_safe_role(self) -> None:
        """Raise SettingsError when the application's role could step around row-level security."""
        async with self.session(None) as session:
            row = (
                await session.execute(
                    text(
                        "SELECT current_user, rolsuper, rolbypassrls, EXISTS (SELECT FROM pg_tables"
                        " WHERE schemaname = 'public' AND pg_has_role(current_user, tableowner, 'USAGE'))"
                        " FROM pg_roles WHERE rolname = current_user"
                    )
                )
            ).one()
        if row[1] or row[2] or row[3]:
            raise SettingsError(
                f"The database role {row[0]} can bypass row-level security; DATABASE_URL must name a role that is no "
                "superuser and owns no table (see DATABASE_OWNER_URL)"
            )

    async def close(self) -> None:
        await self.engine.dispose()


async def driver_connection(session: AsyncSession) -> psycopg.AsyncConnection[Any]:
    """The psycopg connection under a session, inside the session's transaction and context: for hot paths."""
    raw = await (await session.connection()).get_raw_connection()
    connection = raw.driver_connection
    if not isinstance(connection, psycopg.AsyncConnection):
        raise TypeError("the engine does not use psycopg")
    return connection


def sqlalchemy_url(url: str) -> URL:
    """The URL with the driver that OPAA uses. Raises SettingsError when it is malformed."""
    try:
        return make_url(url).set(drivername="postgresql+psycopg")
    except Exception as error:
        raise SettingsError("DATABASE_URL must look like postgresql://user:password@host:5432/database") from error


def translate(error: Exception) -> Exception:
    """The OPAA error for a driver's error where a caller can act on it; otherwise the error itself."""
    if isinstance(error, PoolTimeoutError):
        return DatabaseUnavailableError("Every database connection is busy; try again shortly")
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, psycopg.DataError) and cause.sqlstate in UNSTORABLE:
        return InvalidInputError("The text holds a character that cannot be stored, such as NUL")
    if isinstance(cause, psycopg.errors.DiskFull):
        return StorageFullError("The database's disk is full; nothing was stored")
    if isinstance(cause, psycopg.OperationalError) and not isinstance(cause, psycopg.errors.QueryCanceled):
        # Classes 08 connection, 57 operator intervention, 53 insufficient resources (PostgreSQL appendix A).
        unreachable = cause.sqlstate is None or cause.sqlstate[:2] in {"08", "57", "53"}
        if unreachable:
            lines = str(cause).strip().splitlines()
            return DatabaseUnavailableError(
                f"The database cannot be reached: {lines[0] if lines else 'no reason given'}"
            )
    return error
