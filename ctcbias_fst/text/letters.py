"""The letters that a vocabulary has: their case, and how other characters are written in them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from enum import Enum
from functools import partial

from ctcbias_fst.text.normalise import CharacterTable

APOSTROPHES = "'\u2019\u02bc\u05f3"
"""Those that vocabularies have."""


class Case(Enum):
    """Which letters a vocabulary can write."""

    LOWER = "lower"
    UPPER = "upper"
    BOTH = "both"


def case_of(letters: frozenset[str]) -> Case:
    """Which letters are there; both only if small and capital ones of one alphabet are
    (a capital or two among small letters are other signs, as in phone alphabets)."""
    # Eszett has no capital of its own in most fonts: it stands among capitals.
    small = {c for c in letters if c.upper() != c and len(c.upper()) == 1}
    capital = {c for c in letters if c.lower() != c}
    if capital and not small:
        return Case.UPPER
    pairs = sum(c.lower() in small for c in capital)
    return Case.BOTH if 2 * pairs >= min(len(small), 6) else Case.LOWER


def letter_forms(letters: frozenset[str]) -> CharacterTable[str]:
    """How each character is written in some letters."""
    return CharacterTable(partial(_written_in, letters))


def _written_in(letters: frozenset[str], character: str) -> str:
    return next(filter(letters.issuperset, _written_as(character)), character)


def _written_as(character: str) -> Iterator[str]:
    """A character, and what stands for it where there is no such letter."""
    yield character
    if character == "'":
        yield from APOSTROPHES
    parts = unicodedata.normalize("NFD", character)
    if parts != character:
        yield parts
        yield "".join(map(_alone, parts))


def _alone(jamo: str) -> str:
    """A jamo that joins into syllables as the letter that stands alone; others as they are."""
    kind, _, name = unicodedata.name(jamo, "").rpartition("SEONG ")
    if not kind.startswith("HANGUL J") and not kind.startswith("HANGUL CHO"):
        return jamo
    try:
        return unicodedata.lookup(f"HANGUL LETTER {name}")
    except KeyError:
        return jamo
