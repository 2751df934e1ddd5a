"""Whether this process lives, can serve, and how its dependencies are; and its metrics."""

import asyncio
import time
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel
from sqlalchemy import text

from opaa import __version__
from opaa.api.dependencies import RuntimeDependency, authenticate
from opaa.errors import OpaaError, PermissionDeniedError
from opaa.indexing.jobs import queue_length, worker_is_alive
from opaa.runtime import Runtime
from opaa.telemetry import metrics

router = APIRouter(tags=["health"])

CHECK_TIMEOUT_S = 3.0
LOOPBACK = {"127.0.0.1", "::1"}


class Dependency(BaseModel):
    """`down` of something optional degrades the whole, it does not stop it."""

    status: Literal["up", "down"]
    latency_ms: float | None = None
    detail: str | None = None


class Health(BaseModel):
    status: Literal["up", "degraded", "down"]
    version: str
    dependencies: dict[str, Dependency]


class Live(BaseModel):
    status: Literal["up"] = "up"


async def _database(runtime: Runtime) -> Dependency:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S), runtime.database.session(None) as session:
            await session.execute(text("SELECT 1"))
    except (OpaaError, TimeoutError) as error:
        return Dependency(status="down", detail=str(error) or "no answer in time")
    return Dependency(status="up", latency_ms=round((time.perf_counter() - started) * 1000, 2))


async def _worker(runtime: Runtime) -> Dependency:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            alive = await worker_is_alive(runtime.database)
    except (OpaaError, TimeoutError) as error:
        return Dependency(status="down", detail=str(error) or "no answer in time")
    return Dependency(status="up") if alive else Dependency(status="down", detail="no worker sent a heartbeat lately")


@router.get("/livez")
async def livez() -> Live:
    """The event loop turns."""
    return Live()


@router.get("/readyz", responses={503: {"model": Health}})
async def readyz(runtime: RuntimeDependency, response: Response) -> Health:
    """Questions can be answered: the database can be reached."""
    database = await _database(runtime)
    response.status_code = 200 if database.status == "up" else 503
    return Health(status=database.status, version=__version__, dependencies={"database": database})


@router.get("/healthz", responses={503: {"model": Health}})
async def healthz(runtime: RuntimeDependency, response: Response) -> Health:
    """Every dependency, with its latency."""
    database, worker = await asyncio.gather(_database(runtime), _worker(runtime))
    dependencies = {"database": database, "worker": worker}
    status: Literal["up", "degraded", "down"] = "up"
    if database.status == "down":
        status = "down"
        response.status_code = 503
    elif worker.status == "down":
        status = "degraded"
    return Health(status=status, version=__version__, dependencies=dependencies)


async def _may_see_metrics(request: Request, runtime: RuntimeDependency) -> None:
    """From this machine, or with a token that has the scope `metrics:read`."""
    direct = request.client is not None and request.client.host in LOOPBACK
    if direct and "x-forwarded-for" not in request.headers:
        return
    identity = await authenticate(request, runtime)
    if not identity.may("metrics:read"):
        raise PermissionDeniedError("The metrics need the scope metrics:read")


@router.get("/metrics", response_class=Response)
async def read_metrics(runtime: RuntimeDependency, _: Annotated[None, Depends(_may_see_metrics)]) -> Response:
    """Metrics for Prometheus."""
    try:
        metrics.QUEUE_LENGTH.set(await queue_length(runtime.database))
    except OpaaError:
        metrics.QUEUE_LENGTH.set(float("nan"))
    return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)
