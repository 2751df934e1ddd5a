"""Workspaces: who reads together, their members, and what their tags stand for."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from opaa.access import acl, members, service
from opaa.access.models import TagRule, Workspace
from opaa.api.dependencies import (
    RuntimeDependency,
    SessionDependency,
    WorkspacesCreate,
    WorkspacesDelete,
    WorkspacesRead,
    WorkspacesWrite,
    own_workspace,
)
from opaa.api.schemas import Input, Listing, Principal
from opaa.audit import service as audit
from opaa.db.session import TenantContext
from opaa.indexing.documents import count_documents
from opaa.indexing.permissions import set_tag_rules

router = APIRouter(prefix="/workspaces", tags=["workspaces"])


class WorkspaceIn(Input):
    name: Annotated[str, Field(min_length=1, max_length=200)]


class WorkspaceOut(BaseModel):
    """`document_count` counts the documents that you may read; `role` is yours."""

    id: UUID
    name: str
    role: str
    document_count: int
    created_at: datetime


class MemberIn(Input):
    role: Literal["admin", "editor", "viewer"]


class MemberOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    principal: str
    name: str
    role: str


class TagRuleIn(Input):
    """Documents with the tag may be read by these principals only."""

    tag: Annotated[str, Field(min_length=1, max_length=100)]
    principals: Annotated[list[Principal], Field(min_length=1, max_length=1000)]


class TagRulesIn(Input):
    rules: Annotated[list[TagRuleIn], Field(max_length=200, description="The first that fits a document decides.")]


class TagRuleOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    tag: str
    principals: list[str]
    created_at: datetime


def workspace_out(workspace: Workspace, role: str, documents: int) -> WorkspaceOut:
    return WorkspaceOut(
        id=workspace.id, name=workspace.name, role=role, document_count=documents, created_at=workspace.created_at
    )


def rules_out(rules: list[TagRule]) -> Listing[TagRuleOut]:
    return Listing(items=[TagRuleOut.model_validate(rule) for rule in rules])


@router.get("")
async def list_workspaces(identity: WorkspacesRead, session: SessionDependency) -> Listing[WorkspaceOut]:
    """The workspaces that you belong to."""
    counts = await count_documents(session, [workspace.id for workspace in identity.workspaces])
    return Listing(
        items=[
            workspace_out(workspace, identity.access.roles[workspace.id], counts.get(workspace.id, 0))
            for workspace in identity.workspaces
        ]
    )


@router.post("", status_code=201)
async def create_workspace(body: WorkspaceIn, identity: WorkspacesCreate, runtime: RuntimeDependency) -> WorkspaceOut:
    async with runtime.database.transaction(TenantContext.system(identity.organization_id)) as session:
        workspace = await service.create_workspace(session, identity.organization_id, body.name)
        await audit.record(
            session,
            identity.organization_id,
            identity.actor,
            "workspace.created",
            target=f"workspace:{workspace.id}",
            details={"name": workspace.name},
        )
    return workspace_out(workspace, "admin", 0)


@router.patch("/{workspace_id}")
async def rename_workspace(
    workspace_id: UUID, body: WorkspaceIn, identity: WorkspacesWrite, session: SessionDependency
) -> WorkspaceOut:
    own_workspace(identity, workspace_id, "workspaces:write")
    workspace = await service.find_workspace(session, str(workspace_id))
    await service.rename_workspace(session, workspace, body.name)
    await audit.record(
        session,
        identity.organization_id,
        identity.actor,
        "workspace.renamed",
        target=f"workspace:{workspace_id}",
        details={"name": workspace.name},
    )
    await session.commit()
    counts = await count_documents(session, [workspace_id])
    return workspace_out(workspace, identity.access.roles[workspace_id], counts.get(workspace_id, 0))


@router.delete("/{workspace_id}", status_code=204)
async def delete_workspace(workspace_id: UUID, identity: WorkspacesDelete, runtime: RuntimeDependency) -> None:
    """Delete a workspace with its sources and documents. This cannot be undone."""
    own_workspace(identity, workspace_id)
    await service.delete_workspace(runtime.database, identity.organization_id, workspace_id, actor=identity.actor)


@router.get("/{workspace_id}/members")
async def list_members(workspace_id: UUID, identity: WorkspacesWrite, session: SessionDependency) -> Listing[MemberOut]:
    """People and groups with a role here; owners and admins of the organization are admins everywhere besides."""
    workspace = own_workspace(identity, workspace_id, "workspaces:write")
    found = await members.list_members(session, workspace.id)
    return Listing(items=[MemberOut.model_validate(each) for each in found])


@router.put("/{workspace_id}/members/{principal}", status_code=204)
async def set_member(
    workspace_id: UUID, principal: str, body: MemberIn, identity: WorkspacesWrite, session: SessionDependency
) -> None:
    """Give a person (`user:ID`) or a group (`group:ID`) a role; one that they had is replaced."""
    workspace = own_workspace(identity, workspace_id, "workspaces:write")
    await members.set_member(session, workspace, principal, body.role, actor=identity.actor)
    await session.commit()


@router.delete("/{workspace_id}/members/{principal}", status_code=204)
async def remove_member(
    workspace_id: UUID, principal: str, identity: WorkspacesWrite, session: SessionDependency
) -> None:
    workspace = own_workspace(identity, workspace_id, "workspaces:write")
    await members.remove_member(session, workspace, principal, actor=identity.actor)
    await session.commit()


@router.get("/{workspace_id}/tag-rules")
async def list_tag_rules(
    workspace_id: UUID, identity: WorkspacesWrite, session: SessionDependency
) -> Listing[TagRuleOut]:
    """Who may read documents with a tag; the first rule that fits decides."""
    workspace = own_workspace(identity, workspace_id, "workspaces:write")
    return rules_out(await acl.tag_rules(session, workspace.id))


@router.put("/{workspace_id}/tag-rules")
async def replace_tag_rules(
    workspace_id: UUID, body: TagRulesIn, identity: WorkspacesWrite, runtime: RuntimeDependency
) -> Listing[TagRuleOut]:
    """Replace the rules; they hold for every document, old and new, from the next request on."""
    workspace = own_workspace(identity, workspace_id, "workspaces:write")
    async with runtime.database.transaction(TenantContext.system(identity.organization_id)) as session:
        rules = await set_tag_rules(
            session,
            runtime.store,
            workspace,
            [(rule.tag, rule.principals) for rule in body.rules],
            actor=identity.actor,
        )
        return rules_out(rules)
