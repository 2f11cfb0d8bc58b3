"""Where the names of a list stand in words: the one place that says so.

Names and words are compared in the normal form (`ctcbias_fst.text.normalise`), so capitals,
punctuation, typographic apostrophes, and composed or decomposed letters make no difference; nor do
letters that are the same in capitals (ß and ss, ı and i), and the points of Hebrew and Arabic. They
are taken apart at hyphens and the like, and at each letter of a script without spaces: ``北京`` is
found in ``我在北京``, ``Coca-Cola`` in ``coca cola`` and the other way round.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from ctcbias_fst.text.normalise import GERSHAYIM, CharacterTable, normalise
from ctcbias_fst.text.scripts import OPTIONAL_MARKS, apart, is_unspaced

_POSSESSIVE = "'s"

_PARTING = ',;!?()[]{}"“”„«»，、。；！？（）「」『』《》،؛؟'
"""Between two words of a name these stand only where it has them itself."""

_UNKNOWN = "<unk>"

_KEPT = 50_000
"""Words that are not taken apart again, at most."""

_SAID = re.compile(r"[&+#@]|^\.[^\W\d_]{2}")
"""What may be words in the normal form."""


def _kind(character: str) -> str:
    """Of what kind a character is, as one letter: see `_RUN`."""
    category = unicodedata.category(character)
    if character in ".+#":
        return character
    if category == "Cf" or character == "\u05f4":
        return "c"
    if character in "\u3099\u309a\uff9e\uff9f":
        return "v"
    if category[0] in "LMN" and is_unspaced(character):
        return "U"
    if normalise(f"a{character}a") == "a'a":
        return "'"
    return "L" if category[0] in "LM" else "D" if category[0] == "N" else "-"


_KINDS = CharacterTable(_kind)

_SIMPLE_LINES = re.compile("[a-zA-Z0-9]+(?:[ \n][a-zA-Z0-9]+)*")

_RUN = re.compile("Uv?|[LD](?:['c]*[LD])*")
"""A part of a word: a letter of a script without spaces, or others, marks and digits, with
apostrophes and invisible characters between them."""

_SYMBOLIC = re.compile(r"(?:\.(?=L)|\+(?=D)|[LDU]).*[LDU+#]|[LDU]")
"""The only part of a word with symbols that are said: from its first letter to its last."""


class Occurrence(NamedTuple):
    """Where a name stands in a sequence of words: ``words[start:end]``.

    Attributes:
        start, end: which words.
        name: as it was given.
        before: what stands before the name in its first word.
        after: what stands after it in its last word: punctuation, a possessive, other letters.
        possessive: whether an ``'s`` follows it.
    """

    start: int
    end: int
    name: str
    before: str = ""
    after: str = ""
    possessive: bool = False

    @property
    def within(self) -> bool:
        """Whether it is a part of a longer word."""
        if not self.before and not self.after:
            return False
        after = self.after[len(_POSSESSIVE) :] if self.possessive else self.after
        return any(map(str.isalnum, self.before + after))


def in_capitals_only(name: str, display: str) -> bool:
    """Whether a name that is looked for as its letters (``u s``) is also one in capitals (``US``).

    Args:
        name: what is looked for, in normal form.
        display: what is shown.
    """
    return display.isupper() and " " in name and name.replace(" ", "") == display.lower()


def matcher_of(texts: Iterable[str]) -> PhraseMatcher:
    """Finds names by texts in normal form, or in capitals (`in_capitals_only`)."""
    texts = list(texts)
    return PhraseMatcher(texts, in_capitals=[text for text in texts if text.isupper()])


class PhraseMatcher:
    """Finds the names of a list in a sequence of words: leftmost, longest, no overlaps.

    From left to right, the longest name that begins at a word (or at a letter of a script without
    spaces) is taken and the search goes on behind it. Of names whose normal form is the same the
    one that is written there is taken, or else the first.

    Args:
        names: in any spelling.
        possessive: whether a name whose last word has ``'s`` appended counts as the name.
        in_capitals: of the names, those that are found only where they are written in capitals:
            ``IT`` is no *it*.
    """

    def __init__(
        self, names: Iterable[str], possessive: bool = True, in_capitals: Collection[str] = ()
    ) -> None:
        self._possessive = possessive
        self.in_capitals = frozenset(in_capitals)
        self._names: dict[str, str] = {}
        self._others: dict[str, list[str]] = {}
        self._longest: dict[str, int] = {}  # pieces, of the names that begin with a piece
        names = list(names)
        longest = self._longest
        for key, name in zip(_keys(names), names):
            if self._names.setdefault(key, name) != name:
                self._others.setdefault(key, []).append(name)
                continue
            first, space, rest = key.partition(" ")
            count = 2 + rest.count(" ") if space else 1
            if longest.get(first, 0) < count:
                longest[first] = count
        self._names.pop("", None)

    def occurrences(self, words: Sequence[str], without: Collection[str] = ()) -> list[Occurrence]:
        """Return the names in `words`, from left to right; some names may be left out."""
        text = _Text.of(words)
        found = []
        free = 0
        for at in self._starts(text):
            if at < free:
                continue
            one, count = self._at(text, at, len(text.keys))
            while without and one is not None and one.name in without:
                one, count = self._at(text, at, count - 1)
            if one is not None:
                found.append(one)
                free = at + count
        return found

    def every(self, words: Sequence[str]) -> list[Occurrence]:
        """Return all names in `words`, those within or across others too, by where they begin."""
        text = _Text.of(words)
        found = []
        for at in self._starts(text):
            count = len(text.keys)
            while count:
                one, count = self._at(text, at, count)
                if one is not None:
                    found.append(one)
                count -= 1
        return found

    def _starts(self, text: _Text) -> list[int]:
        """The pieces with which a name may begin."""
        longest, stem = self._longest, self._stem
        if text.places is None:
            return [at for at, key in enumerate(text.keys) if key in longest]
        return [
            at
            for at, key in enumerate(text.keys)
            if (key in longest or stem(key) in longest) and text.begins(at)
        ]

    def _at(self, text: _Text, at: int, most: int) -> tuple[Occurrence | None, int]:
        """The longest name of `most` pieces at most that begins at piece `at`, and how many it has;
        None and 1 if there is none."""
        keys, names, simple = text.keys, self._names, text.places is None
        first = keys[at]
        longest = self._longest.get(first, 0)
        if not simple:  # there may be apostrophes
            longest = max(longest, self._longest.get(self._stem(first), 0))
        most = min(longest, most, len(keys) - at)
        if simple and not self._others and not self.in_capitals:
            for count in range(most, 1, -1):
                name = names.get(" ".join(keys[at : at + count]))
                if name is not None:
                    return Occurrence(at, at + count, name), count
            name = names.get(first) if most else None
            return None if name is None else Occurrence(at, at + 1, name), 1
        for count in range(most, 0, -1):
            written = " ".join(keys[at : at + count])
            key = written if written in names else self._stem(written)
            if key in names and text.ends(at + count - 1):
                kept = len(written) - len(key)
                found = self._occurrence(text, at, at + count, key, kept)
                if found is not None:
                    return found, count
        return None, 1

    def _stem(self, key: str) -> str:
        """What is left of a possessive; empty if it is none."""
        return key[:-2] if self._possessive and key.endswith(_POSSESSIVE) else ""

    def _occurrence(self, text: _Text, at: int, end: int, key: str, kept: int) -> Occurrence | None:
        """The name whose pieces `key` are, before a possessive of `kept` letters."""
        name = self._names[key]
        others = self._others.get(key, ())
        found = text.occurrence(at, end, name, kept)
        exact = " ".join(text.words[found.start : found.end])
        exact = exact[len(found.before) : len(exact) - len(found.after)]
        if exact in others:
            return found._replace(name=exact)
        if name in self.in_capitals and not exact.isupper():
            spelt = next((one for one in others if one not in self.in_capitals), None)
            return None if spelt is None else found._replace(name=spelt)
        marks = _marks(exact)
        return None if marks and marks != _marks(name.strip(_PARTING)) else found


class _Piece(NamedTuple):
    """A part of a word that is compared as a whole.

    Attributes:
        key: its normal form.
        begin, end: which characters of the word; -1 where no name may begin or end, for the word's
            form has more pieces than are written.
    """

    key: str
    begin: int
    end: int


class _Text(NamedTuple):
    """Words in pieces.

    Attributes:
        words: as they are written.
        keys: the pieces of all words.
        places: the word of each piece, and the piece; None if every word is a piece, letters and
            digits alone.
    """

    words: Sequence[str]
    keys: Sequence[str]
    places: list[tuple[int, _Piece]] | None

    @classmethod
    def of(cls, words: Sequence[str]) -> _Text:
        """Take words apart."""
        block = "".join(words)
        if _is_simple(block):
            return cls(words, words if block.islower() else [w.lower() for w in words], None)
        places = [(i, piece) for i, word in enumerate(words) for piece in _pieces(word)]
        return cls(words, [piece.key for _, piece in places], places)

    def begins(self, at: int) -> bool:
        """Whether a name may begin with a piece: it is a word's first, or of no spaced script."""
        if self.places is None:
            return True
        word, piece = self.places[at]
        if piece.begin < 0:
            return False
        return (
            at == 0
            or self.places[at - 1][0] != word
            or is_unspaced(piece.key)
            or is_unspaced(self.keys[at - 1])
        )

    def ends(self, at: int) -> bool:
        """Whether a name may end with a piece."""
        return self.places is None or self.places[at][1].end >= 0

    def occurrence(self, at: int, end: int, name: str, kept: int) -> Occurrence:
        """The pieces ``at`` to ``end - 1`` as a name, less the last `kept` letters."""
        if self.places is None:
            return Occurrence(at, end, name)
        (first, head), (last, tail) = self.places[at], self.places[end - 1]
        before = self.words[first][: head.begin]
        after = self.words[last][tail.end - kept :]
        return Occurrence(first, last + 1, name, before, after, kept > 0)


def _folded(text: str) -> str:
    """Normalised text without what capitals do not tell apart, nor points that may be left out."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text.casefold().replace("i\u0307", "i"))
    return OPTIONAL_MARKS.sub("", text.replace("\u0131", "i"))


def _marks(text: str) -> list[str]:
    """The punctuation that parts words."""
    return [character for character in GERSHAYIM.sub("", text) if character in _PARTING]


def _is_simple(text: str) -> bool:
    """Tell whether the normal form of words is that they are in small letters."""
    return text.isascii() and text.isalnum()


def _keys(names: Sequence[str]) -> Sequence[str]:
    """The pieces of each name, with spaces between."""
    block = "\n".join(names)
    if _SIMPLE_LINES.fullmatch(block):
        return block.lower().split("\n")
    return [
        " ".join([piece.key for word in name.split() for piece in _pieces(word)]) for name in names
    ]


@lru_cache(maxsize=_KEPT)
def _pieces(word: str) -> tuple[_Piece, ...]:
    """Take a word apart; one without letters is a piece itself."""
    whole = (_Piece(word.lower(), 0, len(word)),)
    if _is_simple(word):
        return whole
    pieces: list[_Piece] = []
    if _UNKNOWN in word:  # who knows what it is a part of
        return whole
    kinds = GERSHAYIM.sub("\u05f4", word).translate(_KINDS)
    for run in (_SYMBOLIC if _SAID.search(word) else _RUN).finditer(kinds):
        keys = apart(_folded(normalise(word[run.start() : run.end()]))).split()
        for i, key in enumerate(keys):
            begin = -1 if i else run.start()
            pieces.append(_Piece(key, begin, -1 if i < len(keys) - 1 else run.end()))
    return tuple(pieces) or whole
