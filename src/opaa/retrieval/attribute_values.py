"""What a field's name and value say: words, a number with its unit, a date, yes or no."""

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

from opaa.retrieval.analysis import fold

Kind = Literal["text", "number", "date", "boolean"]

MAX_VALUE_CHARS = 100
EPOCH = date(1970, 1, 1)

_WORDS = re.compile(r"[^\W_]+(?:\.\d+)*")
_CAMEL = re.compile(r"(?<=[a-zäöüß0-9])(?=[A-ZÄÖÜ])")
_BOOLEANS = {"true": True, "yes": True, "ja": True, "wahr": True, "false": False, "no": False, "nein": False}
NUMBER = r"[-−+]?(?:\d{1,3}(?:[.,'’\u202f\u00a0 ]\d{3})+(?:[.,]\d+)?|\d+(?:[.,]\d+)?)(?![.,]?\d)"
SCALE = r"(?:million(?:en|s)?|mio\.?|billions?|milliarden?|mrd\.?|thousand|tausend)"
UNIT = r"(?:square |cubic )?(?:[^\W\d_][^\W\d_²³]*[²³23]?(?:/[^\W\d_][^\W\d_²³]*[²³23]?)?|[€$£%]|°[CFK])"
_VALUE = re.compile(
    rf"(?:[~≈<>]|ca\.|approx\.|about|etwa)?\s*(?P<sign>[€$£])?\s*(?P<number>{NUMBER})\s*(?P<scale>{SCALE})?\s*"
    rf"(?P<unit>{UNIT}(?: [^\W\d_]+)?)?(?:\s*[(@].*)?",
    re.IGNORECASE,
)
_ISO_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[T ].*)?")
_GERMAN_DATE = re.compile(r"(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4})")
_SCALES = {"th": 1e3, "ta": 1e3, "mil": 1e6, "mio": 1e6, "bil": 1e9, "milliard": 1e9, "mrd": 1e9}

# Units as they are written, after the factor to the base unit of their dimension.
_UNIT_TABLE = """
mass: 1e-6 mg; 1e-3 g gram gramm grams; 1 kg kilo kilos kilogram kilograms kilogramm; 1e3 t ton tons tonne tonnes tonnen
mass: 0.4536 lb lbs pound pounds
length: 1e-12 pm; 1e-9 nm; 1e-3 mm millimeter millimeters millimetre millimetres millimetern; 1 m meter meters metre
length: 1 metres metern; 0.3048 ft feet foot
length: 1e-2 cm centimeter centimeters centimetre centimetres zentimeter zentimetern
length: 1e3 km kilometer kilometers kilometre kilometres kilometern; 1609.344 mile miles meile meilen
length: 0.0254 in inch inches zoll
area: 1 m2 qm sqm quadratmeter quadratmetern; 1e4 ha hectare hectares hektar; 1e6 km2 qkm quadratkilometer
area: 1e6 quadratkilometern
volume: 1e-3 ml milliliter; 1e-2 cl; 1 l liter liters litre litres litern; 1e3 m3 kubikmeter
time: 1e-3 ms; 1 s sec second seconds sekunde sekunden; 60 min minute minutes minuten; 3600 h hour hours stunde stunden
time: 86400 d day days tag tage tagen; 604800 week weeks woche wochen; 2629800 month months monat monate monaten
time: 31557600 year years jahr jahre jahren
bytes: 1 b byte bytes; 1e3 kb; 1e6 mb; 1e9 gb; 1e12 tb; 1024 kib; 1048576 mib; 1073741824 gib
power: 1 w watt; 1e3 kw kilowatt; 1e6 mw megawatt; 735.5 ps; 745.7 hp
speed: 1 km/h kmh; 3.6 m/s; 1.609344 mph
energy: 1 j joule; 1e3 kj; 4184 kcal; 3600 wh; 3.6e6 kwh
percent: 1 % percent prozent
euro: 1 € eur euro euros
dollar: 1 $ usd dollar dollars
sterling: 1 £ gbp
celsius: 1 °c celsius
kelvin: 1 k kelvin
"""
_UNITS = {
    name: (dimension, float(factor))
    for dimension, groups in (line.split(": ") for line in _UNIT_TABLE.strip().splitlines())
    for factor, *names in (group.split() for group in groups.split("; "))
    for name in names
}
# `in`, `t`, `d` and the like are words more often than units, in a field's name and in a question.
_AMBIGUOUS = {"in", "t", "d", "b", "w", "j", "s", "k", "l"}


@dataclass(frozen=True, slots=True)
class FieldName:
    """`name`: stems of its words without the unit; `unit` where the name ends in one (`height_m`, `Preis (EUR)`)."""

    name: str
    unit: str | None


@dataclass(frozen=True, slots=True)
class Value:
    """`text`: stems of its words, or the canonical number; `number` in the base unit of its dimension, days since
    1970-01-01 for dates."""

    kind: Kind
    text: str
    number: float | None = None
    unit: str | None = None


def light_stem(word: str) -> str:
    """A stem that needs no language: folded, common inflections of German and English cut from words of four letters
    on. Only ever compared with its like."""
    word = fold(word)
    if len(word) < 4 or not word.isalpha():
        return word
    if word[-1] == "s":
        word = word[:-1]
    for ending in ("en", "er", "em", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] + "i" if word[-1] == "y" else word


def stems(text: str) -> list[str]:
    """Light stems of the words of a text, in order."""
    return [light_stem(word) for word in _WORDS.findall(text)]


def field_name(label: str) -> FieldName:
    """A field's label in the form that is stored and compared."""
    words = _WORDS.findall(_CAMEL.sub(" ", label.replace("²", "2").replace("³", "3")).replace("_", " "))
    unit = None
    if len(words) > 1:
        last = fold(words[-1])
        if last in _UNITS and (last not in _AMBIGUOUS or label.endswith(f"_{words[-1]}")):
            unit = last
            words = words[:-1]
    return FieldName(" ".join(light_stem(word) for word in words), unit)


def unit_of(text: str | None) -> tuple[str, float] | None:
    """(dimension, factor to its base unit) of a unit as written; None when it is not known."""
    return _UNITS.get(normal_unit(text)) if text else None


def normal_unit(text: str) -> str:
    """A unit in the form that is stored: `km²`, `sq km` and `square kilometres` are `km2` or `area` … `km2`."""
    unit = fold(text.replace("²", "2").replace("³", "3")).strip(".()[] ")
    for power, sign in (("square ", "2"), ("cubic ", "3")):
        if unit.startswith(power):
            short = {"length": {1.0: "m", 1e3: "km", 1e-2: "cm", 1e-3: "mm"}}["length"]
            base = _UNITS.get(unit.removeprefix(power))
            return f"{short.get(base[1], '')}{sign}" if base and base[0] == "length" else unit
    return unit


def parse_value(  # noqa: PLR0911 - a return per kind
    raw: object, *, unit: str | None = None, german: bool = False
) -> Value | None:
    """A scalar of front matter or the text of a cell; None when it is empty or too long to be a value.

    `unit` is that of the field's name. `german` decides whether `1.250` is 1250 or 1.25.
    """
    if isinstance(raw, bool):
        return Value("boolean", "true" if raw else "false")
    if isinstance(raw, int | float):
        return _number(float(raw), unit)
    text = " ".join(str(raw).replace("**", "").replace("`", "").split())
    if not text or len(text) > MAX_VALUE_CHARS:
        return None
    if fold(text) in _BOOLEANS:
        return Value("boolean", "true" if _BOOLEANS[fold(text)] else "false")
    day = parse_date(text)
    if day is not None:
        return Value("date", day.isoformat(), float((day - EPOCH).days))
    match = _VALUE.fullmatch(text)
    if match:
        number = parse_number(match["number"], german=german) * scale_of(match["scale"])
        return _number(number, match["sign"] or match["unit"] or unit)
    words = " ".join(stems(text))
    return Value("text", words) if words else None


def parse_number(text: str, *, german: bool) -> float:
    """A number as people write it. A lone group of three (`1.250`) is thousands where the language's sign says so."""
    text = text.replace("−", "-").replace("'", "").replace("’", "").replace(" ", "").replace(" ", "")
    dots, commas = text.count("."), text.count(",")
    if dots and commas:
        point = "." if text.rfind(".") > text.rfind(",") else ","
    elif dots + commas == 1:
        sign = "." if dots else ","
        thousands = (
            len(text) - text.index(sign) == 4 and (sign == ".") == german and not text.lstrip("-+").startswith("0")
        )
        point = "" if thousands else sign
    else:
        point = ""
    whole = "".join(c if c != point else "\0" for c in text).replace(".", "").replace(",", "").replace("\0", ".")
    return float(whole)


def parse_date(text: str) -> date | None:
    """ISO 8601 or German notation."""
    iso = _ISO_DATE.fullmatch(text)
    german = _GERMAN_DATE.fullmatch(text)
    try:
        if iso:
            return date(int(iso[1]), int(iso[2]), int(iso[3]))
        if german:
            return date(int(german[3]), int(german[2]), int(german[1]))
    except ValueError:
        return None
    return None


def scale_of(word: str | None) -> float:
    """The factor of `million`, `Mio.` and the like; 1 for None."""
    word = (word or "").casefold()
    return max(((len(start), factor) for start, factor in _SCALES.items() if word.startswith(start)), default=(0, 1.0))[
        1
    ]


def _number(number: float, unit: str | None) -> Value:
    known = unit_of(unit)
    canonical = f"{number:.10g}"
    return Value(
        "number", canonical, number * known[1] if known else number, fold(unit).strip(".()[]") if unit else None
    )
