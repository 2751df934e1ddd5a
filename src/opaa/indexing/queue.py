"""The job queue (Procrastinate, in PostgreSQL): its application object and what puts jobs in."""

from uuid import UUID

from procrastinate import App, PsycopgConnector
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.db.session import APPLICATION_ROLE, CONNECT_TIMEOUT_S, Database, driver_connection

INDEXING_QUEUE = "indexing"
RUN_TASK = "opaa.run_source"

# Only builds jobs; workers open an application of their own on their own connections (see jobs.py).
_deferring = App(connector=PsycopgConnector())


def queue_connector(database: Database, max_size: int) -> PsycopgConnector:
    """A pool for the queue, as the application's role."""
    options = f"-c role={APPLICATION_ROLE}" if database.step_down else ""
    return PsycopgConnector(
        conninfo=database.url,
        min_size=1,
        max_size=max_size,
        kwargs={"options": options, "connect_timeout": CONNECT_TIMEOUT_S, "application_name": "opaa-queue"},
    )


async def defer_run(session: AsyncSession, organization_id: UUID, source_id: UUID, run_id: UUID) -> None:
    """Queue the job of a run in the session's own transaction. Runs of one source never overlap."""
    await _deferring.configure_task(
        RUN_TASK, queue=INDEXING_QUEUE, lock=f"source:{source_id}", connection=await driver_connection(session)
    ).defer_async(organization_id=str(organization_id), run_id=str(run_id))
