"""One normal form for everything that is compared: references, transcripts, names.

The form holds letters (lower case), combining marks, digits, single spaces, and
apostrophes inside a word. It is a fixed point: normalising twice changes nothing.

A symbol that is said is a word there: ``AT&T`` is ``at and t``, ``C++`` is ``c plus plus``, ``C#``
is ``c sharp``, ``.NET`` is ``dot net``, ``a@b`` is ``a at b``. So what is left of a name without
its symbols is never taken for the name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

_Written = TypeVar("_Written", bound="str | None")

# Typographic apostrophes, primes and accents that people type for one.
_APOSTROPHES = "\u2019\u2018\u02bc\u02bb\u2032\uff07\u0060\u00b4\u201b\u02b9\u0374\u05f3"

# An apostrophe is kept only inside a word: quotes, 'tis and dogs' lose theirs.
_EDGE_APOSTROPHE = re.compile(r"(?:^|(?<=[\s']))'|'(?=[\s']|$)")

# Trade marks, which NFKC would write as letters.
_MARKS = "\u2122\u2120"

# Variation selectors, which say how the sign before them is drawn.
_VARIANTS = "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))

# Gershayim as they are typed: a sign of Hebrew acronyms, which are words.
GERSHAYIM = re.compile('(?<=[\u05d0-\u05ea])"(?=[\u05d0-\u05ea])')

_ALNUM = r"[^\W_]"
_AND = re.compile(rf"(?<={_ALNUM})[^\S\n]*&(?:amp;)?[^\S\n]*(?={_ALNUM})")
_AT = re.compile(rf"(?<={_ALNUM})@(?={_ALNUM})")
_PLUS = re.compile(rf"(?<={_ALNUM})\++|\+(?=\d)")
_SHARP = re.compile(rf"(?<!{_ALNUM})([^\W\d_])#(?!{_ALNUM})")
_DOT = re.compile(r"(?<!\S)\.(?=[^\W\d_]{2})")


class CharacterTable(dict[int, _Written]):
    """What each character is to become, for `str.translate`: told when it is first met."""

    def __init__(self, becomes: Callable[[str], _Written]) -> None:
        super().__init__()
        self._becomes = becomes

    def __missing__(self, code: int) -> _Written:
        self[code] = self._becomes(chr(code))
        return self[code]


def _cleaned(character: str) -> str:
    # Composition makes new typographic apostrophes (of U+0149).
    if character in _APOSTROPHES:
        return "'"
    return character if unicodedata.category(character)[0] in "LMN" or character in "'\n" else " "


def _prepared(character: str) -> str | None:
    """Before composition: unify apostrophes, drop invisible format characters."""
    if character in _APOSTROPHES:
        return "'"
    if character in _MARKS:
        return " "
    invisible = unicodedata.category(character) == "Cf" or character in _VARIANTS
    return None if invisible or character == "\u05f4" else character


_CLEAN = CharacterTable(_cleaned)
_PREPARE = CharacterTable(_prepared)

# Letters that NFD leaves whole.
_FOLDS = str.maketrans(
    {
        "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d",
        "þ": "th", "ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "ng", "ĸ": "k", "ſ": "s",
    }
)  # fmt: skip


def normalise(text: str) -> str:
    """Return `text` in the normal form.

    Unicode NFKC, lower case; typographic apostrophes become ``'`` and stay inside words
    only; symbols that are said become words (see the module); all other punctuation and
    symbols and white space become one space; invisible format characters vanish; digits
    stay digits.

    >>> normalise("  Dr. O\u2019Neill\u2019s  Coca-Cola, 500 mg ")
    "dr o'neill's coca cola 500 mg"
    """
    return _normalise_block(text.replace("\n", " "))


def normalise_lines(lines: Iterable[str]) -> list[str]:
    """Return ``[normalise(line) for line in lines]``, some ten times faster.

    All lines pass through each step as one string. A newline inside a line counts as
    a space, as it does in `normalise`.
    """
    lines = list(lines)
    if not lines:
        return []
    block = "\n".join(lines)
    if block.count("\n") >= len(lines):
        block = "\n".join([line.replace("\n", " ") for line in lines])
    return _normalise_block(block).split("\n")


def as_written(words: Sequence[str], text: str) -> list[tuple[str, int]]:
    """The words as the text spells them, each with how many it is in the normal form: ``AT&T``, 3.

    Signs that are no word go with the word before them. If the text's words are others together
    than one by one, those of the normal form.
    """
    spelt = text.split()
    parts = [normal.split() for normal in normalise_lines(spelt)]
    if [word for several in parts for word in several] != list(words):
        return [(word, 1) for word in words]
    groups: list[tuple[str, int]] = []
    before = ""
    for shown, several in zip(spelt, parts):
        if several:
            groups.append((f"{before} {shown}".strip(), len(several)))
            before = ""
        elif groups:
            groups[-1] = (f"{groups[-1][0]} {shown}", groups[-1][1])
        else:
            before = f"{before} {shown}".strip()
    return groups


def fold_diacritics(text: str) -> str:
    """Return normalised `text` with accents and ligatures written in plain letters.

    >>> fold_diacritics("josé müller łódź straße")
    'jose muller lodz strasse'
    """
    if text.isascii():
        return text
    decomposed = unicodedata.normalize("NFD", text)
    plain = "".join([c for c in decomposed if not _is_accent(c)])
    return unicodedata.normalize("NFC", plain).translate(_FOLDS)


def _is_accent(character: str) -> bool:
    """Tell marks without which the same word is left: no vowel signs, tones, or marks of kana."""
    category = unicodedata.category(character)
    combining = unicodedata.combining(character)
    drawn = "\ufe00" <= character <= "\ufe0f"  # how to draw it
    removed = drawn or combining == 1 or 9 < combining < 84 or combining > 132
    return category == "Me" or (category == "Mn" and removed)


def _normalise_block(block: str) -> str:
    """Normalise lines joined by newlines; their number stays as it was."""
    if block.isascii():
        block = block.replace("`", "'").lower()
    else:
        block = block.translate(_PREPARE)
        if '"' in block:
            block = GERSHAYIM.sub("", block)
        # Lower-casing can undo a composition (the Turkish dotted capital I), so compose twice.
        block = unicodedata.normalize("NFKC", block).lower()
        block = unicodedata.normalize("NFKC", block)
    block = _say_symbols(block).translate(_CLEAN)
    if "'" in block:
        block = _EDGE_APOSTROPHE.sub("", block)
    while "  " in block:
        block = block.replace("  ", " ")
    return block.replace(" \n", "\n").replace("\n ", "\n").strip(" ")


def _say_symbols(block: str) -> str:
    """Write the symbols that are said as words."""
    if "&" in block:
        block = _AND.sub(" and ", block)
    if "+" in block:
        block = _PLUS.sub(lambda found: " plus" * len(found[0]) + " ", block)
    if "#" in block:
        block = _SHARP.sub(r"\1 sharp", block)
    if "@" in block:
        block = _AT.sub(" at ", block)
    if block.startswith(".") or " ." in block or "\n." in block:
        block = _DOT.sub("dot ", block)
    return block
