"""What a vector store does for retrieval and indexing. Its answers are candidates only: text, title and permission of a
hit always come from PostgreSQL under row-level security (VEC-9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True, slots=True)
class ChunkTerms:
    """The lexical side of one chunk: `term_ids` (n,) int32 ascending, `frequencies` (n,) uint8 (title and headings
    counted twice), `terms` the n strings in the same order, `length` the weighted number of tokens."""

    term_ids: NDArray[np.int32]
    frequencies: NDArray[np.uint8]
    length: float
    terms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Concept:
    """One word of a question and the terms it may be stored as (one per language, a number's readings …).

    `weight` is 1 for a word; an identifier's parts weigh less beside the whole.
    """

    surface: str
    terms: tuple[str, ...]
    term_ids: tuple[int, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class IndexScope:
    """Where a write goes."""

    organization_id: UUID
    workspace_id: UUID
    generation_id: int


@dataclass(frozen=True, slots=True)
class ChunkEntry:
    """One chunk to index. `embedding` (dim,) float32 of unit length; `content_hash` keys the embedding's reuse."""

    chunk_id: UUID
    document_id: UUID
    acl_id: int
    content_hash: bytes
    embedding: NDArray[np.float32]
    terms: ChunkTerms


@dataclass(frozen=True, slots=True)
class Range:
    """What may be searched: workspaces and, where filters left only some, documents."""

    workspace_ids: Sequence[UUID]
    document_ids: Sequence[UUID] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A chunk found. Dense: `score` is the cosine. Lexical: `score` is the BM25F score times `coverage`, the share of
    the question's idf mass that the chunk matches (0 to 1)."""

    chunk_id: UUID
    document_id: UUID
    score: float
    coverage: float = 0.0


class VectorStore(Protocol):
    """Every method works in the tenant context and transaction of `session`."""

    async def write(self, session: AsyncSession, scope: IndexScope, entries: Sequence[ChunkEntry]) -> None:
        """Add chunks. A document that changed is deleted first."""
        ...

    async def delete(self, session: AsyncSession, workspace_id: UUID, document_ids: Sequence[UUID]) -> None:
        """Remove every chunk of the documents, in all generations."""
        ...

    async def set_acl(
        self, session: AsyncSession, workspace_id: UUID, document_ids: Sequence[UUID], acl_id: int
    ) -> None:
        """Change who may read the documents' chunks."""
        ...

    async def dense(
        self, session: AsyncSession, vector: NDArray[np.float32], generation_id: int, within: Range, limit: int
    ) -> list[Candidate]:
        """The chunks nearest to `vector` (dim,), best first."""
        ...

    async def lexical(
        self, session: AsyncSession, concepts: Sequence[Concept], within: Range, limit: int
    ) -> list[Candidate]:
        """The chunks that match the words best, best first. Misspelt words are tolerated."""
        ...

    async def maintain(self, session: AsyncSession, scope: IndexScope, dimension: int) -> None:
        """Bring statistics and indexes of one workspace up to date after an indexing run."""
        ...
