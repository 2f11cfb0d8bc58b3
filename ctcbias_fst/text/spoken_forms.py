"""How names are said that are not written as they are said: digits, symbols, initials.

``COVID-19`` is said *covid nineteen*, ``B12`` *b twelve*, ``AT&T`` *a t and t*, ``C++`` *c plus
plus*, ``ChatGPT`` *chat g p t*. The rules are those of English, and know Latin letters only.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from ctcbias_fst.text.amounts import CURRENCIES, SECOND, Way, amount_ways, ranked
from ctcbias_fst.text.common_words import is_common, is_frequent
from ctcbias_fst.text.name_parts import Part, chunks_of, parts_of
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.numbers import (
    ABBREVIATIONS,
    ONES,
    ROMAN,
    fraction,
    number_words,
    ordinal,
)

__all__ = [
    "Said",
    "SpokenForm",
    "needs_spoken_forms",
    "said",
    "spoken_forms",
    "unheard_symbols",
    "unknown_symbols",
]

_MOST = 8
_MOST_COMBINED = 24
"""Kept on the way: some forms turn out to be the same, or common words."""

_LONGEST = 1000
_SHORT = 300
"""Characters; for longer names there are no rules, which would take long."""

_LONGEST_INITIALISM = 5
_VOWELS = frozenset("aeiouyAEIOUY")


_BEFORE_FIRST_NUMBERS = dict.fromkeys("-\u2212", ("minus", "negative"))
_BEFORE_NUMBERS = {"#": ("number",), "+": ("plus",), "±": ("plus or minus", "plus minus")}
_BEHIND_NUMBERS = {
    "%": ("percent",),
    "°": ("degrees",),
    **{sign: (f"{unit}s",) for sign, unit in CURRENCIES.items()},
}
_BETWEEN = {"=": ("equals",), "×": ("by", "times")}
_IN_ADDRESSES = {"/": "slash", "_": "underscore", "-": "dash"}
"""What symbols are said, the likeliest first, by where they stand."""

_DOMAINS = frozenset("com co org net edu gov info uk us eu de fr io ai tv me".split())
"""The last parts of addresses on the web, behind a dot that is said."""

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
# a word without a vowel, a letter before a hyphen, an n that is and.
_SIGNS = (
    re.compile("[^\\w\\s'’-]|[_\\d\u0391-\u03c9\u00b5]"),
    re.compile(r"[A-Z](?<=[A-Za-z].)"),
    re.compile(r"\b[BCDFGHJ-NP-TV-XZbcdfghj-np-tv-xz]{2,5}\b"),
    re.compile(r"\b[A-Za-z]{1,2}-[A-Za-z]"),
    re.compile(r"['’][Nn]\b|\b[Nn]['’]"),
)
_ASCII_SIGN = re.compile(r"[^A-Za-z\s'-]")
_PLURAL = re.compile(r"[A-Z]{2,}s")
_ORDINARY = re.compile(r"[A-Za-z][a-z]{5,}")
"""A word that is said as it is written: no initials, no abbreviation."""

_TELEPHONE = re.compile(r"(?!\d{4}-\d\d-\d\d$)\+?\(?\d[\d ()-]{6,}")
_LEAST_DIGITS = 7
_MARK = re.compile(r"[^\w\s'-]|_")
_DIGIT = re.compile(r"\d")

_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")


class SpokenForm(NamedTuple):
    """One way to say a name.

    Attributes:
        text: words of letters with single spaces, in normal form.
        cost: at least 0, natural log: how much less likely than the first form.
    """

    text: str
    cost: float


class Said(NamedTuple):
    """How a name may be said.

    Attributes:
        forms: the likeliest first.
        common: a form that is likelier than all of them, but is left out, since it is a common
            word or made of such; empty if there is none.
    """

    forms: list[SpokenForm]
    common: str


class _Place(NamedTuple):
    """Where in a name a chunk stands, and what is known of the whole."""

    first: bool
    last: bool
    ampersand: bool
    capitals: bool
    shouted: bool


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
    return said(text, capitals).forms


def said(text: str, capitals: bool = False, written: str | None = None) -> Said:
    """Return how a name may be said, and what is left out since it would be taken for other words.

    Args:
        text: the name as its user wrote it.
        capitals: it comes from a list in capitals, so that these say nothing.
        written: its normal form, if that is known.
    """
    if len(text) > _SHORT:
        return Said([], "")
    if _TELEPHONE.fullmatch(text):
        forms = _telephone_forms(text)
        if forms:
            return Said(forms, "")
    chunks = chunks_of(text)
    if len(chunks) > 1 and text.isascii():
        forms = _with_one_number(chunks, capitals, text)
        if forms:
            return Said(forms, "")
    if not text.isascii():
        letters = "".join(filter(str.isalpha, "".join(chunks))).replace("μ", "")
        if not letters.isascii() and len(_LATIN.findall(letters)) < len(letters):
            return Said([], "")
    everyday = _Everyday(text, chunks, normalise(text) if written is None else written)
    found: dict[str, float] = {}
    left_out: dict[str, float] = {}
    for words, cost in _combined(_chunk_choices(text, chunks, capitals)):
        form = " ".join(words)
        if not (form.isascii() and form.replace(" ", "").isalpha()):
            form = normalise(form)
        if not form or len(form) > _LONGEST:
            continue
        kept = left_out if everyday.takes(form) else found
        if cost < kept.get(form, math.inf):
            kept[form] = cost
    ranked = sorted(found.items(), key=lambda item: (item[1], item[0]))[:_MOST]
    least = ranked[0][1] if ranked else math.inf
    common = [form for form, cost in left_out.items() if cost == 0 and least > 0]
    return Said([SpokenForm(form, cost - least) for form, cost in ranked], "".join(common[:1]))


def _telephone_forms(text: str) -> list[SpokenForm]:
    """Return how a telephone number is said, by its digits; none if it is another number."""
    digits = [ONES[int(digit)] for digit in text if digit.isdecimal()]
    groups = re.findall(r"\d+", text)
    if len(digits) < _LEAST_DIGITS or len(groups) < 2 or max(map(len, groups)) < 3:
        return []
    words = " ".join([*(["plus"] if text[0] == "+" else []), *digits])
    ways = dict.fromkeys([words, words.replace("zero", "oh")])
    return [SpokenForm(way, rank * SECOND) for rank, way in enumerate(ways)]


def _with_one_number(chunks: Sequence[str], capitals: bool, text: str) -> list[SpokenForm]:
    """Return the forms of a name that is a number and ordinary words, as `said` does, faster."""
    place = -1
    for position, chunk in enumerate(chunks):
        if not _ORDINARY.fullmatch(chunk):
            if place >= 0 or not _DIGIT.search(chunk):
                return []
            place = position
    if place < 0:
        return []
    before = "".join([f"{chunk} " for chunk in chunks[:place]]).lower()
    behind = "".join([f" {chunk}" for chunk in chunks[place + 1 :]]).lower()
    last = len(chunks) - 1
    where = _Place(place == 0, place == last, "&" in chunks[place], capitals, text.isupper())
    return [
        SpokenForm(f"{before}{form}{behind}", cost) for form, cost in _forms(chunks[place], where)
    ]


@lru_cache(maxsize=20_000)
def _forms(chunk: str, place: _Place) -> tuple[SpokenForm, ...]:
    """Return the ways to say a chunk in words of letters, the likeliest first."""
    found: dict[str, float] = {}
    for words, cost in _chunk_ways(chunk, place):
        form = normalise(" ".join(words))
        if form and cost < found.get(form, math.inf):
            found[form] = cost
    ranked = sorted(found.items(), key=lambda item: (item[1], item[0]))[:_MOST]
    return tuple(SpokenForm(form, cost - ranked[0][1]) for form, cost in ranked)


def _chunk_choices(text: str, chunks: Sequence[str], capitals: bool) -> list[Sequence[Way]]:
    """Return the ways to say each chunk of a name."""
    last = len(chunks) - 1
    shouted = last > 0 and text.isupper()
    ampersand = "&" in text
    choices: list[Sequence[Way]] = []
    for position, chunk in enumerate(chunks):
        if _ORDINARY.fullmatch(chunk) and chunk.lower() not in ABBREVIATIONS:
            choices.append((((chunk.lower(),), 0.0),))
            continue
        beside = ampersand and any(
            "&" in one for one in chunks[max(position - 1, 0) : position + 2]
        )
        place = _Place(position == 0, position == last, beside, capitals, shouted)
        choices.append(_chunk_ways(chunk, place))
    return choices


@lru_cache(maxsize=20_000)
def _chunk_ways(chunk: str, place: _Place) -> tuple[Way, ...]:
    """Return the ways to say a part of a name that has no white space."""
    if chunk == "'n'":
        return (("and",), 0.0), (("n",), SECOND)
    if chunk.startswith("www.") and len(chunk) > 4:
        rest = [(words, cost + SECOND) for words, cost in _chunk_ways(chunk[4:], place)]
        return (*((("w", "w", "w", "dot", *words), cost - SECOND) for words, cost in rest), *rest)
    parts = parts_of(chunk)
    ways = _combined([_ways(parts, position, place) for position in range(len(parts))])
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


def unheard_symbols(text: str) -> str:
    """Return the symbols and marks of a name that its normal form drops, each once.

    Hyphens, apostrophes and white space are none of them.
    """
    dropped = [c for c in dict.fromkeys(text) if c not in _QUIET and not c.isspace()]
    return "".join([c for c in dropped if unicodedata.category(c)[0] in "PS"])


def unknown_symbols(text: str) -> str:
    """Return the symbols of a name for which there is no rule, each once; punctuation is none."""
    known = "+=&%#@°™℠®©|~^<>±×\u2212" + "".join(CURRENCIES) + "".join(_QUIET)
    found = [c for c in dict.fromkeys(text) if unicodedata.category(c)[0] == "S"]
    read = (c for c in found if unicodedata.normalize("NFKC", c) == c)  # not the sign for Numero
    return "".join([c for c in read if c not in known])


def _no_vowel(word: str) -> bool:
    return (
        1 < len(word) <= _LONGEST_INITIALISM
        and word.isascii()
        and word.isalpha()
        and not _VOWELS & set(word)
    )


def _ways(parts: Sequence[Part], position: int, place: _Place) -> list[Way]:
    """Return the ways to say one part of a chunk."""
    part = parts[position]
    before = parts[position - 1] if position else None
    after = parts[position + 1] if position + 1 < len(parts) else None
    ways = amount_ways(parts, position)
    if ways:
        return ways
    if part.kind == "symbol":
        return _symbol_ways(part, before, after, parts, place)
    shortened = after is not None and after.text == "." and len(part.text) > 1
    return _letter_ways(parts, position, place, shortened)


def _combined(choices: Sequence[Sequence[Way]]) -> list[Way]:
    """Return the likeliest combinations of the ways to say each part."""
    found: list[Way] = [((), 0.0)]
    for ways in choices:
        if len(ways) == 1:
            ((words, cost),) = ways
            found = [(before + words, paid + cost) for before, paid in found]
            continue
        longer = [(b + words, paid + cost) for b, paid in found for words, cost in ways]
        longer.sort(key=lambda way: way[1])
        found = longer[:_MOST_COMBINED]
    return found


def _symbol_ways(
    part: Part, before: Part | None, after: Part | None, parts: Sequence[Part], place: _Place
) -> list[Way]:
    """What a symbol adds; nothing if it is not said."""
    symbol = part.text
    if symbol == ".":
        return _full_stop_ways(before, after)
    if symbol == "#" and before is None and after is not None and after.kind == "letters":
        return ranked([("hashtag",), ()])
    if symbol in _IN_ADDRESSES and before is not None and after is not None and _is_address(parts):
        return ranked([(_IN_ADDRESSES[symbol],), ()])
    number = after is not None and after.kind == "digits"
    single = before is not None and before.kind == "letters" and len(before.text) == 1
    alone = len(parts) == 1 and place.first and place.last
    tables = (
        (number and before is None, _BEFORE_FIRST_NUMBERS),
        (number, _BEFORE_NUMBERS),
        (before is not None and before.kind == "digits", _BEHIND_NUMBERS),
        (before is not None and after is not None, _BETWEEN),
        (before is not None, {"+": ("plus",)}),
        (after is not None, {"@": ("at",)}),
        (single and after is None, {"#": ("sharp",)}),
        (not alone, {"&": ("and",), "§": ("section",)}),
    )
    words = next((table[symbol] for applies, table in tables if applies and symbol in table), ("",))
    return ranked([tuple(several.split()) for several in words])


def _is_address(parts: Sequence[Part]) -> bool:
    """Tell whether a chunk is an address on the web or of mail, or the handle of a person."""
    if any(part.text == "@" for part in parts):
        return True
    following = zip(parts, parts[1:])
    return any(one.text == "." and other.text.lower() in _DOMAINS for one, other in following)


def _full_stop_ways(before: Part | None, after: Part | None) -> list[Way]:
    if after is not None and after.kind != "symbol":
        if before is None:
            if len(after.text) > 1 and after.kind == "letters":
                return [(("dot",), 0.0)]
        elif len(after.text) > 1 and (len(before.text) > 1 or before.text.islower()):
            dotted = len(before.text) > 1 or after.text.lower() in _DOMAINS
            return ranked([("dot",), ()] if dotted else [(), ("dot",)])
    return [((), 0.0)]  # the end of a word, initials


def _letter_ways(parts: Sequence[Part], position: int, place: _Place, shortened: bool) -> list[Way]:
    part = parts[position]
    word = part.text.strip("'’ʼ") or part.text
    lower = word.lower()
    following = parts[position + 1 :]
    whole = position == 0 and (not following or shortened)
    alone = place.first and place.last and len(parts) == 1
    capitals = place.capitals
    beside = place.ampersand and (
        len(parts) == 1
        or "&" in [parts[at].text for at in (position - 1, position + 1) if 0 <= at < len(parts)]
    )
    full = (ABBREVIATIONS | _MORE_ABBREVIATIONS) if shortened else ABBREVIATIONS
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
        or (before == "." and not following and len(word) == 2 and word in _DOMAINS)
        or (len(word) == 2 and _tight(parts, position))
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


def _in_full(several: tuple[str, ...], place: _Place) -> tuple[str, ...]:
    """What is written short, in full: saint before a name, street behind it."""
    if several[-1] not in ("drive", "street", "feet"):
        return several
    behind = place.last and not place.first
    return several[1:] if behind else several[:1]


def _tight(parts: Sequence[Part], position: int) -> bool:
    """Tell whether an ampersand is beside a part without white space between: at&t."""
    after = parts[position + 1] if position + 1 < len(parts) else None
    before = parts[position - 1] if position else None
    return any(part is not None and part.text == "&" for part in (before, after))


def _camel(pieces: Sequence[str]) -> tuple[str, ...]:
    """Return the words of a name with inner capitals, its initials as letters."""
    words: list[str] = []
    for piece in pieces:
        initials = piece.isupper() or _no_vowel(piece)
        words += piece.lower() if initials else [piece.lower()]
    return tuple(words)


class _Everyday:
    """Tells which forms of a name would be heard as common words, and so take their place."""

    def __init__(self, text: str, chunks: Sequence[str], written: str) -> None:
        """Look at a name as its user wrote it, at its chunks and its normal form."""
        self._written = written
        self._symbols = _MARK.search(text) is not None and bool(unheard_symbols(text))
        self._told_apart = (
            "&" in text
            or _DIGIT.search(text) is not None
            or any(map(str.isnumeric, text))
            or "'n'" in chunks
            or any(map(_is_short, chunks[1:]))
            or (len(chunks) > 1 and _is_short(chunks[0]))
        )
        self._joined = written.replace(" ", "") if "-" in text and not self._symbols else written

    def takes(self, form: str) -> bool:
        """Tell whether a form takes the place of common words."""
        if " " not in form:
            as_listed = form in (self._written, self._joined) and not self._symbols
            return not as_listed and form not in ABBREVIATIONS and is_common(form)
        if form == self._written or self._told_apart:
            return False
        words = form.split(" ")
        if all(len(word) == 1 for word in words):
            return False
        spelled = any(len(one) == len(other) == 1 for one, other in zip(words, words[1:]))
        if spelled or not {"plus", "dot", "sharp", "hashtag"}.isdisjoint(words):
            return False
        return all(map(is_common, words)) and any(map(is_frequent, words))


def _is_short(chunk: str) -> bool:
    """Tell whether a word is a Roman number, or short for another, with a full stop."""
    if chunk.endswith("."):
        return chunk[:-1].lower() in ABBREVIATIONS or chunk[:-1].lower() in _MORE_ABBREVIATIONS
    return chunk.isupper() and chunk.lower() in ROMAN
