"""`opaa db …`."""

import asyncio

import typer

from opaa.cli.console import asynchronous, fail, out, settings
from opaa.db import migrate
from opaa.db.session import Database
from opaa.runtime import database_urls

app = typer.Typer(help="The database's schema.", no_args_is_help=True)


@app.command("upgrade")
@asynchronous
async def upgrade() -> None:
    """Bring the schema to this version."""
    async with database_urls(settings()) as urls:
        revision = await asyncio.to_thread(migrate.upgrade, urls.owner, urls.application)
    out.print(f"The database is at schema {revision}.")


@app.command("current")
@asynchronous
async def current() -> None:
    """Print the schema that the database is at."""
    async with database_urls(settings()) as urls:
        found = await asyncio.to_thread(migrate.current, urls.application)
    out.print(found or "never migrated")


@app.command("check")
@asynchronous
async def check() -> None:
    """Whether the schema is this version's and the application's role is safe; exit code 1 if not."""
    async with database_urls(settings()) as urls:
        found = await asyncio.to_thread(migrate.current, urls.application)
        if found != migrate.head():
            raise fail(f"The database is at schema {found}, this version needs {migrate.head()}: run `opaa db upgrade`")
        database = Database(urls.application, step_down=urls.step_down)
        try:
            await database.require_safe_role()
        finally:
            await database.close()
    out.print(f"The database is at schema {found}; the application's role is safe.")
