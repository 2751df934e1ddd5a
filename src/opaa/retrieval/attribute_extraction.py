"""Facts that a document states as fields: front matter and mail headers, tables, `Key: value` lines."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opaa.retrieval.analysis import detect_language
from opaa.retrieval.attribute_values import FieldName, Kind, field_name, parse_value

MAX_ATTRIBUTES = 2_000
MAX_LABEL_CHARS = 60
MAX_TEXT_CHARS = 2_000_000
MAX_LIST_ITEMS = 50

_ROW = re.compile(r"^\s*\|(.+)\|\s*$")
_SEPARATOR = re.compile(r"^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$")
_CELL = re.compile(r"(?<!\\)\|")
_LINE = re.compile(r"^\s*(?:[-*+]\s+)?(?:\*\*)?([^\W\d_][^:|\n]{0,59}?)(?:\*\*)?:(?:\*\*)?\s+(\S[^\n]*)$")
_LIST = re.compile(r"\s*[,;]\s+|\s+/\s+")
_FENCE = re.compile(r"^\s*(?:```|~~~)")
_GENERIC_HEADERS = """
property value field wert merkmal eigenschaft feld attribute attribut key parameter angabe kennwert item detail details
description beschreibung inhalt characteristic spezifikation specification kategorie fact facts daten
"""
# Fields that say how a document is made rather than what it is about.
_TECHNICAL = {"columns", "rows", "slug", "layout", "template", "uuid", "id", "url", "uri", "path", "permalink"}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One fact about an entity: 0 is the document, others are rows of its tables. See the table `attributes`."""

    entity: int
    kind: Kind
    name: str
    label: str
    value: str
    number: float | None = None
    unit: str | None = None


class _Collector:
    """Attributes in the order found, each once, at most `MAX_ATTRIBUTES`."""

    def __init__(self, german: bool) -> None:
        self.german = german
        self.found: dict[tuple[int, str, str], Attribute] = {}

    @property
    def full(self) -> bool:
        return len(self.found) >= MAX_ATTRIBUTES

    def add(self, entity: int, label: str, raw: object) -> None:
        label = " ".join(label.replace("**", "").replace("`", "").split())
        name = field_name(label)
        if not name.name or len(label) > MAX_LABEL_CHARS or name.name in _TECHNICAL:
            return
        self._add_value(entity, label, name, raw)
        if isinstance(raw, str) and _LIST.search(raw):
            for part in _LIST.split(raw)[:MAX_LIST_ITEMS]:
                self._add_value(entity, label, name, part)

    def _add_value(self, entity: int, label: str, name: FieldName, raw: object) -> None:
        value = parse_value(raw, unit=name.unit, german=self.german)
        if value is not None and not self.full:
            attribute = Attribute(entity, value.kind, name.name, label, value.text, value.number, value.unit)
            self.found.setdefault((entity, name.name, value.text), attribute)


def extract_attributes(metadata: Mapping[str, Any], text: str) -> list[Attribute]:
    """Every attribute of a document, at most `MAX_ATTRIBUTES`: its metadata first, then what its text shows."""
    text = text[:MAX_TEXT_CHARS]
    collector = _Collector(detect_language(text) == "de")
    for label, value in metadata.items():
        _add_metadata(collector, str(label), value)
    _Text(collector).read(text)
    return list(collector.found.values())


def _add_metadata(collector: _Collector, label: str, value: object, depth: int = 0) -> None:
    if isinstance(value, Mapping):
        if depth == 0:
            for inner, each in value.items():
                _add_metadata(collector, f"{label} {inner}", each, 1)
    elif isinstance(value, list | tuple):
        for each in value[:MAX_LIST_ITEMS]:
            if not isinstance(each, Mapping | list | tuple) and each is not None:
                collector.add(0, label, each)
    elif value is not None:
        collector.add(0, label, value)


class _Text:
    """Reads Markdown line by line for tables and `Key: value` lines."""

    def __init__(self, collector: _Collector) -> None:
        self.collector = collector
        self.entities = 0
        self.group: list[tuple[str, str]] = []
        self.first_labels: dict[str, list[tuple[str, str]]] = {}

    def read(self, text: str) -> None:
        lines = text.split("\n")
        at = 0
        fenced = False
        while at < len(lines) and not self.collector.full:
            line = lines[at]
            if _FENCE.match(line):
                fenced = not fenced
            elif not fenced and at + 1 < len(lines) and "|" in line and _SEPARATOR.match(lines[at + 1]):
                at = self._table(lines, at)
                continue
            elif not fenced:
                self._line(line)
            at += 1
        self._end_group()

    def _table(self, lines: Sequence[str], at: int) -> int:
        self._end_group()
        header = _cells(lines[at])
        end = at + 2
        while end < len(lines) and "|" in lines[end]:
            end += 1
        rows = [_cells(line) for line in lines[at + 2 : end]]
        if len(header) == 2 and _describes_one_thing(header, rows):
            for row in rows:
                if len(row) == 2:
                    self.collector.add(0, row[0], row[1])
        else:
            for row in rows:
                self.entities += 1
                for label, cell in zip(header, row, strict=False):
                    if label and cell:
                        self.collector.add(self.entities, label, cell)
        return end

    def _line(self, line: str) -> None:
        match = _LINE.match(line)
        if match:
            self.group.append((match[1].strip(), match[2].strip()))
        elif self.group:
            self._end_group()

    def _end_group(self) -> None:
        """A group of lines that starts as an earlier one did is another record; else it is about the document."""
        if not self.group:
            return
        first = self.group[0][0]
        entity = 0
        if len(self.group) > 1 and first in self.first_labels:
            self.entities += 1
            entity = self.entities
        self.first_labels.setdefault(first, self.group)
        for label, value in self.group:
            if _is_a_value(value):
                self.collector.add(entity, label, value)
        self.group = []


def _cells(line: str) -> list[str]:
    row = _ROW.match(line)
    inner = row[1] if row else line.strip().strip("|")
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(inner)]


def _describes_one_thing(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """A table of two columns lists the fields of one thing when its header says so and no label comes twice."""
    generic = {field_name(word).name for word in _GENERIC_HEADERS.split()} | {""}
    labels = [row[0] for row in rows]
    return field_name(header[0]).name in generic and len(set(labels)) == len(labels)


def _is_a_value(text: str) -> bool:
    """Not a sentence after a colon."""
    return len(text) <= 200 and not (text.endswith((".", "!", "?", ":")) and text.count(" ") > 6)
