"""Citation markers: read while the text streams, checked against the passages, and given their quotes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from opaa.answering.sentences import Sentence, split_sentences
from opaa.retrieval.analysis import analyze_chunk

# [1], [1, 2], [1][2], 【1】, and what models make of them: [^1], [Passage 1].
_MARKER = re.compile(
    r"[\[【][^\S\n]*\^?(?:(?:passage|source|quelle|doc(?:ument)?)[^\S\n]*)?(\d+(?:[^\S\n]*[,;][^\S\n]*\d+)*)[^\S\n]*[\]】]",
    re.IGNORECASE,
)
# What the next piece may still change: an open bracket, and markers whose space goes with them if they are unknown.
_OPEN = re.compile(r" ?(?:[\[【][^\[\]【】\n]{0,40}[\]】] ?)*(?:[\[【][^\]】\n]{0,40})?$")


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved passage that an answer may cite; its marker is its place in the list, from 1."""

    document_id: UUID
    title: str
    uri: str
    chunk_id: UUID
    heading_path: Sequence[str]
    text: str
    start_offset: int
    score: float


@dataclass(frozen=True, slots=True)
class Citation:
    """A verified citation. The offsets are the quote's place in the document's text (characters)."""

    marker: int
    document_id: UUID
    title: str
    uri: str
    chunk_id: UUID
    heading_path: Sequence[str]
    quote: str
    start_offset: int
    end_offset: int
    score: float


def cite(marker: int, passage: Passage, sentence: Sentence) -> Citation:
    """The citation of one sentence of a passage."""
    return Citation(
        marker,
        passage.document_id,
        passage.title,
        passage.uri,
        passage.chunk_id,
        passage.heading_path,
        passage.text[sentence.start : sentence.end],
        passage.start_offset + sentence.start,
        passage.start_offset + sentence.end,
        passage.score,
    )


@dataclass
class MarkerFilter:
    """Passes text on as it streams, without the markers that name no passage.

    Markers come out in the one form `[n]`. `cited` holds, for each known marker, the sentence that used it first.
    """

    passages: Sequence[Passage]
    removed: int = 0
    text: str = ""
    cited: dict[int, str] = field(default_factory=dict)
    _pending: str = ""

    def feed(self, piece: str) -> str:
        """The part of the text so far that is certain."""
        self._pending += piece
        unfinished = _OPEN.search(self._pending)
        ready = self._pending[: unfinished.start()] if unfinished else self._pending
        self._pending = self._pending[len(ready) :]
        return self._accept(ready)

    def finish(self) -> str:
        """The rest, once no more comes."""
        ready, self._pending = self._pending, ""
        return self._accept(ready)

    def _accept(self, ready: str) -> str:
        clean = []
        position = 0
        for match in _MARKER.finditer(ready):
            before = ready[position : match.start()]
            self.text += before
            clean.append(before)
            position = match.end()
            kept = self._keep(match[1])
            if (
                not kept
                and clean[-1].endswith(" ")
                and ready[position : position + 1] in {".", ",", ";", "", "\n", " "}
            ):
                clean[-1] = clean[-1][:-1]
                self.text = self.text[:-1]
            clean.append(kept)
            self.text += kept
        clean.append(ready[position:])
        self.text += ready[position:]
        return "".join(clean)

    def _keep(self, numbers: str) -> str:
        kept = ""
        for number in re.findall(r"\d+", numbers):
            marker = int(number[:6])
            if 1 <= marker <= len(self.passages):
                kept += f"[{marker}]"
                self.cited.setdefault(marker, _last_claim(self.text))
            else:
                self.removed += 1
        return kept


def _last_claim(text: str) -> str:
    """The sentence before a marker."""
    without = _MARKER.sub("", text[-600:]).rstrip()
    sentences = split_sentences(without)
    return sentences[-1].text if sentences else without


def best_sentence(passage: Passage, claim: str) -> Sentence:
    """The sentence of the passage that shares most words with the claim; its first one when none does."""
    sentences = split_sentences(passage.text)
    body = [sentence for sentence in sentences if not sentence.heading] or sentences
    if not body:
        return Sentence(passage.text, 0, len(passage.text))
    wanted = _terms(claim)
    return max(body, key=lambda sentence: (len(wanted & _terms(sentence.text)), -sentence.start))


def _terms(text: str) -> set[int]:
    return set(analyze_chunk(text).term_ids.tolist())
