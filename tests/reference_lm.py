"""What a language model adds to a reading, spelled out from the definitions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reference import Reading

from ctcbias_fst.ngram.ngram_lm import UNKNOWN, LanguageModel
from ctcbias_fst.search.lm_config import LmConfig
from ctcbias_fst.text.vocabulary import Vocabulary

NAME = object()
"""Stands for a name among the words."""


class Textbook:
    """An n-gram model by Katz's recursion, over a dictionary of n-grams."""

    def __init__(self, model: LanguageModel) -> None:
        names = ["<s>", "</s>", *model.ngram.symbols]
        self.order = model.order
        self.rows: dict[tuple[str, ...], tuple[float, float]] = {}
        above: list[tuple[str, ...]] = [()]
        for order in model.ngram.orders:
            here = []
            columns = (order.context, order.symbol, order.log_probability, order.log_backoff)
            for context, symbol, probability, backoff in zip(*columns):
                gram = (*above[context], names[symbol])
                self.rows[gram] = (float(probability), float(backoff))
                here.append(gram)
            above = here
        self.has_unknown = (UNKNOWN,) in self.rows
        self.rarest = min(p for gram, (p, _) in self.rows.items() if len(gram) == 1 and p > -1e9)

    def log_probability(self, history: Sequence[str], word: str) -> float:
        """Of ``word`` after ``history`` (which has no ``<s>``); unknown words are ``UNKNOWN``."""
        context = ("<s>", *history)[-(self.order - 1) :] if self.order > 1 else ()
        total = 0.0
        while (*context, word) not in self.rows:
            if not context:
                return total + self.rarest
            total += self.rows.get(context, (0.0, 0.0))[1]
            context = context[1:]
        return total + self.rows[(*context, word)][0]

    def knows(self, word: str) -> bool:
        return (word,) in self.rows and not (word.startswith("<") and word.endswith(">"))


@dataclass(frozen=True)
class Names:
    """What the names of a list are to the model."""

    words: Mapping[int, Sequence[str]]
    prior: Mapping[int, float]


def words_of(reading: Reading, vocabulary: Vocabulary) -> list[object]:
    """The words of a reading; a name is (NAME, entity), and takes a possessive with it."""
    words: list[object] = []
    open_ = False
    for item in reading.output:
        if isinstance(item, tuple):
            words.append((NAME, item[1]))
            open_ = True
            continue
        if vocabulary.ends_word[item]:
            open_ = False
        if not vocabulary.surfaces[item]:
            continue
        if not open_:
            words.append("")
            open_ = True
        if not isinstance(words[-1], tuple):
            words[-1] = str(words[-1]) + vocabulary.surfaces[item]
    return words


def lm_score(
    words: Sequence[object], book: Textbook, names: Names, config: LmConfig, boost_class: bool
) -> float:
    """The share of the model in a reading's score."""
    history: list[str] = []
    total = 0.0

    def say(word: str) -> None:
        nonlocal total
        known = book.knows(word)
        written = word if known else UNKNOWN
        total += config.scale * book.log_probability(history, written) + config.word_bonus
        if not known:
            total -= config.unknown_cost + config.letter_cost * len(word)
        _remember(written)

    def _remember(word: str) -> None:
        history.append(word)
        if word == UNKNOWN and not book.has_unknown:
            # Nothing is known after what the model has no symbol for.
            history[:] = ["?"] * len(history)

    for word in words:
        if not isinstance(word, tuple):
            say(str(word))
        elif not boost_class:
            for part in names.words[word[1]]:
                say(part)
        else:
            score = book.log_probability(history, UNKNOWN) + math.log(names.prior[word[1]])
            total += config.scale * score - config.class_cost
            total += config.word_bonus * len(names.words[word[1]])
            _remember(UNKNOWN)
    return total + config.scale * book.log_probability(history, "</s>")
