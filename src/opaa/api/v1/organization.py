"""The organization's own settings."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from opaa.api.dependencies import OrganizationWrite, SessionDependency
from opaa.api.schemas import Input
from opaa.audit import service as audit
from opaa.tenancy.service import change_organization, get_organization

router = APIRouter(prefix="/organization", tags=["organization"])


class OrganizationOut(BaseModel):
    """`audit_questions`: whether the audit log keeps the text of questions."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    slug: str
    name: str
    audit_questions: bool


class OrganizationChange(Input):
    name: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    audit_questions: bool | None = None


@router.get("")
async def read_organization(identity: OrganizationWrite, session: SessionDependency) -> OrganizationOut:
    return OrganizationOut.model_validate(await get_organization(session, identity.organization_id))


@router.patch("")
async def update_organization(
    body: OrganizationChange, identity: OrganizationWrite, session: SessionDependency
) -> OrganizationOut:
    """Its name, and whether questions are kept in the audit log."""
    organization = await get_organization(session, identity.organization_id)
    changes = await change_organization(session, organization, name=body.name, audit_questions=body.audit_questions)
    await audit.record(
        session,
        identity.organization_id,
        identity.actor,
        "organization.changed",
        target=f"organization:{organization.id}",
        details=changes,
    )
    await session.commit()
    return OrganizationOut.model_validate(organization)
