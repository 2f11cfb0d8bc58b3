"""How names are said that are not written as they are said: digits, symbols, initials.

``COVID-19`` is said *covid nineteen*, ``B12`` *b twelve*, ``AT&T`` *a t and t*, ``C++`` *c plus
plus*, ``ChatGPT`` *chat g p t*. The rules are those of English, and know Latin letters only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from ctcbias_fst.text.amounts import SECOND, Way
from ctcbias_fst.text.common_words import is_common, is_everyday, is_frequent
from ctcbias_fst.text.name_parts import chunks_of
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.numbers import ABBREVIATIONS, ONES, ROMAN, SHORTENED
from ctcbias_fst.text.spoken_chunks import MAX_COMBINED, ORDINARY, Place, chunk_ways, combined
from ctcbias_fst.text.spoken_symbols import unheard_symbols

_MOST = 8
_LONGEST = 1000
_SHORT = 300
"""Characters; for longer names there are no rules, which would take long."""
# Quick to search for in a list of a million names: symbols and digits, a capital behind a letter,
# a word without a vowel, a letter before a hyphen, an n that is and, a title.
_SIGNS = (
    re.compile("[^\\w\\s'’-]|[_\\d\u0391-\u03c9\u00b5]"),
    re.compile(r"[A-Z](?<=[A-Za-z].)"),
    re.compile(r"\b[BCDFGHJ-NP-TV-XZbcdfghj-np-tv-xz]{2,5}\b"),
    re.compile(r"\b[A-Za-z]{1,2}-[A-Za-z]"),
    re.compile(r"['’][Nn]\b|\b[Nn]['’]"),
    re.compile(r"\b[Pp]rof\b|\b(?i:inc|corp|esq)\b|\bCo\b"),
)
_ASCII_SIGN = re.compile(r"[^A-Za-z\s'-]")
_TITLES_BEFORE = re.compile(
    r"(?:(?:(?:[Dd]r|[Pp]rof|[Mm]rs?|Ms)(?!\w)\.?|(?i:dr|prof|mrs?|ms)\.)\s+)+"
)
_TITLES_BEHIND = re.compile(
    r"(?:,?\s+(?:(?i:ph\.?d|jr|esq|inc|ltd|llc|llp|corp|gmbh|plc)(?!\w)\.?|M\.D\.|"
    r"(?:M\.?D|DDS|DVM|RN|MBA|MSc|Sr|Co|AG|KG|SE|SA|NV|BV)(?!\w)\.?))+"
)
"""Of persons and firms: people leave them out when they speak. Not those that are words, or
places: *Ma*, *DO*, *CO*."""
_TELEPHONE = re.compile(r"(?!\d{4}-\d\d-\d\d$)\+?\(?\d[\d ()-]{6,}")
_LEAST_DIGITS = 7
_MARK = re.compile(r"[^\w\s'-]|_")
_DIGIT = re.compile(r"\d")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f\u1e00-\u1eff]")


class Said(NamedTuple):
    """How a name may be said.

    Attributes:
        forms: words of letters with single spaces, in normal form, each with its cost (at least 0,
            natural log: how much less likely than the first); the likeliest first, no two the
            same, at most eight, none if the rules do not know it.
        common: a form that is likelier than all of them, but is left out, since it is a common
            word or made of such; empty if there is none.
        untitled: those of the forms that leave out titles (*Dr.*, *Jr.*, *Inc.*).
    """

    forms: list[tuple[str, float]]
    common: str
    untitled: tuple[str, ...] = ()


def needs_spoken_forms(text: str) -> bool:
    """Tell whether `said` may have anything to add: digits, symbols, inner capitals, …"""
    first = _ASCII_SIGN if text.isascii() else _SIGNS[0]
    return first.search(text) is not None or any(sign.search(text) for sign in _SIGNS[1:])


def said(text: str, capitals: bool = False, written: str | None = None) -> Said:
    """Return how a name may be said, and what is left out since it would be taken for other words.

    Args:
        text: the name as its user wrote it.
        capitals: it comes from a list in capitals, so that these say nothing.
        written: its normal form, if that is known.
    """
    if len(text) > _SHORT:
        return Said([], "")
    whole = _said_whole(text, capitals, written)
    shorter = _without_titles(text)
    if not shorter:
        return whole
    known = dict(whole.forms) or {normalise(text) if written is None else written: 0.0}
    added: dict[str, float] = {}
    for bare, paid in shorter:
        for form, cost in _said_whole(bare, capitals, None).forms or [(normalise(bare), 0.0)]:
            if form not in known and not is_everyday(form):
                added[form] = min(paid + cost, added.get(form, math.inf))
    forms = _likeliest({**known, **added})
    return Said(forms, whole.common, tuple(form for form, _ in forms if form in added))


def _without_titles(text: str) -> list[tuple[str, float]]:
    """Return a name without the titles at either end, or at both, and the cost; none if none."""
    before = _TITLES_BEFORE.match(text)
    begin = before.end() if before else 0
    behind = (found.start() for found in _TITLES_BEHIND.finditer(text, begin))
    end = next((at for at in behind if at > begin and _TITLES_BEHIND.fullmatch(text, at)), None)
    shorter = [(text[begin:], SECOND)] if begin else []
    if end is not None:
        shorter.append((text[:end], SECOND))
    if begin and end is not None:
        shorter.append((text[begin:end], 2 * SECOND))
    return shorter


def _said_whole(text: str, capitals: bool, written: str | None) -> Said:
    """Return how a name is said with all that belongs to it, as `said` does."""
    if _TELEPHONE.fullmatch(text):
        forms = _telephone_forms(text)
        if forms:
            return Said(forms, "")
    chunks = chunks_of(text)
    if text.isascii():
        forms = _beside_ordinary_words(chunks, capitals)
        if forms:
            return Said(forms, "")
    else:
        letters = "".join(filter(str.isalpha, "".join(chunks))).replace("μ", "")
        if not letters.isascii() and len(_LATIN.findall(letters)) < len(letters):
            return Said([], "")
    everyday = _Everyday(text, chunks, normalise(text) if written is None else written)
    found: dict[str, float] = {}
    left_out: dict[str, float] = {}
    whole = Place(True, True, False, capitals, len(chunks) > 1 and text.isupper())
    for form, cost in _cheapest(combined(_chunk_choices(chunks, whole))).items():
        if form and len(form) <= _LONGEST:
            (left_out if everyday.takes(form) else found)[form] = cost
    least = min(found.values(), default=math.inf)
    common = [form for form, cost in left_out.items() if cost == 0 and least > 0]
    return Said(_likeliest(found), "".join(common[:1]))


def _normal(words: Sequence[str]) -> str:
    """Return words with spaces between them, in normal form."""
    form = " ".join(words)
    return form if form.isascii() and form.replace(" ", "").isalpha() else normalise(form)


def _cheapest(ways: Iterable[Way]) -> dict[str, float]:
    """Return the forms of ways, each with its least cost."""
    found: dict[str, float] = {}
    for words, cost in ways:
        form = _normal(words)
        found[form] = min(cost, found.get(form, cost))
    return found


def _likeliest(found: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the likeliest forms, from their costs; those of the first is 0."""
    if len(found) == 1:
        return [(form, 0.0) for form in found]
    ranked = sorted([(cost, form) for form, cost in found.items()])[:_MOST]
    return [(form, cost - ranked[0][0]) for cost, form in ranked]


def _telephone_forms(text: str) -> list[tuple[str, float]]:
    """Return how a telephone number is said, by its digits; none if it is another number."""
    digits = [ONES[int(digit)] for digit in text if digit.isdecimal()]
    groups = re.findall(r"\d+", text)
    if len(digits) < _LEAST_DIGITS or len(groups) < 2 or max(map(len, groups)) < 3:
        return []
    words = " ".join([*(["plus"] if text[0] == "+" else []), *digits])
    ways = dict.fromkeys([words, words.replace("zero", "oh")])
    return [(way, rank * SECOND) for rank, way in enumerate(ways)]


def _beside_ordinary_words(chunks: Sequence[str], capitals: bool) -> list[tuple[str, float]]:
    """Return the forms of a name with ordinary words before or behind the rest, as `said` does.

    This is faster: how the rest is said is kept, since names of a list share it. There are none
    if the name is no such, or a form might be taken for common words.
    """
    begin, end = 0, len(chunks)
    while begin < end and ORDINARY.fullmatch(chunks[begin]):
        begin += 1
    while end > begin and ORDINARY.fullmatch(chunks[end - 1]):
        end -= 1
    if not 0 < end - begin < len(chunks):
        return []
    words = [chunk.lower() for chunk in (*chunks[:begin], *chunks[end:])]
    before = "".join([f"{word} " for word in words[:begin]])
    behind = "".join([f" {word}" for word in words[begin:]])
    first, last = begin == 0, end == len(chunks)
    rest = chunks[begin:end]
    if len(rest) == 1 and _DIGIT.search(rest[0]):
        # A number keeps a name from being taken for common words.
        ways = _forms(rest[0], Place(first, last, "&" in rest[0], capitals, False))
        return [(f"{before}{form}{behind}", cost) for form, cost in ways]
    if all(map(is_common, words)):
        return []
    found: dict[str, float] = {}
    for form, cost in _rest_ways(tuple(rest), first, last, capitals):
        found[f"{before}{form}{behind}" if form else (before + behind[1:]).rstrip()] = cost
    return _likeliest(found)


@lru_cache(maxsize=20_000)
def _rest_ways(
    chunks: tuple[str, ...], first: bool, last: bool, capitals: bool
) -> tuple[tuple[str, float], ...]:
    """Return the ways to say what is beside ordinary words; none if they are very many."""
    choices = _chunk_choices(chunks, Place(first, last, False, capitals, False))
    if math.prod(map(len, choices)) > MAX_COMBINED:
        return ()
    found = _cheapest(combined(choices))
    return () if max(map(len, found)) > _LONGEST - _SHORT else tuple(found.items())


@lru_cache(maxsize=20_000)
def _forms(chunk: str, place: Place) -> tuple[tuple[str, float], ...]:
    """Return the ways to say a chunk in words of letters, the likeliest first."""
    found = _cheapest(chunk_ways(chunk, place))
    found.pop("", None)
    return tuple(_likeliest(found))


def _chunk_choices(chunks: Sequence[str], whole: Place) -> list[Sequence[Way]]:
    """Return the ways to say each of the chunks that stand at a place in a name."""
    last = len(chunks) - 1
    ampersand = any("&" in chunk for chunk in chunks)
    choices: list[Sequence[Way]] = []
    for position, chunk in enumerate(chunks):
        if ORDINARY.fullmatch(chunk):
            choices.append((((chunk.lower(),), 0.0),))
            continue
        beside = ampersand and any(
            "&" in one for one in chunks[max(position - 1, 0) : position + 2]
        )
        first, end = whole.first and position == 0, whole.last and position == last
        place = Place(first, end, beside, whole.capitals, whole.shouted)
        choices.append(chunk_ways(chunk, place))
    return choices


class _Everyday:
    """Tells which forms of a name would be heard as common words, and so take their place."""

    def __init__(self, text: str, chunks: Sequence[str], written: str) -> None:
        """Look at a name as its user wrote it, at its chunks and its normal form."""
        self._text = text
        self._chunks = chunks
        self._written = written

    @cached_property
    def _symbols(self) -> bool:
        return _MARK.search(self._text) is not None and bool(unheard_symbols(self._text))

    @cached_property
    def _told_apart(self) -> bool:
        text, chunks = self._text, self._chunks
        return (
            "&" in text
            or _DIGIT.search(text) is not None
            or any(map(str.isnumeric, text))
            or "'n'" in chunks
            or any(map(_is_short, chunks[1:]))
            or (len(chunks) > 1 and _is_short(chunks[0]))
        )

    def takes(self, form: str) -> bool:
        """Tell whether a form takes the place of common words."""
        if " " not in form:
            return is_common(form) and form not in ABBREVIATIONS and not self._is_listed(form)
        words = form.split(" ")
        if form == self._written or not all(map(is_common, words)) or self._told_apart:
            return False
        if all(len(word) == 1 for word in words):
            return False
        spelled = any(len(one) == len(other) == 1 for one, other in zip(words, words[1:]))
        if spelled or not {"plus", "dot", "sharp", "hashtag"}.isdisjoint(words):
            return False
        return any(map(is_frequent, words))

    def _is_listed(self, form: str) -> bool:
        """Tell whether a word is how the name is written, no symbol left out."""
        joined = self._written.replace(" ", "") if "-" in self._text else self._written
        return form in (self._written, joined) and not self._symbols


def _is_short(chunk: str) -> bool:
    """Tell whether a word is a Roman number, or short for another, with a full stop."""
    if chunk.endswith("."):
        return chunk[:-1].lower() in SHORTENED
    return chunk.isupper() and chunk.lower() in ROMAN
