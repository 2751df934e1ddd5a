"""German, English or neither, by the share of function words."""

import re

_WORD = re.compile(r"[a-zäöüß]+")
_SAMPLE_CHARS = 6_000
_MIN_HITS = 3
_MIN_SHARE = 0.08


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words that are frequent in one of the two languages and not in the other, nor in Dutch, French or the like.
_ENGLISH = _words(
    "the and of to is that for it with as on are this be by from or which have has was were will not can you your if "
    "their they we our its been when who what must should may any all at"
)
_GERMAN = _words(
    "der die das und ist nicht ein eine einen einem einer eines mit für auf dem den des sich auch wird werden im zu "
    "zum zur bei oder als nach von vom wie wir sie ihre ihr unser unsere dass über sind wurde kann muss müssen aus "
    "durch nur noch wenn bis vor hat haben"
)


def detect_language(text: str) -> str | None:
    """`de`, `en`, or None when the text is in another language or too short to tell.

    Three samples (start, middle, end) are read, so the cost does not grow with the document.
    """
    if len(text) > 3 * _SAMPLE_CHARS:
        middle = len(text) // 2
        text = text[:_SAMPLE_CHARS] + text[middle : middle + _SAMPLE_CHARS] + text[-_SAMPLE_CHARS:]
    words = _WORD.findall(text.lower())
    english = sum(word in _ENGLISH for word in words)
    german = sum(word in _GERMAN for word in words)
    hits = max(english, german)
    if hits < _MIN_HITS or hits < _MIN_SHARE * len(words):
        return None
    return "de" if german > english else "en"
