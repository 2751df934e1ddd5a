"""Two rankings of chunks into one ranking of documents. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from uuid import UUID

from opaa.vectors.port import Candidate

SECOND_PASSAGE = 0.05
DEVIATIONS = 4.0
FEW_CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """`lexical` is the share of the lexical side when a passage matches all words of the question; it shrinks with
    the share that the best passage matches. `attributes` is added in full to a document that meets every constraint."""

    lexical: float = 0.6
    attributes: float = 1.0


@dataclass(frozen=True, slots=True)
class FusedChunk:
    """`score` is about 0 to 1; `coverage` the share of the question's idf mass found in the chunk; `cosine` is there
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

    BM25 has a natural zero, so lexical scores are divided by the best. Cosines of one question lie close together, so
    they are taken as standard deviations above their mean. When even the best lexical hit matches few of the question's
    words (another language, a description), its scaled score says little: the weight moves to the dense side.
    """
    if not dense:
        weight = 1.0
    elif not lexical:
        weight = 0.0
    else:
        weight *= max(candidate.coverage for candidate in lexical)
    words = _shares_of_best(lexical)
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


def _shares_of_best(candidates: Sequence[Candidate]) -> dict[UUID, float]:
    best = max((candidate.score for candidate in candidates), default=0.0)
    return {candidate.chunk_id: candidate.score / best if best > 0 else 0.0 for candidate in candidates}


def _deviations(candidates: Sequence[Candidate]) -> dict[UUID, float]:
    """0 for the mean and below, 1 for `DEVIATIONS` standard deviations above it; of few candidates the best gets 1."""
    if not candidates:
        return {}
    scores = [candidate.score for candidate in candidates]
    low, unit = fmean(scores), DEVIATIONS * pstdev(scores)
    if len(candidates) < FEW_CANDIDATES:
        low = min(scores) if len(scores) > 1 else 0.0
        unit = max(scores) - low
    if unit <= 0:
        return {candidate.chunk_id: 1.0 for candidate in candidates}
    return {candidate.chunk_id: max(candidate.score - low, 0.0) / unit for candidate in candidates}
