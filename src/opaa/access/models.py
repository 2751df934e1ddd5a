"""Workspaces and who belongs to them."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from opaa.db.base import Base, utc_now, uuid7


class Workspace(Base):
    __tablename__ = "workspaces"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class WorkspaceMember(Base):
    __tablename__ = "workspace_members"

    organization_id: Mapped[UUID]
    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
