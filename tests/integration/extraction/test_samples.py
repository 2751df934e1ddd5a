"""The sample documents: all readable, and the golden questions point to documents that exist."""

import json
from pathlib import Path

import pytest

from opaa.extraction.convert import convert
from opaa.extraction.port import Limits

SAMPLES = Path(__file__).parents[3] / "samples"
DOCUMENTS = sorted(path for path in SAMPLES.glob("*/*") if path.is_file())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_a_sample_is_read_without_a_warning(path: Path) -> None:
    result = convert(path.read_bytes(), path.name, Limits())
    assert len(result.text) > 1_000
    assert result.title
    assert result.warnings == ()


def test_samples_are_many_and_of_many_kinds_in_both_languages() -> None:
    assert len(DOCUMENTS) >= 32
    assert {path.parent.name for path in DOCUMENTS} == {"company", "engineering"}
    kinds = {".md", ".txt", ".html", ".csv", ".json", ".eml", ".pdf", ".docx", ".xlsx", ".pptx", ".odt"}
    assert {path.suffix for path in DOCUMENTS} == kinds
    languages = [convert(path.read_bytes(), path.name, Limits()).language for path in DOCUMENTS]
    assert languages.count("de") >= 12
    assert languages.count("en") >= 12


@pytest.mark.req("RAG-6")
def test_golden_questions_expect_documents_that_exist() -> None:
    questions = json.loads((SAMPLES / "golden.json").read_text(encoding="utf-8"))
    names = {path.name for path in DOCUMENTS}
    assert len({question["id"] for question in questions}) == len(questions) >= 24
    for question in questions:
        assert question["query"]
        assert question["expected_documents"]
        assert set(question["expected_documents"]) <= names
