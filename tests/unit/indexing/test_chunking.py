"""Chunks: exact offsets, nothing lost, limits kept, structure kept."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opaa.indexing.chunking import Chunk, chunk_document

SENTENCE = "Die Prüfung der Geräte dauert etwa zwei Stunden und endet mit einem Protokoll. "
_BLOCKS = st.sampled_from(
    [
        "# Über uns",
        "## 漢字の見出し",
        "### Deep 😀 heading ###",
        "Setext\n======",
        "Zweite Ebene\n---",
        "```python\n# not a heading\nx = 1\n```",
        "~~~\n## neither\n~~~",
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |",
        "- eins\n- zwei\n  - drei",
        "1. first\n2. second",
        "> quoted text",
        SENTENCE * 5,
        "漢字" * 200,
        "👩‍🔬🇩🇪" * 50,
        "x" * 700,
        "e\u0301" * 90,
        "\t \u00a0",
        "<div>html</div>",
    ]
)
_DOCUMENTS = st.one_of(
    st.text(max_size=2_000),
    st.lists(st.one_of(_BLOCKS, st.text(max_size=80)), max_size=25).map("\n\n".join),
    st.lists(_BLOCKS, max_size=25).map("\n".join),
)


def _count_words(texts: Sequence[str]) -> list[int]:
    return [max(1, len(text.encode()) // 4) for text in texts]


def _assert_exact(document: str, chunks: list[Chunk]) -> None:
    position = 0
    for ordinal, chunk in enumerate(chunks):
        assert chunk.ordinal == ordinal
        assert chunk.text == document[chunk.start : chunk.end]
        assert chunk.text
        assert chunk.text == chunk.text.strip()
        assert document[position : chunk.start].strip() == ""
        position = chunk.end
    assert document[position:].strip() == ""


@settings(max_examples=300, deadline=None)
@given(_DOCUMENTS, st.sampled_from([1, 7, 60, 300, 1200]))
def test_offsets_are_exact_nothing_is_lost_and_the_limit_is_kept(document: str, max_chars: int) -> None:
    chunks = chunk_document(document, max_chars=max_chars)
    _assert_exact(document, chunks)
    assert all(len(chunk.text) <= max_chars for chunk in chunks)


@settings(max_examples=150, deadline=None)
@given(_DOCUMENTS, st.sampled_from([1, 5, 40, 120]))
def test_the_token_limit_is_kept_for_everything_that_can_be_cut(document: str, max_tokens: int) -> None:
    chunks = chunk_document(document, max_tokens=max_tokens, count_tokens=_count_words)
    _assert_exact(document, chunks)
    for chunk, tokens in zip(chunks, _count_words([chunk.text for chunk in chunks]), strict=True):
        assert tokens <= max_tokens or len(chunk.text) == 1


def test_tokens_are_counted_in_one_batch_when_everything_fits() -> None:
    batches: list[int] = []

    def count(texts: Sequence[str]) -> list[int]:
        batches.append(len(texts))
        return [1] * len(texts)

    chunks = chunk_document(f"# A\n\n{SENTENCE * 60}", max_tokens=512, count_tokens=count)
    assert batches == [len(chunks)]


def test_heading_path_follows_the_nesting() -> None:
    body = SENTENCE * 8
    document = f"# Reise\n\n{body}\n\n## Hotel\n\n{body}\n\n### München\n\n{body}\n\n## Bahn ##\n\n{body}"
    assert [chunk.heading_path for chunk in chunk_document(document, max_chars=900)] == [
        ("Reise",),
        ("Reise", "Hotel"),
        ("Reise", "Hotel", "München"),
        ("Reise", "Bahn"),
    ]


def test_headings_in_code_do_not_count_and_setext_headings_do() -> None:
    code = "```sh\n# remove everything\n```\n\n~~~~\n```\n# still code\n~~~~"
    document = f"Runbook\n=======\n\n{code}\n\n{SENTENCE * 7}\n\nRestart\n-------\n\n{SENTENCE * 8}"
    assert [chunk.heading_path for chunk in chunk_document(document, max_chars=900)] == [
        ("Runbook",),
        ("Runbook", "Restart"),
    ]


def test_a_passage_over_several_sections_has_only_the_headings_above_all_of_them() -> None:
    (chunk,) = chunk_document("# Hilfe\n\n## Telefon\n\nDurchwahl 4711.\n\n## Mail\n\nit@example.org")
    assert chunk.heading_path == ("Hilfe",)


def test_a_heading_is_never_parted_from_its_text() -> None:
    document = f"# Titel\n\n## Abschnitt\n\n{SENTENCE * 40}"
    first = chunk_document(document)[0]
    assert first.text.startswith("# Titel\n\n## Abschnitt\n\nDie Prüfung")
    assert first.heading_path == ("Titel", "Abschnitt")


def test_table_rows_stay_whole() -> None:
    rows = [f"| NL-{n} | Messgerät {n} | {n * 10} EUR |" for n in range(200)]
    document = "# Preise\n\n| Nr | Name | Preis |\n| --- | --- | --- |\n" + "\n".join(rows)
    chunks = chunk_document(document, max_chars=500)
    assert len(chunks) > 10
    lines = [line for chunk in chunks for line in chunk.text.split("\n")]
    assert [line for line in lines if line.startswith("| NL-")] == rows


def test_a_short_rest_joins_its_neighbour() -> None:
    document = f"## A\n\n{SENTENCE * 10}\n\n## B\n\nKurz."
    assert len(chunk_document(document, max_chars=1200)) == 1


@pytest.mark.parametrize("text", ["", " \n\t\n", "\u00a0"])
def test_nothing_gives_no_chunks(text: str) -> None:
    assert chunk_document(text) == []


def test_a_megabyte_on_one_line_is_cut_piece_by_piece() -> None:
    document = "a" * 1_000_000
    chunks = chunk_document(document)
    assert "".join(chunk.text for chunk in chunks) == document
    assert max(len(chunk.text) for chunk in chunks) <= 1200
