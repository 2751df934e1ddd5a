"""Taking away any one policy or predicate is noticed: each is removed in turn, and the comparison has to fail."""

import asyncio
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from opaa.access import acl as acl_module
from opaa.access import service as access_service
from opaa.answering import conversations
from opaa.db.embedded import Urls
from opaa.db.session import Database
from opaa.identity import service as identity_service
from opaa.retrieval import service as retrieval
from tests.integration.isolation.machine import Isolation
from tests.integration.isolation.world import World

EXAMPLES = 50
CONTENT = ("documents", "document_texts", "chunks", "chunk_embeddings", "chunk_terms", "attributes")
OWN = ("conversations", "messages", "feedback")


@dataclass(frozen=True)
class Mutation:
    """Something that keeps a secret, removed: in the database by `sql`, or in the code by `patch`."""

    name: str
    sql: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    patch: Any = None


def policy(table: str, condition: str, original: str) -> Mutation:
    return Mutation(
        f"{table}: {condition}",
        (f"ALTER POLICY tenant ON {table} USING ({condition})",),
        (f"ALTER POLICY tenant ON {table} USING ({original})",),
    )


ORGANIZATION = "organization_id = (SELECT opaa_organization_id())"
ACL = "((SELECT '*' = ANY (opaa_principals())) OR acl_id IN (SELECT unnest(opaa_acl_ids())))"
PERSON = "((SELECT '*' = ANY (opaa_principals())) OR 'user:' || user_id = ANY ((SELECT opaa_principals())::text[]))"


def patched(target: Any, name: str, value: Any) -> Any:
    @contextmanager
    def apply() -> Iterator[None]:
        before = getattr(target, name)
        setattr(target, name, value)
        try:
            yield
        finally:
            setattr(target, name, before)

    return apply


async def _nothing_withheld(session: Any, messages: Any) -> None:
    return None


async def _lost_membership(session: Any, user_id: Any, role: str, real: Any = access_service.access_of) -> Any:
    """Everybody is taken for an admin of every workspace."""
    return await real(session, user_id, "owner")


def mutations(business: list[str]) -> list[Mutation]:
    found = [policy(table, ACL, f"{ORGANIZATION} AND {ACL}") for table in CONTENT]
    found += [policy(table, PERSON, f"{ORGANIZATION} AND {PERSON}") for table in OWN]
    found += [policy(table, ORGANIZATION, f"{ORGANIZATION} AND {ACL}") for table in CONTENT]
    found += [policy(table, ORGANIZATION, f"{ORGANIZATION} AND {PERSON}") for table in OWN]
    found += [policy(table, "true", ORGANIZATION) for table in business]
    found.append(policy("organizations", "true", "id = (SELECT opaa_organization_id())"))
    found += [
        Mutation(
            "re-check of retrieval: ACL",
            patch=patched(retrieval, "_RECHECK", re.sub(r"AND \(:everything.*?\)\)\)", "", _RECHECK, flags=re.S)),
        ),
        Mutation("history: answers are not withheld", patch=patched(conversations, "_withhold", _nothing_withheld)),
        Mutation("membership is not asked for", patch=patched(identity_service, "access_of", _lost_membership)),
        Mutation("tag rules are ignored", patch=patched(acl_module, "normal_tags", lambda tags: [])),
    ]
    return found


_RECHECK = retrieval._RECHECK


def function_without(urls: Urls, name: str, pattern: str) -> Mutation:
    with psycopg.connect(urls.owner) as connection:
        row = connection.execute("SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = %s", (name,)).fetchone()
    assert row is not None
    changed = re.sub(pattern, "", row[0], flags=re.S)
    assert changed != row[0]
    return Mutation(f"{name}: {pattern}", (changed,), (row[0],))


FUNCTIONS = [
    ("opaa_lexical_candidates", r"AND \(\(SELECT '\*'.*?opaa_acl_ids\(\)\)\)\)"),
    ("opaa_set_context", r"AND m\.workspace_id = ANY \(ARRAY\(.*?'workspace:'\)\)\)"),
]


def business_tables(urls: Urls) -> list[str]:
    """Every table whose policy asks for the organization alone, from the catalogue."""
    with psycopg.connect(urls.owner) as connection:
        rows = connection.execute("SELECT tablename FROM pg_policies WHERE schemaname = 'public'").fetchall()
    tables = {str(row[0]) for row in rows}
    partitions = {table for table in tables if any(table.startswith(f"{each}_") for each in CONTENT)}
    return sorted(tables - {*CONTENT, *OWN, "organizations"} - partitions)


def survives(urls: Urls, folder: Path, mutation: Mutation) -> bool:
    """Whether the comparison finds nothing with the mutation in force."""
    patch: AbstractContextManager[None] = mutation.patch() if mutation.patch else nullcontext()
    with psycopg.connect(urls.owner, autocommit=True) as owner, asyncio.Runner() as runner, patch:
        for statement in mutation.sql:
            owner.execute(statement)  # type: ignore[arg-type]
        database = Database(urls.application, pool_size=2)
        world = World(database, folder)
        try:
            runner.run(world.open())
            Isolation.world, Isolation.runner = world, runner
            seed(7)(Isolation)
            run_state_machine_as_test(
                Isolation,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=8,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except BaseException as problem:
            if isinstance(problem, KeyboardInterrupt):
                raise
            return False
        else:
            return True
        finally:
            for statement in mutation.undo:
                owner.execute(statement)  # type: ignore[arg-type]
            runner.run(world.close())
            runner.run(database.close())


@pytest.mark.slow
@pytest.mark.timeout(0)
@pytest.mark.req("SEC-6", "SEC-7")
def test_every_policy_and_predicate_is_missed_when_it_is_gone(database_urls: Urls, tmp_path: Path) -> None:
    tried = mutations(business_tables(database_urls)) + [function_without(database_urls, *each) for each in FUNCTIONS]
    survivors = []
    for mutation in tried:
        alive = survives(database_urls, tmp_path, mutation)
        print(f"{'SURVIVED' if alive else 'noticed ':8} {mutation.name}")
        if alive:
            survivors.append(mutation.name)
    assert not survivors
