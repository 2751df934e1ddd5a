"""HTML, PDF, office files and mail → Markdown, by kreuzberg and the standard library's mail parser."""

import html
import re
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import EmailPolicy, Policy
from email.utils import parsedate_to_datetime
from typing import Any, cast

from opaa.extraction import content_type as kinds
from opaa.extraction.archive import repack, restore
from opaa.extraction.clean import decode
from opaa.extraction.port import JSON, Limits, Reason, refusal

_HTML_CHARSET = re.compile(rb"<meta[^<>]+charset\s*=\s*[\"']?\s*([\w-]+)", re.I)
_HTML_TITLE = re.compile(r"<title[^<>]*>([^<]{0,2000})</title\s*>", re.I)
_HTML_META = re.compile(r"<meta\b[^<>]*>", re.I)
_HTML_AUTHOR = re.compile(r"<meta\b(?=[^<>]*\bname\s*=\s*[\"']?author)[^<>]*\bcontent\s*=\s*[\"']?([^\"'>]+)", re.I)
_DATA_URI = re.compile(r"(\b(?:src|href)\s*=\s*[\"']?)data:[^\"'>\s]*", re.I)
# Kreuzberg escapes all punctuation; only at the start of a line, and of `|` in tables, does that carry meaning.
_NEEDLESS_ESCAPE = re.compile(r"(?:(?<=[^\s\\])|(?<=\S ))\\(?=[*_<>\[\]()~$#&!+\-.=`{}'\"])|\\(?=[<&$~=(\"'])")
# In PDFs the last line of a paragraph is at times taken for a list item; a real list follows a full stop or colon.
_FALSE_ITEM = re.compile(r"^([^#\-|>\s][^\n]{60,}[\w,])\n\n- (?!.*\n\n?- )", re.MULTILINE)
_PLACEHOLDERS = frozenset({"(unspecified)", "(anonymous)", "anonymous", "untitled", "unknown", "none", "null"})
_MAX_PARTS = 500
_MAX_HEADER_CHARS = 20_000


class _BoundedPolicy(EmailPolicy):
    """Cuts headers before they are parsed: the standard library needs quadratic time and memory for long ones."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return cast(str, super().header_fetch_parse(name, value[:_MAX_HEADER_CHARS]))


_BOUNDED = cast("Policy[EmailMessage]", _BoundedPolicy())


def html_to_markdown(data: bytes, limits: Limits) -> tuple[str, dict[str, JSON], tuple[str, ...]]:
    """(Markdown, {"title", "author"}, warnings); scripts, styles and navigation are left out."""
    declared = _HTML_CHARSET.search(data[:2048])
    warnings: tuple[str, ...] = ()
    try:
        # A byte order mark and valid UTF-8 both say more than what the page declares.
        markup, warnings = decode(data)
        if warnings and declared:
            markup, warnings = data.decode(declared[1].decode("ascii"), errors="replace"), ()
    except LookupError:
        warnings = ("The page declares an encoding that does not exist.",)
    metadata: dict[str, JSON] = {}
    if title := _HTML_TITLE.search(markup):
        metadata["title"] = " ".join(html.unescape(title[1]).split())
    if author := _HTML_AUTHOR.search(markup):
        metadata["author"] = html.unescape(author[1]).strip()
    # Titles and meta tags would come back as a mangled block at the top of the text.
    for pattern in (_HTML_TITLE, _HTML_META):
        markup = pattern.sub("", markup)
    text, _ = _kreuzberg(_DATA_URI.sub(r"\1#", markup).encode("utf-8", "replace"), kinds.HTML)
    return text, metadata, warnings


def office_to_markdown(data: bytes, content_type: str, limits: Limits) -> tuple[str, dict[str, JSON], tuple[str, ...]]:
    """(Markdown, {"title", "author", "created", "modified"}, warnings) of a ZIP based office file."""
    is_docx = content_type == kinds.DOCX
    text, metadata = _kreuzberg(repack(data, limits, stand_ins=is_docx), content_type)
    return restore(text), metadata, ()


def pdf_to_markdown(data: bytes, limits: Limits) -> tuple[str, dict[str, JSON], tuple[str, ...]]:
    """(Markdown, {"title", "author", "created", "modified", "pages"}, warnings)."""
    text, metadata = _kreuzberg(data, kinds.PDF)
    pages = metadata.get("pages")
    if isinstance(pages, int) and pages > limits.max_pages:
        raise refusal(Reason.TOO_LARGE, f"{pages:,} pages, {limits.max_pages:,} allowed")
    return _FALSE_ITEM.sub(r"\1 ", text), metadata, ()


def mail_to_markdown(data: bytes, limits: Limits) -> tuple[str, dict[str, JSON], tuple[str, ...]]:
    """(Markdown, {"subject", "from", "to", "cc", "date", "attachments"}, warnings).

    The text starts with the headers, so that sender and date are found by search. Attachments are named, not opened.
    """
    try:
        message = message_from_bytes(data, policy=_BOUNDED)
        if sum(1 for _ in message.walk()) > _MAX_PARTS:
            raise refusal(Reason.TOO_COMPLEX, f"more than {_MAX_PARTS} parts")
        metadata = _mail_headers(message)
        body, warnings = _mail_body(message, limits)
    except RecursionError as error:
        raise refusal(Reason.TOO_COMPLEX, "mail parts nested too deeply") from error
    if any(len(value) > _MAX_HEADER_CHARS for _, value in message.raw_items()):
        warnings = (f"A header is longer than {_MAX_HEADER_CHARS:,} characters and was cut.", *warnings)
    lines = [f"# {metadata['subject']}\n"] if metadata.get("subject") else []
    for name in ("from", "to", "cc", "date", "attachments"):
        value = metadata.get(name)
        if value:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(f"- {name.capitalize()}: {shown}")
    return "\n".join(lines) + "\n\n" + body, metadata, warnings


def _mail_headers(message: EmailMessage) -> dict[str, JSON]:
    metadata: dict[str, JSON] = {}
    if subject := _header(message, "subject"):
        metadata["subject"] = subject
    if sender := _header(message, "from"):
        metadata["from"] = sender
    for name in ("to", "cc"):
        if value := _header(message, name):
            addresses: list[JSON] = [str(address) for address in getattr(message[name], "addresses", ())]
            metadata[name] = addresses or value
    if date := _header(message, "date"):
        try:
            metadata["date"] = parsedate_to_datetime(date).isoformat()
        except ValueError:
            metadata["date"] = date
    names: list[JSON] = [part.get_filename() or "unnamed" for part in message.walk() if part.is_attachment()]
    if names:
        metadata["attachments"] = names
    return metadata


def _header(message: EmailMessage, name: str) -> str:
    """The header on one line; a malformed one as its raw text."""
    try:
        value = message[name]
    except (ValueError, IndexError, AttributeError, TypeError):  # raised by the standard library on odd addresses
        value = next((raw for key, raw in message.raw_items() if key.lower() == name), "")
    return " ".join(str(value or "").split())


def _mail_body(message: EmailMessage, limits: Limits) -> tuple[str, tuple[str, ...]]:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return "", ()
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    if part.get_content_subtype() == "html":
        text, _, warnings = html_to_markdown(data, limits)
        return text, warnings
    try:
        return data.decode(part.get_content_charset("utf-8")), ()
    except (LookupError, UnicodeDecodeError):
        return decode(data)


def _kreuzberg(data: bytes, content_type: str) -> tuple[str, dict[str, JSON]]:
    """(Markdown, metadata). Raises ExtractionError: encrypted, corrupt, unsupported."""
    import kreuzberg  # noqa: PLC0415 -- 35 MB that a child which reads only Markdown does not need

    config = kreuzberg.ExtractionConfig(
        output_format="markdown",
        use_cache=False,
        enable_quality_processing=False,
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
    )
    try:
        result = kreuzberg.extract_bytes_sync(data, content_type, config=config)
    except MemoryError:
        raise
    except kreuzberg.KreuzbergError as error:
        problem = str(error).lower()
        if "password" in problem or "encrypt" in problem:
            raise refusal(Reason.ENCRYPTED) from error
        raise refusal(Reason.CORRUPT) from error
    except BaseException as error:  # a Rust panic arrives as a BaseException
        raise refusal(Reason.CRASHED, type(error).__name__) from error
    return _NEEDLESS_ESCAPE.sub("", result.content), _office_metadata(dict(result.metadata))


def _office_metadata(raw: dict[str, Any]) -> dict[str, JSON]:
    authors = raw.get("authors") or [raw.get("author") or raw.get("created_by")]
    found = {
        "title": raw.get("title"),
        "author": ", ".join(str(name) for name in authors if name),
        "created": raw.get("created_at"),
        "modified": raw.get("modified_at"),
        "pages": raw.get("page_count"),
    }
    return {
        name: value if isinstance(value, int) else str(value).strip()
        for name, value in found.items()
        if value and str(value).strip().lower() not in _PLACEHOLDERS
    }
