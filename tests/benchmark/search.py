"""Search over 200,000 chunks in 20 workspaces, with permissions and a real embedding of every question.

`run()` returns rows for the table of `make bench`; `python -m tests.benchmark.search` prints them.
"""

import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from sqlalchemy import text

from opaa.db import migrate
from opaa.db.base import uuid7
from opaa.db.embedded import EmbeddedPostgres
from opaa.db.session import Database, TenantContext, driver_connection
from opaa.llm.bundled_model import ensure_bundled_model
from opaa.llm.centering import CenteredEmbedder
from opaa.llm.local_embedder import LocalEmbedder
from opaa.llm.port import Embedder
from opaa.retrieval.service import SearchService
from opaa.settings import Settings
from opaa.vectors.pgvector import MIN_HNSW_CHUNKS, PgVectorStore, vector_text
from opaa.vectors.port import Range
from tests.benchmark.search_corpus import DIMENSION, MANY_GROUPS, ONE_GROUP, Corpus, Workspace, generate, load

CHUNKS = 200_000
WORKSPACES = 20
QUESTIONS = 120
RECALL_QUESTIONS = 60
CLIENTS = 16
CLIENT_SECONDS = 12
TARGETS = {
    "search p95, one client (ms)": "<= 40",
    "searches/s, 16 clients": ">= 50",
    "dense recall@10, member": ">= 0.95",
    "dense recall@10, guest": ">= 0.95",
    "common-words question / median": "<= 2",
    "bytes per chunk": "<= 6144",
    "500 groups instead of one, p95 (ms more)": "<= 5",
}


@dataclass(frozen=True)
class Asked:
    """A question, who asks it where, and a vector near what it is about."""

    question: str
    context: TenantContext
    within: tuple[Workspace, ...]
    vector: NDArray[np.float32]


class StandIn:
    """Embeds each question for real, then answers with the generated vector that belongs to it."""

    def __init__(self, inner: Embedder, vectors: dict[str, NDArray[np.float32]]) -> None:
        self.inner = inner
        self.vectors = vectors
        self.name = inner.name
        self.dimension = inner.dimension
        self.max_tokens = inner.max_tokens
        self.query_prefix = inner.query_prefix
        self.passage_prefix = inner.passage_prefix

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self.inner.count_tokens(texts)

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return await self.inner.embed_passages(texts)

    async def embed_query(self, question: str) -> NDArray[np.float32]:
        await self.inner.embed_query(question)
        return self.vectors[question]

    async def close(self) -> None:
        await self.inner.close()


def run(chunks: int = CHUNKS, workspaces: int = WORKSPACES) -> list[dict[str, Any]]:
    """Rows `{"name", "value", "target"}`; values are milliseconds, shares, counts or bytes as the name says."""
    with tempfile.TemporaryDirectory(prefix="opaa-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        urls = server.acquire()
        try:
            migrate.upgrade(urls.owner, urls.application)
            password = (Path(folder) / "postgres" / "postgres.password").read_text(encoding="utf-8")
            superuser = urls.owner.split("//")[0] + f"//postgres:{password}@" + urls.owner.rsplit("@", 1)[1]
            return asyncio.run(_measure(urls.application, superuser, chunks, workspaces))
        finally:
            server.release()


async def _measure(url: str, superuser: str, chunks: int, workspaces: int) -> list[dict[str, Any]]:
    model = CenteredEmbedder(LocalEmbedder(ensure_bundled_model(Settings().models_dir), threads=2))
    database = Database(url, pool_size=CLIENTS, statement_timeout_s=600)
    try:
        started = time.perf_counter()
        corpus = generate(uuid7(), chunks, workspaces)
        await _prepare(database, corpus, superuser, model)
        rows = [_row("load and index (s)", time.perf_counter() - started)]
        asked = _questions(corpus)
        common = _common_questions(corpus)
        embedder = StandIn(model, {each.question: each.vector for each in [*asked, *common]})
        service = SearchService(database, PgVectorStore(), embedder)
        for each in [*asked[:30], *common[:10]]:
            await _search(database, service, corpus, each)
        times = [await _search(database, service, corpus, each) for each in asked]
        slow = [await _search(database, service, corpus, each) for each in common]
        rows.append(_row("search p50, one client (ms)", float(np.percentile(times, 50))))
        rows.append(_row("search p95, one client (ms)", float(np.percentile(times, 95))))
        rows.append(_row("common-words question p50 (ms)", float(np.median(slow))))
        rows.append(_row("common-words question / median", float(np.median(slow) / np.median(times))))
        rows.append(_row("searches/s, 16 clients", await _throughput(database, service, corpus, asked)))
        rows.extend(await _recall(database, corpus, asked))
        rows.extend(await _permission_cost(database, service, corpus, superuser, asked))
        rows.append(
            _row("bytes per chunk", await _bytes_per_chunk(database, sum(len(w.vectors) for w in corpus.workspaces)))
        )
        return rows
    finally:
        await database.close()
        await model.close()


async def _prepare(database: Database, corpus: Corpus, superuser: str, model: Embedder) -> None:
    system = TenantContext.system(corpus.organization_id)
    async with database.transaction(system) as session:
        parameters = {"o": corpus.organization_id, "e": model.name, "d": DIMENSION}
        await session.execute(
            text("INSERT INTO organizations (id, slug, name) VALUES (:o, 'bench', 'Bench')"), parameters
        )
        generation = await session.scalar(
            text(
                "INSERT INTO index_generations (organization_id, embedder, dimension, state)"
                " VALUES (:o, :e, :d, 'active') RETURNING id"
            ),
            parameters,
        )
        for workspace in corpus.workspaces:
            await session.execute(
                text("INSERT INTO workspaces (id, organization_id, name) VALUES (:w, :o, :n)"),
                {**parameters, "w": workspace.id, "n": str(workspace.id)},
            )
            await session.execute(text("SELECT opaa_create_workspace_partitions(:w)"), {"w": workspace.id})
    await asyncio.to_thread(load, superuser, corpus, int(generation or 0))
    for workspace in corpus.workspaces:
        if len(workspace.vectors) >= MIN_HNSW_CHUNKS:
            async with database.transaction(system) as session:
                await session.execute(
                    text("SELECT opaa_build_vector_index(:w, :g, :d)"),
                    {"w": workspace.id, "g": generation, "d": DIMENSION},
                )


def _questions(corpus: Corpus) -> list[Asked]:
    """A chunk's own words, rare and common ones: by members in one workspace, in several, and by guests."""
    random = np.random.default_rng(5)
    made = []
    for number in range(QUESTIONS):
        count = 1 if number % 3 else min(5, len(corpus.workspaces))
        within = tuple(corpus.workspaces[i] for i in random.permutation(len(corpus.workspaces))[:count])
        workspace = within[0]
        guest = number % 6 == 1
        allowed = np.flatnonzero(workspace.restricted) if guest else np.arange(len(workspace.restricted))
        chunk = int(random.choice(allowed)) * 4 if len(allowed) else 0
        words = workspace.words[chunk]
        rare = np.sort(words)[::-1][: int(random.integers(2, 4))]
        chosen = [*rare, *random.choice(words, int(random.integers(2, 6)))]
        # Whoever reads belongs to the workspace; a guest's documents are those of the group alone.
        principals = [f"user:{uuid7()}", *(each.principal for each in within)]
        if guest:
            principals.append(workspace.group)
        made.append(
            Asked(
                " ".join(corpus.vocabulary[word] for word in chosen) + f" {number}q",
                TenantContext(corpus.organization_id, tuple(principals)),
                within,
                _near(workspace.vectors[chunk], random),
            )
        )
    return made


def _common_questions(corpus: Corpus) -> list[Asked]:
    random = np.random.default_rng(6)
    made = []
    for number in range(30):
        workspace = corpus.workspaces[number % 5]
        words = random.permutation(12)[:4]
        question = " ".join(corpus.vocabulary[word] for word in words)
        context = TenantContext(corpus.organization_id, (workspace.principal,))
        made.append(Asked(question, context, (workspace,), _near(workspace.vectors[number], random)))
    return made


def _near(vector: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    moved = vector + random.normal(size=len(vector)).astype(np.float32) * np.float32(0.6 / np.sqrt(len(vector)))
    return np.asarray(moved / np.linalg.norm(moved), np.float32)


async def _search(database: Database, service: SearchService, corpus: Corpus, asked: Asked) -> float:
    """Milliseconds of one search, the session's checkout included."""
    started = time.perf_counter()
    async with database.session(asked.context) as session:
        await service.search(session, asked.context, asked.question, workspace_ids=[each.id for each in asked.within])
    return (time.perf_counter() - started) * 1000


async def _throughput(database: Database, service: SearchService, corpus: Corpus, asked: Sequence[Asked]) -> float:
    work = itertools.cycle(asked)
    until = time.perf_counter() + CLIENT_SECONDS

    async def client() -> int:
        done = 0
        while time.perf_counter() < until:
            await _search(database, service, corpus, next(work))
            done += 1
        return done

    started = time.perf_counter()
    counts = await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return sum(counts) / (time.perf_counter() - started)


async def _recall(database: Database, corpus: Corpus, asked: Sequence[Asked]) -> list[dict[str, Any]]:
    """Of the ten nearest by an exact scan under the same permissions; and what each way takes."""
    store = PgVectorStore()
    shares: dict[str, list[float]] = {"member": [], "guest": []}
    times: dict[str, list[float]] = {"index": [], "exact": []}
    exact = (
        "WITH readable AS MATERIALIZED (SELECT chunk_id, embedding::halfvec(384) <=> %s::halfvec(384) AS distance"
        " FROM chunk_embeddings WHERE workspace_id = ANY (%s)) SELECT chunk_id FROM readable ORDER BY distance LIMIT 10"
    )
    for each in asked[:RECALL_QUESTIONS]:
        ids = [workspace.id for workspace in each.within]
        async with database.session(each.context) as session:
            generation = await session.scalar(text("SELECT id FROM index_generations"))
            started = time.perf_counter()
            found = await store.dense(session, each.vector, int(generation or 0), Range(ids), 100)
            times["index"].append((time.perf_counter() - started) * 1000)
            connection = await driver_connection(session)
            started = time.perf_counter()
            rows = await (await connection.execute(exact, (vector_text(each.vector), ids))).fetchall()
            times["exact"].append((time.perf_counter() - started) * 1000)
        true = {row[0] for row in rows}
        names_of_workspaces = {workspace.group for workspace in corpus.workspaces}
        kind = "guest" if each.context.principals[-1] in names_of_workspaces else "member"
        shares[kind].append(len(true & {candidate.chunk_id for candidate in found[:10]}) / max(len(true), 1))
    return [
        _row("dense recall@10, member", float(np.mean(shares["member"] or [0.0]))),
        _row("dense recall@10, guest", float(np.mean(shares["guest"] or [0.0]))),
        _row("dense side p50 (ms)", float(np.median(times["index"]))),
        _row("dense side p95 (ms)", float(np.percentile(times["index"], 95))),
        _row("reference: exact scan p50 (ms)", float(np.median(times["exact"]))),
        _row("reference: exact scan p95 (ms)", float(np.percentile(times["exact"], 95))),
    ]


async def _permission_cost(
    database: Database, service: SearchService, corpus: Corpus, superuser: str, asked: Sequence[Asked]
) -> list[dict[str, Any]]:
    """The same tenth of all chunks, readable through one group and through 500: the same questions, in turn."""
    with psycopg.connect(superuser) as connection:
        connection.execute("DELETE FROM acl_members WHERE starts_with(principal, 'workspace:')")
    everywhere = tuple(workspace.principal for workspace in corpus.workspaces)
    contexts = {
        "one group": TenantContext(corpus.organization_id, (*everywhere, ONE_GROUP)),
        "500 groups": TenantContext(corpus.organization_id, (*everywhere, *MANY_GROUPS)),
    }
    times: dict[str, list[float]] = {name: [] for name in contexts}
    for name, context in contexts.items():
        for each in asked[:20]:
            await _search(database, service, corpus, replace(each, context=context))
        times[name].clear()
    for each in asked:
        for name, context in contexts.items():
            times[name].append(await _search(database, service, corpus, replace(each, context=context)))
    rows = []
    for name, context in contexts.items():
        rows.append(_row(f"a tenth readable, {name}: search p50 (ms)", float(np.median(times[name]))))
        rows.append(_row(f"a tenth readable, {name}: search p95 (ms)", float(np.percentile(times[name], 95))))
        recall = await _recall(database, corpus, [replace(each, context=context) for each in asked])
        rows.append({**recall[0], "name": f"a tenth readable, {name}: dense recall@10", "target": ">= 0.95"})
    extra = float(np.percentile(times["500 groups"], 95) - np.percentile(times["one group"], 95))
    rows.append(_row("500 groups instead of one, p95 (ms more)", extra))
    return rows


async def _bytes_per_chunk(database: Database, chunks: int) -> float:
    async with database.session(None) as session:
        size = await session.scalar(text("SELECT pg_database_size(current_database())"))
    return int(size or 0) / chunks


def _row(name: str, value: float) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "target": TARGETS.get(name)}


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else CHUNKS
    for row in run(size):
        print(json.dumps(row))
