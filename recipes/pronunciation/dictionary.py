"""CMUdict as the recipe reads it, and which of its words no training may see."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ctcbias_fst.errors import InputError
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.text_files import read_lines

__all__ = ["TEST_WORDS", "Pronunciations", "held_out", "read_dictionary", "test_words", "trainable"]

Pronunciations = Mapping[str, tuple[tuple[str, ...], ...]]
"""Word (lower case) to its pronunciations, first choice first, no two the same."""

TEST_WORDS = 2000

_ENTRY = re.compile(r"^(?P<word>[^\s(]+)(?:\(\d+\))?\s+(?P<phones>[^#]+)")


def read_dictionary(path: Path) -> Pronunciations:
    """Read ``cmudict.dict``; stress is dropped, and so are entries that begin with no letter.

    Raises:
        InputError: the file is missing, or a line of it is no entry.
    """
    words: dict[str, dict[tuple[str, ...], None]] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith(";;;"):
            continue
        found = _ENTRY.match(line)
        phones = tuple(re.sub(r"\d", "", found["phones"]).split()) if found else ()
        if found is None or not phones or any(phone not in PHONES for phone in phones):
            raise InputError(f"{path}, line {number}: not `word PHONES`: {line[:60]!r}")
        if found["word"][0].isalpha():
            words.setdefault(found["word"].lower(), {})[phones] = None
    return {word: tuple(found) for word, found in words.items()}


def held_out(word: str, remainder: int = 7) -> bool:
    """Whether a word belongs to the tenth of all words that `remainder` names (7: test, 3: dev)."""
    return int(hashlib.md5(word.lower().encode()).hexdigest(), 16) % 10 == remainder


def trainable(
    words: Pronunciations, remainders: Iterable[int] = (7,)
) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Return what may be learnt from: plain words whose own name, and stem, is not held out.

    A possessive (``abbott's``) teaches its stem and adds no spelling rule, so none is kept.
    Apostrophes inside a word (``o'neill``) are dropped, as the G2P reads letters only.
    """
    remainders = tuple(remainders)
    kept: dict[str, tuple[tuple[str, ...], ...]] = {}
    for word, pronunciations in words.items():
        plain = word.replace("'", "")
        if "'s" in word or word.endswith("s'") or not re.fullmatch("[a-z]{2,}", plain):
            continue
        if not any(held_out(name, r) for name in (word, plain) for r in remainders):
            kept[plain] = pronunciations
    return kept


def test_words(words: Pronunciations, remainder: int = 7, count: int = TEST_WORDS) -> list[str]:
    """Return the held-out words of plain letters whose md5 sums are the lowest."""
    candidates = [w for w in words if re.fullmatch("[a-z]{2,}", w) and held_out(w, remainder)]
    return sorted(candidates, key=lambda w: hashlib.md5(w.encode()).hexdigest())[:count]
