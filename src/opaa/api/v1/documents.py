"""Documents: listed, opened, uploaded, removed."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, File, Form, Query, UploadFile
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.access.models import Workspace
from opaa.api.dependencies import (
    Cursor,
    DocumentsRead,
    DocumentsShare,
    DocumentsWrite,
    Limit,
    RuntimeDependency,
    SessionDependency,
    WorkspaceQuery,
    own_workspace,
    parse_cursor,
    workspace_ids,
)
from opaa.api.schemas import Input, Named, Page, Principal
from opaa.audit import service as audit
from opaa.db.session import TenantContext
from opaa.errors import InvalidInputError
from opaa.identity.service import Identity
from opaa.indexing import documents as service
from opaa.indexing.models import Document
from opaa.indexing.permissions import acl_principals, set_document_acl
from opaa.indexing.runs import queue_run
from opaa.indexing.uploads import safe_name, store_upload
from opaa.sources.models import UPLOAD, Source
from opaa.sources.service import find_source, list_sources, upload_folder, upload_source

router = APIRouter(prefix="/documents", tags=["documents"])

READ_BLOCK_BYTES = 1024 * 1024
MOST_FILES = 50


class SourceName(Named):
    kind: str


class DocumentOut(BaseModel):
    """A document that the asking person may read."""

    id: UUID
    title: str
    uri: str
    content_type: str
    language: str | None
    source: SourceName
    workspace: Named
    size_bytes: int
    chunk_count: int
    warnings: list[str]
    state: str
    metadata: dict[str, Any]
    source_updated_at: datetime | None
    indexed_at: datetime
    deletable: bool


class PermissionsIn(Input):
    """`principals` null: what tag rules and the source say; `tags` null: as they are."""

    principals: Annotated[list[Principal] | None, Field(min_length=1, max_length=1000)] = None
    tags: Annotated[list[Annotated[str, Field(max_length=100)]] | None, Field(max_length=100)] = None


class PermissionsOut(BaseModel):
    """Who may read a document: `principals`, decided by `origin` (`document`, `rule:ID` or `source`)."""

    principals: list[str]
    origin: str
    own_principals: list[str] | None
    source_principals: list[str] | None
    tags: list[str]
    own_tags: list[str]


class ChunkPlace(BaseModel):
    id: UUID
    start_offset: int
    end_offset: int
    heading_path: list[str]


class TextOut(BaseModel):
    """A window of a document's text; offsets count characters of the whole text."""

    document_id: UUID
    text: str
    offset: int
    total_chars: int
    chunks: list[ChunkPlace]


class UploadOut(BaseModel):
    external_id: str
    name: str
    size_bytes: int
    source_id: UUID
    run_id: UUID


class UploadsOut(BaseModel):
    uploads: list[UploadOut]


def document_out(
    document: Document, sources: dict[UUID, Source], workspaces: dict[UUID, Workspace], identity: Identity
) -> DocumentOut:
    source = sources[document.source_id]
    return DocumentOut(
        id=document.id,
        title=document.title,
        uri=document.uri,
        content_type=document.content_type,
        language=document.language,
        source=SourceName(id=source.id, name=source.name, kind=source.kind),
        workspace=Named.model_validate(workspaces[document.workspace_id]),
        size_bytes=document.size_bytes,
        chunk_count=document.chunk_count,
        warnings=document.warnings,
        state=document.state,
        metadata=document.metadata_,
        source_updated_at=document.source_updated_at,
        indexed_at=document.indexed_at,
        deletable=source.kind == UPLOAD and identity.may("documents:write", document.workspace_id),
    )


async def _named(session: AsyncSession, identity: Identity, documents: Sequence[Document]) -> list[DocumentOut]:
    workspaces = {workspace.id: workspace for workspace in identity.workspaces}
    sources = {source.id: source for source in await list_sources(session, list(workspaces))}
    return [document_out(document, sources, workspaces, identity) for document in documents]


@router.get("")
async def list_documents(
    identity: DocumentsRead,
    session: SessionDependency,
    *,
    workspace: WorkspaceQuery = None,
    source: Annotated[str | None, Query(max_length=200, description="Name or id of a source.")] = None,
    q: Annotated[str, Query(max_length=200, description="Part of the title or address.")] = "",
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[DocumentOut]:
    """Documents, the newest first."""
    documents = await service.list_documents(
        session,
        workspace_ids=workspace_ids(identity, workspace),
        source_id=(await find_source(session, source)).id if source else None,
        search=q,
        before=parse_cursor(cursor),
        limit=limit + 1,
    )
    page = documents[:limit]
    following = str(page[-1].id) if len(documents) > limit else None
    return Page(items=await _named(session, identity, page), next_cursor=following)


@router.get("/{document_id}")
async def get_document(document_id: UUID, identity: DocumentsRead, session: SessionDependency) -> DocumentOut:
    """One document's data, without its text."""
    document = await service.get_document(session, document_id)
    return (await _named(session, identity, [document]))[0]


@router.get("/{document_id}/text")
async def get_text(
    document_id: UUID,
    identity: DocumentsRead,
    session: SessionDependency,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
    length: Annotated[int, Query(ge=1, le=1_000_000)] = 200_000,
) -> TextOut:
    """The extracted text that citations point into."""
    window = await service.read_text(session, document_id, offset, length)
    await audit.record(
        session, identity.organization_id, identity.actor, "document.read", target=f"document:{document_id}"
    )
    await session.commit()
    places = [
        ChunkPlace(id=row.id, start_offset=row.start_offset, end_offset=row.end_offset, heading_path=row.heading_path)
        for row in window.chunks
    ]
    return TextOut(
        document_id=document_id, text=window.text, offset=window.offset, total_chars=window.total_chars, chunks=places
    )


async def permissions_out(session: AsyncSession, document: Document) -> PermissionsOut:
    return PermissionsOut(
        principals=await acl_principals(session, document),
        origin=document.acl_origin,
        own_principals=document.own_acl,
        source_principals=document.source_acl,
        tags=document.tags,
        own_tags=document.own_tags,
    )


@router.get("/{document_id}/permissions")
async def get_permissions(document_id: UUID, identity: DocumentsShare, session: SessionDependency) -> PermissionsOut:
    """Who may read the document, and what decided that."""
    document = await service.get_document(session, document_id)
    own_workspace(identity, document.workspace_id, "documents:share")
    return await permissions_out(session, document)


@router.put("/{document_id}/permissions")
async def set_permissions(
    document_id: UUID,
    body: PermissionsIn,
    identity: DocumentsShare,
    runtime: RuntimeDependency,
    session: SessionDependency,
) -> PermissionsOut:
    """Set who may read the document, from the next request on."""
    document = await service.get_document(session, document_id)
    own_workspace(identity, document.workspace_id, "documents:share")
    await session.rollback()
    async with runtime.database.transaction(TenantContext.system(identity.organization_id)) as whole:
        changed = await set_document_acl(
            whole, runtime.store, document_id, actor=identity.actor, principals=body.principals, tags=body.tags
        )
        return await permissions_out(whole, changed)


@router.post("", status_code=202)
async def upload_documents(
    identity: DocumentsWrite,
    runtime: RuntimeDependency,
    session: SessionDependency,
    workspace: Annotated[str, Form(max_length=200, description="Name or id of the workspace.")],
    file: Annotated[list[UploadFile], File(description="One or more files.")],
) -> UploadsOut:
    """Store files and queue their indexing. A file of the same name replaces the earlier one."""
    if len(file) > MOST_FILES:
        raise InvalidInputError(f"At most {MOST_FILES} files at once")
    chosen = own_workspace(identity, workspace, "documents:write")
    names = [safe_name(upload.filename or "") for upload in file]
    source = await upload_source(session, chosen)
    folder = upload_folder(runtime.uploads_dir, source)
    sizes = [
        await store_upload(folder, name, _blocks(upload), runtime.settings.max_upload_bytes)
        for name, upload in zip(names, file, strict=True)
    ]
    run = await queue_run(session, identity.actor, source)
    await session.commit()
    return UploadsOut(
        uploads=[
            UploadOut(external_id=name, name=name, size_bytes=size, source_id=source.id, run_id=run.id)
            for name, size in zip(names, sizes, strict=True)
        ]
    )


async def _blocks(upload: UploadFile) -> AsyncIterator[bytes]:
    while block := await upload.read(READ_BLOCK_BYTES):
        yield block


@router.delete("/{document_id}", status_code=204)
async def delete_document(
    document_id: UUID, identity: DocumentsWrite, runtime: RuntimeDependency, session: SessionDependency
) -> None:
    """Remove an uploaded document. Others are removed where they come from."""
    document = await service.get_document(session, document_id)  # 404 for what this person may not read
    own_workspace(identity, document.workspace_id, "documents:write")
    await session.rollback()
    await service.delete_document(
        runtime.database,
        runtime.store,
        document_id,
        actor=identity.actor,
        organization_id=identity.organization_id,
        uploads_dir=runtime.uploads_dir,
    )
