"""The audit log: written with what it describes, sealed without anybody waiting, and every change of it is found."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from opaa.audit import chain, service
from opaa.audit.chain import Anchor, Filters
from opaa.audit.export import export, safe_cell
from opaa.db.embedded import Urls
from opaa.db.session import Database
from opaa.errors import InvalidInputError
from tests.conftest import Tenant, create_tenant

KEY = b"k" * 32
KEY_NAME = "organization_id_audit_id_fkey"
ROWS = 12


@pytest.fixture
async def audited(database_urls: Urls) -> AsyncIterator[Database]:
    database = Database(database_urls.application, pool_size=8, audit_key=KEY)
    yield database
    await database.close()


async def write(database: Database, tenant: Tenant, rows: int = ROWS, **values: Any) -> None:
    async with database.transaction(tenant.system) as session:
        for number in range(rows):
            await service.record(
                session, tenant.organization_id, "user:a", "document.read", target=f"document:{number}", **values
            )


async def sealed(database: Database, tenant: Tenant, rows: int = ROWS) -> Anchor:
    await write(database, tenant, rows, private={"address": "192.0.2.1"}, details={"n": 1})
    anchor = await chain.seal(database, tenant.organization_id)
    assert anchor is not None
    return anchor


async def kinds(database: Database, tenant: Tenant, anchors: list[Anchor] | None = None) -> set[str]:
    found = await chain.verify(database, tenant.organization_id, anchors or [])
    return {problem.kind for problem in found.problems}


def tamper(urls: Urls, tenant: Tenant, *statements: str) -> None:
    """As the owner of the tables, without row-level security and foreign keys: the strongest hand in the database."""
    followers = ("audit_chain", "audit_private", "audit_pending")
    with psycopg.connect(urls.owner) as connection:
        for table in ("audit_log", *followers):
            connection.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")  # type: ignore[arg-type]
        for table in followers:
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_{KEY_NAME}")  # type: ignore[arg-type]
        for statement in statements:
            connection.execute(statement, {"o": tenant.organization_id})  # type: ignore[arg-type]
        for table in followers:
            connection.execute(  # type: ignore[call-overload]
                f"ALTER TABLE {table} ADD CONSTRAINT {table}_{KEY_NAME} FOREIGN KEY (organization_id, audit_id)"
                " REFERENCES audit_log (organization_id, id) NOT VALID"
            )
        for table in ("audit_log", *followers):
            connection.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")  # type: ignore[arg-type]


OWN = "organization_id = %(o)s"
NTH = f"(SELECT audit_id FROM audit_chain WHERE {OWN} AND sequence = 5)"
TAMPERS = {
    "edited row": ([f"UPDATE audit_log SET actor = 'user:b' WHERE id = {NTH}"], "edited"),
    "edited details": ([f"""UPDATE audit_log SET details = '{{"n": 2}}' WHERE id = {NTH}"""], "edited"),
    "edited time": ([f"UPDATE audit_log SET at = at - interval '1 hour' WHERE id = {NTH}"], "edited"),
    "edited personal data": ([f"UPDATE audit_private SET data = '{{}}' WHERE audit_id = {NTH}"], "private"),
    "deleted row": ([f"DELETE FROM audit_log WHERE id = {NTH}"], "deleted"),
    "deleted row with its link": (
        [f"DELETE FROM audit_log WHERE id = {NTH}", f"DELETE FROM audit_chain WHERE {OWN} AND sequence = 5"],
        "gap",
    ),
    "inserted row": (
        ["INSERT INTO audit_log (organization_id, at, actor, action, mac) VALUES (%(o)s, now(), 'x', 'y', '')"],
        "inserted",
    ),
    "inserted row that waits": (
        ["WITH w AS (INSERT INTO audit_log (organization_id, at, actor, action, mac)"
         " VALUES (%(o)s, now(), 'x', 'y', '') RETURNING id)"
         " INSERT INTO audit_pending (audit_id, organization_id) SELECT id, %(o)s FROM w"],
        "edited",
    ),
    "swapped rows": (
        [f"UPDATE audit_chain SET audit_id = -audit_id WHERE {OWN} AND sequence IN (4, 5)",
         f"UPDATE audit_chain c SET audit_id = -(SELECT audit_id FROM audit_chain d WHERE d.{OWN} AND d.sequence"
         f" = 9 - c.sequence) WHERE {OWN} AND sequence = 4",
         f"UPDATE audit_chain SET audit_id = (SELECT min(id) + 3 FROM audit_log WHERE {OWN})"
         f" WHERE {OWN} AND sequence = 5"],
        "hash",
    ),
    "truncated within a batch": ([f"DELETE FROM audit_chain WHERE {OWN} AND sequence > 7"], "truncated"),
    "truncated to nothing": (
        [f"DELETE FROM audit_chain WHERE {OWN}", f"DELETE FROM audit_log WHERE {OWN}"],
        "truncated",
    ),
}  # fmt: skip


@pytest.mark.req("SEC-8")
@pytest.mark.parametrize("name", TAMPERS)
async def test_every_way_to_tamper_is_found(audited: Database, database_urls: Urls, name: str) -> None:
    tenant = await create_tenant(audited)
    anchor = await sealed(audited, tenant)
    assert await kinds(audited, tenant, [anchor]) == set()
    statements, expected = TAMPERS[name]
    tamper(database_urls, tenant, *statements)
    assert expected in await kinds(audited, tenant, [anchor])


@pytest.mark.req("SEC-8")
async def test_a_chain_made_anew_does_not_fit_its_seals_nor_its_anchors(audited: Database, database_urls: Urls) -> None:
    """Somebody with the database, but without the key, writes every hash again after a change."""
    tenant = await create_tenant(audited)
    anchor = await sealed(audited, tenant)
    tamper(database_urls, tenant, f"DELETE FROM audit_chain WHERE {OWN}",
           "INSERT INTO audit_pending (audit_id, organization_id)"
           f" SELECT id, organization_id FROM audit_log WHERE {OWN}",
           f"UPDATE audit_log SET actor = 'user:b' WHERE id = (SELECT min(id) FROM audit_log WHERE {OWN})")  # fmt: skip
    stranger = Database(database_urls.application, audit_key=b"another key")
    assert await chain.seal(stranger, tenant.organization_id)
    await stranger.close()
    assert await kinds(audited, tenant, [anchor]) >= {"edited", "seal", "anchor"}


@pytest.mark.req("SEC-8")
async def test_a_cut_at_the_end_of_a_batch_is_found_by_the_anchor(
    audited: Database, database_urls: Urls, tmp_path: Path
) -> None:
    tenant = await create_tenant(audited)
    for _ in range(3):
        chain.write_anchor(tmp_path, await sealed(audited, tenant), KEY)
    path = chain.anchor_file(tmp_path, tenant.organization_id)
    anchors = chain.read_anchors(path, tenant.organization_id, KEY)
    assert [anchor.sequence for anchor in anchors] == [ROWS, 2 * ROWS, 3 * ROWS]
    doomed = f"(SELECT audit_id FROM audit_chain WHERE {OWN} AND sequence > {2 * ROWS})"
    tamper(database_urls, tenant, f"DELETE FROM audit_private WHERE audit_id IN {doomed}",
           f"DELETE FROM audit_log WHERE id IN {doomed}",
           f"DELETE FROM audit_chain WHERE {OWN} AND sequence > {2 * ROWS}")  # fmt: skip
    assert await kinds(audited, tenant) == set(), "without an anchor, a cut between seals cannot be seen"
    assert await kinds(audited, tenant, anchors) == {"truncated"}
    lines = path.read_text().splitlines()
    entry = json.loads(lines[-1])
    path.write_text("\n".join([*lines[:-1], json.dumps({**entry, "sequence": 2 * ROWS})]))
    with pytest.raises(InvalidInputError, match="line 3: the anchor's seal does not fit"):
        chain.read_anchors(path, tenant.organization_id, KEY)


@pytest.mark.req("SEC-8")
async def test_rows_of_another_tenant_do_not_fit_into_a_chain(audited: Database, database_urls: Urls) -> None:
    tenant, other = await create_tenant(audited), await create_tenant(audited)
    await sealed(audited, tenant)
    await sealed(audited, other)
    tamper(database_urls, tenant, f"DELETE FROM audit_chain WHERE {OWN} AND sequence = 5",
           "UPDATE audit_chain SET organization_id = %(o)s WHERE organization_id ="  # type: ignore[operator]
           f" '{other.organization_id}' AND sequence = 5")  # fmt: skip
    assert {"deleted", "inserted"} & await kinds(audited, tenant)


@pytest.mark.req("SEC-8")
async def test_a_thousand_random_changes_are_all_found(audited: Database, database_urls: Urls) -> None:
    """In memory, on the rows of a real chain: any bit of any column, any row left out, doubled or moved."""
    tenant = await create_tenant(audited)
    await sealed(audited, tenant, 40)
    dice = random.Random(3)
    async with audited.session(tenant.system) as session:
        rows = [row async for row in chain._pages(session, tenant.organization_id)]

    def intact(candidate: list[Any]) -> bool:
        previous = chain.START
        for position, row in enumerate(candidate, 1):
            if row["sequence"] != position:
                return False
            values = type("Row", (), row)
            if chain._row_problems(values, KEY, tenant.organization_id):
                return False
            if chain.chain_hash(previous, values) != bytes(row["hash"]):
                return False
            previous = bytes(row["hash"])
        end = candidate[-1]
        expected = chain.seal_of(KEY, tenant.organization_id, end["sequence"], bytes(end["hash"]))
        return end["seal"] is not None and bytes(end["seal"]) == expected

    whole = [dict(row._mapping) for row in rows]
    assert intact(whole)
    for _ in range(1000):
        changed = [dict(row) for row in whole]
        match dice.randrange(4):
            case 0:
                row = changed[dice.randrange(40)]
                name = dice.choice(["actor", "action", "target", "outcome", "mac", "hash", "private_hash", "salt"])
                value = row[name]
                if isinstance(value, str):
                    row[name] = value + "x"
                else:
                    data = bytearray(value)
                    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
                    row[name] = bytes(data)
            case 1:
                del changed[dice.randrange(40)]
            case 2:
                changed.insert(dice.randrange(40), dict(changed[dice.randrange(40)]))
            case 3:
                one, two = dice.sample(range(40), 2)
                for name in ("id", "at", "actor", "target", "mac", "private_hash", "salt", "data"):
                    changed[one][name], changed[two][name] = changed[two][name], changed[one][name]
        assert not intact(changed)


@pytest.mark.req("SEC-8")
async def test_writers_wait_neither_for_each_other_nor_for_the_seal(audited: Database, tenant: Tenant) -> None:
    await write(audited, tenant)
    async with audited.transaction(tenant.system) as open_session:
        await service.record(open_session, tenant.organization_id, "user:a", "slow")
        async with asyncio.timeout(20):
            await asyncio.gather(*(write(audited, tenant, 3) for _ in range(6)))
            assert await chain.seal(audited, tenant.organization_id)
            assert await kinds(audited, tenant) == set()
    # The slow one was first and is sealed last; nothing is missed.
    anchor = await chain.seal(audited, tenant.organization_id)
    assert anchor is not None
    assert anchor.sequence == ROWS + 6 * 3 + 1
    assert await kinds(audited, tenant, [anchor]) == set()


@pytest.mark.req("SEC-8")
async def test_the_application_can_neither_change_nor_remove_what_it_wrote(audited: Database, tenant: Tenant) -> None:
    await sealed(audited, tenant)
    for statement in (
        "UPDATE audit_log SET actor = 'x'",
        "DELETE FROM audit_log",
        "UPDATE audit_chain SET hash = ''",
        "DELETE FROM audit_chain",
        "UPDATE audit_private SET data = '{}'",
        "DELETE FROM permission_events",
        "UPDATE permission_events SET value = NULL",
    ):
        async with audited.session(tenant.system) as session:
            with pytest.raises(DBAPIError, match="permission denied"):
                await session.execute(text(statement))


@pytest.mark.req("SEC-8")
async def test_what_was_rolled_back_was_not_audited_and_erasing_personal_data_keeps_the_chain(
    audited: Database, tenant: Tenant
) -> None:
    async with audited.session(tenant.system) as session:
        await service.record(session, tenant.organization_id, "user:a", "never")
        await session.rollback()
    anchor = await sealed(audited, tenant)
    assert anchor.sequence == ROWS
    async with audited.transaction(tenant.system) as session:
        await session.execute(text("DELETE FROM audit_private"))
    assert await kinds(audited, tenant, [anchor]) == set()


@pytest.mark.req("SEC-8")
async def test_filters_and_exports_that_no_spreadsheet_runs(audited: Database, tenant: Tenant) -> None:
    await write(audited, tenant, 3)
    async with audited.transaction(tenant.system) as session:
        await service.record(session, tenant.organization_id, "=cmd|' /C calc'!A0", "user.changed\r\n=1+1")
    wanted = Filters(action="user.*")
    lines = "".join([piece async for piece in export(audited, tenant.system, wanted, "jsonl")]).splitlines()
    assert [json.loads(line)["actor"] for line in lines] == ["=cmd|' /C calc'!A0"]
    table = "".join([piece async for piece in export(audited, tenant.system, Filters(), "csv")])
    assert "'=cmd" in table
    assert '\n=1+1"' in table  # inside its quotes: still one cell
    assert table.count("\r\n") == 1 + 4 + 1
    for start in ("=1", "+1", "-1", "@x", "\tx", "\rx"):
        assert safe_cell(start) == f"'{start}"
    async with audited.session(tenant.system) as session:
        assert len(await chain.entries(session, Filters(target="document:1"))) == 1
        assert len(await chain.entries(session, Filters(target="document:*"), limit=2)) == 2
        assert await chain.entries(session, Filters(action="document%")) == []
