"""Common English words, whose place no name is to take."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

from ctcbias_fst.text.text_files import read_lines

_WORDS = Path(__file__).parents[1] / "pretrained" / "sounds" / "words.tsv.gz"

_FREQUENT = 7.5
"""Nats: the few hundred most common words."""


def is_common(word: str) -> bool:
    """Tell whether a word of the normal form is a single letter or a common English word."""
    return (len(word) == 1 and word.isalpha()) or word in common_words()


def is_frequent(word: str) -> bool:
    """Tell whether a word is one of the few hundred most common, such as *it* and *us*."""
    return word in ("a", "i") or common_words().get(word, math.inf) < _FREQUENT


def is_everyday(form: str) -> bool:
    """Tell whether part of a name, in the normal form, is likely to be said for other words."""
    words = form.split(" ")
    return all(map(is_common, words)) and (len(words) == 1 or any(map(is_frequent, words)))


@lru_cache(maxsize=1)
def common_words() -> dict[str, float]:
    """Common words and their costs, nats; those with an apostrophe are in their normal form."""
    rows = (line.split("\t") for line in read_lines(_WORDS))
    return {word: float(cost) for word, cost in rows if len(word) > 1}
