"""A list of words with their pronunciations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ctcbias_fst.errors import InputError
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.text_files import read_lines

Phones = tuple[str, ...]

# The plural and possessive ending: after hisses a syllable, after voiceless sounds S, else Z.
_HISSES = frozenset("S Z SH ZH CH JH".split())
_VOICELESS = frozenset("P T K F TH".split())


class Lexicon:
    """Words to pronunciations, the first choice first.

    Possessives follow from their stems by rule, so a lexicon need not list them.
    """

    def __init__(self, entries: Mapping[str, str]) -> None:
        """Take the entries.

        Args:
            entries: normalised word to its phones, separated by spaces; several pronunciations
                by ``;``. They are taken apart only when they are asked for.
        """
        self._entries = entries

    def __len__(self) -> int:
        """Number of words."""
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the words."""
        return iter(self._entries)

    def __contains__(self, word: object) -> bool:
        """Tell whether `pronunciations` knows a word."""
        if word in self._entries:
            return True
        return isinstance(word, str) and word.endswith("'s") and word[:-2] in self

    def pronunciations(self, word: str) -> tuple[Phones, ...]:
        """Return all pronunciations; none if neither the word nor its stem is listed."""
        entry = self._entries.get(word)
        if entry is not None:
            return tuple(tuple(phones.split(" ")) for phones in entry.split(";"))
        if word.endswith("'s") and len(word) > 2:
            return tuple(possessive(phones) for phones in self.pronunciations(word[:-2]))
        return ()


def possessive(phones: Phones) -> Phones:
    """Return how a word sounds with ``'s``."""
    if phones[-1] in _HISSES:
        return (*phones, "IH", "Z")
    return (*phones, "S" if phones[-1] in _VOICELESS else "Z")


def read_lexicon(*paths: str | Path) -> Lexicon:
    """Read lines ``word<TAB>PHONES``; a word with several pronunciations has a line for each.

    UTF-8, gzip allowed; lines that begin with ``#`` are skipped. Stress is no part of it.

    Args:
        paths: files; a word is taken from the first that has it.

    Raises:
        InputError: a file is missing, or a line of it is no entry.
    """
    entries: dict[str, str] = {}
    for path in reversed(paths):
        entries.update(_read_entries(path))
    return Lexicon(entries)


def _read_entries(path: str | Path) -> dict[str, str]:
    entries: dict[str, str] = {}
    known: set[str] = set()
    for number, line in enumerate(read_lines(path), start=1):
        if not line or line[0] == "#":
            continue
        word, _, phones = line.partition("\t")
        # Most lines repeat phones that were checked before: a set look-up per phone is enough.
        if not known.issuperset(split := phones.split(" ")):
            unknown = [phone for phone in split if phone not in PHONES]
            if unknown:
                raise InputError(
                    f"{path}, line {number}: {unknown[0]!r} is none of the phones "
                    f"{' '.join(PHONES)}. Write the word, a tab, and phones with single spaces."
                )
            known.update(split)
        if not word:
            raise InputError(f"{path}, line {number}: no word before the tab: {line[:40]!r}")
        entries[word] = f"{entries[word]};{phones}" if word in entries else phones
    return entries
