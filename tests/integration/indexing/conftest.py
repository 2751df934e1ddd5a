"""A folder, connected and indexed by the real pipeline."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from opaa.access.models import Workspace
from opaa.db.session import Database
from opaa.extraction.pool import ExtractionPool
from opaa.extraction.port import Limits
from opaa.indexing.models import SourceItem, SourceRun
from opaa.indexing.pipeline import Indexer, IndexingOptions
from opaa.indexing.runs import queue_run
from opaa.sources.models import FILESYSTEM, Source
from opaa.sources.service import create_source
from opaa.vectors.pgvector import PgVectorStore
from tests.conftest import Tenant
from tests.fakes.hash_embedder import HashEmbedder


@pytest.fixture
async def extraction() -> AsyncIterator[ExtractionPool]:
    async with ExtractionPool(Limits(timeout_s=10), processes=1) as pool:
        yield pool


@dataclass
class Folder:
    """A connected folder; `sync` indexes it and returns the finished run."""

    database: Database
    tenant: Tenant
    path: Path
    source: Source
    indexer: Indexer
    embedder: HashEmbedder

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    async def queue(self, **options: bool) -> SourceRun:
        async with self.database.transaction(self.tenant.system) as session:
            return await queue_run(session, "test", await session.get_one(Source, self.source.id), **options)

    async def sync(self, **options: bool) -> SourceRun:
        run = await self.queue(**options)
        await self.indexer.run(self.tenant.organization_id, run.id)
        return await self.run(run)

    async def run(self, run: SourceRun) -> SourceRun:
        async with self.database.session(self.tenant.system) as session:
            return await session.get_one(SourceRun, run.id)

    async def rows(self, query: str, **parameters: Any) -> list[Any]:
        async with self.database.session(self.tenant.system) as session:
            found = await session.execute(text(query), {"source": self.source.id, **parameters})
            return list(found.all())

    async def documents(self) -> dict[str, Any]:
        columns = "external_id, id, title, content_type, warnings, chunk_count, acl_id, content_hash, state"
        rows = await self.rows(f"SELECT {columns} FROM documents WHERE source_id = :source ORDER BY external_id")
        return {row.external_id: row for row in rows}

    async def chunks(self) -> list[Any]:
        return await self.rows(
            "SELECT c.id, c.xmin::text AS xmin, c.document_id, c.text, c.start_offset, c.end_offset, c.acl_id,"
            " c.heading_path FROM chunks c JOIN documents d ON d.id = c.document_id WHERE d.source_id = :source"
            " ORDER BY d.external_id, c.ordinal"
        )

    async def count(self, table: str) -> int:
        return int((await self.rows(f"SELECT count(*) FROM {table}"))[0][0])

    async def errors(self) -> dict[str, SourceItem]:
        rows = await self.rows(
            "SELECT external_id, error_reason, error_message, attempts, first_failed_at, document_id FROM source_items"
            " WHERE source_id = :source AND error_reason IS NOT NULL"
        )
        return {row.external_id: row for row in rows}

    async def set_settings(self, **settings: Any) -> None:
        async with self.database.transaction(self.tenant.system) as session:
            source = await session.get_one(Source, self.source.id)
            source.settings = {**source.settings, **settings}


def make_indexer(
    database: Database, extraction: ExtractionPool, uploads_dir: Path, embedder: HashEmbedder, **options: Any
) -> Indexer:
    chosen = IndexingOptions(uploads_dir=uploads_dir, **options)
    return Indexer(database, embedder, PgVectorStore(), extraction, chosen)  # type: ignore[arg-type]


@pytest.fixture
async def folder(database: Database, tenant: Tenant, extraction: ExtractionPool, tmp_path: Path) -> Folder:
    path = tmp_path / "documents"
    path.mkdir()
    async with database.transaction(tenant.system) as session:
        workspace = await session.get_one(Workspace, tenant.workspace_id)
        source = await create_source(
            session, "test", workspace, kind=FILESYSTEM, name="Folder", settings={"path": str(path)}
        )
    embedder = HashEmbedder()
    indexer = make_indexer(database, extraction, tmp_path / "uploads", embedder)
    return Folder(database, tenant, path, source, indexer, embedder)
