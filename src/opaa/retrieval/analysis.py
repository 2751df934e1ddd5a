"""Text to terms: what the lexical index stores for a chunk and what it looks for in a question.

A term is a folded, stemmed word, a number in one canonical form, or an identifier, both whole and in parts. The index
knows a term by the CRC-32 of its UTF-8 text as a signed 32-bit integer, so that no dictionary has to be asked.
"""

import itertools
import re
import threading
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import snowballstemmer

from opaa.retrieval.stopwords import STOP_WORDS
from opaa.vectors.port import ChunkTerms, Concept

TITLE_WEIGHT = 2
HEADING_WEIGHT = 2
DEFAULT_LANGUAGE = "en"
QUESTION_LANGUAGES = ("en", "de")
MAX_QUESTION_CHARS = 8_000
MAX_CONCEPTS = 48
MAX_TERM_CHARS = 64
MAX_FREQUENCY = 255
_CACHE_ENTRIES = 200_000
_LANGUAGE_SAMPLE_CHARS = 4_000

_STEMMERS = {
    "da": "danish", "de": "german", "en": "english", "es": "spanish", "fi": "finnish", "fr": "french",
    "hu": "hungarian", "it": "italian", "nl": "dutch", "no": "norwegian", "pl": "polish", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sv": "swedish", "tr": "turkish",
}  # fmt: skip
# c++ and c#; or a word; or words and numbers joined without spaces: e-4711, 1.250,50, o'neill, 2.4.1, user@example
_TOKEN = re.compile(r"(?<!\w)[a-z](?:\+\+|#)(?!\w)|[^\W_]+(?:[-./,:_'’@+&][^\W_]+)*")
_PART = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)*")
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_GROUPED = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*(?:(?!\1)[.,]\d+)?")
_FOLDABLE = str.maketrans({"ø": "o", "đ": "d", "ł": "l", "æ": "ae", "œ": "oe", "þ": "th", "ı": "i"})


@dataclass(frozen=True, slots=True)
class Question:
    """A question as the lexical index sees it."""

    text: str
    language: str
    concepts: tuple[Concept, ...]


def term_id(term: str) -> int:
    """Signed 32-bit id of a term."""
    value = zlib.crc32(term.encode("utf-8", "surrogatepass"))
    return value - 0x1_0000_0000 if value >= 0x8000_0000 else value


def fold(word: str) -> str:
    """Case and accents removed: `Ä` → `a`, `ß` → `ss`, `é` → `e`."""
    word = word.casefold()
    if word.isascii():
        return word
    decomposed = unicodedata.normalize("NFKD", word)
    return "".join(c for c in decomposed if not unicodedata.combining(c)).translate(_FOLDABLE)


def detect_language(text: str, candidates: Sequence[str] = QUESTION_LANGUAGES) -> str | None:
    """The candidate whose stop words occur most often in the beginning of `text`; None when there is no telling."""
    words = Counter(fold(word) for word in _WORD.findall(text[:_LANGUAGE_SAMPLE_CHARS]))
    counts = {
        language: sum(count for word, count in words.items() if word in STOP_WORDS[language])
        for language in candidates
        if language in STOP_WORDS
    }
    if not counts:
        return None
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    if ranked[0][1] == 0 or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def analyze_chunk(
    text: str, *, title: str = "", headings: Sequence[str] = (), language: str | None = None
) -> ChunkTerms:
    """Terms of a chunk with the frequencies of pooled BM25F (Robertson, Zaragoza: The Probabilistic Relevance
    Framework, 2009, §3.6): fields are weighted, added up, and share one length and one idf."""
    analyzer = _analyzer(language or detect_language(text) or DEFAULT_LANGUAGE)
    counts: Counter[str] = Counter(_tokens(text))
    for token in _tokens(" \n ".join(headings)):
        counts[token] += HEADING_WEIGHT
    for token in _tokens(title):
        counts[token] += TITLE_WEIGHT
    frequencies: dict[str, int] = {}
    length = 0
    for token, count in counts.items():
        terms = analyzer.terms(token)
        if terms:
            length += count
            for term in terms:
                frequencies[term] = frequencies.get(term, 0) + count
    return _chunk_terms(frequencies, float(length))


def analyze_question(text: str, languages: Sequence[str] = QUESTION_LANGUAGES) -> Question:
    """The concepts of a question, each with its term in every language that it could be written in.

    Only the first `MAX_QUESTION_CHARS` characters and `MAX_CONCEPTS` concepts count.
    """
    text = text[:MAX_QUESTION_CHARS]
    language = detect_language(text, languages)
    ordered = [language, *(each for each in languages if each != language)] if language else list(languages)
    stop = _stop_words(language, languages)
    concepts: dict[tuple[str, ...], Concept] = {}
    for token in _tokens(text):
        for surface, terms, weight in _question_terms(token, ordered, stop):
            if terms not in concepts and len(concepts) < MAX_CONCEPTS:
                concepts[terms] = Concept(surface, terms, tuple(term_id(term) for term in terms), weight)
    return Question(text, language or DEFAULT_LANGUAGE, tuple(concepts.values()))


def stem(word: str, language: str) -> str:
    """The folded stem of one word."""
    return _analyzer(language).stem(word.casefold())


def number_terms(token: str) -> tuple[str, ...]:
    """Canonical readings of a number: `1.250,50` → `1250.5`; `1.250` may be 1250 or 1.25, so both."""
    if not _NUMBER.fullmatch(token):
        return ()
    readings: list[str] = []
    if _GROUPED.fullmatch(token):
        separators = [c for c in token if c in ".,"]
        if separators[-1] != separators[0]:
            readings.append(_decimal(token, separators[-1]))
        else:
            readings.append(token.replace(separators[0], ""))
            if len(separators) == 1:
                readings.append(_decimal(token, separators[0]))
    elif token.count(".") + token.count(",") == 1:
        readings.append(_decimal(token, "." if "." in token else ","))
    else:
        readings.append(token.lstrip("0") or "0" if token.isdigit() else token)
    return tuple(dict.fromkeys(readings))


def _decimal(token: str, point: str) -> str:
    whole, _, fraction = token.rpartition(point)
    whole = whole.replace(".", "").replace(",", "").lstrip("0") or "0"
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole


def _tokens(text: str) -> list[str]:
    if not text:
        return []
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _TOKEN.findall(text.casefold())


def _stop_words(language: str | None, languages: Iterable[str]) -> frozenset[str]:
    """The known language's stop words; where it is unknown, what is one in every language."""
    if language:
        return STOP_WORDS.get(language, frozenset())
    sets = [STOP_WORDS[each] for each in languages if each in STOP_WORDS]
    return frozenset.intersection(*sets) if sets else frozenset()


def _question_terms(
    token: str, languages: Sequence[str], stop: frozenset[str]
) -> Iterable[tuple[str, tuple[str, ...], float]]:
    numbers = number_terms(token)
    if numbers:
        yield token, numbers, 1.0
        return
    if token[-1] in "+#":
        yield token, (token,), 1.0
        return
    parts = [token] if token.isalpha() else _split(token)
    if len(parts) == 1:
        if fold(parts[0]) in stop:
            return
        terms = dict.fromkeys(_analyzer(language).stem(parts[0]) for language in languages)
        yield parts[0], tuple(terms), 1.0
        return
    whole = _joined(parts)
    if whole:
        yield token, (whole,), 1.0
    for part in parts:
        if fold(part) in stop or (len(part) == 1 and whole):
            continue
        terms = dict.fromkeys(_analyzer(language).stem(part) for language in languages)
        yield part, tuple(terms), 0.5 if whole else 1.0


def _split(token: str) -> list[str]:
    token = re.sub(r"['’](?:s|t|re|ve|ll|d|m)?$", "", token.replace("’", "'"))
    return _PART.findall(token.replace("'", ""))


def _joined(parts: Sequence[str]) -> str | None:
    """An identifier as one term: `e-4711`, `E4711` and `e/4711` are the same."""
    pairs = itertools.pairwise(parts)
    whole = fold(parts[0]) + "".join(("." if a.isdigit() and b.isdigit() else "") + fold(b) for a, b in pairs)
    return whole if len(whole) <= MAX_TERM_CHARS else None


class _Analyzer:
    """Terms of tokens in one language, remembered; one token is analysed once."""

    def __init__(self, language: str) -> None:
        self._stop = STOP_WORDS.get(language, frozenset())
        algorithm = _STEMMERS.get(language)
        self._stemmer = snowballstemmer.stemmer(algorithm) if algorithm else None
        self._lock = threading.Lock()
        self._stems: dict[str, str] = {}
        self._terms: dict[str, tuple[str, ...]] = {}

    def stem(self, word: str) -> str:
        """`word` is case-folded. Numbers and very long words stay as they are."""
        known = self._stems.get(word)
        if known is not None:
            return known
        if word[:1].isdigit():
            result = next(iter(number_terms(word)), word)
        else:
            result = fold(self._stemmed(word[:MAX_TERM_CHARS]))
        if len(self._stems) > _CACHE_ENTRIES:
            self._stems = {}
        self._stems[word] = result
        return result

    def terms(self, token: str) -> tuple[str, ...]:
        """What the index stores for a token; nothing for a stop word."""
        known = self._terms.get(token)
        if known is not None:
            return known
        result = self._analyze(token)
        if len(self._terms) > _CACHE_ENTRIES:
            self._terms = {}
        self._terms[token] = result
        return result

    def _analyze(self, token: str) -> tuple[str, ...]:
        numbers = number_terms(token)
        if numbers:
            return numbers
        if token[-1] in "+#":
            return (token,)
        parts = [token] if token.isalpha() else _split(token)
        whole = _joined(parts) if len(parts) > 1 else None
        wanted = (part for part in parts if fold(part) not in self._stop and (len(part) > 1 or not whole))
        terms = {self.stem(part): None for part in wanted}
        if whole:
            terms[whole] = None
        return tuple(term for term in terms if term)

    def _stemmed(self, word: str) -> str:
        if self._stemmer is None:
            return word
        with self._lock:  # the stemmer keeps the word it works on in itself
            return str(self._stemmer.stemWord(word))


_analyzers: dict[str, _Analyzer] = {}


def _analyzer(language: str) -> _Analyzer:
    language = language[:2].lower()
    found = _analyzers.get(language)
    if found is None:
        found = _analyzers.setdefault(language, _Analyzer(language))
    return found


def _chunk_terms(frequencies: dict[str, int], length: float) -> ChunkTerms:
    by_id: dict[int, tuple[str, int]] = {}
    for term, count in frequencies.items():
        identity = term_id(term)
        other = by_id.get(identity)
        by_id[identity] = (term, count + (other[1] if other else 0))
    ordered = sorted(by_id.items())
    return ChunkTerms(
        np.array([identity for identity, _ in ordered], np.int32),
        np.array([min(count, MAX_FREQUENCY) for _, (_, count) in ordered], np.uint8),
        length,
        tuple(term for _, (term, _) in ordered),
    )
