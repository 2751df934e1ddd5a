"""Lexical candidates and scores, in a real PostgreSQL, against plain Python and against the policies."""

import math
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from opaa.access.acl import acl_id
from opaa.db.base import uuid7
from opaa.db.session import Database, TenantContext
from opaa.retrieval.analysis import analyze_chunk, analyze_question
from opaa.vectors.pgvector import MAX_LEXICAL_CANDIDATES, PgVectorStore
from opaa.vectors.port import Candidate, ChunkEntry, IndexScope, Range
from tests.conftest import Tenant, create_tenant

STORE = PgVectorStore()
GENERATION = 1
DIMENSION = 8
CORPUS = [
    "The pressure transmitter Fathom 250 costs 412 euros and measures up to 250 bar.",
    "Calibration of temperature loggers takes nine hours in the climate chamber.",
    "Error E-4711 means that the certificate has expired; follow the runbook.",
    "Der Urlaub verfällt am 31. März des Folgejahres, wenn niemand ihn nimmt.",
    "Die Reisekostenabrechnung wird innerhalb von vier Wochen eingereicht.",
    "Pressure, pressure and pressure again: the pressure of the release was felt by everybody in the team.",
    "The office in Leeds moves in February to Aire Park; the keys are handed out at the desk.",
    "Version 2.4.1 of the firmware fixes the clock; version 2.4.10 fixes the radio.",
    "Listenpreis: 1.250,50 EUR je Stück, ab zehn Stück 1.100,00 EUR.",
]


async def write(
    database: Database, tenant: Tenant, texts: Sequence[str], acls: Sequence[Sequence[str]] | None = None
) -> list[UUID]:
    """Index each text as a document of one chunk; the chunks' ids."""
    entries = []
    async with database.transaction(tenant.system) as session:
        acl_ids = [
            await acl_id(
                session,
                tenant.organization_id,
                tenant.workspace_id,
                acls[number] if acls else [f"workspace:{tenant.workspace_id}"],
            )
            for number in range(len(texts))
        ]
    for number, content in enumerate(texts):
        vector = np.zeros(DIMENSION, np.float32)
        vector[number % DIMENSION] = 1
        entries.append(ChunkEntry(uuid7(), uuid7(), acl_ids[number], bytes(16), vector, analyze_chunk(content)))
    scope = IndexScope(tenant.organization_id, tenant.workspace_id, GENERATION)
    async with database.transaction(tenant.system) as session:
        await STORE.write(session, scope, entries)
        await STORE.maintain(session, scope, DIMENSION)
    return [entry.chunk_id for entry in entries]


async def lexical(database: Database, context: TenantContext, tenant: Tenant, question: str) -> list[Candidate]:
    concepts = analyze_question(question).concepts
    async with database.session(context) as session:
        return await STORE.lexical(session, concepts, Range([tenant.workspace_id]), 100)


def reference(question: str, texts: Sequence[str]) -> dict[int, float]:
    """BM25F times the matched share of the idf mass, worked out from nothing but the analysed terms."""
    chunks = [analyze_chunk(content) for content in texts]
    counts = [dict(zip(chunk.term_ids.tolist(), chunk.frequencies.tolist(), strict=True)) for chunk in chunks]
    document_frequency = Counter(term for each in counts for term in each)
    mean = sum(chunk.length for chunk in chunks) / len(chunks)
    concepts = [
        (concept, max(document_frequency[term] for term in concept.term_ids))
        for concept in analyze_question(question).concepts
    ]
    scores = {}
    masses = [
        concept.weight * math.log(1 + (len(texts) - frequency + 0.5) / (frequency + 0.5))
        for concept, frequency in concepts
    ]
    for number, (chunk, frequencies) in enumerate(zip(chunks, counts, strict=True)):
        score = matched = 0.0
        for (concept, _), mass in zip(concepts, masses, strict=True):
            best = max(frequencies.get(term, 0) for term in concept.term_ids)
            if best:
                score += mass * best * 2.2 / (best + 1.2 * (0.25 + 0.75 * chunk.length / mean))
                matched += mass
        if score:
            scores[number] = score * matched / sum(masses)
    return scores


@pytest.mark.req("RAG-1", "VEC-1")
@pytest.mark.parametrize(
    "question",
    ["pressure transmitter price", "Wann verfällt der Urlaub?", "certificate expired", "firmware clock radio"],
)
async def test_scores_equal_the_formula(database: Database, tenant: Tenant, question: str) -> None:
    ids = await write(database, tenant, CORPUS)
    found = await lexical(database, tenant.member, tenant, question)
    expected = reference(question, CORPUS)
    exact = {ids.index(candidate.chunk_id): candidate.score for candidate in found}
    for number, score in expected.items():
        assert exact[number] == pytest.approx(score, rel=0.02), CORPUS[number]
    assert max(exact, key=exact.__getitem__) == max(expected, key=expected.__getitem__)


@pytest.mark.req("RAG-1", "RAG-7")
@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("E-4711", 2),
        ("e4711", 2),
        ("2.4.10", 7),
        ("1,250.50 EUR", 8),
        ("calibraton of logers", 1),  # misspelt
        ("presure transmiter", 0),
        ("URLAUB", 3),
        ("Urlaube verfallen", 3),  # inflected
    ],
)
async def test_identifiers_numbers_misspelt_and_inflected_words_are_found(
    database: Database, tenant: Tenant, question: str, best: int
) -> None:
    ids = await write(database, tenant, CORPUS)
    found = await lexical(database, tenant.member, tenant, question)
    assert found
    assert ids.index(found[0].chunk_id) == best


@pytest.mark.parametrize("question", ["", "the of and", "?!", "😀", "x", "' OR 1=1 --", "%_\\", "a" * 100_000])
async def test_odd_questions_find_something_or_nothing_but_never_fail(
    database: Database, tenant: Tenant, question: str
) -> None:
    await write(database, tenant, CORPUS)
    await lexical(database, tenant.member, tenant, question)


async def test_words_in_every_chunk_are_answered_from_a_bounded_number_of_candidates(
    database: Database, tenant: Tenant
) -> None:
    texts = [f"standard report about topic {number % 7} for customers" for number in range(2 * MAX_LEXICAL_CANDIDATES)]
    await write(database, tenant, texts)
    concepts = analyze_question("standard report customers").concepts
    async with database.session(tenant.member) as session:
        found = await STORE.lexical(session, concepts, Range([tenant.workspace_id]), 10_000)
    assert 100 <= len(found) <= 2 * MAX_LEXICAL_CANDIDATES


async def test_statistics_follow_deletions(database: Database, tenant: Tenant) -> None:
    ids = await write(database, tenant, CORPUS)
    async with database.transaction(tenant.system) as session:
        documents = list(
            await session.scalars(text("SELECT document_id FROM chunk_terms WHERE chunk_id = :id"), {"id": ids[2]})
        )
        await STORE.delete(session, tenant.workspace_id, documents)
        await STORE.maintain(session, IndexScope(tenant.organization_id, tenant.workspace_id, GENERATION), DIMENSION)
    assert ids[2] not in {candidate.chunk_id for candidate in await lexical(database, tenant.member, tenant, "E-4711")}
    async with database.session(tenant.system) as session:
        statistics = (await session.execute(text("SELECT chunks FROM lexical_statistics"))).scalar_one()
    assert statistics == len(CORPUS) - 1


HERE = "workspace:here"  # stands for the tenant's own
PRINCIPALS = ["user:a", "user:b", "group:x", "group:y", HERE]


@pytest.mark.req("SEC-6", "VEC-9")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    acls=st.lists(st.lists(st.sampled_from(PRINCIPALS), min_size=1, max_size=3, unique=True), min_size=1, max_size=8),
    principals=st.lists(st.sampled_from(PRINCIPALS), max_size=3, unique=True),
)
async def test_the_guarded_function_returns_exactly_what_the_policy_allows(
    database: Database, acls: list[list[str]], principals: list[str]
) -> None:
    tenant = await create_tenant(database)
    other = await create_tenant(database)
    for each in (tenant, other):
        own = [[name.replace(HERE, f"workspace:{each.workspace_id}") for name in acl] for acl in acls]
        await write(database, each, ["pressure sensor"] * len(acls), own)
    held = (name.replace(HERE, f"workspace:{tenant.workspace_id}") for name in principals)
    context = TenantContext(tenant.organization_id, tuple(held))
    concepts = analyze_question("pressure").concepts
    async with database.session(context) as session:
        allowed = set(await session.scalars(text("SELECT chunk_id FROM chunk_terms")))
        # Also when the other organization's workspace is asked for.
        within = Range([tenant.workspace_id, other.workspace_id])
        found = {candidate.chunk_id for candidate in await STORE.lexical(session, concepts, within, 100)}
    assert found == allowed
    assert len(allowed) == sum(HERE in principals and bool(set(acl) & set(principals)) for acl in acls)


async def test_the_guarded_function_gives_nothing_without_context_and_nobody_else_may_call_it(
    database: Database, tenant: Tenant
) -> None:
    await write(database, tenant, CORPUS)
    ids = analyze_chunk(CORPUS[0]).term_ids.tolist()
    call = text("SELECT chunk_ids FROM opaa_lexical_candidates(:w, :ids, NULL, NULL, 9)")
    async with database.session(None) as session:
        assert (await session.execute(call, {"w": [tenant.workspace_id], "ids": ids})).scalar_one() is None
    async with database.session(None) as session:
        rows = await session.execute(
            text(
                "SELECT proname, proacl::text FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace"
                " WHERE nspname = 'public' AND prosecdef"
            )
        )
        functions = dict(tuple(row) for row in rows)
    assert set(functions) == {
        "opaa_lexical_candidates",
        "opaa_organization_by_slug",
        "opaa_organization_ids",
        "opaa_create_workspace_partitions",
        "opaa_drop_workspace_partitions",
        "opaa_build_vector_index",
        "opaa_analyze_workspace",
    }
    assert not any("{=X" in acl or ",=X" in acl for acl in functions.values()), "PUBLIC may execute one"


async def test_vectors_are_found_by_cosine_only_where_the_acl_allows(database: Database, tenant: Tenant) -> None:
    acls = [["group:a"] if number % 2 else [f"workspace:{tenant.workspace_id}"] for number in range(len(CORPUS))]
    ids = await write(database, tenant, CORPUS, acls)
    vector = np.zeros(DIMENSION, np.float32)
    vector[1], vector[2] = 0.9, math.sqrt(1 - 0.81)
    async with database.session(tenant.member) as session:
        found = await STORE.dense(session, vector, GENERATION, Range([tenant.workspace_id]), 3)
    assert found[0].chunk_id == ids[2]  # the nearest, ids[1], belongs to a group
    assert found[0].score == pytest.approx(vector[2], abs=1e-3)
    async with database.session(
        TenantContext(tenant.organization_id, (*tenant.member.principals, "group:a"))
    ) as session:
        every = await STORE.dense(session, vector, GENERATION, Range([tenant.workspace_id]), 3)
    assert every[0].chunk_id == ids[1]
    context = TenantContext(tenant.organization_id, ("group:a",))  # not in the workspace
    async with database.session(context) as session:
        found = await STORE.dense(session, vector, GENERATION, Range([tenant.workspace_id]), 3)
    assert found == []


async def test_the_application_cannot_create_tables_or_change_policies(database: Database, tenant: Tenant) -> None:
    for statement in (
        "CREATE TABLE mine (x int)",
        "ALTER TABLE documents DISABLE ROW LEVEL SECURITY",
        "DROP TABLE terms",
    ):
        async with database.session(tenant.system) as session:
            with pytest.raises(DBAPIError, match=r"permission denied|must be owner"):
                await session.execute(text(statement))
