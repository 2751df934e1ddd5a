"""`opaa workspace …`."""

from typing import Annotated

import typer
from rich.table import Table

from opaa.access import service
from opaa.audit import service as audit
from opaa.cli.console import JsonOption, asynchronous, escape, out, print_json
from opaa.cli.opened import installation
from opaa.db.session import TenantContext
from opaa.indexing.documents import count_documents

app = typer.Typer(help="Workspaces: who reads together.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of the workspace.")]


@app.command("create")
@asynchronous
async def create(name: Name) -> None:
    """Create a workspace."""
    async with installation() as opened:
        async with opened.database.transaction(TenantContext.system(opened.organization_id)) as session:
            workspace = await service.create_workspace(session, opened.organization_id, name)
            target = f"workspace:{workspace.id}"
            await audit.record(session, opened.organization_id, "system", "workspace.created", target=target)
        out.print(f"Created the workspace {escape(workspace.name)} ({workspace.id}).", highlight=False)


@app.command("list")
@asynchronous
async def show(json: JsonOption = False) -> None:
    """List the workspaces with their number of documents."""
    async with (
        installation() as opened,
        opened.database.session(TenantContext.system(opened.organization_id)) as session,
    ):
        workspaces = await service.list_workspaces(session)
        counts = await count_documents(session, [workspace.id for workspace in workspaces])
    rows = [{"id": w.id, "name": w.name, "document_count": counts.get(w.id, 0)} for w in workspaces]
    if json:
        print_json({"items": rows})
        return
    table = Table("Workspace", "Documents", "Id")
    for row in rows:
        table.add_row(escape(str(row["name"])), str(row["document_count"]), str(row["id"]))
    out.print(table if rows else "There is no workspace yet: opaa workspace create NAME")


@app.command("delete")
@asynchronous
async def delete(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete a workspace with its sources and documents. This cannot be undone."""
    async with installation() as opened:
        async with opened.database.session(TenantContext.system(opened.organization_id)) as session:
            workspace = await service.find_workspace(session, name)
            counts = await count_documents(session, [workspace.id])
        if not yes:
            typer.confirm(f"Delete {workspace.name} with {counts.get(workspace.id, 0)} documents?", abort=True)
        await service.delete_workspace(opened.database, opened.organization_id, workspace.id, actor="system")
        out.print(f"Deleted the workspace {escape(workspace.name)}.", highlight=False)
