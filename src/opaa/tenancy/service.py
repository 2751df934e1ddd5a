"""Finds and creates organizations."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.db.base import uuid7
from opaa.db.session import Database, TenantContext
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
