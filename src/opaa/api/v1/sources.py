"""Sources and their runs."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession
from sse_starlette import EventSourceResponse, ServerSentEvent

from opaa.api.dependencies import (
    Limit,
    RuntimeDependency,
    SessionDependency,
    SourcesRead,
    SourcesWrite,
    identify,
    own_workspace,
)
from opaa.api.schemas import Input, Listing, Named, Page, Principal
from opaa.db.session import TenantContext
from opaa.errors import AuthenticationError, NotFoundError, PermissionDeniedError, UnavailableError
from opaa.identity.service import Identity
from opaa.indexing import runs
from opaa.indexing.documents import delete_source as remove_source
from opaa.indexing.models import SourceRun
from opaa.indexing.permissions import set_default_acl
from opaa.runtime import Runtime
from opaa.sources import service
from opaa.sources.models import UPLOAD, Source

router = APIRouter(tags=["sources"])

POLL_EVERY_S = 0.5
ENDED_SHOWN_S = 5.0


class SourceIn(Input):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Literal["filesystem"] = "filesystem"
    workspace: Annotated[str, Field(min_length=1, max_length=200, description="Name or id.")]
    settings: dict[str, Any]


class SourceChange(Input):
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    paused: bool | None = None
    settings: dict[str, Any] | None = None
    principals: Annotated[
        list[Principal] | None,
        Field(min_length=1, max_length=1000, description="Who may read its documents; null: the workspace."),
    ] = None


class SyncIn(Input):
    full: Annotated[bool, Field(description="Index every document again, changed or not.")] = False
    allow_empty: Annotated[bool, Field(description="An empty source is right: remove all its documents.")] = False


class RunOut(BaseModel):
    """What a run did so far."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    source_id: UUID
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    discovered: int
    processed: int
    added: int
    changed: int
    unchanged: int
    removed: int
    failed: int
    chunks: int
    current_item: str
    error: str | None
    created_at: datetime
    started_at: datetime | None
    heartbeat_at: datetime | None
    finished_at: datetime | None


class SourceOut(BaseModel):
    id: UUID
    name: str
    kind: str
    workspace: Named
    settings: dict[str, Any]
    paused: bool
    principals: list[str] | None
    document_count: int
    error_count: int
    last_run: RunOut | None
    created_at: datetime


class ItemErrorOut(BaseModel):
    """An item that could not be indexed. `reason` is a stable word."""

    external_id: str
    reason: str
    message: str
    attempts: int
    first_failed_at: datetime | None
    last_failed_at: datetime


async def sources_out(session: AsyncSession, identity: Identity, sources: Sequence[Source]) -> list[SourceOut]:
    workspaces = {workspace.id: workspace for workspace in identity.workspaces}
    ids = [source.id for source in sources]
    counts, last = await runs.counts(session, ids), await runs.last_runs(session, ids)
    return [
        SourceOut(
            id=source.id,
            name=source.name,
            kind=source.kind,
            workspace=Named.model_validate(workspaces[source.workspace_id]),
            settings=source.settings if identity.may("sources:write", source.workspace_id) else {},
            paused=source.paused,
            principals=source.default_acl if identity.may("sources:write", source.workspace_id) else None,
            document_count=counts[source.id][0],
            error_count=counts[source.id][1] if may_see_runs(identity, source) else 0,
            last_run=RunOut.model_validate(last[source.id])
            if source.id in last and may_see_runs(identity, source)
            else None,
            created_at=source.created_at,
        )
        for source in sources
    ]


async def own_source(
    session: AsyncSession, identity: Identity, name_or_id: str | UUID, operation: str | None = None
) -> Source:
    """A source in one of the person's workspaces, in which `operation` is allowed. Raises NotFoundError."""
    source = await service.find_source(session, str(name_or_id))
    if source.workspace_id not in {workspace.id for workspace in identity.workspaces}:
        raise NotFoundError(f"There is no source {name_or_id!r}")
    own_workspace(identity, source.workspace_id, operation)
    return source


async def own_run(session: AsyncSession, identity: Identity, run_id: UUID) -> tuple[SourceRun, Source]:
    run = await runs.get_run(session, run_id)
    source = await service.find_source(session, str(run.source_id))
    if not may_see_runs(identity, source):
        raise NotFoundError(f"There is no run {run_id}")
    return run, source


def may_see_runs(identity: Identity, source: Source) -> bool:
    """Runs count and name documents that only some may read: whoever manages a source sees them, and who uploads those
    of the uploads."""
    operation = "documents:write" if source.kind == UPLOAD else "sources:write"
    return identity.may(operation, source.workspace_id) or identity.may("sources:write", source.workspace_id)


@router.get("/sources")
async def list_sources(identity: SourcesRead, session: SessionDependency) -> Listing[SourceOut]:
    """The sources of your workspaces, with what they hold and their last run."""
    sources = await service.list_sources(session, [workspace.id for workspace in identity.workspaces])
    return Listing(items=await sources_out(session, identity, sources))


@router.post("/sources", status_code=201)
async def create_source(body: SourceIn, identity: SourcesWrite, session: SessionDependency) -> SourceOut:
    """Connect a folder of the server. The connection is tested first."""
    workspace = own_workspace(identity, body.workspace, "sources:write")
    source = await service.create_source(
        session, identity.actor, workspace, kind=body.kind, name=body.name, settings=body.settings
    )
    await session.commit()
    return (await sources_out(session, identity, [source]))[0]


@router.get("/sources/{source_id}")
async def get_source(source_id: UUID, identity: SourcesRead, session: SessionDependency) -> SourceOut:
    source = await own_source(session, identity, str(source_id))
    return (await sources_out(session, identity, [source]))[0]


@router.patch("/sources/{source_id}")
async def update_source(
    source_id: UUID,
    body: SourceChange,
    identity: SourcesWrite,
    runtime: RuntimeDependency,
    session: SessionDependency,
) -> SourceOut:
    """Rename, pause, resume or reconfigure a source, or change who may read its documents."""
    source = await own_source(session, identity, source_id, "sources:write")
    await service.update_source(
        session, identity.actor, source, name=body.name, paused=body.paused, settings=body.settings
    )
    await session.commit()
    if "principals" in body.model_fields_set:
        async with runtime.database.transaction(TenantContext.system(identity.organization_id)) as whole:
            await set_default_acl(
                whole, runtime.store, await whole.get_one(Source, source_id), body.principals, actor=identity.actor
            )
        await session.refresh(source)
    return (await sources_out(session, identity, [source]))[0]


@router.delete("/sources/{source_id}", status_code=204)
async def delete_source(
    source_id: UUID, identity: SourcesWrite, runtime: RuntimeDependency, session: SessionDependency
) -> None:
    """Remove a source and everything that was indexed from it."""
    await own_source(session, identity, source_id, "sources:write")
    await session.rollback()
    await remove_source(runtime.database, runtime.store, identity.actor, identity.organization_id, source_id)


@router.post("/sources/{source_id}/sync", status_code=202)
async def sync_source(source_id: UUID, body: SyncIn, identity: SourcesWrite, session: SessionDependency) -> RunOut:
    """Queue a run; one that waits already is returned."""
    source = await own_source(session, identity, source_id, "sources:write")
    run = await runs.queue_run(session, identity.actor, source, full=body.full, allow_empty=body.allow_empty)
    await session.commit()
    return RunOut.model_validate(run)


@router.get("/sources/{source_id}/runs")
async def list_runs(
    source_id: UUID, identity: SourcesRead, session: SessionDependency, limit: Limit = 20
) -> Listing[RunOut]:
    """The last runs, newest first."""
    source = await own_source(session, identity, source_id)
    if not may_see_runs(identity, source):
        raise PermissionDeniedError(f"Your role in its workspace does not show the runs of {source.name}")
    return Listing(items=[RunOut.model_validate(run) for run in await runs.list_runs(session, source.id, limit)])


@router.get("/sources/{source_id}/errors")
async def list_errors(
    source_id: UUID,
    identity: SourcesRead,
    session: SessionDependency,
    cursor: Annotated[str, Query(max_length=4096)] = "",
    limit: Limit = 50,
) -> Page[ItemErrorOut]:
    """What could not be indexed, and why."""
    source = await own_source(session, identity, source_id)
    if not may_see_runs(identity, source):
        raise PermissionDeniedError(f"Your role in its workspace does not show the runs of {source.name}")
    found = await runs.list_errors(session, source.id, cursor.replace("\0", ""), limit + 1)
    items = [
        ItemErrorOut(
            external_id=item.external_id,
            reason=item.error_reason or "",
            message=item.error_message or "",
            attempts=item.attempts,
            first_failed_at=item.first_failed_at,
            last_failed_at=item.updated_at,
        )
        for item in found[:limit]
    ]
    return Page(items=items, next_cursor=items[-1].external_id if len(found) > limit else None)


@router.get("/runs/{run_id}")
async def get_run(run_id: UUID, identity: SourcesRead, session: SessionDependency) -> RunOut:
    run, _ = await own_run(session, identity, run_id)
    return RunOut.model_validate(run)


@router.post("/runs/{run_id}/cancel", status_code=202)
async def cancel_run(run_id: UUID, identity: SourcesWrite, session: SessionDependency) -> RunOut:
    """Stop a run; what it has indexed stays."""
    run, source = await own_run(session, identity, run_id)
    own_workspace(identity, source.workspace_id, "sources:write")
    await runs.cancel_run(session, identity.actor, run)
    await session.commit()
    return RunOut.model_validate(run)


@router.get("/events", response_class=EventSourceResponse)
async def events(request: Request, identity: SourcesRead, runtime: RuntimeDependency) -> EventSourceResponse:
    """Server-sent events `run`: each change of the runs of your workspaces' sources, while it happens.

    Ends with the log-in or token that opened it.
    """
    return EventSourceResponse(_changes(request, runtime), ping=15, headers={"X-Accel-Buffering": "no"})


async def _changes(request: Request, runtime: Runtime) -> AsyncGenerator[ServerSentEvent, None]:
    sent: dict[UUID, bytes] = {}
    while not await request.is_disconnected():
        try:
            # Asked each time: what one may see changes while the stream is open.
            identity = await identify(request, runtime)
            if not identity.may("sources:read"):
                return
            async with runtime.database.session(identity.context) as session:
                sources = await service.list_sources(session, [workspace.id for workspace in identity.workspaces])
                shown = [source.id for source in sources if may_see_runs(identity, source)]
                found = await runs.recent_runs(session, shown, ENDED_SHOWN_S)
        except AuthenticationError:
            return
        except UnavailableError:
            found = []
        for run in found:
            data = orjson.dumps(RunOut.model_validate(run).model_dump(mode="json"))
            if sent.get(run.id) != data:
                sent[run.id] = data
                yield ServerSentEvent(data=data.decode(), event="run")
        await asyncio.sleep(POLL_EVERY_S)
