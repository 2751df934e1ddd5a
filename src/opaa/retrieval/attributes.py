"""The typed attributes of documents: what is stored, and which documents meet what a question demands of fields."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.db.session import driver_connection
from opaa.retrieval.attribute_extraction import extract_attributes
from opaa.retrieval.attribute_questions import (
    Comparison,
    Demands,
    field_score,
    mentions,
    value_candidates,
)
from opaa.retrieval.attribute_values import unit_of
from opaa.retrieval.stopwords import STOP_WORDS
from opaa.vectors.port import IndexScope, Range

MAX_ROWS_PER_VALUE = 1_000
MAX_ROWS_PER_COMPARISON = 4_000
MAX_FIELDS = 300
MAX_EXTREMES = 200
MIN_FIELD_SCORE = 0.55
# A value by itself says less than one whose field the question names too.
NAMED_FIELD = 1.3
# Demands count in full when they account for half of the question's content words.
FULL_EMPHASIS = 2.0

_WRITE = """
INSERT INTO attributes
  (organization_id, workspace_id, document_id, acl_id, entity, kind, name, label, value, number, unit)
SELECT %s, %s, %s, %s, e, k, n, l, v, x, u FROM unnest(%s::integer[], %s::text[], %s::text[], %s::text[], %s::text[],
  %s::float8[], %s::text[]) AS t (e, k, n, l, v, x, u)"""
_VALUES = """
SELECT g.value, a.document_id, a.entity, a.name, a.kind
  FROM unnest(%(values)s::text[]) AS g (value)
 CROSS JOIN LATERAL (
   SELECT document_id, entity, name, kind FROM attributes
    WHERE workspace_id = ANY (%(workspaces)s) AND value = g.value
      AND (%(documents)s::uuid[] IS NULL OR document_id = ANY (%(documents)s)) LIMIT %(most)s) AS a"""
_FLAGS = """
SELECT n.name, a.document_id, a.entity, a.value
  FROM unnest(%(names)s::text[]) AS n (name)
 CROSS JOIN LATERAL (
   SELECT document_id, entity, value FROM attributes
    WHERE workspace_id = ANY (%(workspaces)s) AND value IN ('true', 'false') AND name = n.name
      AND (%(documents)s::uuid[] IS NULL OR document_id = ANY (%(documents)s)) LIMIT %(most)s) AS a"""
# The distinct names of numeric fields, one index probe each (a loose index scan), with the unit of one row.
_FIELDS = """
WITH RECURSIVE field AS (
  (SELECT workspace_id, name, unit, kind, 1 AS n FROM attributes
    WHERE workspace_id = %(workspace)s AND number IS NOT NULL ORDER BY workspace_id, name LIMIT 1)
  UNION ALL
  SELECT next.workspace_id, next.name, next.unit, next.kind, field.n + 1
    FROM field CROSS JOIN LATERAL (
      SELECT workspace_id, name, unit, kind FROM attributes
       WHERE workspace_id = field.workspace_id AND name > field.name AND number IS NOT NULL
       ORDER BY workspace_id, name LIMIT 1) AS next
   WHERE field.n < %(most)s)
SELECT name, unit, kind FROM field"""
_COMPARE = """
SELECT document_id, entity FROM attributes
 WHERE workspace_id = ANY (%(workspaces)s) AND name = %(name)s AND number BETWEEN %(low)s AND %(high)s
   AND (%(documents)s::uuid[] IS NULL OR document_id = ANY (%(documents)s)) LIMIT %(most)s"""
_EXTREME = """
SELECT document_id, entity, number FROM attributes
 WHERE workspace_id = ANY (%(workspaces)s) AND name = %(name)s AND number IS NOT NULL
   AND (%(documents)s::uuid[] IS NULL OR document_id = ANY (%(documents)s))
 ORDER BY number"""
_CHUNKS = "SELECT coalesce(sum(chunks), 0)::float8 FROM lexical_statistics WHERE workspace_id = ANY (%s)"

Entity = tuple[UUID, int]


@dataclass(frozen=True, slots=True)
class Constraint:
    """One demand of a question: who meets it, and how much it tells (more when few do)."""

    entities: frozenset[Entity]
    weight: float


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    unit: str | None
    kind: str


async def write_attributes(  # noqa: PLR0917 - one document's parts
    session: AsyncSession,
    scope: IndexScope,
    document_id: UUID,
    acl_id: int,
    metadata: Mapping[str, Any],
    text: str,
) -> None:
    """Replace the attributes of one document by what its metadata and text say."""
    found = extract_attributes(metadata, text)
    connection = await driver_connection(session)
    await connection.execute("DELETE FROM attributes WHERE document_id = %s", (document_id,))
    if found:
        await connection.execute(
            _WRITE,
            (scope.organization_id, scope.workspace_id, document_id, acl_id,
             [each.entity for each in found], [each.kind for each in found], [each.name for each in found],
             [each.label for each in found], [each.value for each in found], [each.number for each in found],
             [each.unit for each in found]),
        )  # fmt: skip


async def match(session: AsyncSession, demands: Demands, within: Range) -> dict[UUID, float]:
    """Documents by how well they meet the demands of a question, 0 to 1; {} when it has none.

    1 means that all demands are met, by the document or by one row of its tables, and that they are specific enough
    to single out few documents.
    """
    if not demands.words or not within.workspace_ids:
        return {}
    connection = await driver_connection(session)
    search = _Search(connection, demands, within)
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_CHUNKS, (list(within.workspace_ids),))
        row = await cursor.fetchone()
        total = max(row[0] if row else 0.0, 1.0)
        constraints = [*await search.values(cursor, total), *await search.comparisons(cursor, total)]
        if demands.extreme:
            constraints.extend(await search.extreme(cursor, total, constraints))
    emphasis = min(1.0, FULL_EMPHASIS * search.covered_share())
    return {document_id: emphasis * share for document_id, share in shares(constraints, total).items()}


def shares(constraints: Sequence[Constraint], total: float) -> dict[UUID, float]:
    """The share of the weight of `constraints` that each document's best entity meets, times how specific they are
    together among `total` documents."""
    full = sum(constraint.weight for constraint in constraints)
    if not full:
        return {}
    met: dict[Entity, float] = defaultdict(float)
    for constraint in constraints:
        for entity in constraint.entities:
            met[entity] += constraint.weight
    best: dict[UUID, float] = {}
    for place, weight in met.items():
        document = (place[0], 0)
        # What holds for the document holds for its rows.
        inherited = sum(
            c.weight for c in constraints if place[1] and document in c.entities and place not in c.entities
        )
        best[place[0]] = max(best.get(place[0], 0.0), weight + inherited)
    strength = min(1.0, full / _weight(1, max(total / 2, 1.0)))
    return {document_id: strength * weight / full for document_id, weight in best.items()}


def _weight(count: int, total: float) -> float:
    return math.log1p(total / max(count, 1))


class _Search:
    """Finds who meets the demands of one question."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], demands: Demands, within: Range) -> None:
        self.connection = connection
        self.demands = demands
        self.within = within
        self.parameters: dict[str, Any] = {
            "workspaces": list(within.workspace_ids),
            "documents": list(within.document_ids) if within.document_ids is not None else None,
        }
        self.fields: list[_Field] | None = None
        self.covered: set[int] = set()

    def covered_share(self) -> float:
        """The share of the question's content words that demands account for: a value that happens to stand in a long
        description is hardly meant as one."""
        stop = STOP_WORDS["en"] | STOP_WORDS["de"]
        content = [i for i, word in enumerate(self.demands.words) if word.folded not in stop]
        return sum(i in self.covered for i in content) / max(len(content), 1)

    def _cover_field(self, name: str) -> None:
        self.covered.update(i for i, word in enumerate(self.demands.words) if mentions(name, [word]))

    async def values(self, cursor: psycopg.AsyncCursor[Any], total: float) -> list[Constraint]:
        """Values named in the question, the longest first; and yes-or-no fields named in it."""
        spans = value_candidates(self.demands)
        if not spans:
            return []
        forms = list(spans)
        await cursor.execute(_VALUES, {**self.parameters, "values": forms, "most": MAX_ROWS_PER_VALUE})
        rows: dict[str, list[tuple[Entity, str, str]]] = defaultdict(list)
        for value, document_id, entity, name, kind in await cursor.fetchall():
            rows[value].append(((document_id, entity), name, kind))
        await cursor.execute(_FLAGS, {**self.parameters, "names": forms, "most": MAX_ROWS_PER_VALUE})
        flags: dict[str, set[Entity]] = defaultdict(set)
        for name, document_id, entity, value in await cursor.fetchall():
            if value == "true":
                flags[name].add((document_id, entity))
        found: list[Constraint] = []
        taken: set[int] = set()
        for form in sorted(forms, key=lambda each: -max(last - first for first, last in spans[each])):
            free = [span for span in spans[form] if not taken.intersection(range(*span))]
            if not free:
                continue
            constraint = self._value(form, free, rows.get(form, []), total)
            if constraint is None and flags.get(form):
                constraint = Constraint(frozenset(flags[form]), _weight(_documents(flags[form]), total))
            if constraint is not None:
                found.append(constraint)
                for span in free:
                    taken.update(range(*span))
        self.covered |= taken
        return found

    def _value(
        self, form: str, spans: Sequence[tuple[int, int]], rows: Sequence[tuple[Entity, str, str]], total: float
    ) -> Constraint | None:
        inside = {position for span in spans for position in range(*span)}
        others = [word for position, word in enumerate(self.demands.words) if position not in inside]
        named = [row for row in rows if mentions(row[1], others)]
        # Numbers and very short words are values only of a field that the question names.
        if not named and (len(form) < 3 or all(row[2] != "text" for row in rows)):
            return None
        chosen = frozenset(row[0] for row in named or rows)
        if not chosen:
            return None
        for name in {row[1] for row in named}:
            self._cover_field(name)
        return Constraint(chosen, _weight(_documents(chosen), total) * (NAMED_FIELD if named else 1.0))

    async def comparisons(self, cursor: psycopg.AsyncCursor[Any], total: float) -> list[Constraint]:
        """Comparisons with numbers and dates, each over the fields that fit best."""
        found: list[Constraint] = []
        for comparison in self.demands.comparisons:
            met: set[Entity] = set()
            fields = await self._fitting(cursor, comparison)
            for each in fields:
                factor = _factor(comparison.unit, each.unit)
                await cursor.execute(
                    _COMPARE,
                    {**self.parameters, "name": each.name, "most": MAX_ROWS_PER_COMPARISON,
                     "low": comparison.low * factor, "high": comparison.high * factor},
                )  # fmt: skip
                met.update((document_id, entity) for document_id, entity in await cursor.fetchall())
            if met:
                found.append(Constraint(frozenset(met), _weight(_documents(met), total)))
                self.covered.update(
                    i for i, word in enumerate(self.demands.words) if comparison.start <= word.start < comparison.end
                )
                for each in fields:
                    self._cover_field(each.name)
        return found

    async def extreme(
        self, cursor: psycopg.AsyncCursor[Any], total: float, others: Sequence[Constraint]
    ) -> list[Constraint]:
        """The first of those that meet the other demands, by the field that fits best."""
        fields = await self._fitting(cursor, None)
        if not fields:
            return []
        self._cover_field(fields[0].name)
        await cursor.execute(
            _EXTREME + (" DESC" if self.demands.extreme > 0 else "") + f" LIMIT {MAX_EXTREMES}",
            {**self.parameters, "name": fields[0].name},
        )
        ranked: list[Entity] = [(document_id, entity) for document_id, entity, _ in await cursor.fetchall()]
        wanted = shares(others, total)
        best = max((wanted.get(entity[0], 0.0) for entity in ranked), default=0.0)
        first = [entity for entity in ranked if wanted.get(entity[0], 0.0) >= best][:2]
        return [Constraint(frozenset(first[:1]), _weight(1, total)), Constraint(frozenset(first), 1.0)] if first else []

    async def _fitting(self, cursor: psycopg.AsyncCursor[Any], comparison: Comparison | None) -> list[_Field]:
        if self.fields is None:
            self.fields = []
            for workspace_id in self.within.workspace_ids:
                await cursor.execute(_FIELDS, {"workspace": workspace_id, "most": MAX_FIELDS})
                self.fields.extend(_Field(*row) for row in await cursor.fetchall())
            self.fields = list({field.name: field for field in self.fields}.values())
        scored = [
            (field_score(field.name, field.unit, comparison, self.demands.words), field)
            for field in self.fields
            if comparison is None or (field.kind == "date") == comparison.is_date
        ]
        best = max((score for score, _ in scored), default=0.0)
        if best < MIN_FIELD_SCORE:
            return []
        return [field for score, field in scored if score >= best - 0.05][:3]


def _documents(entities: Iterable[Entity]) -> int:
    return len({document_id for document_id, _ in entities})


def _factor(written: str | None, stored: str | None) -> float:
    """To base units: the question's unit where it has a known one, else that of the field."""
    known = unit_of(written) or unit_of(stored)
    return known[1] if known else 1.0
