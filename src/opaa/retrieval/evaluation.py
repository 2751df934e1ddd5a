"""Measures retrieval on a golden set of questions: hit@5, MRR, nDCG@10, recall@10."""

import json
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from opaa.errors import InvalidInputError

DEPTH = 10
HIT_DEPTH = 5


class GoldenQuestion(BaseModel):
    """A question and the file names of the documents that answer it."""

    model_config = ConfigDict(extra="ignore")

    id: str = Field(min_length=1, coerce_numbers_to_str=True)
    query: str = Field(min_length=1)
    expected_documents: list[str] = Field(min_length=1)
    category: str = "all"


@dataclass(frozen=True, slots=True)
class Score:
    """Means over `questions`. MRR and nDCG (binary gain, log2 discount) look at the first 10 documents."""

    questions: int
    hit_at_5: float
    mrr: float
    ndcg_at_10: float
    recall_at_10: float


@dataclass(frozen=True, slots=True)
class QuestionResult:
    """What one question found: file names, best first, and the rank of the first expected one (None: not found)."""

    id: str
    query: str
    category: str
    expected: Sequence[str]
    found: Sequence[str]
    rank: int | None
    took_ms: float


@dataclass(frozen=True, slots=True)
class Report:
    """Scores overall and by category, every question's result, and expected documents that the index lacks."""

    overall: Score
    categories: dict[str, Score]
    results: Sequence[QuestionResult]
    missing_documents: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        return {
            "overall": _score_json(self.overall),
            "categories": {name: _score_json(score) for name, score in self.categories.items()},
            "missing_documents": list(self.missing_documents),
            "questions": [
                {
                    "id": result.id,
                    "query": result.query,
                    "category": result.category,
                    "rank": result.rank,
                    "expected_documents": list(result.expected),
                    "found_documents": list(result.found),
                    "took_ms": round(result.took_ms, 1),
                }
                for result in self.results
            ],
        }


def read_golden(path: Path) -> list[GoldenQuestion]:
    """The questions of a golden set. Raises InvalidInputError that names the entry and what is wrong with it."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InvalidInputError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, list) or not entries:
        raise InvalidInputError(f"{path} must hold a list of questions: id, query, expected_documents, category")
    questions = []
    for number, entry in enumerate(entries, 1):
        try:
            questions.append(GoldenQuestion.model_validate(entry))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the entry"
            raise InvalidInputError(f"{path}, entry {number}: {where}: {first['msg']}") from error
    return questions


def file_name(name: str) -> str:
    """The last part of a path or address, by which documents are compared."""
    return name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


async def evaluate(
    questions: Sequence[GoldenQuestion],
    search: Callable[[str], Awaitable[tuple[Sequence[str], float]]],
    known: set[str],
) -> Report:
    """Ask every question. `search` gives addresses of documents, best first, and milliseconds; `known` are the file
    names in the index."""
    results = []
    for question in questions:
        uris, took_ms = await search(question.query)
        found = [file_name(uri) for uri in uris][:DEPTH]
        expected = list(dict.fromkeys(file_name(name) for name in question.expected_documents))
        rank = next((place for place, name in enumerate(found, 1) if name in expected), None)
        results.append(QuestionResult(question.id, question.query, question.category, expected, found, rank, took_ms))
    groups: dict[str, list[QuestionResult]] = defaultdict(list)
    for result in results:
        groups[result.category].append(result)
    missing = sorted({name for result in results for name in result.expected} - known)
    return Report(score(results), {name: score(group) for name, group in sorted(groups.items())}, results, missing)


def score(results: Sequence[QuestionResult]) -> Score:
    """Means of the measures (Manning, Raghavan, Schütze: Introduction to Information Retrieval, chapter 8)."""
    count = len(results)
    if not count:
        return Score(0, 0.0, 0.0, 0.0, 0.0)
    return Score(
        questions=count,
        hit_at_5=sum(result.rank is not None and result.rank <= HIT_DEPTH for result in results) / count,
        mrr=sum(1 / result.rank for result in results if result.rank) / count,
        ndcg_at_10=sum(_ndcg(result) for result in results) / count,
        recall_at_10=sum(_recall(result) for result in results) / count,
    )


def _first_of_each(names: Sequence[str], expected: Sequence[str]) -> list[bool]:
    """Which places hold an expected document for the first time (two files may share a name)."""
    open_names = set(expected)
    gains = []
    for name in names:
        gains.append(name in open_names)
        open_names.discard(name)
    return gains


def _ndcg(result: QuestionResult) -> float:
    gains = _first_of_each(result.found, result.expected)
    gained = sum(1 / math.log2(place + 1) for place, gain in enumerate(gains, 1) if gain)
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(len(result.expected), DEPTH) + 1))
    return gained / ideal


def _recall(result: QuestionResult) -> float:
    return sum(_first_of_each(result.found, result.expected)) / len(result.expected)


def _score_json(score: Score) -> dict[str, float | int]:
    return {
        "questions": score.questions,
        "hit@5": round(score.hit_at_5, 4),
        "mrr": round(score.mrr, 4),
        "ndcg@10": round(score.ndcg_at_10, 4),
        "recall@10": round(score.recall_at_10, 4),
    }
