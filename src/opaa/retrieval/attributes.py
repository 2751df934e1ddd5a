"""The typed attributes of documents: what is stored, and which documents meet what a question asks for."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from opaa.vectors.port import IndexScope, Range


async def write_attributes(  # noqa: PLR0917 - one document's parts
    session: AsyncSession,
    scope: IndexScope,
    document_id: UUID,
    acl: Sequence[str],
    metadata: Mapping[str, Any],
    text: str,
) -> None:
    """Replace the attributes of one document by what its metadata and text say."""


async def match(session: AsyncSession, question: str, within: Range) -> dict[UUID, float]:
    """Documents by the share (0 to 1) of the question's constraints that they meet; {} when it has none."""
    return {}
