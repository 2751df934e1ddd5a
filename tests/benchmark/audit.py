"""Audited transactions a second with sixteen writers, against the same transactions without their audit row."""

import asyncio
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from opaa.audit import service as audit
from opaa.audit.chain import seal
from opaa.db import migrate
from opaa.db.embedded import EmbeddedPostgres
from opaa.db.session import Database
from tests.conftest import Tenant, create_tenant

WRITERS = 16
KEY = b"k" * 32
SECONDS = 6.0
ROUNDS = 3


def run() -> list[dict[str, Any]]:
    """On an embedded database of its own."""
    with tempfile.TemporaryDirectory(prefix="opaa-bench-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        urls = server.acquire()
        try:
            migrate.upgrade(urls.owner, urls.application)
            return asyncio.run(measure(urls.application))
        finally:
            server.release()


async def measure(url: str) -> list[dict[str, Any]]:
    """Transactions a second (median of the rounds), and how fast rows are sealed."""
    database = Database(url, pool_size=WRITERS + 2, audit_key=KEY)
    tenant = await create_tenant(database)
    rates: dict[str, list[float]] = {
        "without audit (reference)": [],
        "audited": [],
        "audited, another process sealing": [],
    }
    for _ in range(ROUNDS):
        for name, found in rates.items():
            found.append(
                await _rate(database, tenant, url, audited=name.startswith("audited"), sealing="sealing" in name)
            )
    async with database.session(tenant.system) as session:
        waiting = await session.scalar(text("SELECT count(*) FROM audit_pending")) or 0
    started = time.perf_counter()
    while await seal(database, tenant.organization_id):
        pass
    sealed_per_s = round(waiting / (time.perf_counter() - started))
    await database.close()
    rows: list[dict[str, Any]] = [
        {
            "what": name,
            "value": round(sorted(found)[ROUNDS // 2]),
            "unit": "transactions/s",
            "target": ">= 1,000" if name.startswith("audited") else "",
            "runs": ", ".join(str(round(each)) for each in found),
        }
        for name, found in rates.items()
    ]
    return [*rows, {"what": "sealing alone", "value": sealed_per_s, "unit": "rows/s", "rows": waiting}]


async def _rate(database: Database, tenant: Tenant, url: str, *, audited: bool, sealing: bool) -> float:
    done = 0
    until = time.perf_counter() + SECONDS

    async def write() -> None:
        nonlocal done
        while time.perf_counter() < until:
            async with database.transaction(tenant.system) as session:
                await session.execute(text("SELECT 1"))
                if audited:
                    await audit.record(session, tenant.organization_id, "user:x", "ask", private={"address": "::1"})
            done += 1

    sealer = multiprocessing.get_context("spawn").Process(target=_seal, args=(url, tenant.organization_id))
    if sealing:
        sealer.start()
        await asyncio.sleep(3)  # until it has imported what it needs
        until = time.perf_counter() + SECONDS
    started = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(WRITERS)))
    took = time.perf_counter() - started
    if sealing:
        sealer.terminate()
        sealer.join()
    return done / took


def _seal(url: str, organization_id: UUID) -> None:
    """What a worker's process does: seal what waits, every second."""

    async def keep_sealing() -> None:
        database = Database(url, pool_size=2, audit_key=KEY)
        while True:
            await seal(database, organization_id)
            await asyncio.sleep(1)

    asyncio.run(keep_sealing())
