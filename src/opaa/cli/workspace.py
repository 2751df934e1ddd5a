"""`opaa workspace …`."""

from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access import members, service
from opaa.access.acl import group_principal, user_principal
from opaa.access.groups import find_group
from opaa.audit import service as audit
from opaa.cli.console import JsonOption, asynchronous, escape, out, print_json
from opaa.cli.opened import installation
from opaa.db.session import TenantContext
from opaa.identity.service import find_user
from opaa.identity.sessions import outside
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


Member = Annotated[str, typer.Argument(help="Login of a person, or group:NAME.")]


@app.command("members")
@asynchronous
async def list_members(name: Name, json: JsonOption = False) -> None:
    """List who has which role; owners and admins of the organization are admins everywhere."""
    async with installation() as opened, opened.database.session(outside(opened.organization_id)) as session:
        found = await members.list_members(session, (await service.find_workspace(session, name)).id)
    if json:
        print_json({"items": [{"principal": m.principal, "name": m.name, "role": m.role} for m in found]})
        return
    table = Table("Member", "Role", "Principal")
    for member in found:
        table.add_row(escape(member.name), member.role, member.principal)
    out.print(table if found else "The workspace has no members of its own.")


@app.command("add")
@asynchronous
async def add(
    name: Name, member: Member, role: Annotated[str, typer.Option("--role", help="admin, editor or viewer.")] = "viewer"
) -> None:
    """Give a person or a group a role in a workspace."""
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        workspace = await service.find_workspace(session, name)
        await members.set_member(session, workspace, await _principal(session, member), role, actor="system")
    out.print(f"{escape(member)} is {role} in {escape(workspace.name)}.", highlight=False)


@app.command("remove")
@asynchronous
async def remove(name: Name, member: Member) -> None:
    """Take a person's or a group's role in a workspace away."""
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        workspace = await service.find_workspace(session, name)
        await members.remove_member(session, workspace, await _principal(session, member), actor="system")
    out.print(f"{escape(member)} has no role in {escape(workspace.name)} any more.", highlight=False)


async def _principal(session: AsyncSession, member: str) -> str:
    if member.startswith("group:"):
        return group_principal((await find_group(session, member.removeprefix("group:"))).id)
    return user_principal((await find_user(session, member)).id)
