"""How names are said that are not written as they are said: digits, symbols, initials.

``COVID-19`` is said *covid nineteen*, ``B12`` *b twelve*, ``AT&T`` *a t and t*, ``C++`` *c plus
plus*, ``ChatGPT`` *chat g p t*. The rules are those of English, and know Latin letters only.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from ctcbias_fst.text.amounts import CURRENCIES, SECOND, Way, amount_ways, ranked
from ctcbias_fst.text.common_words import is_common, is_everyday, is_frequent
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
_MAX_COMBINED = 24
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

_SHORTENED = ABBREVIATIONS | _MORE_ABBREVIATIONS

_CAMEL = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+|[^\x00-\x7f]+")
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
_PLURAL = re.compile(r"[A-Z]{2,}s")
_ORDINARY = re.compile(r"[A-Za-z][a-z]{5,}")
"""A word that is said as it is written: no initials, no abbreviation."""

_TELEPHONE = re.compile(r"(?!\d{4}-\d\d-\d\d$)\+?\(?\d[\d ()-]{6,}")
_LEAST_DIGITS = 7
_MARK = re.compile(r"[^\w\s'-]|_")
_HEARD = re.compile(r"[\x00-\x20\x7fA-Za-z\d'`-]", re.ASCII)
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
        forms: each with its cost, as in `SpokenForm`; the likeliest first.
        common: a form that is likelier than all of them, but is left out, since it is a common
            word or made of such; empty if there is none.
        untitled: those of the forms that leave out titles (*Dr.*, *Jr.*, *Inc.*).
    """

    forms: list[tuple[str, float]]
    common: str
    untitled: tuple[str, ...] = ()


class _Place(NamedTuple):
    """Where in a name a chunk stands, and what is known of the whole."""

    first: bool
    last: bool
    ampersand: bool
    capitals: bool
    shouted: bool


def needs_spoken_forms(text: str) -> bool:
    """Tell whether `spoken_forms` may have anything to add: digits, symbols, inner capitals, …"""
    first = _ASCII_SIGN if text.isascii() else _SIGNS[0]
    return first.search(text) is not None or any(sign.search(text) for sign in _SIGNS[1:])


def spoken_forms(text: str, capitals: bool = False) -> list[SpokenForm]:
    """Return how a name may be said, the likeliest first; none if the rules do not know it.

    Args:
        text: the name as its user wrote it.
        capitals: it comes from a list in capitals, so that these say nothing.

    Returns:
        Forms without digits and symbols, no two the same, at most eight. A form that would be
        taken for common words is left out. The name's normal form is among them if it is said.
    """
    return [SpokenForm(form, cost) for form, cost in said(text, capitals).forms]


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
    whole = _Place(True, True, False, capitals, len(chunks) > 1 and text.isupper())
    for words, cost in _combined(_chunk_choices(chunks, whole)):
        form = _normal(words)
        if not form or len(form) > _LONGEST:
            continue
        kept = left_out if everyday.takes(form) else found
        if cost < kept.get(form, math.inf):
            kept[form] = cost
    least = min(found.values(), default=math.inf)
    common = [form for form, cost in left_out.items() if cost == 0 and least > 0]
    return Said(_likeliest(found), "".join(common[:1]))


def _normal(words: Sequence[str]) -> str:
    """Return words with spaces between them, in normal form."""
    form = " ".join(words)
    return form if form.isascii() and form.replace(" ", "").isalpha() else normalise(form)


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
    while begin < end and _ORDINARY.fullmatch(chunks[begin]):
        begin += 1
    while end > begin and _ORDINARY.fullmatch(chunks[end - 1]):
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
        ways = _forms(rest[0], _Place(first, last, "&" in rest[0], capitals, False))
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
    choices = _chunk_choices(chunks, _Place(first, last, False, capitals, False))
    if math.prod(map(len, choices)) > _MAX_COMBINED:
        return ()
    found: dict[str, float] = {}
    for words, cost in _combined(choices):
        form = _normal(words)
        if cost < found.get(form, math.inf):
            found[form] = cost
    return () if max(map(len, found)) > _LONGEST - _SHORT else tuple(found.items())


@lru_cache(maxsize=20_000)
def _forms(chunk: str, place: _Place) -> tuple[tuple[str, float], ...]:
    """Return the ways to say a chunk in words of letters, the likeliest first."""
    found: dict[str, float] = {}
    for words, cost in _chunk_ways(chunk, place):
        form = _normal(words)
        if form and cost < found.get(form, math.inf):
            found[form] = cost
    return tuple(_likeliest(found))


def _chunk_choices(chunks: Sequence[str], whole: _Place) -> list[Sequence[Way]]:
    """Return the ways to say each of the chunks that stand at a place in a name."""
    last = len(chunks) - 1
    ampersand = any("&" in chunk for chunk in chunks)
    choices: list[Sequence[Way]] = []
    for position, chunk in enumerate(chunks):
        if _ORDINARY.fullmatch(chunk):
            choices.append((((chunk.lower(),), 0.0),))
            continue
        beside = ampersand and any(
            "&" in one for one in chunks[max(position - 1, 0) : position + 2]
        )
        first, end = whole.first and position == 0, whole.last and position == last
        place = _Place(first, end, beside, whole.capitals, whole.shouted)
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
    if text.isascii():
        return "".join(dict.fromkeys(_HEARD.sub("", text)))
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


def _ways(parts: Sequence[Part], position: int, place: _Place) -> Sequence[Way]:
    """Return the ways to say one part of a chunk."""
    part = parts[position]
    numbered = position > 0 and parts[position - 1].kind == "digits"
    if part.kind == "letters" and not numbered and _ORDINARY.fullmatch(part.text):
        return (((part.text.lower(),), 0.0),)
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
        found = longer[:_MAX_COMBINED]
    return found


def _symbol_ways(
    part: Part, before: Part | None, after: Part | None, parts: Sequence[Part], place: _Place
) -> Sequence[Way]:
    """What a symbol adds; nothing if it is not said."""
    symbol = part.text
    if symbol == ".":
        return _full_stop_ways(before, after)
    if symbol in _IN_ADDRESSES and before is not None and after is not None and _is_address(parts):
        return ranked([(_IN_ADDRESSES[symbol],), ()])
    single = before is not None and before.kind == "letters" and len(before.text) == 1
    alone = len(parts) == 1 and place.first and place.last
    kinds = before and before.kind, after and after.kind
    return _symbol_between(symbol, *kinds, single, alone)


@lru_cache(maxsize=2_000)
def _symbol_between(
    symbol: str, before: str | None, after: str | None, single: bool, alone: bool
) -> tuple[Way, ...]:
    """What a symbol adds between parts of two kinds.

    Args:
        symbol: of one character.
        before: the kind of the part before it, None if it begins a chunk.
        after: that of the part behind it.
        single: a single letter is before it.
        alone: it is the whole name.
    """
    if symbol == "#" and before is None and after == "letters":
        return (("hashtag",), 0.0), ((), SECOND)
    number = after == "digits"
    tables = (
        (number and before is None, _BEFORE_FIRST_NUMBERS),
        (number, _BEFORE_NUMBERS),
        (before == "digits", _BEHIND_NUMBERS),
        (before is not None and after is not None, _BETWEEN),
        (before is not None, {"+": ("plus",)}),
        (after is not None, {"@": ("at",)}),
        (single and after is None, {"#": ("sharp",)}),
        (not alone, {"&": ("and",), "§": ("section",)}),
    )
    words = next((table[symbol] for applies, table in tables if applies and symbol in table), ("",))
    return tuple(ranked([tuple(several.split()) for several in words]))


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
    full = _SHORTENED if shortened else ABBREVIATIONS
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
        return chunk[:-1].lower() in ABBREVIATIONS or chunk[:-1].lower() in _MORE_ABBREVIATIONS
    return chunk.isupper() and chunk.lower() in ROMAN
