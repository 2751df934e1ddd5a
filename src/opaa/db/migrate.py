"""Brings a database's schema to this version, as the role that owns it."""

from pathlib import Path

import psycopg
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from opaa.db.session import APPLICATION_ROLE, CONNECT_TIMEOUT_S, sqlalchemy_url, translate
from opaa.errors import OpaaError, SettingsError

LOCK_ID = 0x4F504141  # "OPAA": one migration at a time
LEAST_POSTGRESQL = 160000
MIGRATIONS = Path(__file__).parent / "migrations"
ROLES = (APPLICATION_ROLE, "opaa_lexical", "opaa_directory")


def upgrade(owner_url: str, application_url: str | None = None) -> str:
    """Migrate to the newest revision and return it; `application_url`'s role gets the application's rights.

    Raises SettingsError when the server or the role does not serve, DatabaseUnavailableError when it is away.
    """
    # Alembic is loaded only where a schema is changed: it costs every process time and memory.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    configuration.set_main_option("path_separator", "os")
    engine = create_engine(
        sqlalchemy_url(owner_url), poolclass=NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_S}
    )
    try:
        with engine.connect() as connection:
            connection.execute(text(f"SELECT pg_advisory_lock({LOCK_ID})"))
            connection.commit()
            _require_server(connection)
            _create_roles(connection, application_url)
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")
            connection.commit()
            return head()
    except CommandError as error:
        raise SettingsError(
            f"The database was migrated by another version of OPAA ({error}); install that version or restore a backup"
        ) from error
    except DBAPIError as error:
        translated = translate(error)
        if isinstance(translated, OpaaError):
            raise translated from error
        raise SettingsError(f"The database cannot be migrated: {str(error.orig).strip().splitlines()[0]}") from error
    finally:
        engine.dispose()


def current(url: str) -> str | None:
    """The revision that the database is at; None when it was never migrated."""
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool, connect_args={"connect_timeout": CONNECT_TIMEOUT_S})
    try:
        with engine.connect() as connection:
            if connection.scalar(text("SELECT to_regclass('public.alembic_version')")) is None:
                return None
            revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return revision
    except DBAPIError as error:
        raise translate(error) from error
    finally:
        engine.dispose()


def head() -> str:
    """The revision that this version needs: the newest file's number (revisions are numbered and never branch)."""
    revisions = sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))
    if not revisions:
        raise SettingsError("This installation holds no migrations")
    return revisions[-1]


def _require_server(connection: Connection) -> None:
    version = int(str(connection.execute(text("SHOW server_version_num")).scalar_one()))
    if version < LEAST_POSTGRESQL:
        raise SettingsError(f"PostgreSQL 16 or newer is needed; this server is {version // 10000}")
    available = connection.execute(
        text("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")
    ).scalar_one_or_none()
    if available is None:
        raise SettingsError("The extension pgvector is not installed on this PostgreSQL server (version 0.8 or newer)")
    try:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        connection.commit()
    except DBAPIError as error:
        raise SettingsError("A superuser must run CREATE EXTENSION vector in this database once") from error


def _create_roles(connection: Connection, application_url: str | None) -> None:
    """The roles that own nothing (`opaa_app`) or one function each; made when missing."""
    present = set(connection.execute(text("SELECT rolname FROM pg_roles")).scalars())
    try:
        for role in ROLES:
            if role not in present:
                connection.execute(text(f"CREATE ROLE {role} NOLOGIN NOBYPASSRLS"))
            member = connection.execute(
                text(
                    "SELECT rolsuper OR pg_has_role(current_user, :role, 'SET') FROM pg_roles"
                    " WHERE rolname = current_user"
                ),
                {"role": role},
            ).scalar_one()
            if not member:
                connection.execute(text(f"GRANT {role} TO CURRENT_USER"))
        login = sqlalchemy_url(application_url).username if application_url else None
        owner = connection.execute(text("SELECT current_user")).scalar_one()
        if login and login not in {owner, APPLICATION_ROLE}:
            quoted = connection.dialect.identifier_preparer.quote(login)
            connection.execute(text(f"GRANT {APPLICATION_ROLE} TO {quoted}"))
        connection.commit()
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.InsufficientPrivilege):
            raise
        missing = "; ".join(f"CREATE ROLE {role} NOLOGIN; GRANT {role} TO <owner> WITH ADMIN OPTION" for role in ROLES)
        raise SettingsError(f"The owner's role may not create roles; a superuser must run: {missing}") from error
