"""Logins and e-mail addresses: one spelling each, and no two that look alike."""

import unicodedata

from confusable_homoglyphs import confusables

from opaa.errors import InvalidInputError

LONGEST_LOGIN = 320


def normal_login(login: str) -> str:
    """The login in Unicode's form NFKC, without surrounding space. Raises InvalidInputError."""
    login = unicodedata.normalize("NFKC", login).strip()
    if not 1 <= len(login) <= LONGEST_LOGIN or not login.isprintable() or any(c.isspace() for c in login):
        raise InvalidInputError(f"A login is 1 to {LONGEST_LOGIN} printable characters without spaces")
    if any(unicodedata.category(character) in {"Cf", "Mn", "Me"} for character in login):
        raise InvalidInputError("A login has no invisible or combining characters")
    return login


def login_key(login: str) -> str:
    """What look-alikes of a login have in common: each letter of another script as the Latin one it looks like.

    After the skeleton of Unicode TS 39, which also takes 1 for l and 0 for O; those stay apart here, because logins
    such as `user1` and `userl` are common.
    """
    folded = unicodedata.normalize("NFKC", login).casefold()
    return "".join(_latin(character) for character in folded)


def _latin(character: str) -> str:
    if character.isascii():
        return character
    found = confusables.is_confusable(character, preferred_aliases=["latin"], greedy=True)
    for entry in found or ():
        for glyph in entry["homoglyphs"]:
            if glyph["n"].startswith("LATIN ") and glyph["c"].isascii():
                return str(glyph["c"]).casefold()
    return character
