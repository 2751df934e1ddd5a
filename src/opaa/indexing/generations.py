"""Index generations: which embedder an organization's vectors come from."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.errors import ConflictError
from opaa.indexing.models import IndexGeneration
from opaa.llm.port import Embedder


class GenerationMismatchError(ConflictError):
    """The configured embedder is not the one that the index was built with."""

    code = "generation-mismatch"


@dataclass(frozen=True, slots=True)
class Generation:
    """The active generation as retrieval and indexing need it."""

    id: int
    embedder: str
    dimension: int


async def active_generation(session: AsyncSession, organization_id: UUID, embedder: Embedder) -> Generation:
    """The organization's active generation, created with the first use.

    Raises GenerationMismatchError when it was built with another embedder.
    """
    query = select(IndexGeneration).where(
        IndexGeneration.organization_id == organization_id, IndexGeneration.state == "active"
    )
    row = await session.scalar(query)
    if row is None:
        await session.execute(
            insert(IndexGeneration).values(**_values(organization_id, embedder)).on_conflict_do_nothing()
        )
        row = (await session.scalars(query)).one()
    if (row.embedder, row.dimension) != (embedder.name, embedder.dimension):
        raise GenerationMismatchError(
            f"The index was built with the embedding model {row.embedder} ({row.dimension} dimensions), but "
            f"{embedder.name} ({embedder.dimension}) is configured. Restore the setting, or run `opaa index rebuild`"
        )
    return Generation(row.id, row.embedder, row.dimension)


async def replace_generation(session: AsyncSession, organization_id: UUID, embedder: Embedder) -> Generation:
    """Retire the active generation and start an empty one for `embedder`."""
    await session.execute(
        update(IndexGeneration).where(IndexGeneration.organization_id == organization_id).values(state="retired")
    )
    row = await session.scalar(
        insert(IndexGeneration).values(**_values(organization_id, embedder)).returning(IndexGeneration)
    )
    assert row is not None  # noqa: S101 - RETURNING of one inserted row
    return Generation(row.id, row.embedder, row.dimension)


def _values(organization_id: UUID, embedder: Embedder) -> dict[str, object]:
    return {
        "organization_id": organization_id,
        "embedder": embedder.name,
        "dimension": embedder.dimension,
        "query_prefix": embedder.query_prefix,
        "passage_prefix": embedder.passage_prefix,
        "state": "active",
    }
