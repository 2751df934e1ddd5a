"""The measures of `opaa eval`, on rankings worked out by hand."""

import json
import math
from pathlib import Path

import pytest

from opaa.errors import InvalidInputError
from opaa.retrieval.evaluation import GoldenQuestion, evaluate, file_name, read_golden


def question(number: int, expected: list[str], category: str = "a") -> GoldenQuestion:
    return GoldenQuestion(id=str(number), query=f"q{number}", expected_documents=expected, category=category)


@pytest.mark.req("RAG-6")
async def test_measures_of_known_rankings() -> None:
    rankings = {
        "q1": ["file:///x/a.md", "file:///x/b.md"],  # first place
        "q2": ["1", "2", "3", "4", "5", "dir/c.md"],  # sixth place
        "q3": ["1", "2"],  # not found
        "q4": ["d.md", "1", "e.md"],  # two expected, first and third
    }

    async def search(query: str) -> tuple[list[str], float]:
        return rankings[query], 1.0

    questions = [
        question(1, ["a.md"]),
        question(2, ["c.md"]),
        question(3, ["z.md"]),
        question(4, ["d.md", "e.md"], "b"),
    ]
    report = await evaluate(questions, search, {"a.md", "c.md", "d.md", "e.md"})

    assert report.categories["b"].ndcg_at_10 == pytest.approx((1 + 0.5) / (1 + 1 / math.log2(3)))
    assert report.categories["a"].hit_at_5 == pytest.approx(1 / 3)
    assert report.overall.questions == 4
    assert report.overall.mrr == pytest.approx((1 + 1 / 6 + 0 + 1) / 4)
    assert report.overall.recall_at_10 == pytest.approx((1 + 1 + 0 + 1) / 4)
    assert report.categories["a"].ndcg_at_10 == pytest.approx((1 + 1 / math.log2(7)) / 3)
    assert report.missing_documents == ["z.md"]
    assert report.to_json()["overall"]["hit@5"] == 0.5


async def test_two_files_of_one_name_count_once() -> None:
    async def search(query: str) -> tuple[list[str], float]:
        return ["x/a.md", "y/a.md"], 1.0

    report = await evaluate([question(1, ["a.md"])], search, {"a.md"})
    assert report.overall.ndcg_at_10 == 1.0
    assert report.overall.recall_at_10 == 1.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "is not JSON"),
        ("{}", "must hold a list"),
        ("[]", "must hold a list"),
        (
            '[{"id": "1", "query": "x", "expected_documents": ["a"]}, {"id": "2", "query": "y"}]',
            "entry 2: expected_doc",
        ),
        ('[{"id": "1", "query": "", "expected_documents": ["a"]}]', "entry 1: query"),
    ],
)
def test_a_malformed_golden_set_names_the_entry(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "golden.json"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        read_golden(path)


def test_a_golden_set_is_read_with_numbers_as_ids_and_unknown_keys(tmp_path: Path) -> None:
    path = tmp_path / "golden.json"
    path.write_text(json.dumps([{"id": 7, "query": "x", "expected_documents": ["a.md"], "note": "y"}]))
    assert read_golden(path)[0].id == "7"
    assert read_golden(path)[0].category == "all"


def test_documents_are_compared_by_the_end_of_their_address() -> None:
    assert file_name("file:///a/b/Bericht März.md") == "Bericht März.md"
    assert file_name("C:\\x\\y.txt") == "y.txt"
