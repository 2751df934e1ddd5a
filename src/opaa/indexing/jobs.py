"""The worker: takes runs from the queue, keeps schedules, and brings back jobs whose worker died."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from uuid import UUID

import structlog
from croniter import croniter
from procrastinate import App, BaseRetryStrategy, RetryDecision
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from sqlalchemy import select, text

from opaa.db.session import Database, TenantContext
from opaa.errors import DatabaseUnavailableError, OpaaError
from opaa.indexing.models import QUEUED, RUNNING, SourceRun
from opaa.indexing.pipeline import Indexer
from opaa.indexing.queue import INDEXING_QUEUE, RUN_TASK, queue_connector
from opaa.indexing.runs import queue_run
from opaa.sources.models import Source
from opaa.tenancy.service import organization_ids

log = structlog.get_logger(__name__)

HEARTBEAT_EVERY_S = 3.0
STALLED_AFTER_S = 12.0
SWEEP_EVERY_S = 4.0
STOP_WITHIN_S = 2.0  # then a run is broken off and goes back to the queue; it goes on with the next document
RECONNECT_AFTER_S = 2.0


class GoOn(BaseRetryStrategy):
    """Gives back the jobs of runs that were broken off: by the worker's end, or by a database that was away.

    Everything else that can happen to a run stands in the run's own row, and its job has then done its work.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, asyncio.CancelledError):
            return RetryDecision(retry_in={"seconds": 0})
        if isinstance(exception, DatabaseUnavailableError):
            return RetryDecision(retry_in={"seconds": 2})
        return None


class Worker:
    """Works on the indexing queue until it is stopped."""

    def __init__(
        self, database: Database, indexer: Indexer, *, concurrency: int = 1, schedule: str | None = None
    ) -> None:
        self.database = database
        self.indexer = indexer
        self.concurrency = concurrency
        self.schedule = schedule

    async def run(self, *, until_idle: bool = False) -> None:
        """Work until cancelled; with `until_idle`, until no job is left. Reconnects when the database comes back."""
        while True:
            try:
                async with self._application() as application:
                    await self._work(application, until_idle=until_idle)
                    return
            except (ConnectorException, OpaaError) as error:
                if until_idle:
                    raise
                log.warning("the queue cannot be reached, trying again", error=str(error))
                await asyncio.sleep(RECONNECT_AFTER_S)

    @asynccontextmanager
    async def _application(self) -> AsyncIterator[App]:
        application = App(connector=queue_connector(self.database, self.concurrency + 2))

        @application.task(name=RUN_TASK, queue=INDEXING_QUEUE, retry=GoOn())
        async def run_source(organization_id: str, run_id: str) -> None:
            await self.indexer.run(UUID(organization_id), UUID(run_id))

        async with application.open_async():
            yield application

    async def _work(self, application: App, *, until_idle: bool) -> None:
        await sweep(application)
        background = [asyncio.create_task(self._sweep_forever(application))]
        if self.schedule and not until_idle:
            background.append(asyncio.create_task(self._keep_schedule(self.schedule)))
        try:
            await application.run_worker_async(
                queues=[INDEXING_QUEUE],
                concurrency=self.concurrency,
                wait=not until_idle,
                install_signal_handlers=False,
                update_heartbeat_interval=HEARTBEAT_EVERY_S,
                stalled_worker_timeout=STALLED_AFTER_S,
                shutdown_graceful_timeout=STOP_WITHIN_S,
                fetch_job_polling_interval=2.0,
                delete_jobs="successful",
            )
        finally:
            for task in background:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _sweep_forever(self, application: App) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                await sweep(application)
            except ConnectorException as error:
                log.warning("stalled jobs could not be looked for", error=str(error))

    async def _keep_schedule(self, schedule: str) -> None:
        while True:
            due = croniter(schedule, datetime.now(UTC)).get_next(datetime)
            await asyncio.sleep(max((due - datetime.now(UTC)).total_seconds(), 0.1))
            try:
                await queue_every_source(self.database)
            except OpaaError as error:
                log.warning("the schedule could not be kept", error=error.message)


async def sweep(application: App) -> int:
    """Give back the jobs of workers that stopped sending heartbeats; how many."""
    stalled = list(await application.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_S))
    for job in stalled:
        await application.job_manager.retry_job(job)
        log.warning("took back the job of a dead worker", job_id=job.id)
    return len(stalled)


async def queue_every_source(database: Database) -> None:
    """Queue a run for every source that is not paused and has none active."""
    for organization_id in await organization_ids(database):
        async with database.transaction(TenantContext.system(organization_id)) as session:
            active = select(SourceRun.source_id).where(SourceRun.state.in_([QUEUED, RUNNING]))
            idle = select(Source).where(~Source.paused, Source.id.not_in(active))
            for source in await session.scalars(idle):
                await queue_run(session, "system", source)


async def worker_is_alive(database: Database) -> bool:
    """Whether some worker sent a heartbeat lately."""
    async with database.session(None) as session:
        return bool(
            await session.scalar(
                text(
                    "SELECT EXISTS (SELECT FROM procrastinate_workers"
                    " WHERE last_heartbeat > now() - make_interval(secs => :seconds))"
                ),
                {"seconds": STALLED_AFTER_S},
            )
        )


async def queue_length(database: Database) -> int:
    async with database.session(None) as session:
        query = text("SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')")
        return int(await session.scalar(query) or 0)
