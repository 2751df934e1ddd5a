"""Markdown → chunks that keep to the document's structure and know their exact place in it."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from semantic_text_splitter import MarkdownSplitter

CountTokens = Callable[[Sequence[str]], list[int]]

# The splitter's time grows with the square of what it is given (1 million characters: 3 to 9 s).
_WINDOW_CHARS = 16_000
# A chunk below this share of the limit is joined to a neighbour when both fit.
_SMALL_SHARE = 1 / 3
# Headings go into every passage's embedding; a paragraph marked as a heading must not crowd out the text.
_TITLE_CHARS = 200
_LINE = re.compile(r"^ {0,3}(?:(#{1,6})(?=[ \t]|$)([^\n]*)|(`{3,}|~{3,})([^\n]*))", re.MULTILINE)
_SETEXT = re.compile(
    r"(?:\A|(?<=\n))(?![ \t]*[>#|*+\-`~]|[ \t]*\d+[.)]|[ \t]*\n)([^\n]+)\n {0,3}(=+|-{2,})[ \t]*(?=\n|\Z)"
)
_CLOSING_HASHES = re.compile(r"(?:^|[ \t])#+\Z")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage: `text == document[start:end]`, offsets in characters, no whitespace at either end.

    `heading_path` holds the headings above everything in the chunk, outermost first; the headings of the passage's
    own section belong to it, those of which the passage holds only a part of the sections do not.
    """

    ordinal: int
    start: int
    end: int
    text: str
    heading_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Heading:
    start: int
    body: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class _Section:
    start: int
    body: int
    """Where the text after the section's headings begins."""
    end: int
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Piece:
    start: int
    end: int
    path: tuple[str, ...]


def chunk_document(
    text: str, *, max_chars: int = 1200, max_tokens: int | None = None, count_tokens: CountTokens | None = None
) -> list[Chunk]:
    """`text` (Markdown) cut into chunks in document order, without overlap and with nothing but whitespace left out.

    No chunk is longer than `max_chars` characters nor, when `max_tokens` and `count_tokens` are given, than
    `max_tokens`: `count_tokens` is called with all chunks at once, and again only with the parts of those that were too
    long. Sections stay whole where they fit, small neighbours share a chunk, long sections are cut at paragraphs,
    rows, sentences, words, in that order.
    """
    if max_chars < 1:
        raise ValueError(f"max_chars is {max_chars}, must be at least 1")
    pieces = _merge(text, [piece for section in _sections(text) for piece in _cut(text, section, max_chars)], max_chars)
    if max_tokens is not None and count_tokens is not None:
        pieces = _fit_tokens(text, pieces, max_tokens, count_tokens)
    return [Chunk(n, p.start, p.end, text[p.start : p.end], p.path) for n, p in enumerate(pieces)]


def _headings(text: str) -> Iterator[_Heading]:
    """ATX and setext headings outside fenced code."""
    setext = {}
    if "\n=" in text or "\n-" in text:
        setext = {match.start(): match for match in _SETEXT.finditer(text) if _is_alone(text, match.start())}
    events = sorted([*((m.start(), m) for m in _LINE.finditer(text)), *setext.items()], key=lambda event: event[0])
    fence = ""
    for start, match in events:
        if start in setext and match is setext[start]:
            if not fence:
                yield _Heading(start, match.end(), 1 if match[2][0] == "=" else 2, _plain(match[1]))
        elif match[3]:
            if not fence:
                # An info string with a backtick makes the line inline code.
                fence = match[3] if match[3][0] == "~" or "`" not in match[4] else ""
            elif match[3].startswith(fence) and not match[4].strip():
                fence = ""
        elif not fence:
            yield _Heading(start, match.end(), len(match[1]), _plain(match[2]))


def _is_alone(text: str, at: int) -> bool:
    """Whether the line at `at` starts its paragraph."""
    return at == 0 or text[text.rfind("\n", 0, at - 1) + 1 : at - 1].strip() == ""


def _plain(title: str) -> str:
    title = _CLOSING_HASHES.sub("", title.strip()[:_TITLE_CHARS]).strip()
    return " ".join(title.replace("**", "").replace("`", "").split())


def _sections(text: str) -> Iterator[_Section]:
    """The document cut at its headings; headings with nothing between them open one section together."""
    stack: list[tuple[int, str]] = []
    start = 0
    body = 0
    for heading in _headings(text):
        if text[body : heading.start].strip():
            yield _Section(start, body, heading.start, tuple(title for _, title in stack))
            start = heading.start
        while stack and stack[-1][0] >= heading.level:
            stack.pop()
        if heading.title:
            stack.append((heading.level, heading.title))
        body = heading.body
    if text[start:].strip():
        yield _Section(start, body, len(text), tuple(title for _, title in stack))


def _cut(text: str, section: _Section, max_chars: int) -> Iterator[_Piece]:
    whole = _trimmed(text, section.start, section.end, section.path)
    if whole is None:
        return
    length = whole.end - whole.start
    if length <= max_chars:
        yield whole
        return
    # The splitter parts a heading from a long paragraph; here it stays with the beginning of its text.
    body = _trimmed(text, section.body, section.end, section.path) or whole
    start = body.start if body.start - whole.start < max_chars / 2 else whole.start
    room = max_chars - (start - whole.start)
    # Parts of even length rather than full ones and a rest.
    capacity = min(room, math.ceil((whole.end - start) / math.ceil((whole.end - start) / room) * 1.15))
    first = whole.start
    for window_start, window_end in _windows(text, start, whole.end):
        for offset, part in _splitter(capacity).chunk_indices(text[window_start:window_end]):
            at = window_start + offset
            piece = _trimmed(text, min(first, at), at + len(part), section.path)
            if piece:
                yield piece
                first = len(text)


def _trimmed(text: str, start: int, end: int, path: tuple[str, ...]) -> _Piece | None:
    part = text[start:end]
    left = len(part) - len(part.lstrip())
    if left == len(part):
        return None
    return _Piece(start + left, start + len(part.rstrip()), path)


def _windows(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Stretches that the splitter takes in a moment, cut at blank lines, else lines, else spaces, if there are any."""
    while end - start > _WINDOW_CHARS:
        least, most = start + _WINDOW_CHARS // 2, start + _WINDOW_CHARS
        cut = next((at + len(mark) for mark in ("\n\n", "\n", " ") if (at := text.rfind(mark, least, most)) > 0), most)
        yield start, cut
        start = cut
    yield start, end


@lru_cache(maxsize=256)
def _splitter(capacity: int) -> MarkdownSplitter:
    return MarkdownSplitter(capacity, trim=False)


def _merge(text: str, pieces: list[_Piece], max_chars: int) -> list[_Piece]:
    """Join small pieces to the one before, as far as both fit."""
    small = max_chars * _SMALL_SHARE
    merged: list[_Piece] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if (
            last
            and piece.end - last.start <= max_chars
            and (last.end - last.start < small or piece.end - piece.start < small)
        ):
            merged[-1] = _Piece(last.start, piece.end, _shared(last.path, piece.path))
        else:
            merged.append(piece)
    return merged


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    shared = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        shared += 1
    return one[:shared]


def _fit_tokens(text: str, pieces: list[_Piece], max_tokens: int, count_tokens: CountTokens) -> list[_Piece]:
    """Cut what has too many tokens until nothing has, or until it is a single character."""
    done: list[_Piece] = []
    open_pieces = pieces
    while open_pieces:
        counts = count_tokens([text[piece.start : piece.end] for piece in open_pieces])
        parts: list[_Piece] = []
        for piece, count in zip(open_pieces, counts, strict=True):
            length = piece.end - piece.start
            if count <= max_tokens or length == 1:
                done.append(piece)
            else:
                capacity = max(1, min(int(length * max_tokens / count * 0.9), (length + 1) // 2 + length // 4))
                parts.extend(
                    _cut(text, _Section(piece.start, piece.start, piece.end, piece.path), min(capacity, length - 1))
                )
        open_pieces = parts
    return sorted(done, key=lambda piece: piece.start)
