"""CSV and JSON → Markdown."""

import csv
import io
import json

from opaa.extraction.port import JSON, Limits, Reason, refusal
from opaa.extraction.tables import render_rows

_SNIFF_CHARS = 20_000
_DELIMITERS = ",;\t|"
_MAX_HEADING = 6
_INLINE_CHARS = 100


def csv_to_markdown(text: str, limits: Limits) -> tuple[str, dict[str, JSON], tuple[str, ...]]:
    """(Markdown, {"columns", "rows"}, warnings). Text that is no table comes back as it is, with a warning.

    The first row is the header. Formulas are text here and stay text.
    """
    csv.field_size_limit(max(limits.max_text_chars, 1))
    delimiter = _delimiter(text)
    if delimiter is None:
        return text, {}, ("No column separator was found; read as plain text.",)
    try:
        rows = [
            row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if any(map(str.strip, row))
        ]
    except csv.Error as error:
        return text, {}, (f"The table cannot be read ({error}); read as plain text.",)
    if sum(map(len, rows)) > limits.max_table_cells:
        raise refusal(Reason.TOO_LARGE, f"more than {limits.max_table_cells:,} cells")
    header, body = rows[0], rows[1:]
    width = len(header)
    ragged = sum(len(row) != width for row in body)
    names = [*header, *("" for _ in range(max(map(len, rows)) - width))]
    body = [[*row, *("" for _ in range(len(names) - len(row)))] for row in body]
    warnings = (f"{ragged} rows have another number of columns than the header.",) if ragged else ()
    columns: list[JSON] = [name.strip() for name in header]
    return render_rows(names, body), {"columns": columns, "rows": len(body)}, warnings


def _delimiter(text: str) -> str | None:
    """The separator that cuts the first lines into the most even number of columns."""
    sample = text[:_SNIFF_CHARS]
    if len(text) > _SNIFF_CHARS:
        sample = sample[: sample.rfind("\n") + 1] or sample
    best, best_score = None, 0.0
    for delimiter in _DELIMITERS:
        try:
            widths = [len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row][:100]
        except csv.Error:
            continue
        if not widths or widths[0] < 2:
            continue
        score = sum(width == widths[0] for width in widths) / len(widths) + widths[0] / 1000
        if score > best_score:
            best, best_score = delimiter, score
    return best if best_score >= 0.5 else None


def json_to_markdown(text: str, limits: Limits, *, lines: bool = False) -> tuple[str, dict[str, JSON], tuple[str, ...]]:
    """(Markdown, scalar top-level fields, warnings). Text that is no JSON comes back as it is, with a warning.

    Objects become headings and lists of fields, lists of flat objects become tables.
    """
    try:
        value: JSON = [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    except RecursionError as error:
        raise refusal(Reason.TOO_COMPLEX, "JSON nested too deeply") from error
    except ValueError as error:
        return text, {}, (f"This is not JSON ({error}); read as plain text.",)
    out: list[str] = []
    _block(value, out, 2, limits.max_depth)
    metadata: dict[str, JSON] = {}
    if isinstance(value, dict):
        metadata = {name: item for name, item in value.items() if not isinstance(item, dict | list)}
    return "\n\n".join(out), metadata, ()


def _block(value: JSON, out: list[str], level: int, depth: int) -> None:
    if depth < 0:
        raise refusal(Reason.TOO_COMPLEX, "JSON nested too deeply")
    if isinstance(value, dict):
        _object(value, out, level, depth)
    elif isinstance(value, list):
        _list(value, out, level, depth)
    else:
        out.append(_scalar(value))


def _object(value: dict[str, JSON], out: list[str], level: int, depth: int) -> None:
    flat = [f"- {name}: {line}" for name, item in value.items() if (line := _inline(item)) is not None]
    if flat:
        out.append("\n".join(flat))
    for name, item in value.items():
        if _inline(item) is None:
            out.append(f"{'#' * min(level, _MAX_HEADING)} {' '.join(name.split())}")
            _block(item, out, level + 1, depth - 1)


def _list(value: list[JSON], out: list[str], level: int, depth: int) -> None:
    if all(isinstance(item, dict) and item and all(_inline(v) is not None for v in item.values()) for item in value):
        records = [item for item in value if isinstance(item, dict)]
        names = list(dict.fromkeys(name for record in records for name in record))
        out.append(render_rows(names, [[_inline(record.get(n, "")) or "" for n in names] for record in records]))
        return
    for number, item in enumerate(value, 1):
        if isinstance(item, dict | list):
            label = (
                next((str(item[k]) for k in ("title", "name", "id") if item.get(k)), "")
                if isinstance(item, dict)
                else ""
            )
            out.append(f"{'#' * min(level, _MAX_HEADING)} {' '.join(label.split()) or number}")
            _block(item, out, level + 1, depth - 1)
        else:
            out.append(f"- {_scalar(item)}")


def _inline(value: JSON) -> str | None:
    """`value` on one line when it is a scalar or a short list of scalars, else None."""
    if isinstance(value, dict):
        return None if value else "–"
    if isinstance(value, list):
        if any(isinstance(item, dict | list) for item in value):
            return None
        line = ", ".join(_scalar(item) for item in value)
        return line if len(line) <= _INLINE_CHARS else None
    return " ".join(_scalar(value).split())


def _scalar(value: JSON) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
