"""How the symbols of a name are said, by where they stand, and which are not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from ctcbias_fst.text.amounts import CURRENCIES, SECOND, Way, ranked
from ctcbias_fst.text.name_parts import Part

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

DOMAINS = frozenset("com co org net edu gov info uk us eu de fr io ai tv me".split())
"""The last parts of addresses on the web, behind a dot that is said."""

_QUIET = frozenset("-‐‑‒–—―'’‘ʼ`´")
"""Hyphens and apostrophes part or join words; a name without them is the same name."""

_HEARD = re.compile(r"[\x00-\x20\x7fA-Za-z\d'`-]", re.ASCII)


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


def symbol_ways(parts: Sequence[Part], position: int, whole: bool) -> Sequence[Way]:
    """What a symbol adds; nothing if it is not said.

    Args:
        parts: of a chunk.
        position: of the symbol.
        whole: the chunk is the whole name.
    """
    symbol = parts[position].text
    before = parts[position - 1] if position else None
    after = parts[position + 1] if position + 1 < len(parts) else None
    if symbol == ".":
        return _full_stop_ways(before, after)
    if symbol in _IN_ADDRESSES and before is not None and after is not None and _is_address(parts):
        return ranked([(_IN_ADDRESSES[symbol],), ()])
    single = before is not None and before.kind == "letters" and len(before.text) == 1
    alone = whole and len(parts) == 1
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
    return any(one.text == "." and other.text.lower() in DOMAINS for one, other in following)


def _full_stop_ways(before: Part | None, after: Part | None) -> list[Way]:
    if after is not None and after.kind != "symbol":
        if before is None:
            if len(after.text) > 1 and after.kind == "letters":
                return [(("dot",), 0.0)]
        elif len(after.text) > 1 and (len(before.text) > 1 or before.text.islower()):
            dotted = len(before.text) > 1 or after.text.lower() in DOMAINS
            return ranked([("dot",), ()] if dotted else [(), ("dot",)])
    return [((), 0.0)]  # the end of a word, initials
