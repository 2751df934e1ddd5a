"""Documents, what is known of their sources' items, runs, and index generations."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from opaa.db.base import Base, utc_now, uuid7

QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "queued", "running", "succeeded", "failed", "cancelled"


class Document(Base):
    __tablename__ = "documents"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    workspace_id: Mapped[UUID]
    source_id: Mapped[UUID]
    external_id: Mapped[str]
    uri: Mapped[str]
    title: Mapped[str]
    content_type: Mapped[str]
    language: Mapped[str | None]
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", JSONB, default=dict)
    tags: Mapped[list[str]] = mapped_column(default=list)
    own_tags: Mapped[list[str]] = mapped_column(default=list)
    source_acl: Mapped[list[str] | None]
    own_acl: Mapped[list[str] | None]
    acl_id: Mapped[int]
    acl_origin: Mapped[str] = mapped_column(default="source")
    state: Mapped[str] = mapped_column(default="active")
    size_bytes: Mapped[int]
    content_hash: Mapped[bytes]
    chunk_count: Mapped[int] = mapped_column(default=0)
    warnings: Mapped[list[str]] = mapped_column(default=list)
    source_updated_at: Mapped[datetime | None]
    indexed_at: Mapped[datetime] = mapped_column(default=utc_now)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class SourceItem(Base):
    """The last known state of one item of a source: its fingerprint, its document, or why there is none."""

    __tablename__ = "source_items"

    organization_id: Mapped[UUID]
    workspace_id: Mapped[UUID]
    source_id: Mapped[UUID] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    document_id: Mapped[UUID | None]
    fingerprint: Mapped[str]
    error_reason: Mapped[str | None]
    error_message: Mapped[str | None]
    attempts: Mapped[int] = mapped_column(default=0)
    first_failed_at: Mapped[datetime | None]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class SourceRun(Base):
    __tablename__ = "source_runs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    source_id: Mapped[UUID]
    state: Mapped[str] = mapped_column(default=QUEUED)
    full_reindex: Mapped[bool] = mapped_column(default=False)
    allow_empty: Mapped[bool] = mapped_column(default=False)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    discovered: Mapped[int] = mapped_column(default=0)
    processed: Mapped[int] = mapped_column(default=0)
    added: Mapped[int] = mapped_column(default=0)
    changed: Mapped[int] = mapped_column(default=0)
    unchanged: Mapped[int] = mapped_column(default=0)
    removed: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    chunks: Mapped[int] = mapped_column(default=0)
    current_item: Mapped[str] = mapped_column(default="")
    error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    started_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class IndexGeneration(Base):
    """Which embedder made the vectors of an organization's index; exactly one generation is active."""

    __tablename__ = "index_generations"

    id: Mapped[int] = mapped_column(primary_key=True)
    organization_id: Mapped[UUID]
    embedder: Mapped[str]
    dimension: Mapped[int]
    query_prefix: Mapped[str] = mapped_column(default="")
    passage_prefix: Mapped[str] = mapped_column(default="")
    chunking: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    state: Mapped[str] = mapped_column(default="active")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
