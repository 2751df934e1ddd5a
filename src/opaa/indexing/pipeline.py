"""One run of a source: list → read → extract → cut → embed → write → remove what is gone.

Reading and extraction go on while the embedder works. Every document is one transaction, so a run that is killed
anywhere leaves whole documents, and the next attempt goes on after them.
"""

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import select, text, update

from opaa.db.base import utc_now, uuid7
from opaa.db.session import Database, TenantContext
from opaa.errors import DatabaseUnavailableError, ExtractionError, OpaaError, StorageFullError, UnavailableError
from opaa.extraction.pool import ExtractionPool
from opaa.extraction.port import Extracted
from opaa.indexing.chunking import Chunk, chunk_document
from opaa.indexing.generations import Generation, active_generation
from opaa.indexing.models import CANCELLED, FAILED, RUNNING, SUCCEEDED, Document, SourceItem, SourceRun
from opaa.indexing.writer import (
    Prepared,
    passage_hash,
    passage_text,
    record_error,
    remove_items,
    touch_item,
    write_document,
)
from opaa.llm.port import Embedder
from opaa.retrieval.analysis import DEFAULT_LANGUAGE, analyze_chunk
from opaa.sources.models import Source
from opaa.sources.port import Connector, Item, ItemError, SourceUnavailableError
from opaa.sources.service import connector as open_connector
from opaa.vectors.port import ChunkTerms, IndexScope, VectorStore

log = structlog.get_logger(__name__)

LIST_BATCH = 256
PREPARED_AHEAD = 32
WRITERS = 3
PLACE_TOKENS = 64  # of an embedder's longest input, for the title and headings before a chunk
REMOVE_BATCH = 100
PROGRESS_EVERY_S = 0.4
COUNTERS = ("discovered", "processed", "added", "changed", "unchanged", "removed", "failed", "chunks")


class CancelledRunError(OpaaError):
    """Somebody asked the run to stop."""


@dataclass(frozen=True, slots=True)
class IndexingOptions:
    """Limits of one worker; sizes in bytes or characters."""

    uploads_dir: Path
    chunk_max_chars: int = 1200
    max_document_bytes: int = 50 * 1024 * 1024
    embedding_batch_size: int = 32


@dataclass(frozen=True, slots=True)
class Known:
    """What earlier runs left about an item."""

    fingerprint: str
    document_id: UUID | None
    content_hash: bytes | None
    failed: bool
    counted_as: str | None
    """Set when this run has dealt with the item before its worker died: the count that the item belongs to."""
    chunks: int


@dataclass
class Progress:
    """Counts of a run, written to its row now and then."""

    discovered: int = 0
    processed: int = 0
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: int = 0
    chunks: int = 0
    current_item: str = ""
    seen: set[str] = field(default_factory=set)


class Indexer:
    """Runs sources of any organization with one embedder, one pool of extractors and one store."""

    def __init__(
        self,
        database: Database,
        embedder: Embedder,
        store: VectorStore,
        extraction: ExtractionPool,
        options: IndexingOptions,
    ) -> None:
        self.database = database
        self.embedder = embedder
        self.store = store
        self.extraction = extraction
        self.options = options

    async def run(self, organization_id: UUID, run_id: UUID) -> None:
        """Carry out a queued run, or go on with one whose worker died."""
        context = TenantContext.system(organization_id)
        async with self.database.transaction(context) as session:
            run = await session.get(SourceRun, run_id, with_for_update=True)
            if run is None or run.state not in {"queued", RUNNING}:
                return
            source = await session.get_one(Source, run.source_id)
            run.state = RUNNING
            run.started_at = run.started_at or utc_now()
            run.heartbeat_at = utc_now()
        work = SourceWork(self, context, source, run)
        state, error = FAILED, None
        try:
            await work.execute()
            state = SUCCEEDED
        except CancelledRunError:
            state = CANCELLED
        except DatabaseUnavailableError:
            # Nothing can be written about the run either: its job is tried again and goes on.
            raise
        except OpaaError as problem:
            error = problem.message
        except asyncio.CancelledError:
            # The worker is stopping: the job goes back to the queue and the run goes on later.
            raise
        except Exception as problem:
            log.exception("run failed", source_id=str(source.id), run_id=str(run_id))
            error = f"Internal error ({type(problem).__name__}); the log has the details under run {run_id}"
        await work.save_progress(state=state, error=error)
        log.info("run ended", source_id=str(source.id), run_id=str(run_id), state=state, error=error, **work.counts())


class SourceWork:
    """The state of one run while it works."""

    def __init__(self, indexer: Indexer, context: TenantContext, source: Source, run: SourceRun) -> None:
        self.indexer = indexer
        self.context = context
        self.source = source
        self.run = run
        self.progress = Progress(removed=run.removed)
        self.generation = Generation(0, "", 0)

    @property
    def scope(self) -> IndexScope:
        return IndexScope(self.source.organization_id, self.source.workspace_id, self.generation.id)

    def counts(self) -> dict[str, int]:
        return {name: getattr(self.progress, name) for name in COUNTERS}

    async def execute(self) -> None:
        indexer = self.indexer
        async with indexer.database.transaction(self.context) as session:
            self.generation = await active_generation(session, self.source.organization_id, indexer.embedder)
        connector = open_connector(self.source, indexer.options.uploads_dir)
        queue: asyncio.Queue[Prepared | None] = asyncio.Queue(PREPARED_AHEAD)
        try:
            async with asyncio.TaskGroup() as group:
                reporter = group.create_task(self._report())
                group.create_task(self._prepare_all(connector, queue))
                await self._store_all(queue)
                reporter.cancel()
        except BaseExceptionGroup as problems:
            raise problems.exceptions[0] from None
        await self._remove_missing()
        async with indexer.database.transaction(self.context) as session:
            await indexer.store.maintain(session, self.scope, self.generation.dimension)

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            if await self.save_progress():
                raise CancelledRunError("The run was cancelled")

    async def save_progress(self, state: str | None = None, error: str | None = None) -> bool:
        """Write the counts; whether somebody asked to cancel."""
        values: dict[str, object] = {**self.counts(), "heartbeat_at": utc_now()}
        values["current_item"] = self.progress.current_item[:500] if state is None else ""
        if state is not None:
            values |= {"state": state, "error": error, "finished_at": utc_now()}
        async with self.indexer.database.transaction(self.context) as session:
            statement = update(SourceRun).where(SourceRun.id == self.run.id).values(**values)
            return bool(await session.scalar(statement.returning(SourceRun.cancel_requested)))

    async def _prepare_all(self, connector: Connector, queue: asyncio.Queue[Prepared | None]) -> None:
        async for batch in _batches(connector.list_items()):
            self.progress.discovered += len(batch)
            self.progress.seen.update(item.external_id for item in batch)
            known = await self._known(batch)
            for item in batch:
                prepared = await self._prepare(connector, item, known.get(item.external_id))
                if prepared is None:
                    self.progress.processed += 1
                else:
                    await queue.put(prepared)
        await queue.put(None)

    async def _known(self, batch: list[Item]) -> dict[str, Known]:
        columns = (
            SourceItem.external_id,
            SourceItem.fingerprint,
            Document.id,
            Document.content_hash,
            SourceItem.error_reason,
            SourceItem.updated_at,
            Document.created_at,
            Document.indexed_at,
            Document.chunk_count,
        )
        query = (
            select(*columns)
            .join(Document, Document.id == SourceItem.document_id, isouter=True)
            .where(
                SourceItem.source_id == self.source.id, SourceItem.external_id.in_([item.external_id for item in batch])
            )
        )
        # Not since the run was queued: the run before it may have worked on the item meanwhile.
        began = self.run.started_at or self.run.created_at
        async with self.indexer.database.session(self.context) as session:
            rows = await session.execute(query)
            return {row[0]: _known(row, began) for row in rows}

    async def _prepare(self, connector: Connector, item: Item, known: Known | None) -> Prepared | None:
        """The item ready to be embedded; None when there is nothing (more) to do about it."""
        same = known is not None and known.fingerprint == item.fingerprint
        if known and same and known.counted_as:
            setattr(self.progress, known.counted_as, getattr(self.progress, known.counted_as) + 1)
            self.progress.chunks += known.chunks
            return None
        if known and same and not known.failed and not self.run.full_reindex:
            self.progress.unchanged += 1
            return None
        self.progress.current_item = item.external_id
        try:
            data = await asyncio.to_thread(connector.read, item, self.indexer.options.max_document_bytes)
            content_hash = hashlib.sha256(data).digest()
            if known and known.document_id and known.content_hash == content_hash and not self.run.full_reindex:
                async with self.indexer.database.transaction(self.context) as session:
                    await touch_item(session, self.source, item, known.document_id)
                self.progress.unchanged += 1
                return None
            return await self._extract(item, known, data, content_hash)
        except ItemError as error:
            await self._failed(item, error.reason, error.message)
        except ExtractionError as error:
            await self._failed(item, error.reason, error.message)
        return None

    async def _extract(self, item: Item, known: Known | None, data: bytes, content_hash: bytes) -> Prepared:
        extracted = await self.indexer.extraction.extract(data, item.name)
        title = extracted.title or item.name
        chunks, terms = await asyncio.to_thread(self._cut, extracted, title)
        passages = [passage_text(title, chunk) for chunk in chunks]
        return Prepared(
            item=item,
            document_id=known.document_id if known and known.document_id else uuid7(),
            is_new=known is None or known.document_id is None,
            content_hash=content_hash,
            extracted=extracted,
            title=title,
            chunks=chunks,
            passages=passages,
            hashes=[passage_hash(self.generation.embedder, passage) for passage in passages],
            terms=terms,
        )

    def _cut(self, extracted: Extracted, title: str) -> tuple[list[Chunk], list[ChunkTerms]]:
        embedder = self.indexer.embedder
        chunks = chunk_document(
            extracted.text,
            max_chars=self.indexer.options.chunk_max_chars,
            max_tokens=embedder.max_tokens - PLACE_TOKENS,
            count_tokens=embedder.count_tokens,
        )
        language = extracted.language or DEFAULT_LANGUAGE
        terms = [
            analyze_chunk(chunk.text, title=title, headings=chunk.heading_path, language=language) for chunk in chunks
        ]
        return chunks, terms

    async def _failed(self, item: Item, reason: str, message: str) -> None:
        self.progress.failed += 1
        log.warning("document failed", source_id=str(self.source.id), item=item.external_id, reason=reason)
        async with self.indexer.database.transaction(self.context) as session:
            await record_error(session, self.source, item, reason, message)

    async def _store_all(self, queue: asyncio.Queue[Prepared | None]) -> None:
        done = False
        while not done:
            group: list[Prepared] = []
            chunks = 0
            while not group or (chunks < self.indexer.options.embedding_batch_size and not queue.empty()):
                prepared = await queue.get()
                if prepared is None:
                    done = True
                    break
                group.append(prepared)
                chunks += len(prepared.chunks)
            if group:
                await self._store(group)

    async def _store(self, group: list[Prepared]) -> None:
        vectors = await self._embed(group)
        waiting = iter(group)

        async def write() -> None:
            for prepared in waiting:
                await self._write(prepared, vectors)

        try:
            async with asyncio.TaskGroup() as writers:
                for _ in range(min(WRITERS, len(group))):
                    writers.create_task(write())
        except BaseExceptionGroup as problems:
            raise problems.exceptions[0] from None

    async def _write(self, prepared: Prepared, vectors: dict[bytes, NDArray[np.float32]]) -> None:
        embeddings = np.array([vectors[key] for key in prepared.hashes], np.float32).reshape(
            len(prepared.hashes), self.generation.dimension
        )
        try:
            async with self.indexer.database.transaction(self.context) as session:
                store = self.indexer.store
                await write_document(session, store, self.source, self.scope, prepared, embeddings=embeddings)
        except (UnavailableError, StorageFullError):
            raise
        except Exception as problem:
            log.exception("document could not be stored", item=prepared.item.external_id)
            await self._failed(
                prepared.item, "internal", f"{prepared.item.name} could not be stored ({type(problem).__name__})"
            )
        else:
            self.progress.chunks += len(prepared.chunks)
            if prepared.is_new:
                self.progress.added += 1
            else:
                self.progress.changed += 1
        self.progress.processed += 1

    async def _embed(self, group: list[Prepared]) -> dict[bytes, NDArray[np.float32]]:
        """Vectors by content hash; those that the index has already are not computed again."""
        wanted = {
            key: passage for prepared in group for key, passage in zip(prepared.hashes, prepared.passages, strict=True)
        }
        found = await self._stored_embeddings(list(wanted))
        missing = [key for key in wanted if key not in found]
        size = self.indexer.options.embedding_batch_size
        for start in range(0, len(missing), size):
            keys = missing[start : start + size]
            vectors = await self.indexer.embedder.embed_passages([wanted[key] for key in keys])
            found.update(zip(keys, vectors, strict=True))
        return found

    async def _stored_embeddings(self, keys: list[bytes]) -> dict[bytes, NDArray[np.float32]]:
        query = text(
            "SELECT DISTINCT ON (content_hash) content_hash, embedding::real[] FROM chunk_embeddings"
            " WHERE content_hash = ANY (:keys) AND generation_id = :generation"
        )
        async with self.indexer.database.session(self.context) as session:
            rows = await session.execute(query, {"keys": keys, "generation": self.generation.id})
            return {bytes(row[0]): np.asarray(row[1], np.float32) for row in rows}

    async def _remove_missing(self) -> None:
        async with self.indexer.database.session(self.context) as session:
            known = await session.scalars(select(SourceItem.external_id).where(SourceItem.source_id == self.source.id))
            missing = [external_id for external_id in known if external_id not in self.progress.seen]
        if missing and not self.progress.seen and not self.run.allow_empty and self.source.kind != "upload":
            raise SourceUnavailableError(
                f"The source is empty, but {len(missing)} documents were indexed from it; nothing was removed. "
                "If that is right, synchronise once with --allow-empty"
            )
        for external_ids in _slices(missing):
            async with self.indexer.database.transaction(self.context) as session:
                removed = await remove_items(session, self.indexer.store, self.source, list(external_ids))
            self.progress.removed += removed


def _known(row: Any, began: datetime) -> Known:  # noqa: ANN401 - a row of the query above
    _, fingerprint, document_id, content_hash, error, updated_at, created_at, indexed_at, chunks = row
    counted_as = None
    written = indexed_at is not None and indexed_at >= began
    if updated_at >= began:
        if error is not None:
            counted_as = "failed"
        elif written:
            counted_as = "added" if created_at >= began else "changed"
        else:
            counted_as = "unchanged"
    return Known(fingerprint, document_id, content_hash, error is not None, counted_as, chunks if written else 0)


def _slices(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), REMOVE_BATCH):
        yield values[start : start + REMOVE_BATCH]


async def _batches(items: Iterator[Item]) -> AsyncIterator[list[Item]]:
    while batch := await asyncio.to_thread(lambda: list(itertools.islice(items, LIST_BATCH))):
        yield batch
