"""`opaa service-account …`."""

from typing import Annotated

import typer
from rich.table import Table

from opaa.audit import service as audit
from opaa.cli.console import JsonOption, asynchronous, escape, out, print_json
from opaa.cli.opened import installation
from opaa.errors import InvalidInputError
from opaa.identity import users
from opaa.identity.models import SERVICE
from opaa.identity.service import create_user, find_user
from opaa.identity.sessions import outside

app = typer.Typer(help="Accounts of programs: tokens, but no log-in.", no_args_is_help=True)
ROLES = ("admin", "auditor", "member")
Login = Annotated[str, typer.Argument(help="Login of the account.")]


@app.command("create")
@asynchronous
async def create(login: Login, role: Annotated[str, typer.Option("--role", help=", ".join(ROLES))] = "member") -> None:
    """Create a service account; give it a token with `opaa token create --user LOGIN`."""
    if role not in ROLES:
        raise InvalidInputError(f"{role[:100]!r} is not a role of service accounts; they are {', '.join(ROLES)}")
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        user = await create_user(session, opened.organization_id, login, None, role=role, kind=SERVICE)
        await audit.record(
            session, opened.organization_id, "system", "service-account.created", target=f"user:{user.id}"
        )
    out.print(f"Created the service account {escape(user.login)} ({user.id}).", highlight=False)


@app.command("list")
@asynchronous
async def show(json: JsonOption = False) -> None:
    """List the service accounts."""
    async with installation() as opened, opened.database.session(outside(opened.organization_id)) as session:
        found = await users.list_users(session, kind=SERVICE, limit=10_000)
    if json:
        rows = [{"id": u.id, "login": u.login, "role": u.role, "disabled": u.disabled_at is not None} for u in found]
        print_json({"items": rows})
        return
    table = Table("Login", "Role", "State")
    for user in found:
        table.add_row(escape(user.login), user.role, "disabled" if user.disabled_at else "")
    out.print(table if found else "There is no service account.")


@app.command("delete")
@asynchronous
async def delete(login: Login, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Delete a service account; its tokens stop working."""
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        user = await find_user(session, login)
        if user.kind != SERVICE:
            raise InvalidInputError(f"{user.login} is a person's account")
        if not yes:
            typer.confirm(f"Delete the service account {user.login}?", abort=True)
        await users.delete_user(session, user, actor="system", actor_role="owner")
    out.print(f"Deleted the service account {escape(user.login)}.", highlight=False)
