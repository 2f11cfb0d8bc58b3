"""What people say when they read a name aloud: words and letters, with numbers spelled out.

``covid 19`` is said as the words covid, nineteen; ``b 12`` as the letter B and the word twelve;
``FBI`` as three letters. A name may have several readings, the likelier one first.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import NamedTuple

from ctcbias_fst.text.numbers import ABBREVIATIONS, ROMAN, number_readings, number_words, ordinal

__all__ = ["LETTER_NAMES", "Atom", "Reading", "number_words", "readings"]

# fmt: off
LETTER_NAMES = {
    "a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY",
    "h": "EY CH", "i": "AY", "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N",
    "o": "OW", "p": "P IY", "q": "K Y UW", "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW",
    "v": "V IY", "w": "D AH B AH L Y UW", "x": "EH K S", "y": "W AY", "z": "Z IY",
}
"""Phones of the names of the letters."""
# fmt: on

_PARTS = re.compile(r"\d+(?:st|nd|rd|th|s)\b|\d+|[^\d\s]+")
_SECOND = math.log(2.0)
_VOWELS = frozenset("aeiouy")
_LONGEST_INITIALISM = 6


class Atom(NamedTuple):
    """One word to be pronounced, or one letter to be named.

    Attributes:
        text: the word, or the letter.
        letter: whether it is named.
    """

    text: str
    letter: bool = False


class Reading(NamedTuple):
    """One way to say a name.

    Attributes:
        atoms: in the order they are said.
        cost: at least 0; natural log, how much less likely than the first reading.
    """

    atoms: tuple[Atom, ...]
    cost: float = 0.0


def readings(name: str, display: str | None = None, most: int = 8) -> list[Reading]:
    """Return the ways to say a name, likeliest first.

    Args:
        name: normalised: words of letters, digits and apostrophes, single spaces.
        display: as the user wrote it; capitals (``MRSA``) tell letters from words.
        most: at most so many.
    """
    capitals = _capital_words(name, display)
    words = name.split(" ")
    choices: list[list[Reading]] = []
    for position, word in enumerate(words):
        parts = _PARTS.findall(word)
        for part in parts:
            alone = len(parts) == 1
            choices.append(
                _part_readings(part, position, len(words), alone and capitals[position], alone)
            )
    if all(len(choice) == 1 for choice in choices):
        only = [choice[0] for choice in choices]
        atoms = itertools.chain.from_iterable(reading.atoms for reading in only)
        return [Reading(tuple(atoms), sum(reading.cost for reading in only))]
    combined = [
        Reading(tuple(itertools.chain.from_iterable(r.atoms for r in c)), sum(r.cost for r in c))
        for c in itertools.islice(itertools.product(*choices), 512)
    ]
    return sorted(combined, key=lambda reading: reading.cost)[:most]


def _capital_words(name: str, display: str | None) -> list[bool]:
    """Which words of the name the user wrote in capitals, while not writing all of a phrase so."""
    words = name.split(" ")
    shown = (display or "").split()
    if len(shown) != len(words):
        return [False] * len(words)
    capital = [len(s) > 1 and s.isupper() and s.lower() == w for s, w in zip(shown, words)]
    return [False] * len(words) if len(words) > 1 and all(capital) else capital


def _part_readings(
    part: str, position: int, words: int, capital: bool, alone: bool
) -> list[Reading]:
    """Return how one word, or one run of digits or letters in it, may be said."""
    if part[0].isdecimal():
        return [
            Reading(tuple(map(Atom, way)), n * _SECOND)
            for n, way in enumerate(number_readings(part))
        ]
    if len(part) == 1:
        return [Reading((Atom(part, letter=True),))] if part in LETTER_NAMES else [_word(part)]
    plain = part.isascii() and part.isalpha() and len(part) <= _LONGEST_INITIALISM
    if position and alone and part in ROMAN:
        value = ROMAN[part]
        numbered = ["the", *ordinal(number_words(value))]
        return [
            _word(*number_words(value)),
            Reading(tuple(map(Atom, numbered)), _SECOND),
            Reading(_letters(part), 2 * _SECOND),
        ]
    if alone and words > 1 and part in ABBREVIATIONS:
        return [
            Reading((Atom(word),), rank * _SECOND) for rank, word in enumerate(ABBREVIATIONS[part])
        ]
    if plain and (capital or not _VOWELS & set(part)):
        # What has no vowel can hardly be said; capitals may be a word still (NATO).
        return [
            Reading(_letters(part)),
            Reading((Atom(part),), 2 * _SECOND if capital else 4 * _SECOND),
        ]
    return [_word(part)]


def _letters(part: str) -> tuple[Atom, ...]:
    return tuple(Atom(letter, letter=True) for letter in part)


def _word(*words: str) -> Reading:
    return Reading(tuple(map(Atom, words)))
