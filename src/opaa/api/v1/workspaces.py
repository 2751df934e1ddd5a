"""Workspaces."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from opaa.access import service
from opaa.access.models import Workspace
from opaa.api.dependencies import (
    RuntimeDependency,
    SessionDependency,
    WorkspacesRead,
    WorkspacesWrite,
    own_workspace,
)
from opaa.api.schemas import Input, Listing
from opaa.audit import service as audit
from opaa.db.session import TenantContext
from opaa.indexing.documents import count_documents

router = APIRouter(prefix="/workspaces", tags=["workspaces"])


class WorkspaceIn(Input):
    name: Annotated[str, Field(min_length=1, max_length=200)]


class WorkspaceOut(BaseModel):
    id: UUID
    name: str
    document_count: int
    created_at: datetime


def workspace_out(workspace: Workspace, documents: int) -> WorkspaceOut:
    return WorkspaceOut(id=workspace.id, name=workspace.name, document_count=documents, created_at=workspace.created_at)


@router.get("")
async def list_workspaces(identity: WorkspacesRead, session: SessionDependency) -> Listing[WorkspaceOut]:
    """The workspaces that you may read."""
    counts = await count_documents(session, [workspace.id for workspace in identity.workspaces])
    return Listing(items=[workspace_out(workspace, counts.get(workspace.id, 0)) for workspace in identity.workspaces])


@router.post("", status_code=201)
async def create_workspace(body: WorkspaceIn, identity: WorkspacesWrite, runtime: RuntimeDependency) -> WorkspaceOut:
    async with runtime.database.transaction(TenantContext.system(identity.organization_id)) as session:
        workspace = await service.create_workspace(session, identity.organization_id, body.name)
        await audit.record(
            session,
            identity.organization_id,
            identity.actor,
            "workspace.created",
            target=f"workspace:{workspace.id}",
        )
    return workspace_out(workspace, 0)


@router.patch("/{workspace_id}")
async def rename_workspace(
    workspace_id: UUID, body: WorkspaceIn, identity: WorkspacesWrite, session: SessionDependency
) -> WorkspaceOut:
    own_workspace(identity, str(workspace_id))
    workspace = await service.find_workspace(session, str(workspace_id))
    await service.rename_workspace(session, workspace, body.name)
    await audit.record(
        session, identity.organization_id, identity.actor, "workspace.renamed", target=f"workspace:{workspace_id}"
    )
    await session.commit()
    counts = await count_documents(session, [workspace_id])
    return workspace_out(workspace, counts.get(workspace_id, 0))


@router.delete("/{workspace_id}", status_code=204)
async def delete_workspace(workspace_id: UUID, identity: WorkspacesWrite, runtime: RuntimeDependency) -> None:
    """Delete a workspace with its sources and documents. This cannot be undone."""
    own_workspace(identity, str(workspace_id))
    await service.delete_workspace(runtime.database, identity.organization_id, workspace_id, actor=identity.actor)
