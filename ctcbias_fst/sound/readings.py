"""What people say when they read a name aloud: words and letters, with numbers spelled out.

``covid 19`` is said as the words covid, nineteen; ``b 12`` as the letter B and the word twelve;
``FBI`` as three letters. A name may have several readings, the likelier one first.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import NamedTuple

__all__ = ["LETTER_NAMES", "Atom", "Reading", "number_words", "readings"]

# fmt: off
LETTER_NAMES = {
    "a": "EY", "b": "B IY", "c": "S IY", "d": "D IY", "e": "IY", "f": "EH F", "g": "JH IY",
    "h": "EY CH", "i": "AY", "j": "JH EY", "k": "K EY", "l": "EH L", "m": "EH M", "n": "EH N",
    "o": "OW", "p": "P IY", "q": "K Y UW", "r": "AA R", "s": "EH S", "t": "T IY", "u": "Y UW",
    "v": "V IY", "w": "D AH B AH L Y UW", "x": "EH K S", "y": "W AY", "z": "Z IY",
}
"""Phones of the names of the letters."""

# What is written short but said in full; not to be read as it is spelt.
_ABBREVIATIONS = {
    "dr": ("doctor", "drive"), "mr": ("mister",), "mrs": ("missus",), "ms": ("miz",),
    "st": ("saint", "street"), "mt": ("mount",), "ft": ("fort", "feet"), "jr": ("junior",),
    "sr": ("senior",), "vs": ("versus",), "mg": ("milligrams",), "ml": ("milliliters",),
    "mcg": ("micrograms",), "kg": ("kilograms",), "inc": ("incorporated", "ink"),
    "ltd": ("limited",), "vol": ("volume",),
}

_ROMAN = {
    "ii": 2, "iii": 3, "iv": 4, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "xi": 11, "xii": 12,
    "xiii": 13, "xiv": 14, "xv": 15, "xvi": 16, "xvii": 17, "xviii": 18, "xix": 19, "xx": 20,
}
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ((10**9, "billion"), (10**6, "million"), (10**3, "thousand"), (100, "hundred"))
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}
# fmt: on

_LONGEST_NUMBER = 12
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


def number_words(value: int) -> list[str]:
    """Return a whole number in words.

    >>> " ".join(number_words(1_019))
    'one thousand nineteen'
    """
    if value < 20:
        return [_ONES[value]]
    for scale, word in _SCALES:
        if value >= scale:
            rest = value % scale
            return [*number_words(value // scale), word, *(number_words(rest) if rest else [])]
    tens, ones = divmod(value, 10)
    return [_TENS[tens], *([_ONES[ones]] if ones else [])]


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
        return _number_readings(part)
    if len(part) == 1:
        return [Reading((Atom(part, letter=True),))] if part in LETTER_NAMES else [_word(part)]
    plain = part.isascii() and part.isalpha() and len(part) <= _LONGEST_INITIALISM
    if position and alone and part in _ROMAN:
        value = _ROMAN[part]
        ordinal = ["the", *_ordinal(number_words(value))]
        return [
            _word(*number_words(value)),
            Reading(tuple(map(Atom, ordinal)), _SECOND),
            Reading(_letters(part), 2 * _SECOND),
        ]
    if alone and words > 1 and part in _ABBREVIATIONS:
        return [
            Reading((Atom(word),), rank * _SECOND) for rank, word in enumerate(_ABBREVIATIONS[part])
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


def _number_readings(part: str) -> list[Reading]:
    """12: twelve, one two. 1984: nineteen eighty four. 747: seven forty seven. 007: by digits."""
    found = re.match(r"\d+", part)
    assert found is not None
    digits, ending = found[0], part[found.end() :]
    by_digit = [_ONES[int(digit)] for digit in digits]
    if len(digits) > _LONGEST_NUMBER or (digits[0] == "0" and len(digits) > 1):
        return [_word(*by_digit)]
    words = number_words(int(digits))
    if ending in ("st", "nd", "rd", "th"):
        return [_word(*_ordinal(words))]
    ways = [words]
    if len(digits) in (3, 4) and int(digits) % 1000:
        # In pairs, as years and room numbers are.
        head, tail = digits[:-2], digits[-2:]
        pair = ["hundred"] if tail == "00" else number_words(int(tail))
        pair = ["oh", *pair] if tail[0] == "0" and tail != "00" else pair
        paired = [*number_words(int(head)), *pair]
        ways.insert(0 if len(digits) == 4 and "1100" <= digits <= "2099" else 1, paired)
    if len(digits) > 1:
        ways.append(by_digit)
    if ending == "s":
        ways = [[*way[:-1], _plural(way[-1])] for way in ways[:2]]
    distinct = list(dict.fromkeys(tuple(way) for way in ways))
    return [Reading(tuple(map(Atom, w)), rank * _SECOND) for rank, w in enumerate(distinct)]


def _ordinal(words: list[str]) -> list[str]:
    last = words[-1]
    if last in _ORDINALS:
        return [*words[:-1], _ORDINALS[last]]
    return [*words[:-1], f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"]


def _plural(word: str) -> str:
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith("x") else f"{word}s"
