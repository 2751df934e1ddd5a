"""Creates, changes and removes sources, and opens their connectors."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.models import Workspace
from opaa.audit import service as audit
from opaa.errors import ConflictError, InvalidInputError, NotFoundError
from opaa.sources.filesystem import FilesystemConnector, FilesystemSettings
from opaa.sources.models import FILESYSTEM, UPLOAD, Source
from opaa.sources.port import Connector


async def create_source(
    session: AsyncSession, actor: str, workspace: Workspace, *, kind: str, name: str, settings: dict[str, Any]
) -> Source:
    """A new source, after its settings and the connection were tested.

    Raises InvalidInputError (unknown kind, bad settings, missing folder) or ConflictError (name taken).
    """
    if kind != FILESYSTEM:
        raise InvalidInputError(f"{kind[:50]!r} is not a kind of source; the kinds are {FILESYSTEM}")
    checked = check_filesystem(settings)
    await asyncio.to_thread(FilesystemConnector(checked).test)
    source = Source(
        organization_id=workspace.organization_id,
        workspace_id=workspace.id,
        kind=kind,
        name=_checked_name(name),
        settings=checked.model_dump(mode="json"),
    )
    session.add(source)
    await _flush_name(session, source.name)
    await audit.record(session, source.organization_id, actor, "source.created", target=f"source:{source.id}")
    return source


async def update_source(
    session: AsyncSession,
    actor: str,
    source: Source,
    *,
    name: str | None = None,
    paused: bool | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    if settings is not None:
        if source.kind != FILESYSTEM:
            raise InvalidInputError(f"The source {source.name} has no settings to change")
        checked = check_filesystem(settings)
        await asyncio.to_thread(FilesystemConnector(checked).test)
        source.settings = checked.model_dump(mode="json")
    if paused is not None:
        source.paused = paused
    if name is not None:
        source.name = _checked_name(name)
        await _flush_name(session, source.name)
    await audit.record(session, source.organization_id, actor, "source.changed", target=f"source:{source.id}")


async def list_sources(session: AsyncSession, workspace_ids: list[UUID]) -> list[Source]:
    query = select(Source).where(Source.workspace_id.in_(workspace_ids)).order_by(func.lower(Source.name))
    return list(await session.scalars(query))


async def find_source(session: AsyncSession, name_or_id: str) -> Source:
    """A source by name (any case) or id. Raises NotFoundError."""
    try:
        condition = Source.id == UUID(name_or_id)
    except ValueError:
        condition = func.lower(Source.name) == name_or_id.strip().lower()
    source = await session.scalar(select(Source).where(condition))
    if source is None:
        names = list(await session.scalars(select(Source.name).order_by(Source.name).limit(10)))
        known = f"; there is {', '.join(names)}" if names else ""
        raise NotFoundError(f"There is no source {name_or_id[:100]!r}{known}")
    return source


async def upload_source(session: AsyncSession, workspace: Workspace) -> Source:
    """The source of a workspace's uploads, created with the first one."""
    query = select(Source).where(Source.workspace_id == workspace.id, Source.kind == UPLOAD)
    source = await session.scalar(query)
    if source is None:
        source = Source(
            organization_id=workspace.organization_id,
            workspace_id=workspace.id,
            kind=UPLOAD,
            name=f"Uploads ({workspace.name})",
        )
        session.add(source)
        try:
            async with session.begin_nested():
                await session.flush()
        except IntegrityError:  # another request created it
            source = await session.scalar(query)
            if source is None:
                raise
    return source


def connector(source: Source, uploads_dir: Path) -> Connector:
    """The connector of a source. `uploads_dir` is the root of uploaded files."""
    if source.kind == UPLOAD:
        # Made by the first upload. Where it is gone the run fails: the documents must not go with a lost volume.
        path = upload_folder(uploads_dir, source)
        return FilesystemConnector(FilesystemSettings(path=str(path), exclude=[".partial-*"]))
    return FilesystemConnector(FilesystemSettings.model_validate(source.settings))


def upload_folder(uploads_dir: Path, source: Source) -> Path:
    return uploads_dir / str(source.organization_id) / str(source.id)


def check_filesystem(settings: dict[str, Any]) -> FilesystemSettings:
    try:
        return FilesystemSettings.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInputError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise InvalidInputError("A source's name is 1 to 200 printable characters")
    return name


async def _flush_name(session: AsyncSession, name: str) -> None:
    try:
        await session.flush()
    except IntegrityError as error:
        raise ConflictError(f"There is already a source named {name}") from error
