"""What indexing needs from a place that holds documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from opaa.errors import ExtractionError, UnavailableError


class SourceUnavailableError(UnavailableError):
    """The source as a whole cannot be listed; nothing may be concluded about its documents."""

    code = "source-unavailable"


class ItemError(ExtractionError):
    """One item cannot be read; `reason` is a stable word."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that may become a document.

    `external_id` is stable within the source; `fingerprint` changes whenever the bytes or the ACL may have changed.
    `acl` is who may read it according to the source, as principals; None where the source does not say.
    """

    external_id: str
    uri: str
    name: str
    size_bytes: int
    modified_at: datetime | None
    fingerprint: str
    acl: tuple[str, ...] | None = None


class Connector(Protocol):
    """One configured source. The methods block and run in a thread."""

    def list_items(self) -> Iterator[Item]:
        """Every item, streamed. Raises SourceUnavailableError when the listing is not whole."""
        ...

    def get(self, external_id: str) -> Item | None:
        """One item as it is now; None when it is gone."""
        ...

    def read(self, item: Item, max_bytes: int) -> bytes:
        """The bytes of an item. Raises ItemError (too-large, changed-while-read, permission, not-found)."""
        ...
