"""The shapes that several resources share."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from opaa.retrieval.service import SearchHit

Item = TypeVar("Item")


class Input(BaseModel):
    """What callers send: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _only_text(cls, value: Any) -> Any:  # noqa: ANN401 - whatever was sent
        """JSON can escape half a character, which no text, database or answer can hold."""
        if not _is_text(value):
            raise ValueError("a text holds half of a surrogate pair")
        return value


def _is_text(value: Any) -> bool:  # noqa: ANN401
    match value:
        case str():
            return value.isascii() or value.encode(errors="replace").decode() == value
        case list():
            return all(_is_text(part) for part in value)
        case dict():
            return all(_is_text(key) and _is_text(part) for key, part in value.items())
        case _:
            return True


Principal = Annotated[str, Field(min_length=1, max_length=100, description="`user:ID`, `group:ID` or `workspace:ID`.")]


class Page(BaseModel, Generic[Item]):
    """One page of a list; `next_cursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None = None


class Listing(BaseModel, Generic[Item]):
    """A list that needs no pages."""

    items: list[Item]


class Named(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    name: str


class PassageOut(BaseModel):
    """A passage of a document; the offsets count characters of the document's text."""

    model_config = ConfigDict(from_attributes=True)

    chunk_id: UUID
    heading_path: list[str]
    text: str
    start_offset: int
    end_offset: int
    score: float


class SearchResultOut(PassageOut):
    """A document with its best passage, and the next best ones in `passages`."""

    document_id: UUID
    title: str
    uri: str
    source: str
    workspace_id: UUID
    updated_at: datetime | None
    passages: list[PassageOut]


def results_out(hits: Sequence[SearchHit]) -> list[SearchResultOut]:
    return [SearchResultOut.model_validate(hit) for hit in hits]
