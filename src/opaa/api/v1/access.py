"""Why somebody can or cannot read a document; the table of permissions."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict

from opaa.access import explain as service
from opaa.access.permissions import PERMISSIONS, ROLES, WORKSPACE_ROLES
from opaa.api.dependencies import AccessExplain, CurrentIdentity, SessionDependency
from opaa.api.schemas import Listing
from opaa.audit import service as audit
from opaa.identity.service import find_user

router = APIRouter(prefix="/access", tags=["access"])


class StepOut(BaseModel):
    """One fact, and since when it holds."""

    model_config = ConfigDict(from_attributes=True)

    kind: str
    detail: dict[str, Any]
    since: datetime | None


class ExplanationOut(BaseModel):
    """`principals` are those of the document's ACL at that time, `origin` what decided it."""

    model_config = ConfigDict(from_attributes=True)

    allowed: bool
    at: datetime
    reasons: list[StepOut]
    principals: list[str]
    origin: str | None


class OperationOut(BaseModel):
    """Which roles may do something: in the organization, and in a workspace. The name is the scope of tokens, too."""

    name: str
    meaning: str
    organization_roles: list[str]
    workspace_roles: list[str]


@router.get("/explain")
async def explain(
    user: Annotated[str, Query(min_length=1, max_length=320, description="Login or id.")],
    document: UUID,
    identity: AccessExplain,
    session: SessionDependency,
    at: Annotated[AwareDatetime | None, Query(description="Unset: now.")] = None,
) -> ExplanationOut:
    """Why this person can, could, or cannot read this document, and since when. Says nothing of what is in it."""
    person = await find_user(session, user.replace("\0", ""))
    explanation = await service.explain(session, person.id, document, at)
    await audit.record(
        session,
        identity.organization_id,
        identity.actor,
        "access.explained",
        target=f"document:{document}",
        details={"user": str(person.id), "allowed": explanation.allowed},
    )
    await session.commit()
    return ExplanationOut.model_validate(explanation)


@router.get("/operations")
async def list_operations(identity: CurrentIdentity) -> Listing[OperationOut]:
    """The table of who may do what."""
    return Listing(
        items=[
            OperationOut(
                name=name,
                meaning=permission.meaning,
                organization_roles=[role for role in ROLES if role in permission.organization],
                workspace_roles=[role for role in WORKSPACE_ROLES if role in permission.workspace],
            )
            for name, permission in PERMISSIONS.items()
        ]
    )
