"""Markdown, text, CSV and JSON → text, title, fields, language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opaa.errors import ExtractionError
from opaa.extraction.convert import convert
from opaa.extraction.port import Extracted, Limits, Reason
from opaa.extraction.tables import render_rows, repeat_headers


def read(text: str | bytes, name: str = "a.md") -> Extracted:
    return convert(text.encode() if isinstance(text, str) else text, name, Limits())


def test_front_matter_becomes_typed_fields_and_a_list_under_the_title() -> None:
    result = read(
        "---\ntitle: Reiserichtlinie\nowner: Ines Brandt\nbudget_eur: 1200.50\ndays: 30\nvalid_from: 2025-03-01\n"
        'tags: [hotel, bahn]\napproved: true\ncountry: no\nstarts: 12:30\npart: 007\nphone: "4711"\n---\n'
        "# Reisen\n\nDer Text."
    )
    assert result.metadata == {
        "title": "Reiserichtlinie",
        "owner": "Ines Brandt",
        "budget_eur": 1200.5,
        "days": 30,
        "valid_from": "2025-03-01",
        "tags": ["hotel", "bahn"],
        "approved": True,
        "country": "no",
        "starts": "12:30",
        "part": "007",
        "phone": "4711",
    }
    assert result.title == "Reiserichtlinie"
    assert result.text.startswith("# Reisen\n\n- owner: Ines Brandt\n- budget_eur: 1200.50\n- days: 30\n")
    assert result.text.endswith("\n\nDer Text.")


@pytest.mark.parametrize(
    "block",
    ["a: [1, 2", "a: b: c: d", "- only\n- a: list", "a: " + "[" * 9_000, "&x a: *x", "a: !!python/object:os.x {}"],
)
def test_unusable_front_matter_is_a_warning_or_text_never_a_failure(block: str) -> None:
    result = read(f"---\n{block}\n---\n# Title\n\nBody.")
    assert "Body." in result.text
    assert result.title == "Title"


def test_a_rule_at_the_top_is_not_front_matter() -> None:
    result = read("---\n\nJust text\n\n---\n\nMore text.")
    assert result.metadata == {}
    assert result.warnings == ()
    assert "Just text" in result.text


@pytest.mark.parametrize(
    ("text", "name", "title"),
    [
        ("# The `first` **heading**\n\ntext", "x.md", "The first heading"),
        ("Setext title\n===\n\ntext", "x.md", "Setext title"),
        ("```\n# comment\n```\n\n# Real", "x.md", "Real"),
        ("# See [the guide](http://x.example) for snake_case_name", "x.md", "See the guide for snake_case_name"),
        ("## only a second level", "travel_policy-2025-03.md", "travel policy 2025-03"),
        ("no heading", "notes.txt", "notes"),
        ('{"name": "Pump", "id": 3}', "pump.json", "Pump"),
    ],
)
def test_title(text: str, name: str, title: str) -> None:
    assert read(text, name).title == title


@pytest.mark.parametrize(
    ("data", "text", "warned"),
    [
        ("Grüße 漢字".encode(), "Grüße 漢字", False),
        ("Grüße".encode("utf-8-sig"), "Grüße", False),
        ("Grüße aus Köln".encode("utf-16"), "Grüße aus Köln", False),
        ("Grüße aus Köln".encode("utf-16-be"), "Grüße aus Köln", True),
        (
            "Grüße an die Prüfer in Köln, schöne Tage für alle Gäste.".encode("cp1252"),
            "Grüße an die Prüfer in Köln, schöne Tage für alle Gäste.",
            True,
        ),
        ("Größe ".encode() * 9 + b"\xff end", "Größe " * 9 + "\ufffd end", True),
        (b"a\r\nb\rc\x00\x07d", "a\nb\ncd", False),
    ],
)
def test_encodings_are_recognized_and_guesses_are_warned_about(data: bytes, text: str, warned: bool) -> None:
    result = read(data, "a.txt")
    assert result.text == text
    assert bool(result.warnings) == warned


def test_characters_that_hide_or_reorder_text_are_removed_and_scripts_that_need_joiners_keep_them() -> None:
    hidden = "pay\u200bment \u202egnp.exe\u202c so\u00adft \U000e0041tag a\u200db \u2066iso\u2069"
    assert read(hidden, "a.txt").text == "payment gnp.exe soft tag ab iso"
    assert read("می\u200cخواهم 👩\u200d🔬", "a.txt").text == "می\u200cخواهم 👩\u200d🔬"
    assert read("u\u0308ber", "a.txt").text == "über"


@given(st.binary(max_size=400), st.sampled_from(["a.md", "a.txt", "a.csv", "a.json", "a.jsonl", "a"]))
def test_any_bytes_give_clean_text_or_a_reason(data: bytes, name: str) -> None:
    try:
        result = read(data, name)
    except ExtractionError as error:
        assert Reason(error.reason)
    else:
        assert result.text
        assert not set(result.text) & set("\x00\r\u202e\u200b\ufeff")
        result.text.encode()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_csv_becomes_a_table(delimiter: str) -> None:
    text = "\n".join(delimiter.join(row) for row in (("Gerät", "Preis"), ("NL-100", "42"), ("NL-200", '"9 9"')))
    result = read(text, "a.csv")
    assert result.text == "| Gerät | Preis |\n| --- | --- |\n| NL-100 | 42 |\n| NL-200 | 9 9 |"
    assert result.metadata == {"columns": ["Gerät", "Preis"], "rows": 2}


def test_every_part_of_a_long_table_has_the_header() -> None:
    result = read("id;name\n" + "\n".join(f"{n};device number {n}" for n in range(300)), "a.csv")
    parts = result.text.split("\n\n")
    assert len(parts) > 5
    assert all(part.startswith("| id | name |\n| --- | --- |\n") and len(part) <= 1_000 for part in parts)
    assert sum(part.count("device number") for part in parts) == 300
    assert repeat_headers(result.text) == result.text


def test_wide_rows_become_lists_of_fields() -> None:
    assert (
        render_rows(["id", "note", ""], [["1", "x" * 2_000, "z"]]) == f"- id: 1\n- note: {'x' * 2_000}\n- column 3: z"
    )


def test_tables_in_code_stay_as_they_are() -> None:
    code = "```\n| a | b |\n| --- | --- |\n" + "| 1 | 2 |\n" * 300 + "```"
    assert repeat_headers(code) == code


def test_ragged_csv_loses_nothing() -> None:
    result = read("a,b\n1,2,3\n4\n5,6\n7,8", "a.csv")
    assert "| 1 | 2 | 3 |" in result.text
    assert result.warnings == ("2 rows have another number of columns than the header.",)


def test_text_named_csv_or_json_is_text_with_a_warning() -> None:
    for name in ("a.csv", "a.json"):
        result = read("Only a sentence here", name)
        assert result.text == "Only a sentence here"
        assert result.warnings


def test_json_becomes_headings_fields_and_tables() -> None:
    result = read(
        '{"title": "Sensor NL-7", "range_c": 125, "active": true, "tags": ["a", "b"], '
        '"limits": {"low": -40}, "parts": [{"id": "P-1", "price": 3.5}, {"id": "P-2", "stock": 0}]}',
        "a.json",
    )
    assert result.title == "Sensor NL-7"
    assert result.metadata == {"title": "Sensor NL-7", "range_c": 125, "active": True}
    assert result.text == (
        "- title: Sensor NL-7\n- range_c: 125\n- active: yes\n- tags: a, b\n\n## limits\n\n- low: -40\n\n## parts\n\n"
        "| id | price | stock |\n| --- | --- | --- |\n| P-1 | 3.5 |  |\n| P-2 |  | 0 |"
    )


def test_json_numbers_that_no_database_holds_do_not_break_the_answer() -> None:
    result = read('{"big": 123456789012345678901234567890, "nan": NaN, "lone": "\\ud800x", "text": "ok"}', "a.json")
    assert result.metadata == {"big": "123456789012345678901234567890", "nan": None, "lone": "x", "text": "ok"}


@pytest.mark.req("RAG-7")
@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Die Kalibrierung wird von der Abteilung geprüft und ist nach zwei Jahren zu wiederholen.", "de"),
        ("The calibration is checked by the department and has to be repeated after two years.", "en"),
        ("L'étalonnage est vérifié par le service et doit être répété tous les deux ans.", None),
        ("NL-100 42 NL-200 99", None),
    ],
)
def test_language(text: str, language: str | None) -> None:
    assert read(text).language == language


def test_inlined_images_are_not_text() -> None:
    assert read(f"![plot](data:image/png;base64,{'A' * 500}) caption").text == "![plot](#) caption"
