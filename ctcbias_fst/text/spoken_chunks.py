"""How a part of a name without white space is said: words, initials, what is written short."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ctcbias_fst.text.amounts import SECOND, Way, amount_ways, ranked
from ctcbias_fst.text.name_parts import Part, parts_of
from ctcbias_fst.text.numbers import (
    ABBREVIATIONS,
    ROMAN,
    SHORTENED,
    fraction,
    number_words,
    ordinal,
)
from ctcbias_fst.text.spoken_symbols import DOMAINS, symbol_ways

MAX_COMBINED = 24
"""Kept on the way: some forms turn out to be the same, or common words."""

_LONGEST_INITIALISM = 5
_VOWELS = frozenset("aeiouyAEIOUY")
_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+|[^\x00-\x7f]+")
_PLURAL = re.compile(r"[A-Z]{2,}s")
ORDINARY = re.compile(r"[A-Za-z][a-z]{5,}")
"""A word that is said as it is written: no initials, no abbreviation."""


class Place(NamedTuple):
    """Where in a name a chunk stands, and what is known of the whole."""

    first: bool
    last: bool
    ampersand: bool
    capitals: bool
    shouted: bool


@lru_cache(maxsize=20_000)
def chunk_ways(chunk: str, place: Place) -> tuple[Way, ...]:
    """Return the ways to say a part of a name that has no white space."""
    if chunk == "'n'":
        return (("and",), 0.0), (("n",), SECOND)
    if chunk.startswith("www.") and len(chunk) > 4:
        rest = [(words, cost + SECOND) for words, cost in chunk_ways(chunk[4:], place)]
        return (*((("w", "w", "w", "dot", *words), cost - SECOND) for words, cost in rest), *rest)
    parts = parts_of(chunk)
    ways = combined([_ways(parts, position, place) for position in range(len(parts))])
    if len(parts) == 3 and parts[1].text in ("\u2044", "/"):
        top, bottom = parts[0].text, parts[2].text
        if top.isdigit() and bottom.isdigit() and 0 < int(top) < int(bottom) <= 10:
            several = fraction(int(top), int(bottom))
            if parts[1].text == "/":
                several += [words for words, _ in ways]
            ways = ranked(several)
    hyphened = len(parts) > 2 and parts[1].text == "-" and len(parts[0].text) <= 2
    if hyphened and parts[0].kind == parts[2].kind == "letters":
        # E-mail and email are the same name.
        first = parts[0].text.lower()
        ways += [
            ((words[0] + words[1], *words[2:]), cost + SECOND)
            for words, cost in ways
            if len(words) > 1 and words[0] == first
        ]
    return tuple(ways)


def _no_vowel(word: str) -> bool:
    return (
        1 < len(word) <= _LONGEST_INITIALISM
        and word.isascii()
        and word.isalpha()
        and not _VOWELS & set(word)
    )


def _ways(parts: Sequence[Part], position: int, place: Place) -> Sequence[Way]:
    """Return the ways to say one part of a chunk."""
    part = parts[position]
    numbered = position > 0 and parts[position - 1].kind == "digits"
    if part.kind == "letters" and not numbered and ORDINARY.fullmatch(part.text):
        return (((part.text.lower(),), 0.0),)
    ways = amount_ways(parts, position)
    if ways:
        return ways
    if part.kind == "symbol":
        return symbol_ways(parts, position, place.first and place.last)
    after = parts[position + 1].text if position + 1 < len(parts) else ""
    return _letter_ways(parts, position, place, after == "." and len(part.text) > 1)


def combined(choices: Sequence[Sequence[Way]]) -> list[Way]:
    """Return the likeliest combinations of the ways to say each part."""
    found: list[Way] = [((), 0.0)]
    for ways in choices:
        if len(ways) == 1:
            ((words, cost),) = ways
            found = [(before + words, paid + cost) for before, paid in found]
            continue
        longer = [(b + words, paid + cost) for b, paid in found for words, cost in ways]
        longer.sort(key=lambda way: way[1])
        found = longer[:MAX_COMBINED]
    return found


def _letter_ways(parts: Sequence[Part], position: int, place: Place, shortened: bool) -> list[Way]:
    part = parts[position]
    word = part.text.strip("'’ʼ") or part.text
    lower = word.lower()
    following = parts[position + 1 :]
    whole = position == 0 and (not following or shortened)
    alone = place.first and place.last and len(parts) == 1
    capitals = place.capitals
    around = [parts[at].text for at in (position - 1, position + 1) if 0 <= at < len(parts)]
    tight = "&" in around  # at&t
    beside = place.ampersand and (tight or len(parts) == 1)
    full = SHORTENED if shortened else ABBREVIATIONS
    before = parts[position - 1].text if position else ""
    ways: list[tuple[str, ...]] = [(lower,)]
    if len(word) == 1:
        pass
    elif whole and not place.first and word.isupper() and not capitals and lower in ROMAN:
        words = number_words(ROMAN[lower])
        ways = [tuple(words), ("the", *ordinal(words)), (lower,)]
    elif whole and lower in full and (shortened or not alone):
        ways = [*((said,) for said in _in_full(full[lower], place)), (lower,)]
    elif (
        _no_vowel(word)
        or (beside and word.isupper() and len(word) < 4)
        or (before == "." and not following and len(word) == 2 and word in DOMAINS)
        or (len(word) == 2 and tight)
    ):
        ways = [tuple(lower), (lower,)]
    elif not capitals:
        ways = _cased_ways(word, place.shouted, before in ("#", "@"))
    return ranked(ways)


def _cased_ways(word: str, shouted: bool, tagged: bool) -> list[tuple[str, ...]]:
    """The ways to say a word whose capitals tell something: initials, words run together.

    Args:
        word: of letters.
        shouted: it is one of several words in capitals.
        tagged: it is a hashtag or a handle.
    """
    lower = word.lower()
    ways: list[tuple[str, ...]] = [(lower,)]
    if word[1:] == word[1:].lower():
        return ways
    stem = word[: -1 if _PLURAL.fullmatch(word) else -2 if word.endswith(("'s", "’s")) else None]
    letters = tuple(stem.lower())
    if stem.isupper():
        if stem.isascii() and stem.isalpha() and len(stem) <= _LONGEST_INITIALISM:
            if stem != word:
                letters = (*letters[:-1], f"{letters[-1]}'s")
            first = (len(word) == 2 and not shouted) or (stem != word and _no_vowel(stem))
            ways.insert(0 if first else 1, letters)
        return ways
    inner = _CAMEL.findall(word)
    if len(inner) > 1 and "".join(inner) == word and inner[0] not in ("Mc", "Mac", "O'"):
        initials = any(len(piece) > 1 and piece.isupper() for piece in inner)
        ways.insert(0 if initials or tagged else 1, _camel(inner))
    return ways


def _in_full(several: tuple[str, ...], place: Place) -> tuple[str, ...]:
    """What is written short, in full: saint before a name, street behind it."""
    if several[-1] not in ("drive", "street", "feet"):
        return several
    behind = place.last and not place.first
    return several[1:] if behind else several[:1]


def _camel(pieces: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a name with inner capitals, its initials as letters."""
    words: list[str] = []
    for piece in pieces:
        initials = piece.isupper() or _no_vowel(piece)
        words += piece.lower() if initials else [piece.lower()]
    return tuple(words)
