"""The audit log: read, exported, verified."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, ConfigDict

from opaa.api.dependencies import AuditRead, Limit, RuntimeDependency, SessionDependency
from opaa.api.schemas import Page
from opaa.audit import chain, export, service
from opaa.audit.chain import Filters

router = APIRouter(prefix="/audit", tags=["audit"])

MEDIA_TYPES = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
Word = Annotated[str, Query(max_length=400)]


class EntryOut(BaseModel):
    """`sequence` is null until the row is sealed; `private` holds what can be erased later."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    sequence: int | None
    at: datetime
    actor: str
    action: str
    target: str
    outcome: str
    details: dict[str, Any]
    private: dict[str, Any] | None


class ProblemOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    kind: str
    sequence: int | None
    audit_id: int | None
    message: str


class VerificationOut(BaseModel):
    """`intact` when nothing was changed, removed, added or reordered."""

    intact: bool
    sealed: int
    waiting: int
    problems: list[ProblemOut]


def filters(
    actor: Word = "",
    action: Annotated[str, Query(max_length=400, description="May end in `*`.")] = "",
    target: Annotated[str, Query(max_length=400, description="May end in `*`.")] = "",
    outcome: Literal["", "success", "denied", "failure"] = "",
    *,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> Filters:
    clean = [each.replace("\0", "") for each in (actor, action, target)]
    return Filters(clean[0], clean[1], clean[2], outcome, since, until)


Wanted = Annotated[Filters, Depends(filters)]


@router.get("")
async def list_entries(
    identity: AuditRead,
    session: SessionDependency,
    wanted: Wanted,
    *,
    cursor: Annotated[int | None, Query(ge=0, le=2**63 - 1, description="`next_cursor` of the page before.")] = None,
    limit: Limit = 50,
) -> Page[EntryOut]:
    """The organization's audit log, newest first. Reading it is audited as well."""
    found = await chain.entries(session, wanted, before=cursor, limit=limit + 1)
    await _record(session, identity, "audit.read", wanted)
    items = [EntryOut.model_validate(entry) for entry in found[:limit]]
    return Page(items=items, next_cursor=str(items[-1].id) if len(found) > limit else None)


@router.get("/export", response_class=StreamingResponse)
async def export_entries(
    identity: AuditRead,
    runtime: RuntimeDependency,
    session: SessionDependency,
    wanted: Wanted,
    *,
    form: Annotated[export.Format, Query(alias="format")] = "jsonl",
) -> StreamingResponse:
    """The rows as JSON Lines or CSV, as a download."""
    await _record(session, identity, "audit.exported", wanted)
    return StreamingResponse(
        export.export(runtime.database, identity.context, wanted, form),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="audit.{form}"'},
    )


@router.get("/verify")
async def verify(identity: AuditRead, runtime: RuntimeDependency, session: SessionDependency) -> VerificationOut:
    """Whether any row was changed, removed, added or moved since it was written."""
    folder = runtime.anchors_dir
    anchors = chain.read_anchors(
        chain.anchor_file(folder, identity.organization_id), identity.organization_id, runtime.database.audit_key
    )
    result = await chain.verify(runtime.database, identity.organization_id, anchors)
    await _record(session, identity, "audit.verified", Filters(), intact=not result.problems)
    problems = [ProblemOut.model_validate(problem) for problem in result.problems[:1000]]
    return VerificationOut(intact=not result.problems, sealed=result.sealed, waiting=result.waiting, problems=problems)


async def _record(
    session: SessionDependency, identity: AuditRead, action: str, wanted: Filters, **details: object
) -> None:
    said = {name: str(value) for name, value in asdict(wanted).items() if value}
    await service.record(session, identity.organization_id, identity.actor, action, details={**said, **details})
    await session.commit()
