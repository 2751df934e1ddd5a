"""Two rankings of chunks into one ranking of documents. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from opaa.vectors.port import Candidate

SECOND_PASSAGE = 0.05


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """`lexical` is the share of the lexical side when a passage matches all words of the question; it shrinks with
    the share that the best passage matches. `attributes` is added in full to a document that meets every constraint."""

    lexical: float = 0.65
    attributes: float = 0.5


@dataclass(frozen=True, slots=True)
class FusedChunk:
    """`score` 0 to 1; `coverage` the share of the question's idf mass found in the chunk; `cosine` where the dense side
    returned the chunk."""

    chunk_id: UUID
    document_id: UUID
    score: float
    coverage: float
    cosine: float | None


@dataclass(slots=True)
class FusedDocument:
    """A document with its chunks, best first. `score` is at most 1 + the weight of attributes."""

    document_id: UUID
    score: float
    attributes: float
    chunks: list[FusedChunk] = field(default_factory=list)


def fuse_chunks(lexical: Sequence[Candidate], dense: Sequence[Candidate], weight: float) -> list[FusedChunk]:
    """A convex mix of scores scaled to 0..1, best first.

    Lexical scores are divided by the best, cosines stretched from the worst returned to the best: BM25 has a natural
    zero, cosines of one model lie close together. When even the best lexical hit matches few of the question's words
    (another language, a description) its scaled score says little, so the weight moves to the dense side.
    """
    if not dense:
        weight = 1.0
    elif not lexical:
        weight = 0.0
    else:
        weight *= max(candidate.coverage for candidate in lexical) ** 0.5
    words = _scaled(lexical, 0.0)
    low = min((candidate.score for candidate in dense), default=0.0)
    meanings = _scaled(dense, low if len(dense) > 1 else 0.0)
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


def _scaled(candidates: Sequence[Candidate], low: float) -> dict[UUID, float]:
    high = max((candidate.score for candidate in candidates), default=0.0)
    if high <= low:
        return {candidate.chunk_id: 1.0 for candidate in candidates}
    return {candidate.chunk_id: (candidate.score - low) / (high - low) for candidate in candidates}
