"""`opaa audit …`."""

import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from opaa.audit import chain, service
from opaa.audit.chain import Filters
from opaa.audit.export import Format
from opaa.audit.export import export as exported
from opaa.cli.console import JsonOption, asynchronous, escape, fail, out, print_json
from opaa.cli.opened import installation
from opaa.db.session import TenantContext
from opaa.errors import InvalidInputError

app = typer.Typer(help="The audit log.", no_args_is_help=True)

Actor = Annotated[str, typer.Option("--actor", help="For example user:ID or system.")]
Action = Annotated[str, typer.Option("--action", help="For example login, or user.* for all that begin so.")]
Target = Annotated[str, typer.Option("--target", help="For example document:ID; may end in *.")]
Since = Annotated[datetime | None, typer.Option("--since", help="UTC, inclusive.")]
Until = Annotated[datetime | None, typer.Option("--until", help="UTC, exclusive.")]


def _utc(moment: datetime | None) -> datetime | None:
    from datetime import UTC  # noqa: PLC0415

    return moment.replace(tzinfo=UTC) if moment else None


@app.command("list")
@asynchronous
async def show(
    actor: Actor = "",
    action: Action = "",
    target: Target = "",
    since: Since = None,
    until: Until = None,
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 50,
    json: JsonOption = False,
) -> None:
    """The newest rows first."""
    wanted = Filters(actor, action, target, "", _utc(since), _utc(until))
    async with (
        installation() as opened,
        opened.database.session(TenantContext.system(opened.organization_id)) as session,
    ):
        found = await chain.entries(session, wanted, limit=limit)
    if json:
        print_json({"items": [asdict(entry) for entry in found]})
        return
    table = Table("Time (UTC)", "Actor", "Action", "Target", "Outcome")
    for entry in found:
        table.add_row(
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            escape(entry.actor),
            escape(entry.action),
            escape(entry.target),
            entry.outcome,
        )
    out.print(table if found else "There is no such row.")


@app.command("export")
@asynchronous
async def export(
    form: Annotated[str, typer.Option("--format", help="jsonl or csv.")] = "jsonl",
    actor: Actor = "",
    action: Action = "",
    target: Target = "",
    since: Since = None,
    *,
    until: Until = None,
) -> None:
    """Write the rows to standard output, newest first."""
    chosen: Format
    if form == "csv":
        chosen = "csv"
    elif form == "jsonl":
        chosen = "jsonl"
    else:
        raise InvalidInputError(f"{form!r} is not a format; it is jsonl or csv")
    wanted = Filters(actor, action, target, "", _utc(since), _utc(until))
    async with installation() as opened:
        context = TenantContext.system(opened.organization_id)
        async with opened.database.transaction(context) as session:
            await service.record(session, opened.organization_id, "system", "audit.exported", details={"format": form})
        async for piece in exported(opened.database, context, wanted, chosen):
            sys.stdout.write(piece)


@app.command("verify")
@asynchronous
async def verify(
    anchors: Annotated[
        Path | None,
        typer.Option("--anchors", help="A copy of the anchors kept elsewhere; else those of the data folder."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check that no row was changed, removed, added or moved. Exits with 1 when one was."""
    async with installation() as opened:
        key = opened.database.audit_key
        while anchor := await chain.seal(opened.database, opened.organization_id):
            chain.write_anchor(opened.anchors_dir, anchor, key)
        path = anchors or chain.anchor_file(opened.anchors_dir, opened.organization_id)
        if anchors is not None and not anchors.is_file():
            raise InvalidInputError(f"There is no file {anchors}")
        known = chain.read_anchors(path, opened.organization_id, key)
        result = await chain.verify(opened.database, opened.organization_id, known)
    if json:
        print_json({"intact": not result.problems, **asdict(result)})
    else:
        for problem in result.problems[:100]:
            place = f"sequence {problem.sequence}" if problem.sequence else f"row {problem.audit_id}"
            out.print(f"[red]{problem.kind}[/] at {place}: {escape(problem.message)}", highlight=False)
        if not result.problems:
            out.print(f"Intact: {result.sealed} rows sealed, {result.waiting} waiting, {len(known)} anchors.")
    if result.problems:
        raise fail(f"The audit log was tampered with: {len(result.problems)} findings")
