"""One document: bytes → `Extracted`. Runs in the child process (see `child.py`); `pool.py` is the way in."""

import re
from pathlib import PurePath

from opaa.extraction import content_type as kinds
from opaa.extraction.archive import refuse_many_entries
from opaa.extraction.clean import clean, decode
from opaa.extraction.front_matter import FrontMatterError, parse_front_matter, split_front_matter
from opaa.extraction.language import detect_language
from opaa.extraction.port import JSON, Extracted, Limits, Reason, refusal
from opaa.extraction.tables import repeat_headers

_Read = tuple[str, dict[str, JSON], tuple[str, ...]]

_TITLE_CHARS = 300
_HEADING_LINES = 200
_LINE_CHARS = 1_000
_MARKUP = re.compile(r"[*`]+|\b_{1,3}(?=\s|$)|(?:(?<=\s)|^)_{1,3}\b|!?\[([^\]]*)\]\([^)]*\)")
_DATA_URI = re.compile(r"\(data:[^()\s]{64,}\)")


def convert(data: bytes, file_name: str, limits: Limits) -> Extracted:
    """`data` as Markdown with title, fields, language and warnings. Raises ExtractionError with a `Reason`."""
    if len(data) > limits.max_bytes:
        raise refusal(Reason.TOO_LARGE, f"{len(data):,} bytes, {limits.max_bytes:,} allowed")
    if not data:
        raise refusal(Reason.EMPTY)
    if data.startswith(b"PK"):
        refuse_many_entries(data, limits)
    content_type = kinds.detect(data, file_name)
    raw, metadata, warnings = _read(data, content_type, limits)
    if len(raw) > limits.max_text_chars:
        raise refusal(Reason.TOO_LARGE, f"{len(raw):,} characters of text, {limits.max_text_chars:,} allowed")
    text = clean(repeat_headers(_DATA_URI.sub("(#)", raw)))
    if not text:
        raise refusal(Reason.EMPTY if content_type in (kinds.TEXT, kinds.MARKDOWN) else Reason.NO_TEXT)
    promised = kinds.by_name(file_name)
    if promised and promised != content_type:
        warnings = (f"The name says {promised}, the content is {content_type}.", *warnings)
    return Extracted(
        text=text,
        title=_title(text, metadata, content_type, file_name),
        content_type=content_type,
        metadata={clean(name): _clean_value(value) for name, value in metadata.items()},
        language=detect_language(text),
        warnings=warnings,
    )


def _read(data: bytes, content_type: str, limits: Limits) -> _Read:
    if content_type in (kinds.MARKDOWN, kinds.TEXT):
        text, warnings = decode(data)
        return (_markdown(text, warnings)) if content_type == kinds.MARKDOWN else (text, {}, warnings)
    if content_type in (kinds.CSV, kinds.JSON_TYPE, kinds.JSON_LINES):
        return _structured(data, content_type, limits)
    from opaa.extraction import rich  # noqa: PLC0415 -- plain formats need none of it

    if content_type == kinds.HTML:
        return rich.html_to_markdown(data, limits)
    if content_type == kinds.EML:
        return rich.mail_to_markdown(data, limits)
    if content_type == kinds.PDF:
        return rich.pdf_to_markdown(data, limits)
    return rich.office_to_markdown(data, content_type, limits)


def _structured(data: bytes, content_type: str, limits: Limits) -> _Read:
    from opaa.extraction import structured  # noqa: PLC0415

    text, warnings = decode(data)
    if content_type == kinds.CSV:
        markdown, fields, more = structured.csv_to_markdown(text, limits)
    else:
        lines = content_type == kinds.JSON_LINES
        markdown, fields, more = structured.json_to_markdown(text, limits, lines=lines)
    return markdown, fields, (*warnings, *more)


def _markdown(text: str, warnings: tuple[str, ...]) -> _Read:
    """Front matter becomes fields, and a list under the title so that they can be found and cited like any text."""
    text = text.replace("\r\n", "\n")
    block, rest = split_front_matter(text)
    if block is None:
        return text, {}, warnings
    try:
        fields, written = parse_front_matter(block)
    except FrontMatterError as error:
        return text, {}, (*warnings, f"The front matter cannot be used: {error}.")
    listed = "\n".join(f"- {name}: {value}" for name, value in written if value and name.lower() != "title")
    head, _, body = rest.lstrip("\n").partition("\n")
    if head.startswith("# "):
        return f"{head}\n\n{listed}\n\n{body}", fields, warnings
    title = fields.get("title")
    heading = f"# {title}\n\n" if isinstance(title, str) and title else ""
    return f"{heading}{listed}\n\n{rest}", fields, warnings


def _title(text: str, metadata: dict[str, JSON], content_type: str, file_name: str) -> str:
    own = metadata.get("title")
    candidates = [own if content_type == kinds.MARKDOWN else None, _first_heading(text, 1), own]
    if content_type == kinds.PPTX:
        candidates.append(_first_heading(text, 6))
    if content_type == kinds.JSON_TYPE:
        candidates.append(metadata.get("name"))
    candidates.append(metadata.get("subject"))
    for candidate in candidates:
        if isinstance(candidate, str) and (title := clean(" ".join(candidate.split()))):
            return title[:_TITLE_CHARS]
    stem = PurePath(file_name).stem
    return clean(re.sub(r"[\s_-]+", " ", re.sub(r"(?<=\d)-(?=\d)", "\u2011", stem)).replace("\u2011", "-")) or file_name


def _first_heading(text: str, max_level: int) -> str | None:
    """The first heading up to `max_level` near the top, without markup; headings in code do not count."""
    fence = ""
    lines = [line[:_LINE_CHARS] for line in text.split("\n", _HEADING_LINES)[:_HEADING_LINES]]
    for number, line in enumerate(lines):
        if line.startswith(("```", "~~~")):
            fence = "" if fence == line[:3] else fence or line[:3]
        if fence:
            continue
        level = len(line) - len(line.lstrip("#"))
        if 0 < level <= max_level and line[level : level + 1] == " ":
            return _MARKUP.sub(r"\1", line[level:].strip().rstrip("#").strip())
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if line.strip() and len(following) >= 3 and not following.strip("="):
            return _MARKUP.sub(r"\1", line.strip())
    return None


def _clean_value(value: JSON) -> JSON:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_clean_value(item) for item in value]
    if isinstance(value, dict):
        return {clean(name): _clean_value(item) for name, item in value.items()}
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124
        return None
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        return str(value)
    return value
