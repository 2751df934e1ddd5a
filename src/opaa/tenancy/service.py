"""Finds and creates organizations."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.db.base import uuid7
from opaa.db.session import Database, TenantContext
from opaa.errors import InvalidInputError
from opaa.tenancy.models import Organization

DEFAULT_SLUG = "default"


async def organization_id_by_slug(database: Database, slug: str = DEFAULT_SLUG) -> UUID | None:
    async with database.session(None) as session:
        found: UUID | None = await session.scalar(text("SELECT opaa_organization_by_slug(:slug)"), {"slug": slug})
        return found


async def organization_ids(database: Database) -> list[UUID]:
    """Every organization, for background work that walks all of them."""
    async with database.session(None) as session:
        return list(await session.scalars(text("SELECT opaa_organization_ids()")))


async def get_organization(session: AsyncSession, organization_id: UUID) -> Organization:
    return await session.get_one(Organization, organization_id)


async def create_organization(database: Database, slug: str, name: str) -> UUID:
    organization_id = uuid7()
    async with database.transaction(TenantContext.system(organization_id)) as session:
        session.add(Organization(id=organization_id, slug=slug, name=name))
    return organization_id


async def change_organization(
    session: AsyncSession, organization: Organization, *, name: str | None, audit_questions: bool | None
) -> dict[str, object]:
    """Change what is given; returns what changed. Raises InvalidInputError."""
    changes: dict[str, object] = {}
    if name is not None:
        name = " ".join(name.split())
        if not 1 <= len(name) <= 200 or not name.isprintable():
            raise InvalidInputError("An organization's name is 1 to 200 printable characters")
        changes["name"] = organization.name = name
    if audit_questions is not None:
        changes["audit_questions"] = organization.audit_questions = audit_questions
    await session.flush()
    return changes
