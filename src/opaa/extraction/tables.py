"""Rows → Markdown, so that every passage cut from a long table still says what its columns mean."""

from collections.abc import Iterator, Sequence

_MAX_TABLE_CHARS = 1_000
_MAX_COLUMNS = 12
_SEPARATOR_CHARS = frozenset("|:- \t")


def render_rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown tables of at most about 1,000 characters, each with the header; wide rows as lists of fields."""
    names = [_cell(name) or f"column {number}" for number, name in enumerate(header, 1)]
    longest = max((sum(map(len, row)) for row in rows), default=0)
    if len(names) > _MAX_COLUMNS or longest + sum(map(len, names)) > _MAX_TABLE_CHARS:
        return "\n\n".join(_record(names, row) for row in rows)
    head = [_line(names), "|" + " --- |" * len(names)]
    return "\n\n".join("\n".join(part) for part in _parts(head, (_line([_cell(c) for c in row]) for row in rows)))


def _record(names: Sequence[str], row: Sequence[str]) -> str:
    pairs = zip(names, (" ".join(cell.split()) for cell in row), strict=False)
    return "\n".join(f"- {name}: {value}" for name, value in pairs if value)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _parts(head: list[str], lines: Iterator[str]) -> Iterator[list[str]]:
    """Tables of at most `_MAX_TABLE_CHARS` (or one row), each starting with `head`."""
    head_chars = sum(len(line) + 1 for line in head)
    part, chars, empty = list(head), head_chars, True
    for line in lines:
        if chars + len(line) > _MAX_TABLE_CHARS and len(part) > len(head):
            yield part
            part, chars = list(head), head_chars
        part.append(line)
        chars += len(line) + 1
        empty = False
    if len(part) > len(head) or empty:
        yield part


def repeat_headers(markdown: str) -> str:
    """`markdown` with every table longer than about 1,000 characters cut into several that repeat its header."""
    if "|" not in markdown or "\n" not in markdown:
        return markdown
    lines = markdown.split("\n")
    out: list[str] = []
    fence = ""
    at = 0
    while at < len(lines):
        line = lines[at]
        stripped = line.lstrip()
        if stripped.startswith(("```", "~~~")):
            mark = stripped[:3]
            fence = "" if fence == mark else fence or mark
        if fence or "|" not in line or at + 1 >= len(lines) or not _is_separator(lines[at + 1]):
            out.append(line)
            at += 1
            continue
        end = at + 2
        while end < len(lines) and "|" in lines[end]:
            end += 1
        parts = _parts(lines[at : at + 2], iter(lines[at + 2 : end]))
        out.append("\n\n".join("\n".join(part) for part in parts))
        at = end
    return "\n".join(out)


def _is_separator(line: str) -> bool:
    return "|" in line and "-" in line and set(line) <= _SEPARATOR_CHARS
