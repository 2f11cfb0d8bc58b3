"""Named entities by rule, from transcripts that have capital letters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.variants.shipped import DEFAULT, WORDS
from ctcbias_fst.variants.variants import read_word_costs

__all__ = ["CommonWords", "named_entities"]

_WORD = re.compile(r"[^\W\d_]+(?:['’\-][^\W\d_]+)*|[.!?:]+|[^\s\w]")
_JOINERS = frozenset({"of", "de", "la", "van", "von", "der", "den", "di", "da", "al", "el"})
_TITLES = frozenset(
    "mr mrs ms miss dr sir madam president commissioner minister chancellor rapporteur member "
    "members state states commission parliament council union european europe house "
    "monday tuesday wednesday thursday friday saturday sunday january february march april may "
    "june july august september october november december i".split()
)
_RARE = 9.0
"""Nats: words that are more frequent than e to the minus this are no names by themselves."""


@dataclass(frozen=True)
class CommonWords:
    """Words that are no names, though sentences begin with them.

    Attributes:
        cost: minus the natural log of a word's share of a large text, by word.
    """

    cost: dict[str, float]

    @classmethod
    def load(cls) -> CommonWords:
        """Take those that come with the package."""
        return cls(dict(read_word_costs(DEFAULT / WORDS)))

    def has(self, word: str, begins_sentence: bool = False) -> bool:
        """Whether a word (lower case) is common, or a title or a day that everybody knows.

        Where it begins a sentence its capital means nothing, and any known word is common.
        """
        return word in _TITLES or self.cost.get(word, 99.0) < (99.0 if begins_sentence else _RARE)


def named_entities(text: str, common: CommonWords) -> Iterator[str]:
    """The names in a text, in the normal form, as often as they occur.

    A name is a run of capitalised words, with small words such as *of* and *van* inside.
    Common words at its ends are cut off; where it begins a sentence, every known word is.

    >>> words = CommonWords({"the": 2.0, "minister": 6.0, "it": 5.1, "paris": 9.8})
    >>> text = "The Minister met Ursula von der Leyen in Paris. It rained."
    >>> list(named_entities(text, words))
    ['ursula von der leyen', 'paris']
    """
    run: list[str] = []
    first = begins = True
    for token in [*_WORD.findall(text), "."]:
        if token[0].isupper() or (run and token in _JOINERS):
            begins = first if not run else begins
            run.append(token)
        else:
            yield from _name(run, begins, common)
            run = []
        first = token[0] in ".!?:"


def _name(run: list[str], begins_sentence: bool, common: CommonWords) -> Iterator[str]:
    words = [normalise(word) for word in run]
    if words and begins_sentence and common.has(words[0], begins_sentence=True):
        words.pop(0)
    while words and (common.has(words[-1]) or words[-1] in _JOINERS):
        words.pop()
    while words and (common.has(words[0]) or words[0] in _JOINERS):
        words.pop(0)
    name = normalise(" ".join(words))
    if name:
        yield name
