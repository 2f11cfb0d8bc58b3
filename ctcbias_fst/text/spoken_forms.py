"""How names are said that are not written as they are said: digits, symbols, initials.

``COVID-19`` is said *covid nineteen*, ``B12`` *b twelve*, ``AT&T`` *a t and t*, ``C++`` *c plus
plus*, ``ChatGPT`` *chat g p t*. The rules are those of English, and know Latin letters only.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from ctcbias_fst.text.files import read_lines
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.numbers import (
    ABBREVIATIONS,
    ONES,
    ROMAN,
    number_readings,
    number_words,
    ordinal,
)

__all__ = [
    "SpokenForm",
    "is_common",
    "is_frequent",
    "needs_spoken_forms",
    "spoken_forms",
    "unheard_symbols",
    "unknown_symbols",
]

_SECOND = math.log(2.0)
"""Nats: what is said instead of the likeliest form is said half as often, or a quarter, …"""

_MOST = 8
_MOST_COMBINED = 24
"""Kept on the way: some forms turn out to be the same, or common words."""

_LONGEST = 1000
_LONGEST_INITIALISM = 5
_VOWELS = frozenset("aeiouyAEIOUY")
_FREQUENT = 7.5
"""Nats: the few hundred most common words."""

_WORDS = Path(__file__).parents[1] / "pretrained" / "sounds" / "words.tsv.gz"

_CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}
_SAID = {"%": "percent", "°": "degrees"}
_INSIDE_WORDS = {"$": "s", "!": "i"}
"""What stands for a letter between letters: Ke$ha, P!nk."""

_QUIET = frozenset("-‐‑‒–—―'’‘ʼ`´")
"""Hyphens and apostrophes part or join words; a name without them is the same name."""

_MORE_ABBREVIATIONS = {
    "prof": ("professor",),
    "gen": ("general",),
    "lt": ("lieutenant",),
    "capt": ("captain",),
    "sgt": ("sergeant",),
    "rev": ("reverend",),
    "co": ("company",),
    "corp": ("corporation",),
    "bros": ("brothers",),
    "ave": ("avenue",),
    "blvd": ("boulevard",),
    "no": ("number",),
}
"""These are words, or parts of names, without their full stop."""

_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+|[^\x00-\x7f]+")
# Quick to search for in a list of a million names: symbols and digits, a capital behind a letter,
# a word without a vowel.
_SIGNS = (
    re.compile(r"[^\w\s'’-]|\d"),
    re.compile(r"[A-Z](?<=[A-Za-z].)"),
    re.compile(r"\b[BCDFGHJ-NP-TV-XZbcdfghj-np-tv-xz]{2,5}\b"),
)
_ASCII_SIGN = re.compile(r"[^A-Za-z\s'-]")
_PLURAL = re.compile(r"[A-Z]{2,}s")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")

_Way = tuple[tuple[str, ...], float]
"""Words, and their cost."""


class SpokenForm(NamedTuple):
    """One way to say a name.

    Attributes:
        text: words of letters with single spaces, in normal form.
        cost: at least 0, natural log: how much less likely than the first form.
    """

    text: str
    cost: float


class _Part(NamedTuple):
    """A run of letters, a run of digits, or one symbol, and whether white space is before it."""

    kind: str
    text: str
    apart: bool


def needs_spoken_forms(text: str) -> bool:
    """Tell whether `spoken_forms` may have anything to add: digits, symbols, inner capitals, …"""
    symbols, *others = _SIGNS
    first = _ASCII_SIGN if text.isascii() else symbols
    return any(sign.search(text) for sign in (first, *others))


def spoken_forms(text: str, capitals: bool = False) -> list[SpokenForm]:
    """Return how a name may be said, the likeliest first; none if the rules do not know it.

    Args:
        text: the name as its user wrote it.
        capitals: it comes from a list in capitals, so that these say nothing.

    Returns:
        Forms without digits and symbols, no two the same, at most eight. A form that would be
        taken for common words is left out. The name's normal form is among them if it is said.
    """
    parts = _parts(text)
    letters = "".join(part.text for part in parts if part.kind == "letters")
    if not letters.isascii() and len(_LATIN.findall(letters)) < sum(map(str.isalpha, letters)):
        return []
    choices = [_ways(parts, position, capitals) for position in range(len(parts))]
    everyday = _Everyday(text)
    found: dict[str, float] = {}
    for words, cost in _combined(choices):
        form = " ".join(words)
        if not (form.isascii() and form.replace(" ", "").isalpha()):
            form = normalise(form)
        known = found.get(form, math.inf)
        if form and len(form) <= _LONGEST and cost < known and not everyday.takes(form):
            found[form] = cost
    ranked = sorted(found.items(), key=lambda item: (item[1], item[0]))[:_MOST]
    return [SpokenForm(form, cost - ranked[0][1]) for form, cost in ranked]


def unheard_symbols(text: str) -> str:
    """Return the symbols and marks of a name that its normal form drops, each once.

    Hyphens, apostrophes and white space are none of them.
    """
    dropped = [c for c in dict.fromkeys(text) if c not in _QUIET and not c.isspace()]
    return "".join([c for c in dropped if unicodedata.category(c)[0] in "PS"])


def unknown_symbols(text: str) -> str:
    """Return the symbols of a name for which there is no rule, each once; punctuation is none."""
    known = "+=&%#@°™℠®©|~^<>" + "".join(_CURRENCIES) + "".join(_QUIET)
    found = [c for c in dict.fromkeys(text) if unicodedata.category(c)[0] == "S"]
    return "".join([c for c in found if c not in known])


def is_common(word: str) -> bool:
    """Tell whether a word of the normal form is a single letter or a common English word."""
    return (len(word) == 1 and word.isalpha()) or word in _common_words()


def is_frequent(word: str) -> bool:
    """Tell whether a word is one of the few hundred most common, such as *it* and *us*."""
    return word in ("a", "i") or _common_words().get(word, math.inf) < _FREQUENT


@lru_cache(maxsize=1)
def _common_words() -> dict[str, float]:
    """Common words and their costs, nats; those with an apostrophe are in their normal form."""
    rows = (line.split("\t") for line in read_lines(_WORDS))
    return {word: float(cost) for word, cost in rows if len(word) > 1}


def _no_vowel(word: str) -> bool:
    return (
        1 < len(word) <= _LONGEST_INITIALISM
        and word.isascii()
        and word.isalpha()
        and not _VOWELS & set(word)
    )


def _parts(text: str) -> list[_Part]:
    """Part a name into runs of letters, runs of digits and symbols."""
    text = text.replace("™", " ").replace("℠", " ").replace("№", "No. ")
    composed = unicodedata.normalize("NFKC", text)
    composed = composed.replace("&amp;", "&")
    parts: list[_Part] = []
    for chunk in composed.split():
        begins = True
        for kind, run in itertools.groupby(chunk, _kind):
            text = "".join(run)
            for part in text if kind == "symbol" else [text]:
                parts.append(_Part(kind, part, begins))
                begins = False
    return _merged(parts)


def _kind(character: str) -> str:
    if character.isdecimal():
        return "digits"
    letter = character.isalpha() or unicodedata.category(character)[0] == "M"
    return "letters" if letter or character in "'’ʼ" else "symbol"


def _merged(parts: list[_Part]) -> list[_Part]:
    """Join what is one: ``Ke$ha``, ``1,000``, ``2.5``, ``21st``."""
    merged: list[_Part] = []
    position = 0
    while position < len(parts):
        part = parts[position]
        after = parts[position + 1] if position + 1 < len(parts) else None
        before = merged[-1] if merged else None
        joined = before is not None and after is not None and not part.apart and not after.apart
        if joined and part.kind == "symbol":
            assert before is not None and after is not None
            both = before.kind, after.kind
            if both == ("letters", "letters") and part.text in _INSIDE_WORDS:
                text = before.text + _INSIDE_WORDS[part.text] + after.text
                merged[-1] = before._replace(text=text)
                position += 2
                continue
            grouped = part.text == "," and len(after.text) == 3
            if both == ("digits", "digits") and (grouped or part.text == "."):
                text = before.text + ("" if grouped else ".") + after.text
                merged[-1] = before._replace(text=text)
                position += 2
                continue
        ending = part.text in ("st", "nd", "rd", "th", "s") and not part.apart
        if before is not None and before.kind == "digits" and ending and "." not in before.text:
            merged[-1] = before._replace(text=before.text + part.text)
        else:
            merged.append(part)
        position += 1
    return merged


def _ways(parts: Sequence[_Part], position: int, capitals: bool) -> list[_Way]:
    """Return the ways to say one part."""
    part = parts[position]
    before = parts[position - 1] if position and not part.apart else None
    after = parts[position + 1] if position + 1 < len(parts) else None
    if after is not None and after.apart:
        after = None
    if part.kind == "digits":
        ways = _digit_ways(part.text)
        if before is not None and before.text in _CURRENCIES:
            unit = _CURRENCIES[before.text]
            unit = unit if part.text == "1" or unit == "yen" else f"{unit}s"
            ways = [((*words, unit), cost) for words, cost in ways]
        return ways
    if part.kind == "symbol":
        return _symbol_ways(part, before, after, parts)
    shortened = after is not None and after.text == "." and len(part.text) > 1
    return _letter_ways(parts, position, capitals, shortened)


def _digit_ways(text: str) -> list[_Way]:
    if "." in text:
        whole, *rest = text.split(".")
        tails = [[ONES[int(digit)] for digit in digits] for digits in rest]
        tail = [word for digits in tails for word in ("point", *digits)]
        ways = [(*words, *tail) for words in number_readings(whole)[:2]]
        if "zero" in tail:
            ways += [tuple("oh" if word == "zero" else word for word in ways[0])]
    else:
        ways = number_readings(text)
        ways += [with_and for words in ways if (with_and := _with_and(words)) != words]
        digits = re.sub(r"\D+", "", text)
        if "0" in digits[:-1] and digits == text and len(text) < 8:
            by_digit = [ONES[int(digit)] for digit in digits]
            spoken = ["oh" if word == "zero" else word for word in by_digit]
            ways += [tuple(spoken)]
            if spoken[:2] == ["oh", "oh"] and "oh" not in spoken[2:]:
                ways += [("double", *spoken[1:])]
    distinct = list(dict.fromkeys(ways))
    return [(words, rank * _SECOND) for rank, words in enumerate(distinct)]


def _combined(choices: Sequence[Sequence[_Way]]) -> list[_Way]:
    """Return the likeliest combinations of the ways to say each part."""
    found: list[_Way] = [((), 0.0)]
    for ways in choices:
        if len(ways) == 1:
            ((words, cost),) = ways
            found = [(before + words, paid + cost) for before, paid in found]
            continue
        longer = [(b + words, paid + cost) for b, paid in found for words, cost in ways]
        longer.sort(key=lambda way: way[1])
        found = longer[:_MOST_COMBINED]
    return found


def _with_and(words: tuple[str, ...]) -> tuple[str, ...]:
    """Two thousand one: two thousand and one."""
    places = [i for i, word in enumerate(words) if word in ("hundred", "thousand")]
    if not places or places[-1] + 1 == len(words) or "and" in words:
        return words
    return (*words[: places[-1] + 1], "and", *words[places[-1] + 1 :])


def _symbol_ways(
    part: _Part, before: _Part | None, after: _Part | None, parts: Sequence[_Part]
) -> list[_Way]:
    """What a symbol adds; nothing if it is not said."""
    symbol = part.text
    number = after is not None and after.kind == "digits"
    said = ""
    if symbol == "&" and len(parts) > 1:
        said = "and"
    elif symbol == "+" and (before is not None or number):
        said = "plus"
    elif symbol == "#" and number:
        said = "number"
    elif symbol == "#" and after is None and before is not None:
        said = "sharp" if before.kind == "letters" and len(before.text) == 1 else ""
    elif symbol == ".":
        return _full_stop_ways(before, after)
    elif symbol in _CURRENCIES and before is not None and before.kind == "digits":
        said = f"{_CURRENCIES[symbol]}s"
    elif symbol == "=" and before is not None and after is not None:
        said = "equals"
    elif symbol in ("%", "°"):
        said = _SAID[symbol] if before is not None and before.kind == "digits" else ""
    elif symbol == "@" and after is not None:
        said = "at"
    return [((said,) if said else (), 0.0)]


def _full_stop_ways(before: _Part | None, after: _Part | None) -> list[_Way]:
    if after is not None and after.kind != "symbol":
        if before is None:
            if len(after.text) > 1 and after.kind == "letters":
                return [(("dot",), 0.0)]
        elif len(after.text) > 1 and (len(before.text) > 1 or before.text.islower()):
            return [(("dot",), 0.0), ((), _SECOND)]
    return [((), 0.0)]  # the end of a word, initials


def _letter_ways(
    parts: Sequence[_Part], position: int, capitals: bool, shortened: bool
) -> list[_Way]:
    part = parts[position]
    word = part.text.strip("'’ʼ") or part.text
    lower = word.lower()
    following = parts[position + 1 :]
    whole = part.apart and (not following or following[0].apart or shortened)
    initials = word.isascii() and word.isalpha() and len(word) <= _LONGEST_INITIALISM
    beside = [parts[at].text for at in (position - 1, position + 1) if 0 <= at < len(parts)]
    full = (ABBREVIATIONS | _MORE_ABBREVIATIONS) if shortened else ABBREVIATIONS
    ways: list[tuple[str, ...]] = [(lower,)]
    if len(word) == 1:
        pass
    elif whole and position and word.isupper() and not capitals and lower in ROMAN:
        words = number_words(ROMAN[lower])
        ways = [tuple(words), ("the", *ordinal(words)), (lower,)]
    elif whole and lower in full and (shortened or len(parts) > 1):
        ways = [*((said,) for said in full[lower]), (lower,)]
    elif _no_vowel(word) or ("&" in beside and word.isupper() and len(word) < 4):
        ways = [tuple(lower), (lower,)]
    elif initials and _PLURAL.fullmatch(word) and not capitals:
        ways.append((*lower[:-2], f"{lower[-2]}'s"))
    elif len(word) == 2 and _tight(parts, position):
        ways = [tuple(lower), (lower,)]
    elif word.isupper() and not capitals:
        ways += [tuple(lower)] if initials else []
    elif not capitals and word[1:] != word[1:].lower():
        inner = _CAMEL.findall(word)
        if len(inner) > 1 and "".join(inner) == word and inner[0] not in ("Mc", "Mac", "O'"):
            initials = any(len(piece) > 1 and piece.isupper() for piece in inner)
            ways.insert(0 if initials else 1, _camel(inner))
    return [(way, rank * _SECOND) for rank, way in enumerate(ways)]


def _tight(parts: Sequence[_Part], position: int) -> bool:
    """Tell whether an ampersand is beside a part without white space between: at&t."""
    after = parts[position + 1] if position + 1 < len(parts) else None
    before = parts[position - 1] if position and not parts[position].apart else None
    return (before is not None and before.text == "&") or (
        after is not None and after.text == "&" and not after.apart
    )


def _camel(pieces: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a name with inner capitals, its initials as letters."""
    words: list[str] = []
    for piece in pieces:
        initials = piece.isupper() or _no_vowel(piece)
        words += piece.lower() if initials else [piece.lower()]
    return tuple(words)


class _Everyday:
    """Tells which forms of a name would be heard as common words, and so take their place."""

    def __init__(self, text: str) -> None:
        """Look at the name as its user wrote it."""
        self._written = normalise(text)
        self._symbols = bool(unheard_symbols(text))
        self._told_apart = "&" in text or any(map(str.isnumeric, text))

    def takes(self, form: str) -> bool:
        """Tell whether a form takes the place of common words."""
        words = form.split(" ")
        if len(words) == 1:
            as_listed = form == self._written and not self._symbols
            return not as_listed and form not in ABBREVIATIONS and is_common(form)
        if form == self._written or self._told_apart or all(len(word) == 1 for word in words):
            return False
        spelled = any(len(one) == len(other) == 1 for one, other in zip(words, words[1:]))
        if spelled or {"plus", "dot", "sharp"} & set(words):
            return False
        return all(map(is_common, words)) and any(map(is_frequent, words))
