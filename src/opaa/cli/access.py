"""`opaa access …`."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.explain import Step
from opaa.access.explain import explain as explained
from opaa.access.permissions import PERMISSIONS, ROLES, WORKSPACE_ROLES
from opaa.access.reference import reference
from opaa.audit import service as audit
from opaa.cli.console import JsonOption, asynchronous, escape, out, print_json
from opaa.cli.opened import installation
from opaa.db.session import TenantContext
from opaa.errors import InvalidInputError, NotFoundError
from opaa.identity.service import find_user
from opaa.indexing.models import Document
from opaa.indexing.permissions import set_document_acl

app = typer.Typer(help="Who may read what, and why.", no_args_is_help=True)

SENTENCES = {
    "account-missing-or-disabled": "the account does not exist or is disabled",
    "document-missing": "the document does not exist or is not shown any more",
    "organization-role": "is {role} of the organization, so {workspace_role} in every workspace",
    "workspace-role": "is {role} in {workspace}, through {through}",
    "not-in-workspace": "has no role in {workspace}",
    "document-acl": "the document may be read by {principals}, decided by {origin}",
    "acl-names-user": "the document names the person",
    "acl-names-group": "the document names {group}, of which the person is a member (kept by {origin})",
    "acl-names-workspace": "the document names everyone in {workspace}",
    "acl-names-nobody-the-person-is": "the document names neither the person, nor a group of theirs, nor the workspace",
}


def sentence(step: Step) -> str:
    values = {name: ", ".join(value) if isinstance(value, list) else value for name, value in step.detail.items()}
    return SENTENCES[step.kind].format(**values)


@app.command("explain")
@asynchronous
async def explain(
    user: Annotated[str, typer.Argument(help="Login or id.")],
    document: Annotated[str, typer.Argument(help="Id of the document, or its file name.")],
    at: Annotated[datetime | None, typer.Option("--at", help="UTC; unset: now.")] = None,
    json: JsonOption = False,
) -> None:
    """Say why a person can, could, or cannot read a document, and since when."""
    async with (
        installation() as opened,
        opened.database.transaction(TenantContext.system(opened.organization_id)) as session,
    ):
        person = await find_user(session, user)
        document_id = await _document(session, document)
        result = await explained(session, person.id, document_id, at.replace(tzinfo=UTC) if at else None)
        await audit.record(
            session,
            opened.organization_id,
            "system",
            "access.explained",
            target=f"document:{document_id}",
            details={"user": str(person.id), "allowed": result.allowed},
        )
    if json:
        print_json(asdict(result))
        return
    out.print(f"{escape(person.login)} {'can' if result.allowed else 'cannot'} read {document_id}:", highlight=False)
    for step in result.reasons:
        since = f" (since {step.since:%Y-%m-%d %H:%M:%S} UTC)" if step.since else ""
        out.print(f"  • {escape(sentence(step))}{since}", highlight=False)


@app.command("share")
@asynchronous
async def share(
    document: Annotated[str, typer.Argument(help="Id of the document, or its file name.")],
    principal: Annotated[
        list[str] | None, typer.Option("--principal", help="user:ID, group:ID or workspace:ID; may be repeated.")
    ] = None,
    inherit: Annotated[bool, typer.Option("--inherit", help="What tag rules and the source say.")] = False,
) -> None:
    """Set who may read a document."""
    if bool(principal) == inherit:
        raise InvalidInputError("Name who may read it with --principal, or give --inherit")
    async with (
        installation() as opened,
        opened.database.transaction(TenantContext.system(opened.organization_id)) as session,
    ):
        document_id = await _document(session, document)
        changed = await set_document_acl(
            session, opened.store, document_id, actor="system", principals=None if inherit else principal
        )
        query = text("SELECT principals FROM acls WHERE id = :id")
        names = await session.scalar(query, {"id": changed.acl_id})
    out.print(f"{document_id} may be read by {', '.join(names or ())}.", highlight=False)


@app.command("roles")
def roles(
    json: JsonOption = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="As docs/permissions.md.")] = False,
) -> None:
    """Print the table of who may do what."""
    if markdown:
        typer.echo(reference(), nl=False)
        return
    rows = [
        {
            "operation": name,
            "meaning": permission.meaning,
            "organization": [role for role in ROLES if role in permission.organization],
            "workspace": [role for role in WORKSPACE_ROLES if role in permission.workspace],
        }
        for name, permission in PERMISSIONS.items()
    ]
    if json:
        print_json({"items": rows})
        return
    table = Table("Operation", "Meaning", "In the organization", "In a workspace")
    for row in rows:
        table.add_row(
            str(row["operation"]), str(row["meaning"]), ", ".join(row["organization"]), ", ".join(row["workspace"])
        )
    out.print(table)


async def _document(session: AsyncSession, name_or_id: str) -> UUID:
    """A document by id, or by the end of its address where only one fits. Raises NotFoundError, InvalidInputError."""
    try:
        return UUID(name_or_id)
    except ValueError:
        found = list(
            await session.scalars(select(Document.id).where(Document.uri.endswith("/" + name_or_id, autoescape=True)))
        )
    if not found:
        raise NotFoundError(f"There is no document {name_or_id[:100]!r}")
    if len(found) > 1:
        raise InvalidInputError(f"{len(found)} documents are called {name_or_id[:100]!r}; give the id")
    return found[0]
