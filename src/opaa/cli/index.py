"""`opaa index …`."""

from typing import Annotated

import typer
from sqlalchemy import select, text

from opaa.cli.console import asynchronous, err, out
from opaa.cli.opened import runtime
from opaa.db.session import TenantContext
from opaa.indexing.generations import replace_generation
from opaa.indexing.runs import queue_run
from opaa.sources.models import Source

app = typer.Typer(help="The search index.", no_args_is_help=True)


@app.command("rebuild")
@asynchronous
async def rebuild(yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Start again with the configured embedding model: every source is queued in full.

    Until a document is indexed again, only its words are found, not its meaning.
    """
    if not yes:
        typer.confirm("Compute every embedding again?", abort=True)
    async with (
        runtime() as opened,
        opened.database.transaction(TenantContext.system(opened.organization_id)) as session,
    ):
        await session.execute(text("DELETE FROM chunk_embeddings"))
        generation = await replace_generation(session, opened.organization_id, opened.embedder)
        sources = list(await session.scalars(select(Source).where(~Source.paused)))
        for source in sources:
            await queue_run(session, "system", source, full=True)
    out.print(f"The index now uses {generation.embedder}; {len(sources)} sources are queued.")
    err.print("A worker must be running (`opaa up` or `opaa worker`).")
