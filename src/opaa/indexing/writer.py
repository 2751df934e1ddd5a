"""Writes one document, its chunks and its index entries in one transaction; and removes them."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from psycopg.types.json import Jsonb
from sqlalchemy import delete, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.acl import document_tags
from opaa.db.base import utc_now, uuid7
from opaa.db.session import driver_connection
from opaa.extraction.port import Extracted
from opaa.indexing.chunking import Chunk
from opaa.indexing.models import Document, SourceItem
from opaa.indexing.permissions import decide_acl
from opaa.retrieval.attributes import write_attributes
from opaa.sources.models import Source
from opaa.sources.port import Item
from opaa.vectors.port import ChunkEntry, ChunkTerms, IndexScope, VectorStore

HASH_BYTES = 16

UPSERT_DOCUMENT = """
INSERT INTO documents (id, organization_id, workspace_id, source_id, external_id, uri, title, content_type, language,
  metadata, tags, source_acl, acl_id, acl_origin, size_bytes, content_hash, chunk_count, warnings, source_updated_at)
VALUES (%(id)s, %(organization_id)s, %(workspace_id)s, %(source_id)s, %(external_id)s, %(uri)s, %(title)s,
  %(content_type)s, %(language)s, %(metadata)s, %(tags)s, %(source_acl)s, %(acl_id)s, %(acl_origin)s,
  %(size_bytes)s, %(content_hash)s, %(chunk_count)s, %(warnings)s, %(source_updated_at)s)
ON CONFLICT (id) DO UPDATE SET uri = EXCLUDED.uri, title = EXCLUDED.title, content_type = EXCLUDED.content_type,
  language = EXCLUDED.language, metadata = EXCLUDED.metadata, tags = EXCLUDED.tags, source_acl = EXCLUDED.source_acl,
  acl_id = EXCLUDED.acl_id, acl_origin = EXCLUDED.acl_origin, size_bytes = EXCLUDED.size_bytes,
  content_hash = EXCLUDED.content_hash, chunk_count = EXCLUDED.chunk_count, warnings = EXCLUDED.warnings,
  source_updated_at = EXCLUDED.source_updated_at, indexed_at = now()
"""
UPSERT_TEXT = """
INSERT INTO document_texts (document_id, organization_id, workspace_id, acl_id, text)
VALUES (%(id)s, %(organization_id)s, %(workspace_id)s, %(acl_id)s, %(text)s)
ON CONFLICT (document_id) DO UPDATE SET text = EXCLUDED.text, acl_id = EXCLUDED.acl_id
"""
UPSERT_ITEM = """
INSERT INTO source_items (organization_id, workspace_id, source_id, external_id, document_id, fingerprint)
VALUES (%(organization_id)s, %(workspace_id)s, %(source_id)s, %(external_id)s, %(id)s, %(fingerprint)s)
ON CONFLICT (source_id, external_id) DO UPDATE SET document_id = EXCLUDED.document_id,
  fingerprint = EXCLUDED.fingerprint, error_reason = NULL, error_message = NULL, attempts = 0,
  first_failed_at = NULL, updated_at = now()
"""
INSERT_CHUNKS = """
INSERT INTO chunks (id, organization_id, workspace_id, document_id, ordinal, acl_id, heading_path, text, start_offset,
  end_offset)
SELECT i, %s, %s, %s, n - 1, %s, ARRAY(SELECT jsonb_array_elements_text(h)), t, s, e
  FROM unnest(%s::uuid[], %s::jsonb[], %s::text[], %s::integer[], %s::integer[]) WITH ORDINALITY AS u (i, h, t, s, e, n)
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A document read, extracted, cut and analysed, ready to be embedded; one entry per chunk in the sequences.

    `hashes` keys the embedding of each passage.
    """

    item: Item
    document_id: UUID
    is_new: bool
    content_hash: bytes
    extracted: Extracted
    title: str
    chunks: Sequence[Chunk]
    passages: Sequence[str]
    hashes: Sequence[bytes]
    terms: Sequence[ChunkTerms]


def passage_text(title: str, chunk: Chunk) -> str:
    """What is embedded for a chunk: where it stands, then what it says."""
    headings = [heading for heading in chunk.heading_path if heading != title]
    place = " › ".join([title, *headings])
    return f"{place}\n{chunk.text}"


def passage_hash(embedder: str, passage: str) -> bytes:
    """Key of an embedding: the model's name and the embedded text, the first 16 bytes of their SHA-256."""
    return hashlib.sha256(f"{embedder}\0{passage}".encode("utf-8", "surrogatepass")).digest()[:HASH_BYTES]


async def write_document(
    session: AsyncSession,
    store: VectorStore,
    source: Source,
    scope: IndexScope,
    prepared: Prepared,
    *,
    embeddings: NDArray[np.float32],
) -> None:
    """Everything of one document, replacing what was there. `embeddings` is (chunks, dimension) float32."""
    extracted, item = prepared.extracted, prepared.item
    tags = document_tags(extracted.metadata)
    acl_id, acl_origin = await decide_acl(session, source, prepared.document_id, tags, item.acl)
    values: dict[str, Any] = {
        "id": prepared.document_id,
        "organization_id": source.organization_id,
        "workspace_id": source.workspace_id,
        "source_id": source.id,
        "external_id": item.external_id,
        "uri": item.uri,
        "title": prepared.title,
        "content_type": extracted.content_type,
        "language": extracted.language,
        "metadata": Jsonb(extracted.metadata),
        "tags": tags,
        "source_acl": list(item.acl) if item.acl is not None else None,
        "acl_id": acl_id,
        "acl_origin": acl_origin,
        "size_bytes": item.size_bytes,
        "content_hash": prepared.content_hash,
        "chunk_count": len(prepared.chunks),
        "warnings": list(extracted.warnings),
        "source_updated_at": item.modified_at,
        "text": extracted.text,
        "fingerprint": item.fingerprint,
    }
    ids = [uuid7() for _ in prepared.chunks]
    entries = [
        ChunkEntry(chunk_id, prepared.document_id, acl_id, content_hash, embedding, terms)
        for chunk_id, content_hash, embedding, terms in zip(
            ids, prepared.hashes, embeddings, prepared.terms, strict=True
        )
    ]
    connection = await driver_connection(session)
    async with connection.pipeline():  # nothing below waits for an answer of its own
        # A crash may lose the last moments, always the newest ones; the run that wrote them then starts again.
        await connection.execute("SET LOCAL synchronous_commit TO off")
        await connection.execute(UPSERT_DOCUMENT, values)
        await connection.execute(UPSERT_TEXT, values)
        if not prepared.is_new:
            await connection.execute("DELETE FROM chunks WHERE document_id = %s", [prepared.document_id])
            await store.delete(session, source.workspace_id, [prepared.document_id])
        if ids:
            await connection.execute(
                INSERT_CHUNKS,
                [
                    source.organization_id, source.workspace_id, prepared.document_id, acl_id, ids,
                    [json.dumps(chunk.heading_path) for chunk in prepared.chunks],
                    [chunk.text for chunk in prepared.chunks],
                    [chunk.start for chunk in prepared.chunks],
                    [chunk.end for chunk in prepared.chunks],
                ],
            )  # fmt: skip
        await store.write(session, scope, entries)
        await write_attributes(session, scope, prepared.document_id, acl_id, extracted.metadata, extracted.text)
        await connection.execute(UPSERT_ITEM, values)


async def touch_item(session: AsyncSession, source: Source, item: Item, document_id: UUID) -> None:
    """The bytes are the same although the fingerprint differs; remember the new one."""
    await session.execute(
        text(UPSERT_ITEM_BOUND),
        {
            "organization_id": source.organization_id,
            "workspace_id": source.workspace_id,
            "source_id": source.id,
            "external_id": item.external_id,
            "id": document_id,
            "fingerprint": item.fingerprint,
        },
    )


UPSERT_ITEM_BOUND = UPSERT_ITEM.replace("%(", ":").replace(")s", "")


async def record_error(session: AsyncSession, source: Source, item: Item, reason: str, message: str) -> None:
    """Keep why an item could not be indexed; its document of an earlier run stays."""
    now: datetime = utc_now()
    statement = insert(SourceItem).values(
        organization_id=source.organization_id,
        workspace_id=source.workspace_id,
        source_id=source.id,
        external_id=item.external_id,
        fingerprint=item.fingerprint,
        error_reason=reason,
        error_message=message[:2000],
        attempts=1,
        first_failed_at=now,
        updated_at=now,
    )
    changed = {
        name: statement.excluded[name] for name in ("fingerprint", "error_reason", "error_message", "updated_at")
    }
    statement = statement.on_conflict_do_update(
        index_elements=["source_id", "external_id"],
        set_={
            **changed,
            "attempts": SourceItem.attempts + 1,
            "first_failed_at": text("coalesce(source_items.first_failed_at, excluded.first_failed_at)"),
        },
    )
    await session.execute(statement)


async def remove_items(session: AsyncSession, store: VectorStore, source: Source, external_ids: Sequence[str]) -> int:
    """Delete the items' documents everywhere; the number of documents removed."""
    gone = delete(SourceItem).where(SourceItem.source_id == source.id, SourceItem.external_id.in_(external_ids))
    await session.execute(gone)
    doomed = delete(Document).where(Document.source_id == source.id, Document.external_id.in_(external_ids))
    document_ids = list(await session.scalars(doomed.returning(Document.id)))
    if document_ids:
        await store.delete(session, source.workspace_id, document_ids)
    return len(document_ids)
