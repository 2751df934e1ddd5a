"""Fields of documents and what questions demand of them; no database."""

import math
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opaa.retrieval.attribute_extraction import MAX_ATTRIBUTES, extract_attributes
from opaa.retrieval.attribute_questions import field_score, read_question, value_candidates
from opaa.retrieval.attribute_values import FieldName, Value, field_name, light_stem, parse_value, stems
from opaa.retrieval.attributes import Constraint, shares

GERMAN_DAY = 18_750.0  # 2021-05-03, in days since 1970-01-01


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("area_km2", FieldName("area", "km2")),
        ("height_m", FieldName("height", "m")),
        ("Preis (EUR)", FieldName(light_stem("preis"), "eur")),
        ("Net weight [kg]", FieldName("net weight", "kg")),
        ("Installed-Size", FieldName(f"installed {light_stem('size')}", None)),
        ("maxSpeed", FieldName("max speed", None)),
        ("Größe", FieldName("gross", None)),
    ],
)
def test_names_of_fields(label: str, expected: FieldName) -> None:
    assert field_name(label) == expected


@pytest.mark.parametrize(
    ("raw", "german", "expected"),
    [
        ("114.000 km²", True, Value("number", "114000", 114_000e6, "km2")),
        ("1.250,50 €", True, Value("number", "1250.5", 1250.5, "€")),
        ("1.250", True, Value("number", "1250", 1250.0)),
        ("1.250", False, Value("number", "1.25", 1.25)),
        ("1,250.50", False, Value("number", "1250.5", 1250.5)),
        ("7335 kB", False, Value("number", "7335", 7_335_000.0, "kb")),
        ("250 g", False, Value("number", "250", 0.25, "g")),
        ("12 %", False, Value("number", "12", 12.0, "%")),
        ("~ 1.2 million", False, Value("number", "1200000", 1_200_000.0)),
        ("10 Mio. Einwohner", True, Value("number", "10000000", 10_000_000.0, "einwohner")),
        ("2021-05-03", False, Value("date", "2021-05-03", GERMAN_DAY)),
        ("3.5.2021", True, Value("date", "2021-05-03", GERMAN_DAY)),
        ("ja", True, Value("boolean", "true")),
        (False, False, Value("boolean", "false")),
        (5, False, Value("number", "5", 5.0)),
        ("12:30", False, Value("text", "12 30")),
        ("Grüne Wiesen", True, Value("text", "grun wies")),
    ],
)
def test_values(raw: object, german: bool, expected: Value) -> None:
    assert parse_value(raw, german=german) == expected


@pytest.mark.parametrize("raw", ["", "   ", "—", "x" * 500])
def test_what_is_no_value(raw: str) -> None:
    assert parse_value(raw) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [("countries", "country"), ("Blumen", "Blume"), ("grünes", "grün"), ("tigers", "tiger"), ("roter", "rote")],
)
def test_inflections_share_a_stem(one: str, other: str) -> None:
    assert light_stem(one) == light_stem(other)


def facts(metadata: dict[str, object], text: str) -> set[tuple[int, str, str]]:
    return {(each.entity, each.name, each.value) for each in extract_attributes(metadata, text)}


def fact(entity: int, name: str, value: str) -> tuple[int, str, str]:
    return entity, " ".join(stems(name)), " ".join(stems(value))


def test_front_matter_lists_and_one_level_of_nesting() -> None:
    found = facts({"types": ["Grass", "Poison"], "size": {"height_m": 0.7}, "deep": {"a": {"b": 1}}, "none": None}, "")
    assert found == {fact(0, "types", "grass"), fact(0, "types", "poison"), fact(0, "size height", "0.7")}


def test_a_table_of_properties_is_about_the_document_any_other_about_its_rows() -> None:
    properties = "| Merkmal | Wert |\n|---|---|\n| Hauptstadt | Wien |\n| Sprachen | Deutsch, Ungarisch |\n"
    assert facts({}, properties) >= {
        fact(0, "hauptstadt", "wien"),
        fact(0, "sprachen", "deutsch"),
        fact(0, "sprachen", "ungarisch"),
    }
    rows = "| Name | Price (EUR) |\n| --- | --- |\n| Fathom | 412 |\n| Plumb | 95 |\n"
    assert facts({}, rows) == {
        fact(1, "name", "fathom"),
        fact(1, "price", "412"),
        fact(2, "name", "plumb"),
        fact(2, "price", "95"),
    }


def test_lines_with_a_colon_and_repeated_records() -> None:
    assert facts({}, "Section: games\n**Owner:** Jane Doe\n") == {
        fact(0, "section", "games"),
        fact(0, "owner", "jane doe"),
    }
    records = "- Name: A\n- Size: 1\n\n- Name: B\n- Size: 2\n"
    assert {entity for entity, _, _ in facts({}, records)} == {0, 1}


def test_sentences_and_code_are_no_fields() -> None:
    text = "Note: this is a whole sentence that goes on for quite a while.\n\n```\nkey: value\n```\n"
    assert facts({}, text) == set()


def test_a_huge_table_is_bounded() -> None:
    text = "| A | B |\n|---|---|\n" + "\n".join(f"| a{n} | b{n} |" for n in range(5_000))
    assert len(extract_attributes({}, text)) == MAX_ATTRIBUTES


@given(st.text(max_size=400), st.dictionaries(st.text(max_size=10), st.text(max_size=30), max_size=4))
def test_any_text_and_metadata_can_be_read(text: str, metadata: dict[str, str]) -> None:
    for attribute in extract_attributes(metadata, text):
        assert attribute.name
        assert attribute.value
    read_question(text)


@pytest.mark.parametrize(
    ("question", "low", "high", "unit"),
    [
        ("an area of more than 100,000 square kilometres", 100_000, math.inf, "square kilometres"),
        ("Fläche unter 500 km²", -math.inf, 500, "km2"),
        ("zwischen 5 und 10 kg", 5, 10, "kg"),
        ("from 3.5 to 4.2 m", 3.5, 4.2, "m"),
        ("500 kg oder mehr", 500, math.inf, "kg"),
        ("höchstens 1.200.000 km²", -math.inf, 1_200_000, "km2"),
        ("at least 10 million people", 10_000_000, math.inf, "people"),
        ("cheaper than €20", -math.inf, 20, None),
        ("größer als 1,5 m", 1.5, math.inf, "m"),
        ("nach dem 3.5.2021", GERMAN_DAY, math.inf, None),
    ],
)
def test_comparisons(question: str, low: float, high: float, unit: str | None) -> None:
    (comparison,) = read_question(question).comparisons
    assert (comparison.low, comparison.high) == (pytest.approx(low), pytest.approx(high))
    assert comparison.unit == unit


@pytest.mark.parametrize(("question", "meets"), [("above 500", False), ("at least 500", True), ("ab 500", True)])
def test_bounds_are_meant_as_said(question: str, meets: bool) -> None:
    (comparison,) = read_question(question).comparisons
    assert (comparison.low <= 500 <= comparison.high) is meets


@pytest.mark.parametrize("question", ["under the sea", "over the years", "vor dem Tor", "E-4711", "version 2.4.1", ""])
def test_no_comparison(question: str) -> None:
    assert read_question(question).comparisons == ()


def test_compared_numbers_are_not_looked_for() -> None:
    assert read_question("model 250 with more than 500 bar").compared_numbers() == {"500"}


@pytest.mark.parametrize(("question", "extreme"), [("largest city", 1), ("das älteste Haus", 1), ("the lightest", -1)])
def test_extremes(question: str, extreme: int) -> None:
    assert read_question(question).extreme == extreme


def test_values_are_looked_for_as_sequences_without_stop_words_at_the_ends() -> None:
    found = value_candidates(read_question("Which creatures live in the Bay of Bengal?"))
    assert "bay of bengal" in found
    assert "in the" not in found
    assert "the bay" not in found


def test_a_field_fits_by_name_measure_and_unit() -> None:
    demands = read_question("Which animal is heavier than 500 g?")
    (comparison,) = demands.comparisons
    weight = field_score("gewicht", "kg", comparison, demands.words)
    assert weight > field_score("capture rat", None, comparison, demands.words)
    assert field_score("height", "m", comparison, demands.words) == 0
    assert field_score("densiti g per cm3", None, None, read_question("highest density").words) >= 1


def entity(document: int, row: int = 0) -> tuple[UUID, int]:
    return UUID(int=document), row


def test_demands_are_met_by_one_row_or_the_document_not_by_rows_together() -> None:
    constraints = [
        Constraint(frozenset({entity(1, 1), entity(2, 1)}), 2.0),
        Constraint(frozenset({entity(1, 1), entity(2, 2)}), 2.0),
    ]
    found = shares(constraints, 10)
    assert found[UUID(int=1)] == 1.0
    assert found[UUID(int=2)] == 0.5


def test_what_holds_for_the_document_holds_for_its_rows() -> None:
    constraints = [Constraint(frozenset({entity(1)}), 1.0), Constraint(frozenset({entity(1, 3)}), 3.0)]
    assert shares(constraints, 10)[UUID(int=1)] == 1.0


def test_a_demand_that_most_documents_meet_says_little() -> None:
    everything = Constraint(frozenset(entity(number) for number in range(90)), math.log1p(100 / 90))
    single = Constraint(frozenset({entity(1)}), math.log1p(100))
    assert shares([everything], 100)[UUID(int=1)] < 0.3
    assert shares([single], 100)[UUID(int=1)] == 1.0
