"""`opaa user …`."""

import secrets
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy import func, select

from opaa.access.permissions import ROLES
from opaa.audit import service as audit
from opaa.cli.console import JsonOption, asynchronous, err, escape, out, print_json
from opaa.cli.opened import installation
from opaa.db.session import TenantContext
from opaa.errors import InvalidInputError
from opaa.identity import provisioning, totp, users
from opaa.identity.models import PERSON, User
from opaa.identity.service import create_user, find_user, set_password
from opaa.identity.sessions import end_sessions, outside

app = typer.Typer(help="Accounts.", no_args_is_help=True)


@app.command("list")
@asynchronous
async def show(json: JsonOption = False) -> None:
    """List the accounts."""
    async with installation() as opened, opened.database.session(TenantContext(opened.organization_id, ())) as session:
        query = select(User).where(User.kind == PERSON).order_by(func.lower(User.login))
        found = list(await session.scalars(query))
    rows = [
        {
            "id": u.id,
            "login": u.login,
            "role": u.role,
            "disabled": u.disabled_at is not None,
            "two_step": u.totp_confirmed_at is not None,
            "last_login_at": u.last_login_at,
        }
        for u in found
    ]
    if json:
        print_json({"items": rows})
        return
    table = Table("Login", "Role", "State", "Last log-in")
    for user in found:
        seen = f"{user.last_login_at:%Y-%m-%d %H:%M}" if user.last_login_at else ""
        table.add_row(escape(user.login), user.role, "disabled" if user.disabled_at else "", seen)
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


@app.command("create")
@asynchronous
async def create(
    login: Annotated[str, typer.Argument(help="What the person logs in with, for example an e-mail address.")],
    role: Annotated[str, typer.Option("--role", help="owner, admin, auditor or member.")] = "member",
    name: Annotated[str, typer.Option("--name", help="Name to show.")] = "",
) -> None:
    """Create an account and print its first password, which has to be changed."""
    password = secrets.token_urlsafe(15)
    if role not in ROLES:
        raise InvalidInputError(f"{role[:100]!r} is not a role; the roles are {', '.join(ROLES)}")
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        user = await create_user(session, opened.organization_id, login, password, role=role, display_name=name)
        user.must_change_password = True
        await audit.record(
            session, opened.organization_id, "system", "user.created", target=f"user:{user.id}", details={"role": role}
        )
    err.print(f"Created {escape(user.login)} ({user.id}); its first password:")
    typer.echo(password)


@app.command("change")
@asynchronous
async def change(
    login: Annotated[str, typer.Argument(help="Login or id.")],
    role: Annotated[str | None, typer.Option("--role", help="owner, admin, auditor or member.")] = None,
    disable: Annotated[
        bool | None, typer.Option("--disable/--enable", help="Lock the account out, or let it in.")
    ] = None,
    reset_two_step: Annotated[bool, typer.Option("--reset-two-step", help="The device was lost.")] = False,
    log_out: Annotated[bool, typer.Option("--log-out", help="End all sessions.")] = False,
) -> None:
    """Change an account's role or state; it holds from the next request on."""
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        user = await find_user(session, login)
        await users.change_user(session, user, actor="system", actor_role="owner", role=role, disabled=disable)
        if reset_two_step:
            await totp.reset(session, user, actor="system")
        if log_out:
            await end_sessions(session, user, actor="system")
    state = "disabled" if user.disabled_at else "enabled"
    err.print(f"{escape(user.login)} is {user.role}, {state}.", highlight=False)


@app.command("link")
@asynchronous
async def link(
    login: Annotated[str, typer.Argument(help="Login or id.")],
    provider: Annotated[str, typer.Option("--provider", help="Name of the identity provider.")],
    issuer: Annotated[str, typer.Option("--issuer", help="The provider's issuer, or a SAML provider's entity id.")],
    subject: Annotated[str, typer.Option("--subject", help="Who it is there (the claim sub, the NameID).")],
) -> None:
    """Say who an account is at an identity provider (`opaa audit list --action login.failed` shows refused ones)."""
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        user = await find_user(session, login)
        await provisioning.link_by_hand(session, user, provider, issuer, subject, actor="system")
    err.print(f"{escape(user.login)} is now {escape(subject)} at {escape(provider)}.", highlight=False)


@app.command("delete")
@asynchronous
async def delete(
    login: Annotated[str, typer.Argument(help="Login or id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete an account with its tokens and conversations. This cannot be undone."""
    async with installation() as opened, opened.database.transaction(outside(opened.organization_id)) as session:
        user = await find_user(session, login)
        if not yes:
            typer.confirm(f"Delete {user.login} with its tokens and conversations?", abort=True)
        await users.delete_user(session, user, actor="system", actor_role="owner")
    err.print(f"Deleted {escape(user.login)}.", highlight=False)
