"""Numbers, ordinals and abbreviations as English says them."""

from __future__ import annotations

import re
from collections.abc import Sequence

# fmt: off
ABBREVIATIONS = {
    "dr": ("doctor", "drive"), "mr": ("mister",), "mrs": ("missus",), "ms": ("miz",),
    "st": ("saint", "street"), "mt": ("mount",), "ft": ("fort", "feet"), "jr": ("junior",),
    "sr": ("senior",), "vs": ("versus",), "mg": ("milligrams",), "ml": ("milliliters",),
    "mcg": ("micrograms",), "kg": ("kilograms",), "inc": ("incorporated", "ink"),
    "ltd": ("limited",), "vol": ("volume",),
}
"""What is written short but said in full; not to be read as it is spelt."""

SHORTENED = ABBREVIATIONS | {
    "prof": ("professor",), "gen": ("general",), "lt": ("lieutenant",), "capt": ("captain",),
    "sgt": ("sergeant",), "rev": ("reverend",), "co": ("company",), "corp": ("corporation",),
    "bros": ("brothers",), "ave": ("avenue",), "blvd": ("boulevard",), "no": ("number",),
}
"""With those that are words, or parts of names, without their full stop."""

ROMAN = {
    "ii": 2, "iii": 3, "iv": 4, "vi": 6, "vii": 7, "viii": 8, "ix": 9, "xi": 11, "xii": 12,
    "xiii": 13, "xiv": 14, "xv": 15, "xvi": 16, "xvii": 17, "xviii": 18, "xix": 19, "xx": 20,
}
UNITS = {
    "mg": "milligrams", "mcg": "micrograms", "μg": "micrograms", "kg": "kilograms",
    "ml": "milliliters", "mL": "milliliters", "μl": "microliters", "km": "kilometers",
    "cm": "centimeters", "mm": "millimeters", "μm": "micrometers", "lb": "pounds",
    "lbs": "pounds", "oz": "ounces", "ft": "feet", "mph": "miles per hour",
    "kmh": "kilometers per hour", "mps": "meters per second", "mgml": "milligrams per milliliter",
    "mgdl": "milligrams per deciliter", "Hz": "hertz", "kHz": "kilohertz", "MHz": "megahertz",
    "GHz": "gigahertz", "KB": "kilobytes", "MB": "megabytes", "GB": "gigabytes",
    "TB": "terabytes", "kW": "kilowatts", "mW": "milliwatts", "mAh": "milliamp hours",
}
"""Behind a number."""

SCALES = {
    "thousand": "thousand", "million": "million", "billion": "billion", "trillion": "trillion",
    "k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion",
    "tn": "trillion",
}
"""Behind an amount of money."""

ONES = (
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

_LONGEST_ACRONYM = 3
"""Longer ones sound less alike."""


def number_words(value: int) -> list[str]:
    """Return a whole number in words.

    >>> " ".join(number_words(1_019))
    'one thousand nineteen'
    """
    if value < 20:
        return [ONES[value]]
    for scale, word in _SCALES:
        if value >= scale:
            rest = value % scale
            return [*number_words(value // scale), word, *(number_words(rest) if rest else [])]
    tens, ones = divmod(value, 10)
    return [_TENS[tens], *([ONES[ones]] if ones else [])]


def number_readings(part: str) -> list[tuple[str, ...]]:
    """Return the ways to say digits, which may end in ``st``, ``nd``, ``rd``, ``th`` or ``s``.

    12: twelve, one two. 1984: nineteen eighty four. 747: seven forty seven. 007: by digits.
    """
    found = re.match(r"\d+", part)
    assert found is not None
    digits, ending = found[0], part[found.end() :]
    by_digit = [ONES[int(digit)] for digit in digits]
    if len(digits) > _LONGEST_NUMBER or (digits[0] == "0" and len(digits) > 1):
        return [tuple(by_digit)]
    words = number_words(int(digits))
    if ending in ("st", "nd", "rd", "th"):
        return [tuple(ordinal(words))]
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
        # Decades have one reading: nineteen nineties.
        ways = [[*way[:-1], _plural(way[-1])] for way in ways[: 2 if len(digits) == 3 else 1]]
    return list(dict.fromkeys(tuple(way) for way in ways))


def ordinal(words: list[str]) -> list[str]:
    """Return the ordinal of a number in words: forty two, forty second."""
    last = words[-1]
    if last in _ORDINALS:
        return [*words[:-1], _ORDINALS[last]]
    return [*words[:-1], f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th"]


def fraction(numerator: int, denominator: int) -> list[tuple[str, ...]]:
    """Return the ways to say a fraction of small numbers, such as *two thirds*.

    >>> fraction(1, 4)
    [('one', 'quarter'), ('a', 'quarter'), ('one', 'fourth')]
    """
    parts = [ordinal(number_words(denominator))[-1]]
    if denominator in (2, 4):
        parts = ["half"] if denominator == 2 else ["quarter", "fourth"]
    if numerator > 1:
        return [(ONES[numerator], f"{part}s") for part in parts]
    return [("one", parts[0]), ("a", parts[0]), *(("one", part) for part in parts[1:])]


def _plural(word: str) -> str:
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith("x") else f"{word}s"


_COUNTED = frozenset(
    [*ONES, *_TENS[1:], *ROMAN, "i", "v", "x", *(ordinal([word])[-1] for word in (*ONES, *_TENS))]
)


def tells_apart(said: Sequence[str], shown: Sequence[str]) -> list[bool]:
    """Which words of a name are what it differs in from names like it: letters, numbers, acronyms.

    Args:
        said: the words, as a model writes them.
        shown: as the list does, which knows acronyms by their capitals.

    >>> tells_apart(["vitamin", "d"], ["Vitamin", "D"])
    [False, True]
    >>> tells_apart(["terminal", "three"], ["Terminal", "3"])
    [False, True]
    >>> tells_apart(["bank", "us"], ["Bank", "US"])
    [False, True]
    """
    found = [
        len(word) < 2 or word.lower() in _COUNTED or any(map(str.isdigit, word)) for word in said
    ]
    if len(shown) == len(said) and not all(map(str.isupper, shown)):
        for place, word in enumerate(shown):
            found[place] |= word.isupper() and len(word) <= _LONGEST_ACRONYM
    return found
