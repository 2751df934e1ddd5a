"""Conversations, their messages, and feedback."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from opaa.db.base import Base, utc_now, uuid7


class Conversation(Base):
    __tablename__ = "conversations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    user_id: Mapped[UUID]
    workspace_id: Mapped[UUID | None]
    title: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class Message(Base):
    __tablename__ = "messages"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    user_id: Mapped[UUID]
    conversation_id: Mapped[UUID]
    role: Mapped[str]
    content: Mapped[str]
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    document_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Feedback(Base):
    __tablename__ = "feedback"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    user_id: Mapped[UUID]
    message_id: Mapped[UUID]
    rating: Mapped[str]
    comment: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
