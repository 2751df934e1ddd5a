"""Two rankings of chunks into one ranking of documents. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean
from uuid import UUID

from opaa.vectors.port import Candidate

SECOND_PASSAGE = 0.05
DEVIATIONS = 4.0
FEW_CANDIDATES = 20
MOST = 1.5
# Share of the lexical weight that is left when the best hit does not stand out at all; and where the tenth stands.
MIN_TRUST = 0.3
TENTH = 9


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """`lexical` is the share of the lexical side while its best passage stands out. `attributes` is added in full to a
    document that meets every demand of a question that is about fields and little else."""

    lexical: float = 0.5
    attributes: float = 2.0


@dataclass(frozen=True, slots=True)
class FusedChunk:
    """`score` is 0 to 1.5; `coverage` the share of the question's idf mass found in the chunk; `cosine` is there
    where the dense side returned the chunk."""

    chunk_id: UUID
    document_id: UUID
    score: float
    coverage: float
    cosine: float | None


@dataclass(slots=True)
class FusedDocument:
    """A document with its chunks, best first; `attributes` is the share of constraints it meets."""

    document_id: UUID
    score: float
    attributes: float
    chunks: list[FusedChunk] = field(default_factory=list)


def fuse_chunks(lexical: Sequence[Candidate], dense: Sequence[Candidate], weight: float) -> list[FusedChunk]:
    """A convex mix of scaled scores, best first.

    Both sides are taken as standard deviations above the mean of their candidates: a score says something only by how
    far it stands out. Where the best lexical hit hardly differs from the tenth (a question in another language that
    shares a few common words with everything), the weight moves to the dense side.
    """
    if not dense:
        weight = 1.0
    elif not lexical:
        weight = 0.0
    else:
        weight *= min(1.0, MIN_TRUST + _margin(lexical))
    words = _deviations(lexical)
    meanings = _deviations(dense)
    coverage = {candidate.chunk_id: candidate.coverage for candidate in lexical}
    cosine = {candidate.chunk_id: candidate.score for candidate in dense}
    documents = {candidate.chunk_id: candidate.document_id for candidate in [*dense, *lexical]}
    fused = [
        FusedChunk(
            chunk_id,
            document_id,
            weight * words.get(chunk_id, 0.0) + (1.0 - weight) * meanings.get(chunk_id, 0.0),
            coverage.get(chunk_id, 0.0),
            cosine.get(chunk_id),
        )
        for chunk_id, document_id in documents.items()
    ]
    return sorted(fused, key=lambda chunk: (-chunk.score, chunk.chunk_id.bytes))


def group_by_document(
    chunks: Sequence[FusedChunk], attributes: Mapping[UUID, float], weights: FusionWeights
) -> list[FusedDocument]:
    """Documents, best first: the best chunk counts, a second one a little, then the share of constraints met (0..1).

    A document that only the attributes found is among them, without chunks.
    """
    documents: dict[UUID, FusedDocument] = {}
    for chunk in chunks:
        found = documents.get(chunk.document_id)
        if found is None:
            share = attributes.get(chunk.document_id, 0.0)
            found = FusedDocument(chunk.document_id, chunk.score + weights.attributes * share, share)
            documents[chunk.document_id] = found
        elif len(found.chunks) == 1:
            found.score += SECOND_PASSAGE * chunk.score
        found.chunks.append(chunk)
    for document_id, share in attributes.items():
        if document_id not in documents:
            documents[document_id] = FusedDocument(document_id, weights.attributes * share, share)
    return sorted(documents.values(), key=lambda document: (-document.score, document.document_id.bytes))


def _margin(candidates: Sequence[Candidate]) -> float:
    """How far the best is above the tenth, as a share of its score: 0 to 1."""
    ranked = sorted((candidate.score for candidate in candidates), reverse=True)
    return 1.0 - ranked[min(TENTH, len(ranked) - 1)] / ranked[0] if ranked[0] > 0 else 0.0


def _deviations(candidates: Sequence[Candidate]) -> dict[UUID, float]:
    """0 for the mean and below, 1 for `DEVIATIONS` standard deviations above it, `MOST` at most; few candidates are
    instead stretched from the worst, or from nothing, to the best."""
    if not candidates:
        return {}
    scores = [candidate.score for candidate in candidates]
    low = fmean(scores)
    unit = DEVIATIONS * sqrt(fmean([(score - low) ** 2 for score in scores]))
    if len(candidates) < FEW_CANDIDATES:
        low = 0.0 if len(scores) == 1 or candidates[0].coverage else min(scores)
        unit = max(scores) - low
    if unit <= 0:
        return {candidate.chunk_id: 1.0 for candidate in candidates}
    return {candidate.chunk_id: min(max(candidate.score - low, 0.0) / unit, MOST) for candidate in candidates}
