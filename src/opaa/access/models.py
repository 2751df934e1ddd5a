"""Workspaces, groups, who belongs to them, and the rules that tags stand for."""

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


class WorkspaceGroup(Base):
    """A role that every member of a group has in a workspace."""

    __tablename__ = "workspace_groups"

    organization_id: Mapped[UUID]
    workspace_id: Mapped[UUID] = mapped_column(primary_key=True)
    group_id: Mapped[UUID] = mapped_column(primary_key=True)
    role: Mapped[str]
    origin: Mapped[str] = mapped_column(default="local")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Group(Base):
    __tablename__ = "groups"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    name: Mapped[str]
    external_id: Mapped[str | None]
    origin: Mapped[str] = mapped_column(default="local")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class GroupMember(Base):
    __tablename__ = "group_members"

    organization_id: Mapped[UUID]
    group_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(primary_key=True)
    origin: Mapped[str] = mapped_column(default="local")
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class TagRule(Base):
    """Who may read a workspace's documents with a tag; the rule with the lowest position decides."""

    __tablename__ = "tag_rules"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    organization_id: Mapped[UUID]
    workspace_id: Mapped[UUID]
    position: Mapped[int]
    tag: Mapped[str]
    principals: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
