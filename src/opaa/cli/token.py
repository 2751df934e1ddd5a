"""`opaa token …`."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table

from opaa.access.permissions import SCOPES
from opaa.access.service import find_workspace
from opaa.cli.console import JsonOption, asynchronous, err, escape, out, print_json
from opaa.cli.opened import installation
from opaa.db.base import utc_now
from opaa.db.session import TenantContext
from opaa.identity import service, tokens

app = typer.Typer(help="API tokens for programs.", no_args_is_help=True)
User = Annotated[str, typer.Option("--user", help="Login or id of the account that the token acts as.")]


@app.command("create")
@asynchronous
async def create(  # noqa: PLR0917 - one parameter per option
    name: Annotated[str, typer.Option("--name", help="What the token is for.")],
    scope: Annotated[list[str], typer.Option("--scope", help=f"May be repeated: {', '.join(SCOPES)}.")],
    user: User = "admin",
    expires_in_days: Annotated[int | None, typer.Option("--expires-in-days", min=1, max=3650)] = None,
    workspace: Annotated[list[str] | None, typer.Option("--workspace", help="Only there; may be repeated.")] = None,
    network: Annotated[
        list[str] | None, typer.Option("--network", help="Only from this CIDR; may be repeated.")
    ] = None,
) -> None:
    """Create a token and print it, this once, alone on the last line."""
    expires_at = utc_now() + timedelta(days=expires_in_days) if expires_in_days else None
    async with (
        installation() as opened,
        opened.database.transaction(TenantContext(opened.organization_id, ())) as session,
    ):
        owner = await service.find_user(session, user)
        chosen = [await find_workspace(session, each) for each in workspace] if workspace else None
        token, text = await tokens.create_token(
            session, opened.key, owner, name, scope, expires_at=expires_at, workspaces=chosen, networks=network
        )
    err.print(f"Created the token {escape(token.name)} for {escape(owner.login)}; it is not shown again.")
    typer.echo(text)


@app.command("list")
@asynchronous
async def show(user: User = "admin", json: JsonOption = False) -> None:
    """List an account's tokens."""
    async with installation() as opened, opened.database.session(TenantContext(opened.organization_id, ())) as session:
        found = await tokens.list_tokens(session, (await service.find_user(session, user)).id)
    if json:
        keys = ("id", "name", "scopes", "created_at", "expires_at", "last_used_at")
        print_json({"items": [{key: getattr(token, key) for key in keys} for token in found]})
        return
    table = Table("Name", "Scopes", "Last used", "Id")
    for token in found:
        used = f"{token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never"
        table.add_row(escape(token.name), ", ".join(token.scopes), used, str(token.id))
    out.print(table if found else "There is no token.")


@app.command("revoke")
@asynchronous
async def revoke(token_id: UUID, user: User = "admin") -> None:
    """End a token at once."""
    async with (
        installation() as opened,
        opened.database.transaction(TenantContext(opened.organization_id, ())) as session,
    ):
        owner = await service.find_user(session, user)
        await tokens.revoke_token(session, owner.id, token_id, actor="system")
    out.print("Revoked.")


@app.command("rotate")
@asynchronous
async def rotate(
    token_id: UUID,
    user: User = "admin",
    overlap_s: Annotated[
        int, typer.Option("--overlap-s", min=0, max=604_800, help="The old one works on so long.")
    ] = 0,
) -> None:
    """Print a new text for a token; what it may do stays."""
    async with (
        installation() as opened,
        opened.database.transaction(TenantContext(opened.organization_id, ())) as session,
    ):
        owner = await service.find_user(session, user)
        _, text = await tokens.rotate_token(
            session, opened.key, owner.id, token_id, actor="system", overlap_s=overlap_s
        )
    typer.echo(text)
