"""Row-level security is forced on every tenant table, and the application cannot step around it."""

import asyncio
from contextlib import suppress

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from opaa.db.base import uuid7
from opaa.db.embedded import Urls
from opaa.db.session import Database, TenantContext
from opaa.errors import SettingsError
from tests.conftest import Tenant, create_tenant

# Not a tenant's data: the queue (ids only) and the schema's own version.
UNSCOPED = {"alembic_version"}


async def tables(database: Database) -> list[str]:
    async with database.session(None) as session:
        rows = await session.execute(
            text(
                "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')"
            )
        )
        return [name for (name,) in rows if not name.startswith("procrastinate_") and name not in UNSCOPED]


@pytest.mark.req("SEC-7", "TEN-1")
async def test_every_tenant_table_forces_row_level_security_for_reading_and_writing(
    database: Database,
) -> None:
    async with database.session(None) as session:
        rows = await session.execute(
            text(
                "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity, c.relispartition,"
                " (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid AND p.polroles = '{0}')"
                " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')"
            )
        )
        checked = {
            name: (forced, is_partition, policies)
            for name, forced, is_partition, policies in rows
            if not name.startswith("procrastinate_") and name not in UNSCOPED
        }
    assert len(checked) > 20
    for name, (forced, is_partition, policies) in checked.items():
        assert forced, f"{name} does not force row-level security"
        assert policies == (0 if is_partition else 1), f"{name} has {policies} policies for everybody"


@pytest.mark.req("SEC-7")
async def test_without_context_no_table_shows_a_row(database: Database, tenant: Tenant) -> None:
    for table in await tables(database):
        async with database.session(None) as session:
            readable = await session.scalar(text(f"SELECT has_table_privilege('{table}', 'SELECT')"))
            if readable:
                assert await session.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table


@pytest.mark.req("SEC-7")
async def test_another_organization_sees_and_writes_nothing(database: Database, tenant: Tenant) -> None:
    stranger = TenantContext.system(uuid7())
    async with database.session(stranger) as session:
        assert await session.scalar(text("SELECT count(*) FROM workspaces")) == 0
        with pytest.raises(DBAPIError, match="row-level security"):
            await session.execute(
                text("INSERT INTO workspaces (id, organization_id, name) VALUES (:i, :o, 'Mine now')"),
                {"i": uuid7(), "o": tenant.organization_id},
            )


@pytest.mark.req("SEC-6")
async def test_only_principals_of_the_acl_read_and_only_the_system_writes_content(
    database: Database, tenant: Tenant
) -> None:
    insert = text(
        "INSERT INTO chunk_terms (organization_id, workspace_id, chunk_id, document_id, acl_id, length, term_ids,"
        " packed_ids, frequencies)"
        " VALUES (:o, :w, :c, :c, opaa_acl_id(:o, :w, ARRAY['group:a']), 1, '{1}', '\\x01000000', '\\x01')"
    )
    values = {"o": tenant.organization_id, "w": tenant.workspace_id, "c": uuid7()}
    here = f"workspace:{tenant.workspace_id}"
    async with database.transaction(tenant.system) as session:
        await session.execute(insert, values)
    for principals, expected in (
        ((here, "group:a"), 1),
        ((here, "group:b"), 0),
        ((here,), 0),
        (("group:a",), 0),  # named by the ACL, but not in the workspace
        ((f"workspace:{uuid7()}", "group:a"), 0),
        ((), 0),
        (("user:x", "group:a", here), 1),
    ):
        async with database.session(TenantContext(tenant.organization_id, principals)) as session:
            assert await session.scalar(text("SELECT count(*) FROM chunk_terms")) == expected, principals
    async with database.session(TenantContext(tenant.organization_id, (here, "group:a"))) as session:
        with pytest.raises(DBAPIError, match="row-level security"):
            await session.execute(insert, values)


async def test_context_lives_for_one_transaction_and_follows_into_the_next(database: Database, tenant: Tenant) -> None:
    async with database.session(tenant.system) as session:
        assert await session.scalar(text("SELECT count(*) FROM workspaces")) == 1
        await session.commit()
        assert await session.scalar(text("SELECT count(*) FROM workspaces")) == 1
        await session.rollback()
    for _ in range(10):  # every pooled connection
        async with database.session(None) as session:
            assert await session.scalar(text("SELECT current_setting('opaa.organization_id', true)")) in {
                "",
                None,
            }


async def test_the_application_owns_nothing_and_may_not_change_audit_rows(database: Database, tenant: Tenant) -> None:
    await database.require_safe_role()
    async with database.transaction(tenant.system) as session:
        await session.execute(
            text("INSERT INTO audit_log (organization_id, at, actor, action, mac) VALUES (:o, now(), 'a', 'b', '')"),
            {"o": tenant.organization_id},
        )
    for statement in ("UPDATE audit_log SET actor = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"):
        async with database.session(tenant.system) as session:
            with pytest.raises(DBAPIError, match="permission denied"):
                await session.execute(text(statement))


async def test_an_owner_without_stepping_down_is_refused(database_urls: object) -> None:
    owner = Database(database_urls.owner)  # type: ignore[attr-defined]
    with pytest.raises(SettingsError, match="can bypass row-level security"):
        await owner.require_safe_role()
    await owner.close()
    stepped = Database(database_urls.owner, step_down=True)  # type: ignore[attr-defined]
    await stepped.require_safe_role()
    await stepped.close()


@pytest.mark.req("SEC-7", "TEN-1")
async def test_references_between_tenant_tables_carry_the_organization(database: Database) -> None:
    """Foreign keys are checked without row-level security: one by id alone could point at another tenant's row."""
    async with database.session(None) as session:
        rows = await session.execute(
            text(
                "SELECT c.conrelid::regclass::text, c.confrelid::regclass::text, c.conname,"
                " ARRAY(SELECT attname::text FROM pg_attribute a"
                "  WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey))"
                " FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace"
            )
        )
        keys = [row for row in rows if not row[0].startswith("procrastinate_")]
    assert len(keys) > 25
    for table, target, name, columns in keys:
        assert "organization_id" in columns, f"{table} → {target} ({name}) by {columns}"


@pytest.mark.req("SEC-7")
async def test_nothing_steps_around_the_policies(database: Database) -> None:
    """No view, no materialized view, no role that bypasses row-level security, no policy for reading alone."""
    async with database.session(None) as session:
        views = await session.scalars(
            text("SELECT relname FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace")
        )
        assert list(views) == []
        roles = await session.scalars(
            text("SELECT rolname FROM pg_roles WHERE rolname LIKE 'opaa%' AND (rolsuper OR rolbypassrls)")
        )
        assert list(roles) == []
        halves = await session.execute(
            text("SELECT tablename, qual, with_check FROM pg_policies WHERE schemaname = 'public' AND cmd = 'ALL'")
        )
        for table, using, with_check in halves:
            if table not in {"conversations", "messages", "feedback"}:  # whose USING also checks what is written
                assert using and with_check, table
            assert "organization_id" in using or table == "organizations", table


class Boom(Exception):
    pass


@pytest.mark.req("SEC-7", "TEN-1")
@pytest.mark.parametrize("way", ["commit", "rollback", "exception", "database error", "cancelled", "timed out"])
async def test_a_connection_carries_nothing_from_one_tenant_to_the_next(database_urls: Urls, way: str) -> None:
    """One connection, two hostile tenants in turn, and a session without any, whatever happened to the one before."""
    database = Database(database_urls.application, pool_size=1, statement_timeout_s=1)
    one, two = await create_tenant(database), await create_tenant(database)

    async def use() -> None:
        async with database.session(one.system) as session:
            assert await session.scalar(text("SELECT count(*) FROM workspaces")) == 1
            if way == "commit":
                await session.commit()
            elif way == "exception":
                raise Boom
            elif way == "database error":
                await session.execute(text("SELECT 1 / 0"))
            elif way == "timed out":
                await session.execute(text("SELECT pg_sleep(30)"))
            elif way == "cancelled":
                await asyncio.sleep(30)
            else:
                await session.rollback()

    task = asyncio.create_task(use())
    if way == "cancelled":
        await asyncio.sleep(0.2)
        task.cancel()
    with suppress(Boom, DBAPIError, asyncio.CancelledError):
        await task
    async with database.session(None) as session:
        assert await session.scalar(text("SELECT count(*) FROM workspaces")) == 0
        assert await session.scalar(text("SELECT cardinality(opaa_acl_ids())")) == 0
        assert await session.scalar(text("SELECT cardinality(opaa_principals())")) == 0
    async with database.session(two.member) as session:
        assert list(await session.scalars(text("SELECT id FROM workspaces"))) == [two.workspace_id]
    await database.close()
