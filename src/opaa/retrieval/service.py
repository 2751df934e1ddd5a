"""Hybrid search: question → words ‖ meaning ‖ attributes → one ranking of documents, re-checked in PostgreSQL."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from opaa.db.session import EVERYTHING, Database, TenantContext
from opaa.errors import UnavailableError
from opaa.llm.port import Embedder
from opaa.retrieval import attributes
from opaa.retrieval.analysis import analyze_question
from opaa.retrieval.attribute_questions import Demands, read_question
from opaa.retrieval.fusion import FusedDocument, FusionWeights, fuse_chunks, group_by_document
from opaa.vectors.port import Candidate, Concept, Range, VectorStore

log = structlog.get_logger(__name__)

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
PASSAGES = 3
MAX_EMBEDDED_CHARS = 4_000
MAX_FILTERED_DOCUMENTS = 20_000
# How far past the limit to look, in case the re-check removes documents.
SPARE_DOCUMENTS = 5
# What the best hits must reach to count as an answer rather than as the nearest there is. Of questions put to a
# collection about something else, 1 in 50 reached one of these; of questions that had an answer, 9 in 10.
RELEVANT_COVERAGE = 0.5
RELEVANT_ATTRIBUTES = 0.4
RELEVANT_TOGETHER = 1.2
ATTRIBUTE_EVIDENCE = 0.1

EMBEDDER_UNAVAILABLE = "embedder-unavailable"
EMBEDDER_MISMATCH = "embedder-mismatch"

_GENERATION = """
SELECT id, embedder, dimension FROM index_generations WHERE organization_id = :organization_id AND state = 'active'"""
_FILTER = """
SELECT id FROM documents
 WHERE workspace_id = ANY (:workspaces)
   AND (CAST(:sources AS uuid[]) IS NULL OR source_id = ANY (:sources))
   AND (CAST(:types AS text[]) IS NULL OR content_type = ANY (:types))
   AND (CAST(:since AS timestamptz) IS NULL OR coalesce(source_updated_at, indexed_at) >= :since)
 LIMIT :most"""
_RECHECK = """
SELECT d.id, d.title, d.uri, s.name, d.workspace_id, d.content_type, coalesce(d.source_updated_at, d.indexed_at),
       d.state, c.id, c.ordinal, c.heading_path, c.text, c.start_offset, c.end_offset
  FROM documents d JOIN sources s ON s.id = d.source_id JOIN chunks c ON c.document_id = d.id
 WHERE d.id = ANY (:documents) AND (c.id = ANY (:chunks) OR c.document_id = ANY (:whole) AND c.ordinal = 0)
   AND d.workspace_id = ANY (:workspaces) AND d.state <> 'expired'
   AND (:everything OR d.acl_id IN (
     SELECT m.acl_id FROM acl_members m
      WHERE m.organization_id = :organization AND m.principal = ANY (:principals)
        AND 'workspace:' || m.workspace_id = ANY (:principals)))
   AND (CAST(:sources AS uuid[]) IS NULL OR d.source_id = ANY (:sources))
   AND (CAST(:types AS text[]) IS NULL OR d.content_type = ANY (:types))
   AND (CAST(:since AS timestamptz) IS NULL OR coalesce(d.source_updated_at, d.indexed_at) >= :since)"""


@dataclass(frozen=True, slots=True)
class SearchFilters:
    """Only documents of these sources, of these content types, changed since then. Empty: any."""

    source_ids: Sequence[UUID] = ()
    content_types: Sequence[str] = ()
    updated_since: datetime | None = None

    @property
    def empty(self) -> bool:
        return not (self.source_ids or self.content_types or self.updated_since)


@dataclass(frozen=True, slots=True)
class PassageHit:
    """A passage found: `document_text[start_offset:end_offset] == text`. `coverage` is the share (0 to 1) of the
    question's idf mass that its words match, `cosine` its similarity where the dense side returned it."""

    chunk_id: UUID
    heading_path: tuple[str, ...]
    text: str
    start_offset: int
    end_offset: int
    score: float
    coverage: float
    cosine: float | None


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A document found, with its best passages, best first; the fields after `source` are those of the best one."""

    document_id: UUID
    workspace_id: UUID
    title: str
    uri: str
    source: str
    content_type: str
    updated_at: datetime
    archived: bool
    score: float
    attributes: float
    passages: tuple[PassageHit, ...]

    @property
    def chunk_id(self) -> UUID:
        return self.passages[0].chunk_id

    @property
    def heading_path(self) -> tuple[str, ...]:
        return self.passages[0].heading_path

    @property
    def text(self) -> str:
        return self.passages[0].text

    @property
    def start_offset(self) -> int:
        return self.passages[0].start_offset

    @property
    def end_offset(self) -> int:
        return self.passages[0].end_offset


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found. `degraded` is a stable word for what was not available, with a sentence in `detail`;
    `relevant` says whether the best hit is likely to answer the question, `confidence` (0 to 1) how likely."""

    hits: list[SearchHit] = field(default_factory=list)
    degraded: str | None = None
    detail: str | None = None
    relevant: bool = False
    confidence: float = 0.0
    took_ms: float = 0.0


class SearchService:
    """Searches what the tenant context of a session may read."""

    def __init__(
        self,
        database: Database,
        store: VectorStore,
        embedder: Embedder | None,
        *,
        top_k: int = 100,
        lexical_weight: float = 0.5,
        attribute_weight: float = 2.0,
    ) -> None:
        """`top_k`: candidates from each side before fusion; `lexical_weight`: see `FusionWeights`."""
        self.database = database
        self.store = store
        self.embedder = embedder
        self.top_k = top_k
        self.weights = FusionWeights(lexical_weight, attribute_weight)

    async def search(
        self,
        session: AsyncSession,
        context: TenantContext,
        question: str,
        *,
        workspace_ids: Sequence[UUID],
        limit: int = DEFAULT_LIMIT,
        passages: int = PASSAGES,
        filters: SearchFilters | None = None,
    ) -> SearchResult:
        """The best documents for `question` that `context` may read, each once.

        Works without an embedder (lexical only, `degraded` set).

        Raises DatabaseUnavailableError.
        """
        started = time.perf_counter()
        filters = filters or SearchFilters()
        # Neither NUL nor half a surrogate pair can be stored or tokenized.
        question = question.replace("\0", " ").encode("utf-8", "replace").decode().strip()
        if not question or not workspace_ids:
            return SearchResult()
        embedding = asyncio.create_task(self._embed(question))
        try:
            within = await self._range(session, workspace_ids, filters)
            demands = read_question(question)
            lexical = await self.store.lexical(session, searched_concepts(question, demands), within, self.top_k)
            shares = await attributes.match(session, demands, within)
            generation = await self._generation(session, context.organization_id)
            vector, degraded, detail = await embedding
        finally:
            embedding.cancel()
        dense: list[Candidate] = []
        if vector is not None and generation is not None:
            if self.embedder is not None and generation[1:] == (self.embedder.name, self.embedder.dimension):
                dense = await self.store.dense(session, vector, generation[0], within, self.top_k)
            else:
                degraded = EMBEDDER_MISMATCH
                detail = f"The index was built with the embedding model {generation[1]}; it must be built again"
        documents = group_by_document(fuse_chunks(lexical, dense, self.weights.lexical), shares, self.weights)
        limit = max(1, min(limit, MAX_LIMIT))
        chosen = documents[: limit + SPARE_DOCUMENTS]
        hits = await self._recheck(session, context, chosen, passages, workspace_ids=workspace_ids, filters=filters)
        relevant, confidence = _judge(hits, getattr(self.embedder, "relevant_cosine", None) if dense else None)
        took_ms = (time.perf_counter() - started) * 1000
        return SearchResult(hits[:limit], degraded, detail, relevant, confidence, took_ms)

    async def _embed(self, question: str) -> tuple[NDArray[np.float32] | None, str | None, str | None]:
        if self.embedder is None:
            return None, EMBEDDER_UNAVAILABLE, "No embedding model is configured"
        try:
            return await self.embedder.embed_query(question[:MAX_EMBEDDED_CHARS]), None, None
        except UnavailableError as error:
            log.warning("search without embeddings", reason=error.message)
            return None, EMBEDDER_UNAVAILABLE, error.message

    async def _generation(self, session: AsyncSession, organization_id: UUID) -> tuple[int, str, int] | None:
        row = (await session.execute(text(_GENERATION), {"organization_id": organization_id})).one_or_none()
        return (row[0], row[1], row[2]) if row is not None else None

    async def _range(self, session: AsyncSession, workspace_ids: Sequence[UUID], filters: SearchFilters) -> Range:
        """Where to look. Filters that leave very many documents are left to the re-check."""
        if filters.empty:
            return Range(workspace_ids)
        parameters = {**_parameters(workspace_ids, filters), "most": MAX_FILTERED_DOCUMENTS + 1}
        found = list((await session.execute(text(_FILTER), parameters)).scalars())
        return Range(workspace_ids, found if len(found) <= MAX_FILTERED_DOCUMENTS else None)

    async def _recheck(
        self,
        session: AsyncSession,
        context: TenantContext,
        documents: Sequence[FusedDocument],
        passages: int,
        *,
        workspace_ids: Sequence[UUID],
        filters: SearchFilters,
    ) -> list[SearchHit]:
        """Texts, titles and permission, from PostgreSQL under row-level security: nothing else is ever shown.

        The ACL is asked for once more here, so that neither the policies nor this query alone keep a secret.
        """
        if not documents:
            return []
        parameters = {
            **_parameters(workspace_ids, filters),
            "everything": EVERYTHING in context.principals,
            "organization": context.organization_id,
            "principals": list(context.principals),
            "documents": [document.document_id for document in documents],
            "chunks": [chunk.chunk_id for document in documents for chunk in document.chunks[:passages]],
            "whole": [document.document_id for document in documents if not document.chunks],
        }
        rows: dict[UUID, list[Any]] = {}
        for row in await session.execute(text(_RECHECK), parameters):
            rows.setdefault(row[0], []).append(row)
        return [_hit(document, rows[document.document_id]) for document in documents if document.document_id in rows]


def searched_concepts(question: str, demands: Demands) -> Sequence[Concept]:
    """The words to look for, without numbers that are only compared with (`more than 500`), unless nothing is left."""
    concepts = analyze_question(question).concepts
    compared = demands.compared_numbers()
    return [concept for concept in concepts if concept.surface not in compared] or concepts


def _parameters(workspace_ids: Sequence[UUID], filters: SearchFilters) -> dict[str, Any]:
    return {
        "workspaces": list(workspace_ids),
        "sources": list(filters.source_ids) or None,
        "types": list(filters.content_types) or None,
        "since": filters.updated_since,
    }


def _hit(document: FusedDocument, rows: Sequence[Any]) -> SearchHit:
    scored: Mapping[UUID, Any] = {chunk.chunk_id: chunk for chunk in document.chunks}
    passages = []
    for row in rows:
        chunk = scored.get(row[8])
        score, coverage, cosine = (chunk.score, chunk.coverage, chunk.cosine) if chunk else (0.0, 0.0, None)
        passages.append(PassageHit(row[8], tuple(row[10]), row[11], row[12], row[13], score, coverage, cosine))
    passages.sort(key=lambda passage: (-passage.score, passage.start_offset))
    first = rows[0]
    return SearchHit(
        document_id=document.document_id,
        workspace_id=first[4],
        title=first[1],
        uri=first[2],
        source=first[3],
        content_type=first[5],
        updated_at=first[6],
        archived=first[7] == "archived",
        score=document.score,
        attributes=document.attributes,
        passages=tuple(passages),
    )


def _judge(hits: Sequence[SearchHit], relevant_cosine: float | None) -> tuple[bool, float]:
    """Whether the best hits answer the question: by their words, their meaning and the fields asked for.

    Cosines of an embedder that does not say which are near (`relevant_cosine`) decide nothing.
    """
    if not hits:
        return False, 0.0
    first = hits[:3]
    coverage = max(passage.coverage for hit in first for passage in hit.passages)
    cosine = max((passage.cosine or 0.0 for hit in first for passage in hit.passages), default=0.0)
    share = max(hit.attributes for hit in first)
    if relevant_cosine:
        # Words and meaning together: either alone is often high by chance for a question about something else.
        best = (coverage + cosine / relevant_cosine + ATTRIBUTE_EVIDENCE * share) / RELEVANT_TOGETHER
    else:
        best = max(coverage / RELEVANT_COVERAGE, share / RELEVANT_ATTRIBUTES)
    confidence = min(1.0, best / 2)  # 0.5 at the threshold, 1 at twice as much
    return best >= 1.0, confidence
