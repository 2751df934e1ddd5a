"""The words of a workspace: how often each occurs, how a misspelt or compound one is spelt here, and which of a
question's words to find candidates by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID
from zlib import crc32

import psycopg
from rapidfuzz.distance import OSA

from opaa.vectors.bm25 import Statistics, WeightedConcept, idf
from opaa.vectors.port import Concept, IndexScope

MIN_FUZZY_CHARS = 4
MAX_FUZZY_CONCEPTS = 4
MAX_FUZZY_TERMS = 4
MAX_NEIGHBOURS = 20_000
FUZZY_TRUST = 0.8
MIN_PART_CHARS = 4
PART_WEIGHT = 0.5

_MERGE = """
WITH gone AS (
    DELETE FROM term_changes WHERE workspace_id = %(workspace)s
    RETURNING chunks, total_length, term_ids, terms, counts),
  counted AS (
    SELECT u.term_id, max(u.term) AS term, sum(u.n)::integer AS n
      FROM gone, unnest(gone.term_ids, gone.terms, gone.counts) AS u (term_id, term, n) GROUP BY u.term_id),
  known AS (
    UPDATE terms t SET document_frequency = greatest(t.document_frequency + c.n, 0) FROM counted c
     WHERE t.workspace_id = %(workspace)s AND t.term_id = c.term_id AND c.n <> 0 RETURNING t.term_id),
  fresh AS (
    INSERT INTO terms (organization_id, workspace_id, term_id, term, document_frequency)
    SELECT %(organization)s, %(workspace)s, c.term_id, c.term, greatest(c.n, 0) FROM counted c
     WHERE c.term IS NOT NULL
    ON CONFLICT (workspace_id, term_id) DO NOTHING)
INSERT INTO lexical_statistics AS s (workspace_id, organization_id, chunks, total_length)
SELECT %(workspace)s, %(organization)s, sum(chunks), sum(total_length) FROM gone HAVING count(*) > 0
ON CONFLICT (workspace_id) DO UPDATE SET chunks = greatest(s.chunks + excluded.chunks, 0),
  total_length = greatest(s.total_length + excluded.total_length, 0)"""
_STATISTICS = """
SELECT coalesce(sum(chunks), 0)::bigint, coalesce(sum(total_length), 0)::float8 FROM lexical_statistics
 WHERE workspace_id = ANY (%s)"""
_FREQUENCIES = """
SELECT term_id, sum(document_frequency)::bigint FROM terms
 WHERE workspace_id = ANY (%s) AND term_id = ANY (%s) GROUP BY 1"""
_NEIGHBOURS = """
SELECT term, term_id, sum(document_frequency)::bigint FROM (
  SELECT term, term_id, document_frequency FROM terms
   WHERE workspace_id = ANY (%(workspaces)s) AND term >= %(low)s AND term < %(high)s
     AND length(term) BETWEEN %(shortest)s AND %(longest)s LIMIT %(most)s) AS near
 GROUP BY 1, 2 HAVING sum(document_frequency) > 0"""


@dataclass(frozen=True, slots=True)
class KnownConcept:
    """A word of the question with what the index knows of it: `frequencies` go with the term ids of `weighted`."""

    weighted: WeightedConcept
    frequencies: tuple[int, ...]


async def merge_changes(connection: psycopg.AsyncConnection[Any], scope: IndexScope) -> bool:
    """Add what writes have left in `term_changes` to the statistics; True when there was anything."""
    parameters = {"workspace": scope.workspace_id, "organization": scope.organization_id}
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (crc32(scope.workspace_id.bytes),))
    cursor = await connection.execute(_MERGE, parameters)
    return cursor.rowcount > 0


async def look_up(
    connection: psycopg.AsyncConnection[Any], concepts: Sequence[Concept], workspace_ids: Sequence[UUID]
) -> tuple[Statistics, list[KnownConcept]]:
    """Statistics of the workspaces together, and the concepts with frequencies; unknown words get near spellings."""
    workspaces = list(workspace_ids)
    identities = sorted({identity for concept in concepts for identity in concept.term_ids})
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(_STATISTICS, (workspaces,))
        row = await cursor.fetchone()
        chunks, total_length = row if row is not None else (0, 0.0)
        await cursor.execute(_FREQUENCIES, (workspaces, identities))
        frequencies = {identity: int(count) for identity, count in await cursor.fetchall()}
        statistics = Statistics(max(chunks, 1), total_length / chunks if chunks else 1.0)
        known = []
        corrections = 0
        for concept in concepts:
            found = [(identity, 1.0, frequencies.get(identity, 0)) for identity in concept.term_ids]
            if corrections < MAX_FUZZY_CONCEPTS and _misspelt(concept, found):
                corrections += 1
                found += await _near_spellings(cursor, concept, workspaces)
            known.append(_known(concept, found, statistics))
    return statistics, known


def plan(known: Sequence[KnownConcept], chunks: int, maximum: int) -> tuple[list[int], list[int]]:
    """Which candidates to fetch: (`any_of`, `all_of`) term ids.

    The rarest words go into `any_of` while they occur in at most `maximum` chunks together. What is left is common: as
    many of those as it takes to come below `maximum`, were they independent, must all occur.
    """
    any_of: list[int] = []
    budget = maximum
    common: list[tuple[int, int]] = []
    for concept in sorted(known, key=lambda each: sum(each.frequencies)):
        frequency = sum(concept.frequencies)
        if not common and frequency <= budget:
            budget -= frequency
            any_of.extend(concept.weighted.term_ids)
        elif frequency:
            best = max(zip(concept.frequencies, concept.weighted.term_ids, strict=True))
            common.append(best)
    all_of: list[int] = []
    expected = float(chunks)
    for frequency, identity in common:
        if expected <= budget:
            break
        expected *= frequency / max(chunks, 1)
        all_of.append(identity)
    return any_of, all_of


def _known(concept: Concept, found: Sequence[tuple[int, float, int]], statistics: Statistics) -> KnownConcept:
    frequencies = tuple(frequency for _, _, frequency in found)
    mass = concept.weight * idf(statistics.chunks, max(frequencies, default=0))
    ids, trust = tuple(identity for identity, _, _ in found), tuple(each for _, each, _ in found)
    return KnownConcept(WeightedConcept(ids, trust, mass), frequencies)


def _misspelt(concept: Concept, found: Sequence[tuple[int, float, int]]) -> bool:
    if any(frequency for _, _, frequency in found):
        return False
    return len(concept.surface) >= MIN_FUZZY_CHARS and concept.surface.isalpha()


async def _near_spellings(
    cursor: psycopg.AsyncCursor[Any], concept: Concept, workspaces: Sequence[UUID]
) -> list[tuple[int, float, int]]:
    """Terms within one edit (two from eight letters on) that begin alike: (term id, trust, frequency)."""
    best: dict[int, tuple[float, int]] = {}
    for term in concept.terms:
        if len(term) < MIN_FUZZY_CHARS:
            continue
        allowed = 1 if len(term) < 8 else 2
        for low, high in _beginnings(term):
            await cursor.execute(
                _NEIGHBOURS,
                {"workspaces": list(workspaces), "low": low, "high": high, "most": MAX_NEIGHBOURS,
                 "shortest": len(term) - allowed, "longest": len(term) + allowed},
            )  # fmt: skip
            for other, identity, frequency in await cursor.fetchall():
                distance = OSA.distance(term, other, score_cutoff=allowed)
                if distance <= allowed and not any(c.isdigit() for c in other):
                    trust = FUZZY_TRUST**distance
                    if trust > best.get(identity, (0.0, 0))[0]:
                        best[identity] = (trust, int(frequency))
            if best:
                break
    ranked = sorted(((identity, *values) for identity, values in best.items()), key=lambda each: (-each[1], -each[2]))
    return ranked[:MAX_FUZZY_TERMS]


def _beginnings(term: str) -> Iterator[tuple[str, str]]:
    """Ranges of terms to compare with: the same two first letters, else those two swapped, else the first one."""
    for prefix in dict.fromkeys((term[:2], term[1] + term[0], term[0])):
        yield prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)
