"""Workers that are killed in the middle of a run, and what the index looks like afterwards."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text

from opaa.db.session import Database
from opaa.indexing import jobs
from opaa.indexing.jobs import Worker, queue_length, sweep, worker_is_alive
from opaa.indexing.models import SUCCEEDED
from tests.conftest import create_tenant
from tests.integration.indexing.conftest import Folder

FILES = 60

# A worker of its own process with the embedder of the tests, which stops for good after a few passages.
STUCK_WORKER = """
import asyncio, sys
from pathlib import Path
from opaa.db.session import Database
from opaa.extraction.pool import ExtractionPool
from opaa.indexing.jobs import Worker
from opaa.indexing.pipeline import Indexer, IndexingOptions
from opaa.vectors.pgvector import PgVectorStore
from tests.fakes.hash_embedder import HashEmbedder

class Stuck(HashEmbedder):
    async def embed_passages(self, texts):
        if len(self.embedded) >= 20:
            print("stuck", flush=True)
            await asyncio.Event().wait()
        return await super().embed_passages(texts)

async def main():
    database = Database(sys.argv[1])
    async with ExtractionPool() as extraction:
        options = IndexingOptions(uploads_dir=Path(sys.argv[2]), embedding_batch_size=8)
        await Worker(database, Indexer(database, Stuck(), PgVectorStore(), extraction, options)).run()

asyncio.run(main())
"""


async def contents(folder: Folder) -> list[tuple[object, ...]]:
    """What the index holds, without ids and times."""
    rows = await folder.rows(
        "SELECT d.external_id, d.title, t.text, c.text, c.start_offset, c.acl_id = d.acl_id, d.chunk_count,"
        " e.content_hash, k.length, k.frequencies, array_length(k.term_ids, 1)"
        " FROM documents d JOIN document_texts t ON t.document_id = d.id JOIN chunks c ON c.document_id = d.id"
        " JOIN chunk_embeddings e ON e.chunk_id = c.id JOIN chunk_terms k ON k.chunk_id = c.id"
        " WHERE d.source_id = :source ORDER BY d.external_id, c.ordinal"
    )
    return [tuple(row) for row in rows]


@pytest.mark.req("HA-5")
@pytest.mark.slow
async def test_a_killed_worker_leaves_the_same_index_as_an_undisturbed_one(
    folder: Folder, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(FILES):
        folder.write(f"{number:02}.md", f"# Number {number}\n\nThis is the text of number {number}.")
    folder.write("empty.txt", b"")
    run = await folder.queue()
    command = [sys.executable, "-c", STUCK_WORKER, database.url, "/nonexistent"]
    root = Path(__file__).parents[3]
    with subprocess.Popen(  # noqa: ASYNC220 - read in a thread
        command, cwd=root, stdout=subprocess.PIPE, start_new_session=True
    ) as worker:
        assert worker.stdout is not None
        line = await asyncio.to_thread(worker.stdout.readline)
        while line and b"stuck" not in line:
            line = await asyncio.to_thread(worker.stdout.readline)
        os.kill(worker.pid, signal.SIGKILL)
    half = await folder.documents()
    assert 0 < len(half) < FILES
    assert (await folder.run(run)).state == "running"
    assert await queue_length(database) >= 1
    # The dead worker's heartbeat is made old rather than waited for.
    async with database.transaction(None) as session:
        await session.execute(
            text("UPDATE procrastinate_workers SET last_heartbeat = last_heartbeat - interval '1 hour'")
        )
    await Worker(database, folder.indexer).run(until_idle=True)
    done = await folder.run(run)
    assert (done.state, done.error) == (SUCCEEDED, None)
    assert (done.added, done.failed, done.discovered) == (FILES, 1, FILES + 1)
    assert len(folder.embedder.embedded) == FILES - len(half)
    continued = await contents(folder)
    assert len(continued) == FILES
    undisturbed = await folder.sync(full=True)
    assert undisturbed.changed == FILES
    assert await contents(folder) == continued


async def test_a_stopped_worker_gives_its_run_back_and_the_next_one_finishes_it(
    folder: Folder, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(FILES):
        folder.write(f"{number:02}.txt", f"Text number {number}.")
    run = await folder.queue()
    reached = asyncio.Event()
    real = folder.embedder.embed_passages

    async def slow(texts):
        if folder.embedder.embedded:
            reached.set()
            await asyncio.Event().wait()
        return await real(texts)

    folder.embedder.embed_passages = slow  # type: ignore[method-assign]
    monkeypatch.setattr(jobs, "STOP_WITHIN_S", 0.1)
    work = asyncio.create_task(Worker(database, folder.indexer).run())
    await reached.wait()
    assert await worker_is_alive(database)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work
    folder.embedder.embed_passages = real  # type: ignore[method-assign]
    await Worker(database, folder.indexer).run(until_idle=True)
    assert (await folder.run(run)).state == SUCCEEDED
    assert len(await folder.documents()) == FILES


async def test_runs_of_one_source_never_overlap(folder: Folder, database: Database) -> None:
    for number in range(40):
        folder.write(f"{number:02}.txt", f"Text number {number}.")
    inside = most = 0
    first = True
    real = folder.indexer.run

    async def counted(organization_id, run_id):
        nonlocal inside, most, first
        inside += 1
        most = max(most, inside)
        if first:
            first = False
            async with database.transaction(folder.tenant.system) as session:  # as if the first had begun long ago
                await session.execute(text("UPDATE source_runs SET state = 'running' WHERE id = :id"), {"id": run_id})
            await folder.queue(full=True)
        await real(organization_id, run_id)
        inside -= 1

    folder.indexer.run = counted  # type: ignore[method-assign]
    await folder.queue()
    for _ in range(2):  # a worker that stops when idle does not wait for the job that waits for the first one's end
        await Worker(database, folder.indexer, concurrency=4).run(until_idle=True)
    assert most == 1
    runs = await folder.rows("SELECT state, added, changed FROM source_runs ORDER BY created_at")
    assert [tuple(run) for run in runs] == [("succeeded", 40, 0), ("succeeded", 0, 40)]


async def test_the_job_of_another_organization_runs_in_that_organization(folder: Folder, database: Database) -> None:
    folder.write("a.txt", "Text.")
    await folder.queue()
    other = await create_tenant(database)
    await Worker(database, folder.indexer).run(until_idle=True)
    assert len(await folder.documents()) == 1
    async with database.session(other.system) as session:
        assert await session.scalar(text("SELECT count(*) FROM documents")) == 0


async def test_sweep_takes_nothing_from_a_worker_that_lives(folder: Folder, database: Database) -> None:
    folder.write("a.txt", "Text.")
    await folder.queue()
    worker = Worker(database, folder.indexer)
    async with worker._application() as application:
        assert await sweep(application) == 0
    await worker.run(until_idle=True)
