"""Documents for people: listed, opened, removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.audit import service as audit
from opaa.db.session import Database, TenantContext
from opaa.errors import ConflictError, NotFoundError
from opaa.indexing.models import Document
from opaa.indexing.writer import remove_items
from opaa.sources.models import UPLOAD, Source
from opaa.sources.service import upload_folder
from opaa.vectors.port import VectorStore


@dataclass(frozen=True, slots=True)
class TextWindow:
    """A part of a document's text. Offsets count characters; `chunks` are those that overlap the part."""

    text: str
    offset: int
    total_chars: int
    chunks: Sequence[Any]


async def list_documents(
    session: AsyncSession,
    *,
    workspace_ids: Sequence[UUID],
    source_id: UUID | None = None,
    search: str = "",
    before: UUID | None = None,
    limit: int = 50,
) -> list[Document]:
    """Documents that the session's principals may read, newest first, older than the document `before`."""
    query = select(Document).where(Document.workspace_id.in_(workspace_ids)).order_by(Document.id.desc()).limit(limit)
    if source_id is not None:
        query = query.where(Document.source_id == source_id)
    if search.strip():
        pattern = "%" + search.strip().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        query = query.where(or_(Document.title.ilike(pattern), Document.uri.ilike(pattern)))
    if before is not None:
        query = query.where(Document.id < before)
    return list(await session.scalars(query))


async def get_document(session: AsyncSession, document_id: UUID) -> Document:
    """Raises NotFoundError for one that does not exist and for one that may not be read alike."""
    document = await session.get(Document, document_id)
    if document is None:
        raise NotFoundError(f"There is no document {document_id}")
    return document


async def count_documents(session: AsyncSession, workspace_ids: Sequence[UUID]) -> dict[UUID, int]:
    query = (
        select(Document.workspace_id, func.count())
        .where(Document.workspace_id.in_(workspace_ids))
        .group_by(Document.workspace_id)
    )
    return {row[0]: row[1] for row in await session.execute(query)}


async def read_text(session: AsyncSession, document_id: UUID, offset: int, length: int) -> TextWindow:
    """A part of the text of a document that the session may read. Raises NotFoundError."""
    row = (
        await session.execute(
            text(
                "SELECT substr(text, :first, :length), length(text) FROM document_texts"
                " WHERE document_id = :document_id"
            ),
            {"document_id": document_id, "first": offset + 1, "length": length},
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no document {document_id}")
    chunks = await session.execute(
        text(
            "SELECT id, start_offset, end_offset, heading_path FROM chunks WHERE document_id = :document_id"
            " AND end_offset > :first AND start_offset < :last ORDER BY ordinal"
        ),
        {"document_id": document_id, "first": offset, "last": offset + length},
    )
    return TextWindow(row[0], offset, row[1], chunks.all())


async def delete_document(
    database: Database, store: VectorStore, document_id: UUID, *, actor: str, organization_id: UUID, uploads_dir: Path
) -> None:
    """Remove an uploaded document with its file. The caller has checked that the person may read and remove it."""
    async with database.transaction(TenantContext.system(organization_id)) as session:
        document = await get_document(session, document_id)
        source = await session.get_one(Source, document.source_id)
        if source.kind != UPLOAD:
            raise ConflictError(f"{document.title} comes from the source {source.name}; remove it there")
        await remove_items(session, store, source, [document.external_id])
        (upload_folder(uploads_dir, source) / document.external_id).unlink(missing_ok=True)
        await audit.record(session, organization_id, actor, "document.deleted", target=f"document:{document_id}")


async def delete_source(
    database: Database, store: VectorStore, actor: str, organization_id: UUID, source_id: UUID
) -> None:
    """Remove a source and all its documents."""
    async with database.transaction(TenantContext.system(organization_id)) as session:
        source = await session.get(Source, source_id, with_for_update=True)
        if source is None:
            raise NotFoundError(f"There is no source {source_id}")
        document_ids = list(await session.scalars(select(Document.id).where(Document.source_id == source_id)))
        for start in range(0, len(document_ids), 1000):
            await store.delete(session, source.workspace_id, document_ids[start : start + 1000])
        await audit.record(
            session,
            organization_id,
            actor,
            "source.deleted",
            target=f"source:{source_id}",
            details={"name": source.name, "documents": len(document_ids)},
        )
        await session.delete(source)
