"""Audited transactions a second with sixteen writers, against the same transactions without their audit row."""

import asyncio
import time
from typing import Any

from sqlalchemy import text

from opaa.audit import service as audit
from opaa.audit.chain import seal
from opaa.db.session import Database
from tests.conftest import Tenant, create_tenant

WRITERS = 16
SECONDS = 6.0
ROUNDS = 3


async def measure(url: str) -> list[dict[str, Any]]:
    """Rows of the table: transactions a second (median of the rounds) and the sealer's share of the work."""
    database = Database(url, pool_size=WRITERS + 2, audit_key=b"k" * 32)
    tenant = await create_tenant(database)
    rates: dict[str, list[float]] = {"without audit": [], "audited": [], "audited, sealing": []}
    for _ in range(ROUNDS):
        for name, found in rates.items():
            found.append(await _rate(database, tenant, audited=name != "without audit", sealing="sealing" in name))
    sealed, started = 0, time.perf_counter()
    while anchor := await seal(database, tenant.organization_id):
        sealed = anchor.sequence
    took = time.perf_counter() - started
    await database.close()
    rows: list[dict[str, Any]] = [
        {"what": name, "per second": round(sorted(found)[ROUNDS // 2]), "runs": [round(each) for each in found]}
        for name, found in rates.items()
    ]
    return [*rows, {"what": "rows sealed at the end", "per second": "", "runs": [sealed, round(took, 1)]}]


async def _rate(database: Database, tenant: Tenant, *, audited: bool, sealing: bool) -> float:
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

    async def keep_sealing() -> None:
        while time.perf_counter() < until:
            await seal(database, tenant.organization_id)
            await asyncio.sleep(1)

    started = time.perf_counter()
    await asyncio.gather(*(write() for _ in range(WRITERS)), *([keep_sealing()] if sealing else []))
    return done / (time.perf_counter() - started)
