"""Where the names of a list stand in a text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Occurrence", "PhraseMatcher"]


@dataclass(frozen=True)
class Occurrence:
    """Where a name stands in a sequence of words: ``words[start:end]``."""

    start: int
    end: int
    name: str


class PhraseMatcher:
    """Finds the names of a list in a sequence of words: leftmost, longest, no overlaps.

    From left to right, the longest name that begins at a word is taken and the search
    goes on behind it.

    Args:
        names: in normal form, words separated by single spaces.
        possessive: whether a name whose last word has ``'s`` appended counts as the name.
    """

    def __init__(self, names: Iterable[str], possessive: bool = True) -> None:
        self._names = frozenset(names)
        self._possessive = possessive
        self._longest: dict[str, int] = {}
        for name in self._names:
            first, *rest = name.split(" ")
            self._longest[first] = max(self._longest.get(first, 0), 1 + len(rest))

    def occurrences(self, words: Sequence[str]) -> list[Occurrence]:
        """Return the names in `words`, from left to right."""
        found = []
        start = 0
        while start < len(words):
            occurrence = self._at(words, start)
            if occurrence is not None:
                found.append(occurrence)
            start = start + 1 if occurrence is None else occurrence.end
        return found

    def _at(self, words: Sequence[str], start: int) -> Occurrence | None:
        first = words[start]
        longest = self._longest.get(first, 0)
        if self._possessive and first.endswith("'s"):
            longest = max(longest, self._longest.get(first[:-2], 0))
        for end in range(min(start + longest, len(words)), start, -1):
            phrase = " ".join(words[start:end])
            if phrase in self._names:
                return Occurrence(start, end, phrase)
            if self._possessive and phrase.endswith("'s") and phrase[:-2] in self._names:
                return Occurrence(start, end, phrase[:-2])
        return None
