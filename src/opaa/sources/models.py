"""The sources table."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from opaa.db.base import Base, utc_now, uuid7

FILESYSTEM = "filesystem"
UPLOAD = "upload"


class Source(Base):
    __tablename__ = "sources"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    workspace_id: Mapped[UUID]
    kind: Mapped[str]
    name: Mapped[str]
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, default=dict)
    paused: Mapped[bool] = mapped_column(default=False)
    default_acl: Mapped[list[str] | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
