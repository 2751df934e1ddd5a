"""Sentences of a Markdown passage with their exact places."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Abbreviations that end in a full stop without ending a sentence, in English and German.
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Za-z]|\d{1,2}|Dr|Mr|Mrs|Ms|Prof|St|No|Nr|Abs|Art|bzw|ca|vgl|ggf|inkl|exkl|evtl|etc|approx|incl|max|min"
    r"|Tel|Str|Fig|Abb|Tab|Vol|Jan|Feb|Aug|Sept|Oct|Okt|Nov|Dec|Dez|e\.g|i\.e|z\.B|d\.h|u\.a|o\.ä|s\.o|s\.u))\.$",
    re.IGNORECASE,
)
_END = re.compile(r"[.!?…]+[\"'»“”)\]]*(?=\s|$)")
_BLOCK_START = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+|^\s*#{1,6}\s|^\s*\||^\s*>|^\s*```")
_HEADING = re.compile(r"^\s*#{1,6}\s")
_UNDERLINE = re.compile(r"^(?:={3,}|-{3,})\s*$")
_MARKER = re.compile(r"^\s*(?:(?:[-*+•]|\d{1,3}[.)])\s+|>\s*|\[[ xX]\]\s+)*")
_RULE = re.compile(r"^[\s|:=*_-]*$")
_TABLE_ROW = re.compile(r"^\s*\|.*\|\s*$")


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text` as a person reads it; `start` and `end` are its place in the passage (characters)."""

    text: str
    start: int
    end: int
    heading: bool = False
    row: bool = False


def split_sentences(passage: str) -> list[Sentence]:
    """The sentences, list items and table rows of a passage, in order; rules and empty lines are left out.

    A table row reads `column: value; column: value`.
    """
    sentences: list[Sentence] = []
    columns: list[str] | None = None
    for start, end in _blocks(passage):
        block = passage[start:end]
        if _TABLE_ROW.match(block):
            cells = [cell.strip() for cell in block.strip().strip("|").split("|")]
            if columns is None:
                columns = cells
                continue
            if not _RULE.match(block):
                pairs = (
                    f"{name}: {cell}" if name else cell for name, cell in zip(columns, cells, strict=False) if cell
                )
                sentences.append(Sentence(plain("; ".join(pairs)), start, end, row=True))
            continue
        columns = None
        if _RULE.match(block) or block.strip().startswith("```"):
            continue
        title, _, underline = block.rstrip().rpartition("\n")
        if _HEADING.match(block) or (title and _UNDERLINE.match(underline)):
            text = title if title and _UNDERLINE.match(underline) else block.strip().lstrip("#")
            sentences.append(Sentence(plain(text.strip()), start, end, heading=True))
            continue
        marker = _MARKER.match(block)
        offset = start + (marker.end() if marker else 0)
        sentences.extend(_sentences_of(passage, offset, end))
    return sentences


def plain(markdown: str) -> str:
    """Text without emphasis, code marks and link targets, on one line."""
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    text = re.sub(r"(\*\*|__|`)", "", text)
    text = re.sub(r"(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)", "", text)
    return " ".join(text.replace("\\|", "|").replace("<br>", " ").split())


def _blocks(passage: str) -> Iterator[tuple[int, int]]:
    """Paragraphs, list items, headings and table rows."""
    start: int | None = None
    position = 0
    for line in passage.splitlines(keepends=True):
        blank = not line.strip()
        if start is not None and (blank or _BLOCK_START.match(line)):
            yield start, position
            start = None
        if not blank:
            if start is None:
                start = position
            if _HEADING.match(line) or _TABLE_ROW.match(line) or _UNDERLINE.match(line):
                yield start, position + len(line.rstrip("\r\n"))
                start = None
        position += len(line)
    if start is not None:
        yield start, position


def _sentences_of(passage: str, start: int, end: int) -> Iterator[Sentence]:
    begin = start
    for match in _END.finditer(passage, start, end):
        if (
            _ABBREVIATION.search(passage[begin : match.end()])
            or passage[match.end() : match.end() + 2].strip().islower()
        ):
            continue
        yield from _sentence(passage, begin, match.end())
        begin = match.end()
    yield from _sentence(passage, begin, end)


def _sentence(passage: str, start: int, end: int) -> Iterator[Sentence]:
    raw = passage[start:end]
    text = plain(raw)
    if any(character.isalnum() for character in text):
        lead = len(raw) - len(raw.lstrip())
        yield Sentence(text, start + lead, start + len(raw.rstrip()))
