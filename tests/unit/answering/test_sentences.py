"""Sentences of passages: exact places, headings and rows told apart."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opaa.answering.sentences import plain, split_sentences

PASSAGES = st.lists(
    st.sampled_from(
        [
            "# Heading",
            "One sentence. Another one!",
            "- an item",
            "1. first",
            "| a | b |",
            "| - | - |",
            "| 1 | z.B. 2 |",
            "",
            "> quoted",
            "```",
            "Title\n=====",
            "Das kostet ca. 5 Euro. Gut?",
            "**bold** [link](http://x)",
            "\t",
            "…",
            "é🖨️",
        ]
    ),
    max_size=12,
).map("\n".join)


@given(PASSAGES | st.text(max_size=300))
@settings(max_examples=300, deadline=None)
def test_places_are_inside_the_passage_in_order_and_hold_the_text(passage: str) -> None:
    before = 0
    for sentence in split_sentences(passage):
        assert 0 <= before <= sentence.start < sentence.end <= len(passage)
        before = sentence.end
        raw = passage[sentence.start : sentence.end]
        assert raw.strip()
        if not sentence.row and not sentence.heading:
            assert plain(raw) == sentence.text


@pytest.mark.parametrize(
    ("passage", "expected"),
    [
        ("It rains. It pours.", ["It rains.", "It pours."]),
        ("Dr. Ada pays ca. 5 Euro. Gut.", ["Dr. Ada pays ca. 5 Euro.", "Gut."]),
        ("Costs 3.5 million. Really?", ["Costs 3.5 million.", "Really?"]),
        ("- one\n- two", ["one", "two"]),
        ("| Name | City |\n|---|---|\n| Ada | London |", ["Name: Ada; City: London"]),
        ("***\n\n---\n", []),
    ],
)
def test_sentences_items_and_rows(passage: str, expected: list[str]) -> None:
    assert [sentence.text for sentence in split_sentences(passage)] == expected


def test_headings_are_marked() -> None:
    found = split_sentences("# Title\n\nText.\n\nOther\n=====\n\nMore.")
    assert [(sentence.text, sentence.heading) for sentence in found] == [
        ("Title", True),
        ("Text.", False),
        ("Other", True),
        ("More.", False),
    ]
