"""What extraction gives, what it refuses, and the limits it keeps."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from opaa.errors import ExtractionError

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"


@dataclass(frozen=True, slots=True)
class Extracted:
    """A document as text.

    `text` is Markdown (NFC, `\\n` line ends, no control or invisible formatting characters). `content_type` is what
    the bytes are, whatever the file is called. `metadata` holds the document's own fields: front matter, scalar JSON
    fields, mail headers (`from`, `to`, `cc`, `date`, `subject`), `author`, `created`, `modified`. `language` is `de`,
    `en` or None when it is neither or cannot be told. `warnings` are sentences for the administrator.
    """

    text: str
    title: str | None
    content_type: str
    metadata: dict[str, JSON]
    language: str | None
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one document may cost. A document over a limit is refused with a reason; the next one is not affected."""

    max_bytes: int = 100 * 1024 * 1024
    timeout_s: float = 60.0
    """Wall-clock time for one document, child start-up included."""
    memory_bytes: int = 1024**3
    """Address space that the child may take beyond what it has after its start."""
    max_text_chars: int = 10_000_000
    max_archive_ratio: int = 100
    """Uncompressed bytes for each compressed byte, over a whole archive (and per entry above 10 MB)."""
    max_archive_entries: int = 10_000
    max_archive_bytes: int = 512 * 1024 * 1024
    max_pages: int = 5_000
    max_depth: int = 200
    """Nesting of JSON values and of MIME parts."""
    max_table_cells: int = 2_000_000


class Reason(StrEnum):
    """Stable words for `ExtractionError.reason`; they are stored, shown and counted."""

    EMPTY = "empty"
    TOO_LARGE = "too-large"
    ENCRYPTED = "encrypted"
    CORRUPT = "corrupt"
    UNSUPPORTED = "unsupported"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    ZIP_BOMB = "zip-bomb"
    TOO_COMPLEX = "too-complex"
    UNSAFE = "unsafe"
    NO_TEXT = "no-text"
    CRASHED = "crashed"
    CHANGED_WHILE_READ = "changed-while-read"
    NOT_FOUND = "not-found"
    PERMISSION = "permission"

    @property
    def sentence(self) -> str:
        """One sentence for the administrator that says what is wrong and what helps."""
        return _SENTENCES[self]


_SENTENCES = {
    Reason.EMPTY: "The file is empty.",
    Reason.TOO_LARGE: "The file or its text is larger than the limit for one document; split it or raise the limit.",
    Reason.ENCRYPTED: "The file is protected by a password; store a copy without one.",
    Reason.CORRUPT: "The file is damaged or incomplete; open and save it again in its own program.",
    Reason.UNSUPPORTED: "This kind of file cannot be turned into text.",
    Reason.TIMEOUT: "Reading the file took longer than allowed; it may be very complex or made to stall readers.",
    Reason.MEMORY: "Reading the file needed more memory than allowed; split it or raise the limit.",
    Reason.ZIP_BOMB: "The file unpacks to far more than its size explains, so it was not opened.",
    Reason.TOO_COMPLEX: "The file is nested more deeply, or has more parts, than allowed.",
    Reason.UNSAFE: "The file declares XML entities, which office files never need, so it was not opened.",
    Reason.NO_TEXT: "The file holds no text; if it is a scan, it needs text recognition first.",
    Reason.CRASHED: "The reader for this kind of file failed on it; the file may be damaged or hostile.",
    Reason.CHANGED_WHILE_READ: "The file changed while it was read; it is tried again at the next synchronization.",
    Reason.NOT_FOUND: "The file is no longer there.",
    Reason.PERMISSION: "OPAA's account may not read the file; give it read permission.",
}


def refusal(reason: Reason, detail: str = "") -> ExtractionError:
    """The error for `reason`; `detail` (a number, a part's name) is appended in parentheses."""
    return ExtractionError(str(reason), f"{reason.sentence} ({detail})" if detail else reason.sentence)
