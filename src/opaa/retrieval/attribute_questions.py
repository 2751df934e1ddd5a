"""What a question demands of fields: comparisons with numbers, extremes, and word sequences that may be values."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from opaa.retrieval.analysis import detect_language, fold, number_terms
from opaa.retrieval.attribute_values import (
    EPOCH,
    NUMBER,
    SCALE,
    UNIT,
    light_stem,
    parse_date,
    parse_number,
    scale_of,
    unit_of,
)
from opaa.retrieval.stopwords import STOP_WORDS

MAX_WORDS = 40
MAX_VALUE_WORDS = 5
NEARBY_WORDS = 6

# Beginnings of comparatives and superlatives, folded (hoch → hoh-, hoch-).
_MORE_EN = "great|larg|bigg|high|heavi|long|tall|old|fast|warm|hott|dens|wid|deep|strong|lat|new|rich"
_LESS_EN = "small|low|light|short|young|slow|cold|cool|narrow|weak|earli|cheap|poor"
_MORE_DE = "gross|hoh|schwer|lang|alt|schnell|warm|heiss|dicht|breit|tief|stark|spat|neu|teur|reich"
_LESS_DE = "klein|niedrig|leicht|kurz|jung|langsam|kalt|kuhl|schmal|schwach|fruh|billig|gunstig|gering"
_MORE = (
    r"above|over|exceeds?|exceeding|after|since|more than|at least|no less than|not less than|minimum(?: of)?|>=?|"
    rf"(?:{_MORE_EN})e?r than|uber|nach|seit|ab|mehr als|mindestens|wenigstens|nicht weniger als|(?:{_MORE_DE})er als"
)
_LESS = (
    r"below|under|beneath|before|less than|fewer than|at most|no more than|not more than|up to|maximum(?: of)?|<=?|"
    rf"(?:{_LESS_EN})e?r than|unter|vor|weniger als|hochstens|maximal|bis zu|nicht mehr als|(?:{_LESS_DE})er als"
)
_INCLUSIVE = re.compile(
    r"at least|at most|no .*|not .*|m[ai][nx].*|up to|since|[<>]=|"
    r"mindestens|wenigstens|nicht .*|hochstens|bis zu|ab|seit"
)


def _quantity(number: str) -> str:
    """A date or a number with scale and unit, in groups named with `number` at the end."""
    date = r"\d{4}-\d\d-\d\d|\d{1,2}\.\s?\d{1,2}\.\s?\d{4}"
    return (
        rf"(?:[€$£]\s*)?(?P<number{number}>{date}|{NUMBER})\s*(?P<scale{number}>{SCALE})?\s*(?P<unit{number}>{UNIT})?"
    )


_COMPARISON = re.compile(
    rf"(?<!\w)(?:(?P<more>{_MORE})|(?P<less>{_LESS}))\s*(?:(?:an?|the|of|von|der|dem|das|jahr|year)\s+){{0,2}}{_quantity('')}"
)
_UPWARDS = "more|above|over|higher|later|mehr|daruber|hoher"
_AFTERWARDS = re.compile(
    rf"(?<!\w){_quantity('')}\s+(?:or|oder|und|and)\s+"
    rf"(?:(?P<more>{_UPWARDS})|(?P<less>less|below|fewer|lower|earlier|weniger|darunter))\b"
)
_BETWEEN = re.compile(
    rf"(?<!\w)(?:between|zwischen|from|von)\s+{_quantity('')}\s+(?:and|und|to|bis)\s+{_quantity('2')}"
)
_LARGEST = re.compile(rf"\b(?:(?:{_MORE_EN})e?st|most|maximum|meisten?|(?:{_MORE_DE}|hoch|teuer)e?s?te[nmrs]?)\b")
_SMALLEST = re.compile(rf"\b(?:(?:{_LESS_EN})e?st|least|fewest|minimum|wenigsten|(?:{_LESS_DE})e?s?te[nmrs]?)\b")
_WORD = re.compile(r"[^\W_]+(?:[.,]\d+)*")

# Words for the same measure, in either language: name of a field, adjective, verb.
_MEASURES = [
    frozenset(light_stem(word) for word in line.split())
    for line in """
weight mass gewicht masse weigh weighs weighing wiegen wiegt heavy heavier heaviest light lighter schwer schwerer leicht
height elevation höhe größe tall taller tallest high higher highest hoch höher höchste
size größe umfang large larger largest big bigger biggest small smaller smallest groß größer größte klein kleiner
area fläche surface large larger largest big bigger small smaller smallest groß größer größte klein kleiner kleinste
length länge long longer longest short shorter shortest lang länger längste kurz kürzer
width breite wide wider breit breiter
depth tiefe deep deeper tief tiefer
price preis cost costs kosten kostet expensive cheap cheaper teuer teurer billig billiger günstig günstiger
age alter old older oldest young younger alt älter älteste jung jünger
population einwohner einwohnerzahl bevölkerung inhabitants residents people menschen
employees staff headcount mitarbeiter beschäftigte personal
salary wage gehalt lohn verdienst
budget etat haushalt
revenue turnover umsatz
speed geschwindigkeit tempo fast faster fastest schnell schneller
temperature temperatur warm warmer hot hotter cold colder heiß kalt kälter
duration takes dauer dauert laufzeit term
capacity volume kapazität fassungsvermögen volumen
power leistung
density dichte dense denser dichter
pressure druck
distance range entfernung abstand reichweite
rating score bewertung note
count number amount quantity anzahl zahl menge
year founded jahr gegründet
date deadline datum frist
percentage share rate anteil quote
energy calories energie kalorien
memory storage speicher
melting schmelzpunkt schmelztemperatur
boiling siedepunkt siedetemperatur
""".strip().splitlines()
]


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the question: folded, stemmed, and where it stands in the folded text."""

    folded: str
    stem: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """A demand on a number: `low` and `high` as written (times `scale`), `unit` where one follows, and its place."""

    low: float
    high: float
    unit: str | None
    start: int
    end: int
    is_date: bool = False


@dataclass(frozen=True, slots=True)
class Demands:
    """What a question may demand. `extreme` is 1 for the largest, -1 for the smallest, 0 for neither."""

    words: tuple[Word, ...]
    comparisons: tuple[Comparison, ...]
    extreme: int

    def compared_numbers(self) -> frozenset[str]:
        """The numbers that comparisons are made with, as written: a passage need not hold them to meet one."""
        places = [(comparison.start, comparison.end) for comparison in self.comparisons]
        inside = (w for w in self.words if any(start <= w.start < end for start, end in places))
        return frozenset(word.folded for word in inside if word.folded[0].isdigit())


def read_question(question: str) -> Demands:
    """The demands of a question; only its first `MAX_WORDS` words are looked at."""
    folded = fold(question[: MAX_WORDS * 20])
    german = detect_language(question) == "de"
    words = tuple(
        Word(match[0], light_stem(match[0]), match.start(), match.end())
        for match in list(_WORD.finditer(folded))[:MAX_WORDS]
    )
    comparisons = list(_comparisons(folded, german=german))
    extreme = 0
    if not comparisons:
        extreme = 1 if _LARGEST.search(folded) else -1 if _SMALLEST.search(folded) else 0
    return Demands(words, tuple(comparisons), extreme)


def value_candidates(demands: Demands) -> dict[str, list[tuple[int, int]]]:
    """Word sequences in the form values are stored in, with the places (first word, last word + 1) where they stand."""
    found: dict[str, list[tuple[int, int]]] = {}
    stop = STOP_WORDS["en"] | STOP_WORDS["de"]
    words = demands.words
    for first in range(len(words)):
        for last in range(first + 1, min(first + MAX_VALUE_WORDS, len(words)) + 1):
            span = words[first:last]
            if span[0].folded in stop or span[-1].folded in stop:
                continue
            if any(c.start <= word.start < c.end for c in demands.comparisons for word in span):
                continue
            forms = [" ".join(word.stem for word in span)]
            if len(span) == 1:
                forms.extend(number_terms(span[0].folded))
            for form in forms:
                found.setdefault(form, []).append((first, last))
    return found


def field_score(name: str, unit: str | None, comparison: Comparison | None, words: Sequence[Word]) -> float:
    """How well a field fits the words of a question, those near a comparison above all; 0 when its unit does not."""
    score = 0.0
    if comparison is not None:
        wanted, given = unit_of(comparison.unit), unit_of(unit)
        if wanted and given:
            if wanted[0] != given[0]:
                return 0.0
            score += 0.6
    near = [(word, _nearness(word, comparison, words)) for word in words]
    # `density g per cm3`: the field is called density.
    parts = [part for part in name.split() if part.isalpha() and len(part) > 2 and not unit_of(part) and part != "per"]
    parts = parts or name.split()
    hit = 0.0
    for part in parts:
        same = max((weight for word, weight in near if _same(word.stem, part)), default=0.0)
        alike = max((0.7 * weight for word, weight in near if _measure(word.stem, part)), default=0.0)
        hit += max(same, alike)
    return score + (hit / len(parts)) ** 0.5 if hit else score


def mentions(name: str, words: Sequence[Word]) -> bool:
    """Whether any word of a field's name is in the question."""
    return any(_same(word.stem, part) or _measure(word.stem, part) for part in name.split() for word in words)


def _same(word: str, part: str) -> bool:
    return word == part or (min(len(word), len(part)) >= 5 and (word.startswith(part) or part.startswith(word)))


def _measure(word: str, part: str) -> bool:
    return any(word in group and part in group for group in _MEASURES)


def _nearness(word: Word, comparison: Comparison | None, words: Sequence[Word]) -> float:
    if comparison is None:
        return 1.0
    start, end = min(word.end, comparison.end), max(word.start, comparison.start)
    between = sum(1 for other in words if start <= other.start < end)
    return 1.0 if between <= NEARBY_WORDS else 0.6


def _comparisons(folded: str, *, german: bool) -> Iterator[Comparison]:
    taken: list[tuple[int, int]] = []
    for match in _BETWEEN.finditer(folded):
        low, high = _amount(match, "", german=german), _amount(match, "2", german=german)
        unit = match["unit2"] or match["unit"]
        taken.append(match.span())
        yield Comparison(min(low, high), max(low, high), unit, *match.span(), is_date=_is_date(match["number"]))
    for match in _COMPARISON.finditer(folded):
        if not _overlaps(match.span(), taken):
            taken.append(match.span())
            inclusive = _INCLUSIVE.fullmatch(match["more"] or match["less"]) is not None
            yield _bounded(match, inclusive=inclusive, german=german)
    for match in _AFTERWARDS.finditer(folded):
        if not _overlaps(match.span(), taken):
            yield _bounded(match, inclusive=True, german=german)


def _bounded(match: re.Match[str], *, inclusive: bool, german: bool) -> Comparison:
    more = match["more"] is not None
    amount = _amount(match, "", german=german)
    if not inclusive:
        amount = math.nextafter(amount, math.inf if more else -math.inf)
    low, high = (amount, math.inf) if more else (-math.inf, amount)
    return Comparison(low, high, match["unit"], *match.span(), is_date=_is_date(match["number"]))


def _amount(match: re.Match[str], which: str, *, german: bool) -> float:
    written = match[f"number{which}"]
    day = parse_date(written)
    if day is not None:
        return float((day - EPOCH).days)
    return parse_number(written, german=german) * scale_of(match[f"scale{which}"])


def _is_date(written: str) -> bool:
    return parse_date(written) is not None


def _overlaps(span: tuple[int, int], taken: Sequence[tuple[int, int]]) -> bool:
    return any(span[0] < end and start < span[1] for start, end in taken)
