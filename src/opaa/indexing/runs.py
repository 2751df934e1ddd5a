"""Runs of a source: queued, watched, cancelled, and found again after a crash."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.audit import service as audit
from opaa.db.base import utc_now
from opaa.errors import ConflictError, NotFoundError
from opaa.indexing.models import CANCELLED, QUEUED, RUNNING, Document, SourceItem, SourceRun
from opaa.indexing.queue import defer_run
from opaa.sources.models import Source

ACTIVE = (QUEUED, RUNNING)


async def queue_run(
    session: AsyncSession, actor: str, source: Source, *, full: bool = False, allow_empty: bool = False
) -> SourceRun:
    """Queue a run and its job in the caller's transaction.

    A run that waits already is returned as it is. Raises ConflictError for a paused source.
    """
    if source.paused:
        raise ConflictError(f"The source {source.name} is paused; resume it first")
    waiting = select(SourceRun).where(SourceRun.source_id == source.id, SourceRun.state == QUEUED).with_for_update()
    run = await session.scalar(waiting)
    if run is not None:
        run.full_reindex = run.full_reindex or full
        run.allow_empty = run.allow_empty or allow_empty
        return run
    run = SourceRun(
        organization_id=source.organization_id, source_id=source.id, full_reindex=full, allow_empty=allow_empty
    )
    try:
        async with session.begin_nested():
            session.add(run)
            await session.flush()
    except IntegrityError:  # somebody else queued one meanwhile
        run = await session.scalar(waiting)
        if run is None:
            raise
        return run
    await defer_run(session, source.organization_id, source.id, run.id)
    await audit.record(session, source.organization_id, actor, "source.sync", target=f"source:{source.id}")
    return run


async def get_run(session: AsyncSession, run_id: UUID) -> SourceRun:
    run = await session.get(SourceRun, run_id)
    if run is None:
        raise NotFoundError(f"There is no run {run_id}")
    return run


async def list_runs(session: AsyncSession, source_id: UUID, limit: int) -> list[SourceRun]:
    query = select(SourceRun).where(SourceRun.source_id == source_id).order_by(SourceRun.created_at.desc()).limit(limit)
    return list(await session.scalars(query))


async def last_runs(session: AsyncSession, source_ids: Sequence[UUID]) -> dict[UUID, SourceRun]:
    """The newest run of each source, a working one before a waiting one."""
    query = (
        select(SourceRun)
        .where(SourceRun.source_id.in_(source_ids))
        .order_by(SourceRun.source_id, (SourceRun.state == RUNNING).desc(), SourceRun.created_at.desc())
    )
    return {run.source_id: run for run in await session.scalars(query.ext(distinct_on(SourceRun.source_id)))}


async def recent_runs(session: AsyncSession, source_ids: Sequence[UUID], seconds: float) -> list[SourceRun]:
    """Runs that are active or ended within the last `seconds`."""
    since = utc_now() - timedelta(seconds=seconds)
    query = select(SourceRun).where(
        SourceRun.source_id.in_(source_ids), SourceRun.state.in_(ACTIVE) | (SourceRun.finished_at > since)
    )
    return list(await session.scalars(query))


async def cancel_run(session: AsyncSession, actor: str, run: SourceRun) -> None:
    """A waiting run ends now, a working one at its next document."""
    now = utc_now()
    waiting = (
        update(SourceRun)
        .where(SourceRun.id == run.id, SourceRun.state == QUEUED)
        .values(state=CANCELLED, finished_at=now)
    )
    if not (await session.execute(waiting.returning(SourceRun.id))).all():
        working = update(SourceRun).where(SourceRun.id == run.id, SourceRun.state == RUNNING)
        await session.execute(working.values(cancel_requested=True))
    await audit.record(session, run.organization_id, actor, "source.sync.cancelled", target=f"run:{run.id}")
    await session.refresh(run)


async def counts(session: AsyncSession, source_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """(documents, items with an error) per source; documents as the session's principals see them."""
    documents = select(Document.source_id, func.count()).where(Document.source_id.in_(source_ids))
    errors = select(SourceItem.source_id, func.count()).where(
        SourceItem.source_id.in_(source_ids), SourceItem.error_reason.is_not(None)
    )
    found = {row[0]: row[1] for row in await session.execute(documents.group_by(Document.source_id))}
    failed = {row[0]: row[1] for row in await session.execute(errors.group_by(SourceItem.source_id))}
    return {source_id: (found.get(source_id, 0), failed.get(source_id, 0)) for source_id in source_ids}


async def list_errors(session: AsyncSession, source_id: UUID, after: str, limit: int) -> list[SourceItem]:
    """Items that could not be indexed, by external id, after the given one."""
    query = (
        select(SourceItem)
        .where(SourceItem.source_id == source_id, SourceItem.error_reason.is_not(None), SourceItem.external_id > after)
        .order_by(SourceItem.external_id)
        .limit(limit)
    )
    return list(await session.scalars(query))
