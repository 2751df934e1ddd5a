"""`opaa group …`."""

from typing import Annotated

import typer
from rich.table import Table

from opaa.access import groups
from opaa.cli.console import JsonOption, asynchronous, escape, out, print_json
from opaa.cli.opened import installation
from opaa.identity.service import find_user
from opaa.identity.sessions import outside

app = typer.Typer(help="Groups of people.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name or id of the group.")]
Login = Annotated[str, typer.Argument(help="Login or id of the account.")]


@app.command("create")
@asynchronous
async def create(name: Annotated[str, typer.Argument(help="Name of the group.")]) -> None:
    """Create a group without members."""
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        group = await groups.create_group(session, opened.organization_id, name, actor="system")
    out.print(f"Created the group {escape(group.name)} ({group.id}).", highlight=False)


@app.command("list")
@asynchronous
async def show(json: JsonOption = False) -> None:
    """List the groups."""
    async with installation() as opened, opened.database.session(outside(opened.organization_id)) as session:
        found = await groups.list_groups(session, limit=10_000)
    if json:
        rows = [{"id": g.id, "name": g.name, "origin": g.origin, "member_count": count} for g, count in found]
        print_json({"items": rows})
        return
    table = Table("Group", "Members", "Kept by", "Id")
    for group, count in found:
        table.add_row(escape(group.name), str(count), escape(group.origin), str(group.id))
    out.print(table if found else "There is no group yet: opaa group create NAME")


@app.command("members")
@asynchronous
async def members(name: Name, json: JsonOption = False) -> None:
    """List a group's members."""
    async with installation() as opened, opened.database.session(outside(opened.organization_id)) as session:
        found = await groups.members(session, (await groups.find_group(session, name)).id)
    if json:
        print_json({"items": [{"id": p.id, "login": p.login, "origin": p.origin} for p in found]})
        return
    table = Table("Login", "Name", "Kept by")
    for person in found:
        table.add_row(escape(person.login), escape(person.display_name), escape(person.origin))
    out.print(table if found else "The group has no members.")


@app.command("add")
@asynchronous
async def add(name: Name, login: Login) -> None:
    """Make somebody a member."""
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        group, user = await groups.find_group(session, name), await find_user(session, login)
        await groups.add_members(session, group, [user.id], actor="system")
    out.print(f"{escape(user.login)} is a member of {escape(group.name)}.", highlight=False)


@app.command("remove")
@asynchronous
async def remove(name: Name, login: Login) -> None:
    """End somebody's membership."""
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        group, user = await groups.find_group(session, name), await find_user(session, login)
        await groups.remove_members(session, group, [user.id], actor="system")
    out.print(f"{escape(user.login)} is no member of {escape(group.name)}.", highlight=False)


@app.command("delete")
@asynchronous
async def delete(name: Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete a group; what it gave access to, its members lose."""
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        group = await groups.find_group(session, name)
        if not yes:
            typer.confirm(f"Delete the group {group.name}?", abort=True)
        await groups.delete_group(session, group, actor="system")
    out.print(f"Deleted the group {escape(group.name)}.", highlight=False)
