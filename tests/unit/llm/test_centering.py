"""Vectors without their language."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from opaa.llm.centering import CenteredEmbedder, center
from opaa.llm.generic_sentences import PASSAGES, QUESTIONS


class TwoLanguages:
    """A model with a strong axis for the language (German has umlauts here or long words) and weak ones for topics."""

    name = "two"
    dimension = 6
    max_tokens = 100
    query_prefix = ""
    passage_prefix = ""
    topics = (("dog", "hund"), ("cat", "katze"), ("fish", "fisch"), ("bird", "vogel"))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text) for text in texts]

    def vector(self, text: str) -> NDArray[np.float32]:
        german = text in {*PASSAGES["de"], *QUESTIONS["de"]} or any(topic[1] in text for topic in self.topics)
        values = [1.0, 0.0] if german else [0.0, 1.0]
        values += [0.3 * any(word in text for word in topic) + 0.01 for topic in self.topics]
        return np.array(values, np.float32) / np.float32(np.linalg.norm(values))

    async def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self.vector(text) for text in texts])

    async def embed_query(self, text: str) -> NDArray[np.float32]:
        return self.vector(text)

    async def close(self) -> None:
        return


@pytest.mark.req("RAG-7")
async def test_a_passage_in_the_other_language_beats_another_topic_in_the_same_language() -> None:
    model = TwoLanguages()
    passages = ["vogel", "dog"]
    raw = await model.embed_passages(passages) @ await model.embed_query("hund")
    assert raw[0] > raw[1], "the model itself prefers the language"
    centered = CenteredEmbedder(model)
    scores = await centered.embed_passages(passages) @ await centered.embed_query("hund")
    assert scores[1] > scores[0]


async def test_name_differs_from_the_inner_embedder() -> None:
    assert CenteredEmbedder(TwoLanguages()).name != TwoLanguages.name


@given(st.integers(0, 5), st.integers(0, 1000))
def test_vectors_keep_unit_length(count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, 8)).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    means = random.normal(size=(2, 8)).astype(np.float32) / 8
    result = center(vectors, means)
    assert result.shape == vectors.shape
    assert result.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(result, axis=1), 1.0, atol=1e-5)
