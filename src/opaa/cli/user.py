"""`opaa user …`."""

import secrets
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy import func, select

from opaa.cli.console import JsonOption, asynchronous, err, escape, out, print_json
from opaa.cli.opened import installation
from opaa.db.session import TenantContext
from opaa.identity.models import User
from opaa.identity.service import find_user, set_password

app = typer.Typer(help="Accounts.", no_args_is_help=True)


@app.command("list")
@asynchronous
async def show(json: JsonOption = False) -> None:
    """List the accounts."""
    async with installation() as opened, opened.database.session(TenantContext(opened.organization_id, ())) as session:
        users = list(await session.scalars(select(User).order_by(func.lower(User.login))))
    rows = [{"id": u.id, "login": u.login, "role": u.role, "last_login_at": u.last_login_at} for u in users]
    if json:
        print_json({"items": rows})
        return
    table = Table("Login", "Role", "Last log-in")
    for user in users:
        table.add_row(
            escape(user.login), user.role, f"{user.last_login_at:%Y-%m-%d %H:%M}" if user.last_login_at else ""
        )
    out.print(table)


@app.command("set-password")
@asynchronous
async def reset(
    login: Annotated[str, typer.Argument(help="Login or id.")],
    generate: Annotated[bool, typer.Option("--generate", help="Make one up and print it.")] = False,
) -> None:
    """Set an account's password; its sessions end. Asks for it, or makes one up."""
    password = secrets.token_urlsafe(15) if generate else typer.prompt("New password", hide_input=True)
    async with (
        installation() as opened,
        opened.database.transaction(TenantContext(opened.organization_id, ())) as session,
    ):
        await set_password(session, await find_user(session, login), password)
    err.print(f"The password of {escape(login)} was changed.")
    if generate:
        typer.echo(password)
