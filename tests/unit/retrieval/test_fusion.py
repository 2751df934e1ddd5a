"""Properties of fusion: order, scale, and what counts."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opaa.retrieval.fusion import FusionWeights, fuse_chunks, group_by_document
from opaa.vectors.port import Candidate

WEIGHTS = FusionWeights()


def candidate(number: int, score: float, coverage: float = 0.0, document: int | None = None) -> Candidate:
    return Candidate(UUID(int=number), UUID(int=1_000 + (number if document is None else document)), score, coverage)


candidates = st.lists(st.tuples(st.integers(1, 40), st.floats(0.001, 50)), unique_by=lambda pair: pair[0], max_size=40)


@given(candidates, candidates, st.floats(0, 1))
def test_every_candidate_is_there_once_best_first_within_bounds(
    words: list[tuple[int, float]], meanings: list[tuple[int, float]], weight: float
) -> None:
    lexical = [candidate(number, score, 0.5) for number, score in words]
    dense = [candidate(number, score / 50) for number, score in meanings]
    fused = fuse_chunks(lexical, dense, weight)
    assert {chunk.chunk_id for chunk in fused} == {each.chunk_id for each in [*lexical, *dense]}
    assert len(fused) == len({chunk.chunk_id for chunk in fused})
    scores = [chunk.score for chunk in fused]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1.5 for score in scores)


@given(candidates.filter(lambda found: len(found) > 1))
def test_one_side_alone_keeps_its_order(found: list[tuple[int, float]]) -> None:
    ranked = [candidate(number, score, 0.5) for number, score in sorted(found, key=lambda pair: -pair[1])]
    scores = {each.chunk_id: each.score for each in ranked}
    for fused in (fuse_chunks(ranked, [], 0.5), fuse_chunks([], ranked, 0.5)):
        best = max(scores.values())
        assert scores[fused[0].chunk_id] == pytest.approx(best) or fused[0].score == fused[1].score


def test_a_lexical_hit_that_stands_out_beats_the_nearest_meaning() -> None:
    lexical = [candidate(1, 30.0, 0.9), *(candidate(number, 1.0, 0.2) for number in range(2, 40))]
    dense = [candidate(number, 0.5 - number / 200) for number in range(40, 1, -1)]
    assert fuse_chunks(lexical, dense, 0.5)[0].chunk_id == UUID(int=1)


@pytest.mark.req("RAG-7")
def test_words_that_fit_everything_a_little_give_way_to_meaning() -> None:
    lexical = [candidate(number, 3.0 - number / 100, 0.2) for number in range(1, 40)]
    dense = [candidate(99, 0.6), *(candidate(number, 0.2 + number / 1000) for number in range(2, 40))]
    assert fuse_chunks(lexical, dense, 0.5)[0].chunk_id == UUID(int=99)


def test_a_document_comes_once_with_its_chunks_best_first() -> None:
    chunks = fuse_chunks([candidate(1, 9, 1, 7), candidate(2, 8, 1, 8), candidate(3, 7, 1, 7)], [], 0.5)
    documents = group_by_document(chunks, {}, WEIGHTS)
    assert [document.document_id.int for document in documents] == [1_007, 1_008]
    assert [chunk.chunk_id.int for chunk in documents[0].chunks] == [1, 3]


def test_attributes_lift_a_document_and_bring_in_one_that_nothing_else_found() -> None:
    chunks = fuse_chunks([candidate(1, 9, 1), candidate(2, 3, 1)], [], 0.5)
    documents = group_by_document(chunks, {UUID(int=1_002): 1.0, UUID(int=5_000): 0.9}, WEIGHTS)
    assert [document.document_id.int for document in documents] == [1_002, 5_000, 1_001]
    assert documents[1].chunks == []
