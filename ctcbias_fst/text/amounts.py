"""Numbers in names, with their units: amounts of money, weights, temperatures, fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

from ctcbias_fst.text.name_parts import SLASHED_UNITS, Part
from ctcbias_fst.text.numbers import ONES, SCALES, UNITS, number_readings, number_words

SECOND = math.log(2.0)
"""Nats: what is said instead of the likeliest form is said half as often, or a quarter, …"""

CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}
_CENTS = {"dollar": "cents", "euro": "cents", "pound": "pence"}
_SCALES_OF_HEAT = {"C": "celsius", "F": "fahrenheit"}
_LONGEST_NUMBER = 12

Way = tuple[tuple[str, ...], float]
"""Words, and their cost."""


def amount_ways(parts: Sequence[Part], position: int) -> Sequence[Way]:
    """Return the ways to say a number, or the unit behind it; none if a part is neither."""
    part = parts[position]
    before = parts[position - 1].text if position else ""
    after = parts[position + 1].text if position + 1 < len(parts) else ""
    if part.kind == "digits":
        unit = CURRENCIES.get(before, "")
        if unit and after.lower() not in SCALES:
            return _money_ways(part.text, unit)
        return _digit_ways(part.text, bool(unit) or after == "%" or after in UNITS)
    if part.kind == "symbol":
        return []
    numbered = position > 0 and parts[position - 1].kind == "digits"
    unit = CURRENCIES.get(parts[position - 2].text, "") if numbered and position > 1 else ""
    if unit and part.text.lower() in SCALES:
        return [((SCALES[part.text.lower()], _plural(unit)), 0.0)]
    if before == "°" and part.text in _SCALES_OF_HEAT:
        return ranked([(_SCALES_OF_HEAT[part.text],), (part.text.lower(),)])
    # The micro sign begins nothing but units.
    known = part.text in UNITS and (numbered or part.text[0] == "μ")
    return _unit_ways(part.text) if known else []


def ranked(ways: Sequence[tuple[str, ...]]) -> list[Way]:
    """Return ways with their costs, each half as likely as the one before it."""
    return [(words, rank * SECOND) for rank, words in enumerate(dict.fromkeys(ways))]


def _plural(unit: str) -> str:
    return unit if unit == "yen" else f"{unit}s"


def _unit_ways(text: str) -> list[Way]:
    ways = [tuple(UNITS[text].split())]
    # Names made up for km/h and the like are not said.
    return ranked(ways if text in SLASHED_UNITS.values() else [*ways, (text.lower(),)])


def _money_ways(text: str, unit: str) -> list[Way]:
    """An amount of money: five dollars, one pound fifty."""
    plural = _plural(unit)
    whole, _, rest = text.partition(".")
    if len(rest) != 2 or rest == "00" or unit not in _CENTS or not whole.isdigit():
        return [
            ((*words, unit if text == "1" else plural), cost)
            for words, cost in _digit_ways(text, True)
        ]
    amount, part = number_words(int(whole)), number_words(int(rest))
    named = [*amount, unit if whole == "1" else plural]
    return ranked(
        [
            (*named, "and", *part, _CENTS[unit]),
            (*named, *part),
            (*amount, *(["oh"] if rest[0] == "0" else []), *part),
        ]
    )


@lru_cache(maxsize=20_000)
def _digit_ways(text: str, counted: bool = False) -> tuple[Way, ...]:
    """The ways to say a number; one that counts something is not said by its digits."""
    return tuple(ranked(_readings(text, counted)))


def _readings(text: str, counted: bool) -> list[tuple[str, ...]]:
    counted = counted or "," in text
    text = text.replace(",", "")
    if "." in text:
        whole, *rest = text.split(".")
        tails = [[ONES[int(digit)] for digit in digits] for digits in rest]
        tail = [word for digits in tails for word in ("point", *digits)]
        ways = [(*words, *tail) for words in number_readings(whole)[: 1 if counted else 2]]
        if "zero" in tail:
            ways += [tuple("oh" if word == "zero" else word for word in ways[0])]
        return ways
    ways = number_readings(text)
    if counted and text.isdigit() and len(text) <= _LONGEST_NUMBER:
        ways = [tuple(number_words(int(text)))]
    ways += [("a", *way[1:]) for way in ways if len(way) == 2 and way[0] == "one" and _round(way)]
    if not text.endswith("s"):
        ways += [with_and for words in ways if (with_and := _with_and(words)) != words]
    if "0" in text[:-1] and text.isdigit() and len(text) < 8 and not counted:
        spoken = ["oh" if digit == "0" else ONES[int(digit)] for digit in text]
        ways += [tuple(spoken)]
        if spoken[:2] == ["oh", "oh"] and "oh" not in spoken[2:]:
            ways += [("double", *spoken[1:])]
    return ways


def _round(words: tuple[str, ...]) -> bool:
    return words[-1] in ("hundred", "thousand", "million", "billion")


def _with_and(words: tuple[str, ...]) -> tuple[str, ...]:
    """Two thousand one: two thousand and one."""
    places = [i for i, word in enumerate(words) if word in ("hundred", "thousand")]
    if not places or places[-1] + 1 == len(words) or "and" in words:
        return words
    return (*words[: places[-1] + 1], "and", *words[places[-1] + 1 :])
