"""Text to terms: what is the same word, number or identifier, and what is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opaa.retrieval.analysis import (
    MAX_CONCEPTS,
    analyze_chunk,
    analyze_question,
    detect_language,
    number_terms,
    term_id,
)


def matches(question: str, text: str, language: str) -> bool:
    """Whether every word of the question is among the terms of the text."""
    stored = set(analyze_chunk(text, language=language).term_ids.tolist())
    concepts = analyze_question(question).concepts
    return bool(concepts) and all(stored & set(concept.term_ids) for concept in concepts)


@pytest.mark.req("RAG-1", "RAG-7")
@pytest.mark.parametrize(
    ("question", "text", "language"),
    [
        ("URLAUB", "Der Urlaub verfällt.", "de"),
        ("Kündigungen", "Die Kündigung erfolgt schriftlich.", "de"),
        ("kuendigung", "Die Kündigung erfolgt schriftlich.", "de"),
        ("Strasse", "Die Straße ist gesperrt.", "de"),
        ("cafe", "Das Café öffnet um acht.", "de"),
        ("calibrating sensors", "Calibrate the sensor first.", "en"),
        ("E-4711", "Error e4711 was raised.", "en"),
        ("4711", "Error E-4711 was raised.", "en"),
        ("ISO 9001", "Certified to ISO-9001.", "en"),
        ("2.4.1", "Firmware v2.4.1 fixes it.", "en"),
        ("1,250.50", "Preis 1.250,50 EUR", "de"),
        ("1250.5", "Preis 1.250,50 EUR", "de"),
        ("007", "Agent 7", "en"),
        ("C++", "Written in C++ and C#.", "en"),
        ("multi-agent", "A multi-agent system.", "en"),
        ("O’Neill", "by O'Neill", "en"),
    ],
)
def test_spellings_of_the_same_thing_match(question: str, text: str, language: str) -> None:
    assert matches(question, text, language)


@pytest.mark.parametrize(
    ("question", "text"),
    [("2.4.1", "version 2.4.10"), ("E-4711", "E-4712"), ("C++", "vitamin C"), ("1.5", "15")],
)
def test_other_identifiers_and_numbers_do_not_match(question: str, text: str) -> None:
    assert not matches(question, text, "en")


@pytest.mark.parametrize(
    ("written", "readings"),
    [
        ("1.250,50", {"1250.5"}),
        ("1,250.50", {"1250.5"}),
        ("1.250", {"1250", "1.25"}),
        ("1.250.000", {"1250000"}),
        ("3,5", {"3.5"}),
        ("3.50", {"3.5"}),
        ("007", {"7"}),
        ("2.4.1", {"2.4.1"}),
        ("abc", set()),
    ],
)
def test_readings_of_a_number(written: str, readings: set[str]) -> None:
    assert set(number_terms(written)) == readings


@pytest.mark.parametrize("question", ["", "   ", "?!", "der die das", "the of and", "😀🎉", "--"])
def test_questions_without_words_have_no_concepts(question: str) -> None:
    assert analyze_question(question).concepts == ()


def test_a_huge_question_is_cut() -> None:
    assert len(analyze_question(" ".join(f"word{number}" for number in range(20_000))).concepts) == MAX_CONCEPTS


def test_titles_and_headings_count_twice() -> None:
    analyzed = analyze_chunk("pump pump valve", title="Pump", headings=["Valve"], language="en")
    frequency = dict(zip(analyzed.terms, analyzed.frequencies.tolist(), strict=True))
    assert frequency == {"pump": 4, "valv": 3}
    assert analyzed.length == 7


@pytest.mark.parametrize(
    ("text", "language"),
    [("Wie lang ist die Frist?", "de"), ("What is the notice period?", "en"), ("Kubernetes", None), ("", None)],
)
def test_the_language_of_a_question(text: str, language: str | None) -> None:
    assert detect_language(text) == language


@given(st.text(max_size=300), st.sampled_from(["de", "en", "xx", None]))
def test_any_text_gives_sorted_distinct_ids_of_its_terms(text: str, language: str | None) -> None:
    analyzed = analyze_chunk(text, language=language)
    assert np.all(np.diff(analyzed.term_ids.astype(np.int64)) > 0)
    assert [term_id(term) for term in analyzed.terms] == analyzed.term_ids.tolist()
    assert len(analyzed.frequencies) == len(analyzed.term_ids)
    assert all(analyzed.frequencies > 0)
    analyze_question(text)


@given(st.from_regex(r"[a-zäöüß]{3,12}( [a-zäöüß]{3,12}){0,5}", fullmatch=True))
def test_a_text_holds_the_words_of_itself_as_a_question(text: str) -> None:
    stored = set(analyze_chunk(text, language="de").term_ids.tolist())
    for concept in analyze_question(text).concepts:
        if any(term in stored for term in concept.term_ids):
            continue
        # Only a stop word of the language that the text is in may be missing.
        assert not analyze_chunk(concept.surface, language="de").terms
