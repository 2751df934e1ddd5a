"""What commands work on: the installation, or all that answers and indexes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opaa.cli.console import settings
from opaa.db.session import TenantContext
from opaa.identity.service import Identity, find_user, identity_of
from opaa.runtime import Installation, Runtime, open_installation, open_runtime
from opaa.settings import Settings
from opaa.settings.check import require_safe
from opaa.telemetry import logs


@asynccontextmanager
async def installation() -> AsyncIterator[Installation]:
    """The database for a one-shot command: quiet, and brought up to date when it is the embedded one."""
    loaded = _quiet()
    async with open_installation(loaded, upgrade=loaded.database_url is None) as opened:
        yield opened


@asynccontextmanager
async def runtime() -> AsyncIterator[Runtime]:
    """The same with what answers and indexes."""
    loaded = _quiet()
    async with open_runtime(loaded, upgrade=loaded.database_url is None) as opened:
        yield opened


def _quiet() -> Settings:
    loaded = settings()
    logs.configure("ERROR" if loaded.log_level != "DEBUG" else "DEBUG", "text")
    require_safe(loaded)
    return loaded


async def acting_as(opened: Installation, login: str) -> Identity:
    async with opened.database.session(TenantContext(opened.organization_id, ())) as session:
        return await identity_of(session, await find_user(session, login))
