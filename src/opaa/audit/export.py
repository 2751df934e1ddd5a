"""Audit rows as JSON Lines and as CSV."""

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Literal

from opaa.audit.chain import Entry, Filters, entries
from opaa.db.session import Database, TenantContext

Format = Literal["jsonl", "csv"]
COLUMNS = ("id", "sequence", "at", "actor", "action", "target", "outcome", "details", "private")
PAGE = 1_000
# What a spreadsheet takes for a formula (OWASP, CSV injection).
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


async def export(database: Database, context: TenantContext, filters: Filters, form: Format) -> AsyncIterator[str]:
    """The rows, newest first, in pieces of text."""
    if form == "csv":
        yield _csv_line(COLUMNS)
    before: int | None = None
    while True:
        async with database.session(context) as session:
            page = await entries(session, filters, before=before, limit=PAGE)
        if page:
            yield "".join(_csv_line(_cells(entry)) if form == "csv" else _json_line(entry) for entry in page)
        if len(page) < PAGE:
            return
        before = page[-1].id


def _json_line(entry: Entry) -> str:
    return json.dumps({**asdict(entry), "at": entry.at.isoformat()}, ensure_ascii=False) + "\n"


def _cells(entry: Entry) -> tuple[str, ...]:
    values = {**asdict(entry), "at": entry.at.isoformat()}
    return tuple(
        json.dumps(values[name], ensure_ascii=False)
        if isinstance(values[name], dict)
        else ("" if values[name] is None else str(values[name]))
        for name in COLUMNS
    )


def _csv_line(cells: tuple[str, ...]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow([safe_cell(cell) for cell in cells])
    return line.getvalue()


def safe_cell(text: str) -> str:
    """The text so that no spreadsheet runs it."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
