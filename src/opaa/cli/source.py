"""`opaa source …`."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from opaa.access.service import find_workspace
from opaa.api.v1.sources import RunOut, sources_out
from opaa.cli.console import JsonOption, asynchronous, err, escape, fail, out, print_json
from opaa.cli.opened import acting_as, installation
from opaa.db.session import TenantContext
from opaa.errors import InvalidInputError
from opaa.indexing import runs
from opaa.indexing.documents import delete_source
from opaa.indexing.jobs import Worker, worker_is_alive
from opaa.indexing.models import SUCCEEDED, SourceRun
from opaa.runtime import Installation, open_indexer, open_runtime
from opaa.sources import service

app = typer.Typer(help="Sources: where documents come from.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name or id of the source.")]
KINDS = ("filesystem",)
POLL_EVERY_S = 0.25


def _system(opened: Installation) -> TenantContext:
    return TenantContext.system(opened.organization_id)


@app.command("add")
@asynchronous
async def add(
    kind: Annotated[str, typer.Argument(help=f"What it is: {', '.join(KINDS)}.")],
    name: Annotated[str, typer.Option("--name", help="How it is called here.")],
    path: Annotated[Path, typer.Option("--path", help="The folder.")],
    workspace: Annotated[str, typer.Option("--workspace", "-w", help="Who may read it.")],
    *,
    include: Annotated[list[str] | None, typer.Option("--include", help="Globs of files to index.")] = None,
    exclude: Annotated[list[str] | None, typer.Option("--exclude", help="Globs to leave out.")] = None,
    max_bytes: Annotated[int | None, typer.Option("--max-bytes", min=1, help="Larger files are skipped.")] = None,
) -> None:
    """Connect a folder. Nothing is indexed yet: see `opaa source sync`."""
    if kind not in KINDS:
        raise InvalidInputError(f"{kind!r} is not a kind of source; the kinds are {', '.join(KINDS)}")
    settings: dict[str, object] = {"path": str(path.expanduser().absolute()), "max_bytes": max_bytes}
    settings |= {"include": include} if include else {}
    settings |= {"exclude": exclude} if exclude else {}
    async with installation() as opened, opened.database.transaction(_system(opened)) as session:
        where = await find_workspace(session, workspace)
        source = await service.create_source(session, "system", where, kind=kind, name=name, settings=settings)
        out.print(f"Connected {escape(source.name)}. Index it with: opaa source sync {escape(source.name)} --wait")


@app.command("list")
@asynchronous
async def show(json: JsonOption = False) -> None:
    """List the sources, what they hold and their last run."""
    async with installation() as opened:
        identity = await acting_as(opened, "admin")
        async with opened.database.session(identity.context) as session:
            found = await service.list_sources(session, [workspace.id for workspace in identity.workspaces])
            rows = await sources_out(session, identity, found)
    if json:
        print_json({"items": rows})
        return
    table = Table("Source", "Kind", "Workspace", "Documents", "Errors", "Last run")
    for row in rows:
        state = ("paused, " if row.paused else "") + (row.last_run.state if row.last_run else "never")
        table.add_row(
            escape(row.name), row.kind, escape(row.workspace.name), str(row.document_count), str(row.error_count), state
        )
    out.print(table if rows else "There is no source yet: opaa source add filesystem --name … --path … --workspace …")


@app.command("errors")
@asynchronous
async def errors(name: Name, json: JsonOption = False) -> None:
    """List what could not be indexed, and why."""
    async with installation() as opened, opened.database.session(_system(opened)) as session:
        source = await service.find_source(session, name)
        items = await runs.list_errors(session, source.id, "", 10_000)
    if json:
        keys = ("external_id", "error_reason", "error_message", "attempts", "first_failed_at", "updated_at")
        print_json({"items": [{key.removeprefix("error_"): getattr(item, key) for key in keys} for item in items]})
        return
    table = Table("File", "Reason", "What it means")
    for item in items:
        table.add_row(escape(item.external_id), item.error_reason, escape(item.error_message or ""))
    out.print(table if items else "Nothing failed.")


@app.command("remove")
@asynchronous
async def remove(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Remove a source and everything indexed from it. The files stay where they are."""
    async with installation() as opened:
        async with opened.database.session(_system(opened)) as session:
            source = await service.find_source(session, name)
            documents, _ = (await runs.counts(session, [source.id]))[source.id]
        if not yes:
            typer.confirm(f"Remove {source.name} with {documents} documents from the index?", abort=True)
        await delete_source(opened.database, opened.store, "system", opened.organization_id, source.id)
        out.print(f"Removed {escape(source.name)}.")


@app.command("pause")
@asynchronous
async def pause(name: Name) -> None:
    """Stop synchronising a source; its documents stay."""
    await _set_paused(name, paused=True)


@app.command("resume")
@asynchronous
async def resume(name: Name) -> None:
    """Synchronise a paused source again."""
    await _set_paused(name, paused=False)


async def _set_paused(name: str, *, paused: bool) -> None:
    async with installation() as opened, opened.database.transaction(_system(opened)) as session:
        source = await service.find_source(session, name)
        await service.update_source(session, "system", source, paused=paused)
        out.print(f"{'Paused' if paused else 'Resumed'} {escape(source.name)}.")


@app.command("sync")
@asynchronous
async def sync(
    name: Name,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it is done, and show how it goes.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Index unchanged documents again, too.")] = False,
    allow_empty: Annotated[
        bool, typer.Option("--allow-empty", help="An empty folder is right: remove all its documents.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Bring the index up to date with a source."""
    async with installation() as opened:
        async with opened.database.transaction(_system(opened)) as session:
            source = await service.find_source(session, name)
            run = await runs.queue_run(session, "system", source, full=full, allow_empty=allow_empty)
        if wait:
            run = await _watch(opened, run, quiet=json)
        elif not await worker_is_alive(opened.database):
            err.print("[yellow]No worker is running; start one with `opaa worker`, or use --wait.[/]")
    if json:
        print_json(RunOut.model_validate(run))
    elif not wait:
        out.print(f"Queued. Follow it with: opaa source list (run {run.id})")
    else:
        _report(run, source.name)
    if wait and run.state != SUCCEEDED:
        raise fail(run.error or f"The run was {run.state}")


def _report(run: SourceRun, name: str) -> None:
    if run.state == SUCCEEDED:
        out.print(
            f"{run.added} added, {run.changed} changed, {run.unchanged} unchanged, {run.removed} removed, "
            f"{run.failed} failed ({run.chunks} chunks).",
            highlight=False,
        )
        if run.failed:
            err.print(f"[yellow]See why with: opaa source errors '{escape(name)}'[/]")


async def _watch(opened: Installation, run: SourceRun, *, quiet: bool) -> SourceRun:
    """Wait for the end of a run; works on the queue itself when no worker does."""
    helper: asyncio.Task[None] | None = None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=err, disable=quiet or not err.is_terminal, transient=True) as progress:
            bar = progress.add_task("Waiting for a worker", total=None)
            while run.state in runs.ACTIVE:
                if helper is None and not await worker_is_alive(opened.database):
                    helper = asyncio.create_task(_work(opened))
                if helper is not None and helper.done():
                    helper.result()
                    helper = None
                await asyncio.sleep(POLL_EVERY_S)
                async with opened.database.session(_system(opened)) as session:
                    run = await runs.get_run(session, run.id)
                item = run.current_item[-50:]
                progress.update(bar, description=escape(item or run.state), completed=run.processed)
                progress.update(bar, total=max(run.discovered, run.processed) or None)
    finally:
        if helper is not None:
            helper.cancel()
            with suppress(asyncio.CancelledError):
                await helper
    return run


async def _work(opened: Installation) -> None:
    async with open_runtime(opened.settings) as working, open_indexer(working) as indexer:
        await Worker(working.database, indexer).run(until_idle=True)
