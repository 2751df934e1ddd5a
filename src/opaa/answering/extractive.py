"""An answer without a language model: the sentences of the passages that fit the question best, each cited."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from opaa.answering.citations import Citation, Passage, cite
from opaa.answering.sentences import Sentence, split_sentences
from opaa.errors import EmbedderUnavailableError
from opaa.llm.port import Embedder
from opaa.retrieval.analysis import Question, analyze_chunk, analyze_question, detect_language

MOST_SENTENCES = 4
MOST_FROM_ONE_PASSAGE = 3
MOST_LIST_ITEMS = 6
GOOD_SHARE = 0.65
GOOD_SHARE_OF_ROWS = 0.9  # rows of a table are alike: only those as good as the best answer the question
HEADING_SHARE = 0.5
RANK_WEIGHT = 0.25
LEXICAL_ENOUGH = 0.4
MOST_EMBEDDED = 10
MEANING_WEIGHT = 0.6
LONGEST_SENTENCE_CHARS = 600


@dataclass(frozen=True, slots=True)
class ExtractiveAnswer:
    """Markdown with `[n]` markers, and the citation of each."""

    text: str
    citations: list[Citation]


@dataclass(slots=True)
class Scored:
    """A sentence, where it stands, which concepts it matches itself, and how well it fits."""

    passage_index: int
    index: int
    sentence: Sentence
    matched: frozenset[int]
    score: float = 0.0


async def extract_answer(question: str, passages: Sequence[Passage], embedder: Embedder | None) -> ExtractiveAnswer:
    """The best sentences in the order of their passages.

    Words decide; where the question shares few words with the passages (another language, a description), the
    similarity of the sentences' embeddings does.
    """
    if not passages:
        return ExtractiveAnswer("", [])
    analyzed = analyze_question(question)
    sentences = [split_sentences(passage.text) for passage in passages]
    candidates = _score(analyzed, passages, sentences)
    if not candidates:
        return ExtractiveAnswer("", [])
    best = max(candidate.score for candidate in candidates)
    if best < LEXICAL_ENOUGH + RANK_WEIGHT and embedder is not None:
        candidates = await _score_by_meaning(question, candidates, embedder)
    return _compose(passages, sentences, _choose(candidates))


def _score(question: Question, passages: Sequence[Passage], sentences: Sequence[Sequence[Sentence]]) -> list[Scored]:
    concepts = question.concepts
    wanted = [frozenset(concept.term_ids) for concept in concepts]
    scored: list[Scored] = []
    languages = [detect_language(passage.text) or question.language for passage in passages]
    for passage_index, found in enumerate(sentences):
        for index, sentence in enumerate(found):
            if not sentence.heading and len(sentence.text) <= 4 * LONGEST_SENTENCE_CHARS:
                terms = _terms(sentence.text, languages[passage_index])
                matched = frozenset(number for number, ids in enumerate(wanted) if ids & terms)
                scored.append(Scored(passage_index, index, sentence, matched))
    frequency = Counter(number for candidate in scored for number in candidate.matched)
    weights = [
        concept.weight * math.log(1 + len(scored) / (0.5 + frequency[number]))
        for number, concept in enumerate(concepts)
    ]
    total = sum(weights) or 1.0
    top = max(passage.score for passage in passages) or 1.0
    for candidate in scored:
        passage = passages[candidate.passage_index]
        place = _terms(" ".join([passage.title, *passage.heading_path]), languages[candidate.passage_index])
        nearby = {number for number, ids in enumerate(wanted) if ids & place} - candidate.matched
        share = sum(weights[number] for number in candidate.matched)
        share += HEADING_SHARE * sum(weights[number] for number in nearby)
        candidate.score = share / total + RANK_WEIGHT * passage.score / top
        if not candidate.matched:
            candidate.score *= HEADING_SHARE
    return scored


async def _score_by_meaning(question: str, candidates: list[Scored], embedder: Embedder) -> list[Scored]:
    """The candidates that words like best, scored by cosine as well."""
    near = sorted(candidates, key=lambda candidate: (-candidate.score, candidate.passage_index))[:MOST_EMBEDDED]
    try:
        query = await embedder.embed_query(question)
        vectors = await embedder.embed_passages([candidate.sentence.text for candidate in near])
    except EmbedderUnavailableError:
        return candidates
    similarity = vectors @ query
    low, high = float(np.min(similarity)), float(np.max(similarity))
    for candidate, cosine in zip(near, similarity, strict=True):
        near_by = (float(cosine) - low) / (high - low) if high > low else 1.0
        candidate.score = (1 - MEANING_WEIGHT) * candidate.score + MEANING_WEIGHT * near_by
    return near


def _choose(candidates: list[Scored]) -> list[Scored]:
    ranked = sorted(candidates, key=lambda candidate: (-candidate.score, candidate.passage_index, candidate.index))
    best = ranked[0].score
    chosen: list[Scored] = []
    for candidate in ranked:
        if len(chosen) == MOST_SENTENCES:
            break
        if candidate.score < best * (GOOD_SHARE_OF_ROWS if candidate.sentence.row else GOOD_SHARE):
            continue
        same_passage = [other for other in chosen if other.passage_index == candidate.passage_index]
        repeats = any(_alike(other.sentence.text, candidate.sentence.text) for other in chosen)
        if not repeats and len(same_passage) < MOST_FROM_ONE_PASSAGE:
            chosen.append(candidate)
    return chosen


def _compose(
    passages: Sequence[Passage], sentences: Sequence[Sequence[Sentence]], chosen: Sequence[Scored]
) -> ExtractiveAnswer:
    order = list(dict.fromkeys(candidate.passage_index for candidate in chosen))
    lines: list[str] = []
    citations: list[Citation] = []
    for marker, passage_index in enumerate(order, 1):
        passage = passages[passage_index]
        mine = sorted((c for c in chosen if c.passage_index == passage_index), key=lambda c: c.index)
        shown: set[int] = set()
        parts: list[str] = []
        for candidate in mine:
            for index in [candidate.index, *_announced(sentences[passage_index], candidate.index)]:
                if index not in shown:
                    shown.add(index)
                    sentence = sentences[passage_index][index]
                    text = sentence.text
                    if len(text) > LONGEST_SENTENCE_CHARS:
                        text = text[:LONGEST_SENTENCE_CHARS].rsplit(" ", 1)[0] + " …"
                    item = index != candidate.index
                    parts.append(f"\n- {text} [{marker}]" if item else f"{text} [{marker}]")
                    citations.append(cite(marker, passage, sentence))
        lines.append(_joined(parts))
    return ExtractiveAnswer("\n\n".join(lines), citations)


def _announced(sentences: Sequence[Sentence], index: int) -> list[int]:
    """The list that a sentence ending in a colon announces."""
    if not sentences[index].text.endswith(":"):
        return []
    following = range(index + 1, min(index + 1 + MOST_LIST_ITEMS, len(sentences)))
    return [number for number in following if not sentences[number].heading]


def _joined(parts: Sequence[str]) -> str:
    text = ""
    for part in parts:
        text += part if not text or part.startswith("\n") else f" {part}"
    return text


@lru_cache(maxsize=4096)
def _terms(text: str, language: str | None = None) -> frozenset[int]:
    return frozenset(analyze_chunk(text, language=language).term_ids.tolist())


def _alike(one: str, other: str) -> bool:
    first, second = _terms(one), _terms(other)
    return bool(first and second) and len(first & second) / min(len(first), len(second)) > 0.8
