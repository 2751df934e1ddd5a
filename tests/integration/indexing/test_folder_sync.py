"""A folder's documents in the index: complete, exact, and following every change of the files."""

import asyncio
import os
import shutil

import pytest

from opaa.errors import ConflictError
from opaa.indexing.generations import GenerationMismatchError, active_generation
from opaa.indexing.models import CANCELLED, FAILED, QUEUED, SUCCEEDED
from opaa.indexing.runs import cancel_run, get_run, queue_run
from opaa.sources.models import Source
from tests.fakes.hash_embedder import HashEmbedder
from tests.integration.indexing.conftest import Folder, make_indexer

GUIDE = (
    "# Guide\n\nWelcome, über alles.\n\n## Holidays\n\n"
    + " ".join(f"In year {n} there are {n} days." for n in range(200))
    + "\n\n## Pay\n\nPaid."
)


def fill(folder: Folder) -> None:
    folder.write("guide.md", GUIDE)
    folder.write("notes/plain.txt", "The printer stands on floor 3.\n")
    folder.write("page.html", "<html><head><title>A page</title></head><body><h1>Hello</h1><p>World</p></body></html>")
    folder.write("people.csv", "name,city\nAda,London\nGrace,New York\n")


@pytest.mark.req("SRC-3")
async def test_every_file_becomes_a_document_with_exact_chunks_vectors_and_terms(folder: Folder) -> None:
    fill(folder)
    run = await folder.sync()
    assert (run.state, run.error) == (SUCCEEDED, None)
    assert (run.discovered, run.processed, run.added, run.failed) == (4, 4, 4, 0)
    documents = await folder.documents()
    assert set(documents) == {"guide.md", "notes/plain.txt", "page.html", "people.csv"}
    assert documents["guide.md"].title == "Guide"
    assert documents["page.html"].title == "Hello"
    everyone = [f"workspace:{folder.tenant.workspace_id}"]
    acls = await folder.rows("SELECT id, principals FROM acls")
    assert [row.principals for row in acls] == [everyone]
    acl = acls[0].id
    assert all(document.acl_id == acl for document in documents.values())
    chunks = await folder.chunks()
    assert run.chunks == len(chunks) == sum(document.chunk_count for document in documents.values())
    texts = {row.document_id: row.text for row in await folder.rows("SELECT document_id, text FROM document_texts")}
    for chunk in chunks:
        assert texts[chunk.document_id][chunk.start_offset : chunk.end_offset] == chunk.text
        assert chunk.acl_id == acl
    assert any(list(chunk.heading_path) == ["Guide", "Holidays"] for chunk in chunks)
    ids = {chunk.id for chunk in chunks}
    for table in ("chunk_embeddings", "chunk_terms"):
        rows = await folder.rows(f"SELECT chunk_id, acl_id FROM {table}")
        assert {row.chunk_id for row in rows} == ids, table
        assert all(row.acl_id == acl for row in rows), table
    assert len(folder.embedder.embedded) == len(chunks)


@pytest.mark.req("SRC-6")
async def test_a_second_run_writes_nothing(folder: Folder) -> None:
    fill(folder)
    await folder.sync()
    before = await folder.chunks()
    folder.embedder.embedded.clear()
    run = await folder.sync()
    assert (run.state, run.unchanged, run.added, run.changed, run.removed) == (SUCCEEDED, 4, 0, 0, 0)
    assert await folder.chunks() == before
    assert folder.embedder.embedded == []


@pytest.mark.req("SRC-6")
async def test_a_touched_file_with_the_same_bytes_is_not_indexed_again(folder: Folder) -> None:
    fill(folder)
    await folder.sync()
    before = await folder.chunks()
    os.utime(folder.path / "guide.md", (1_000_000_000, 1_000_000_000))
    for _ in range(2):  # the second run knows the new time stamp
        run = await folder.sync()
        assert (run.unchanged, run.changed) == (4, 0)
    assert await folder.chunks() == before


@pytest.mark.req("SRC-6")
async def test_changed_deleted_and_renamed_files_are_followed(folder: Folder) -> None:
    fill(folder)
    await folder.sync()
    before = await folder.documents()
    folder.embedder.embedded.clear()
    folder.write("guide.md", GUIDE.replace("Paid.", "Paid monthly, always."))
    (folder.path / "people.csv").unlink()
    (folder.path / "page.html").rename(folder.path / "site.html")
    run = await folder.sync()
    assert (run.added, run.changed, run.unchanged, run.removed) == (1, 1, 1, 2)
    documents = await folder.documents()
    assert set(documents) == {"guide.md", "notes/plain.txt", "site.html"}
    assert documents["guide.md"].id == before["guide.md"].id
    chunks = await folder.chunks()
    assert any("Paid monthly" in chunk.text for chunk in chunks)
    ids = {chunk.id for chunk in chunks}
    for table in ("chunk_embeddings", "chunk_terms"):
        assert {row.chunk_id for row in await folder.rows(f"SELECT chunk_id FROM {table}")} == ids
    assert await folder.count("document_texts") == 3
    # Only what is new was embedded: not the guide's other chunks.
    assert all("Paid monthly" in passage or "Hello" in passage for passage in folder.embedder.embedded)


async def test_the_same_text_in_two_files_is_embedded_once(folder: Folder) -> None:
    folder.write("a/same.txt", "One and the same sentence.")
    await folder.sync()
    folder.write("b/same.txt", "One and the same sentence.")
    await folder.sync()
    assert len(folder.embedder.embedded) == 1
    assert await folder.count("chunk_embeddings") == 2


async def test_a_full_run_indexes_everything_again_without_embedding_it_again(folder: Folder) -> None:
    fill(folder)
    await folder.sync()
    before = {chunk.id for chunk in await folder.chunks()}
    folder.embedder.embedded.clear()
    run = await folder.sync(full=True)
    assert (run.state, run.changed, run.unchanged) == (SUCCEEDED, 4, 0)
    assert before.isdisjoint({chunk.id for chunk in await folder.chunks()})
    assert folder.embedder.embedded == []


async def test_a_full_run_asked_for_during_another_run_really_is_full(folder: Folder) -> None:
    fill(folder)
    running = await folder.queue()
    async with folder.database.transaction(folder.tenant.system) as session:
        (await get_run(session, running.id)).state = "running"
    waiting = await folder.queue(full=True)
    assert waiting.id != running.id
    await folder.indexer.run(folder.tenant.organization_id, running.id)
    await folder.indexer.run(folder.tenant.organization_id, waiting.id)
    assert (await folder.run(waiting)).changed == 4


async def test_a_missing_folder_fails_the_run_and_removes_nothing(folder: Folder) -> None:
    fill(folder)
    await folder.sync()
    before = await folder.chunks()
    folder.path.rename(folder.path.with_name("away"))
    run = await folder.sync()
    assert run.state == FAILED
    assert run.error is not None
    assert "does not exist" in run.error
    assert "nothing was removed" in run.error
    assert await folder.chunks() == before


async def test_an_emptied_folder_removes_documents_only_when_told_so(folder: Folder) -> None:
    fill(folder)
    await folder.sync()
    shutil.rmtree(folder.path)
    folder.path.mkdir()
    run = await folder.sync()
    assert run.state == FAILED
    assert "--allow-empty" in (run.error or "")
    assert len(await folder.documents()) == 4
    run = await folder.sync(allow_empty=True)
    assert (run.state, run.removed) == (SUCCEEDED, 4)
    for table in ("documents", "chunks", "chunk_embeddings", "chunk_terms", "document_texts", "source_items"):
        assert await folder.count(table) == 0, table


async def test_what_globs_leave_out_is_not_indexed_and_is_removed_when_they_change(folder: Folder) -> None:
    fill(folder)
    folder.write(".hidden/secret.md", "# Secret")
    folder.write("~$lock.docx", "x")
    await folder.sync()
    assert set(await folder.documents()) == {"guide.md", "notes/plain.txt", "page.html", "people.csv"}
    await folder.set_settings(include=["*.md"])
    run = await folder.sync()
    assert run.removed == 3
    assert set(await folder.documents()) == {"guide.md"}


async def test_a_waiting_run_can_be_cancelled_and_is_then_not_carried_out(folder: Folder) -> None:
    fill(folder)
    run = await folder.queue()
    async with folder.database.transaction(folder.tenant.system) as session:
        await cancel_run(session, "test", await get_run(session, run.id))
    await folder.indexer.run(folder.tenant.organization_id, run.id)
    assert (await folder.run(run)).state == CANCELLED
    assert await folder.documents() == {}


class CancellingEmbedder(HashEmbedder):
    """Asks to cancel the run at the first passage, then gives the pipeline time to notice."""

    folder: Folder

    async def embed_passages(self, texts):
        if not self.embedded:
            async with self.folder.database.transaction(self.folder.tenant.system) as session:
                run = (await self.folder.rows("SELECT id FROM source_runs WHERE state = 'running'"))[0]
                await cancel_run(session, "test", await get_run(session, run.id))
        else:
            await asyncio.Event().wait()  # only the cancellation ends it
        return await super().embed_passages(texts)


async def test_a_working_run_stops_when_cancelled_and_keeps_what_it_has(folder: Folder) -> None:
    for number in range(80):
        folder.write(f"{number:02}.txt", f"File number {number}.")
    embedder = CancellingEmbedder()
    embedder.folder = folder
    folder.indexer.embedder = embedder
    run = await folder.sync()
    assert (run.state, run.error) == (CANCELLED, None)
    kept = await folder.documents()
    assert 0 < len(kept) < 80
    folder.indexer.embedder = folder.embedder
    run = await folder.sync()
    assert (run.state, run.unchanged, run.added) == (SUCCEEDED, len(kept), 80 - len(kept))


async def test_one_run_waits_at_most(folder: Folder) -> None:
    first, second = await folder.queue(), await folder.queue(full=True)
    assert first.id == second.id
    assert second.full_reindex
    assert (await folder.run(first)).state == QUEUED


async def test_a_paused_source_is_not_synchronised(folder: Folder) -> None:
    async with folder.database.transaction(folder.tenant.system) as session:
        (await session.get_one(Source, folder.source.id)).paused = True
    with pytest.raises(ConflictError, match="Folder is paused; resume it first"):
        async with folder.database.transaction(folder.tenant.system) as session:
            await queue_run(session, "test", await session.get_one(Source, folder.source.id))


@pytest.mark.req("SRC-6")
async def test_another_embedder_is_refused_with_what_to_do(folder: Folder, tmp_path) -> None:
    fill(folder)
    await folder.sync()
    before = await folder.chunks()
    other = HashEmbedder("other", 32)
    folder.indexer = make_indexer(folder.database, folder.indexer.extraction, tmp_path / "uploads", other)
    folder.write("new.txt", "Something new.")
    run = await folder.sync()
    assert run.state == FAILED
    assert run.error == (
        "The index was built with the embedding model hash (64 dimensions), but other (32) is configured."
        " Restore the setting, or run `opaa index rebuild`"
    )
    assert await folder.chunks() == before
    async with folder.database.session(folder.tenant.system) as session:
        with pytest.raises(GenerationMismatchError):
            await active_generation(session, folder.tenant.organization_id, other)  # type: ignore[arg-type]
