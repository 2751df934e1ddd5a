"""The usage table."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import REAL, Numeric
from sqlalchemy.orm import Mapped, mapped_column

from opaa.db.base import Base, utc_now, uuid7


class UsageRecord(Base):
    __tablename__ = "usage_records"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    workspace_id: Mapped[UUID | None]
    user_id: Mapped[UUID | None]
    kind: Mapped[str]
    model: Mapped[str] = mapped_column(default="")
    input_tokens: Mapped[int] = mapped_column(default=0)
    output_tokens: Mapped[int] = mapped_column(default=0)
    cost: Mapped[Decimal] = mapped_column(Numeric(18, 9), default=Decimal(0))
    took_ms: Mapped[float] = mapped_column(REAL, default=0.0)
    degraded: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
