"""BM25F over candidates that are already in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

K1 = 1.2
B = 0.75


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of everything searched: number of chunks, and their mean weighted length in tokens."""

    chunks: int
    mean_length: float


@dataclass(frozen=True, slots=True)
class WeightedConcept:
    """A word of the question: ids of the terms that stand for it, how far each is trusted (1 as written, less for a
    corrected spelling), the word's idf times its weight."""

    term_ids: tuple[int, ...]
    trust: tuple[float, ...]
    mass: float


@dataclass(frozen=True, slots=True)
class Postings:
    """n candidates: `counts` (n,) how many terms each has, `lengths` (n,) float32; `ids` int32 and `frequencies` uint8
    of all of them, one candidate after the other."""

    counts: NDArray[np.int32]
    lengths: NDArray[np.float32]
    ids: NDArray[np.int32]
    frequencies: NDArray[np.uint8]


def idf(chunks: int, frequency: int) -> float:
    """Inverse document frequency (Robertson, Zaragoza 2009, §3.2), 1 added inside so that it is never negative."""
    frequency = min(frequency, chunks)
    return log(1.0 + (chunks - frequency + 0.5) / (frequency + 0.5))


def score(
    concepts: Sequence[WeightedConcept], postings: Postings, statistics: Statistics
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """BM25F scores times coverage, and coverage: both (n,). A word counts once, by its best term."""
    n = len(postings.counts)
    total = np.zeros(n)
    matched = np.zeros(n)
    owner = np.repeat(np.arange(n), postings.counts)
    relative = postings.lengths / max(statistics.mean_length, 1e-9)
    norm = K1 * (1.0 - B + B * relative.astype(np.float64))
    for concept in concepts:
        best = np.zeros(n)
        trusted = np.zeros(n)
        for term_id, trust in zip(concept.term_ids, concept.trust, strict=True):
            positions = np.flatnonzero(postings.ids == term_id)
            rows = owner[positions]
            frequency = postings.frequencies[positions].astype(np.float64)
            trusted[rows] = np.maximum(trusted[rows], trust)
            best[rows] = np.maximum(best[rows], trust * frequency * (K1 + 1.0) / (frequency + norm[rows]))
        total += concept.mass * best
        matched += concept.mass * trusted
    mass = sum(concept.mass for concept in concepts)
    coverage = matched / mass if mass > 0 else matched
    return total * coverage, coverage
