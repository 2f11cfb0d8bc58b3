"""What a language model adds to a reading, spelled out from the definitions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reference import Reading

from ctcbias_fst.lm.config import LmConfig
from ctcbias_fst.lm.model import UNKNOWN, LanguageModel
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


class FirstPassBook:
    """What the first pass makes of readings: every way to back off, the best one counts.

    Args:
      book: of the model.
      segmentations: the tokens of every word of the model that can be written.
      names: what the names are to it.
      config: scales, and the order of the first pass.
      vocabulary: blank first.
    """

    def __init__(
        self,
        book: Textbook,
        segmentations: Mapping[str, tuple[int, ...]],
        names: Names,
        config: LmConfig,
        vocabulary: Vocabulary,
    ) -> None:
        self.book, self.segmentations, self.names = book, segmentations, names
        self.config, self.vocabulary = config, vocabulary
        self.order = min(book.order, config.first_pass.order)
        self.histories = {
            gram[:-1] for gram in book.rows if 2 <= len(gram) <= self.order and gram[-2] != "</s>"
        }
        self.unknown = book.rows[(UNKNOWN,)][0] if book.has_unknown else book.rarest

    def levels(self, context: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], float]]:
        """The histories that a context leads to, with the back-off weights on the way."""
        total = 0.0
        while context and context in self.book.rows:
            if context in self.histories:
                yield context, total
            if len(context) < self.order:
                total += self.book.rows[context][1]
            context = context[1:]
        yield (), total

    def end(self, history: tuple[str, ...]) -> float:
        if (*history, "</s>") in self.book.rows:
            return self.book.rows[(*history, "</s>")][0]
        (_, first), (shorter, weight) = list(self.levels(history))[:2]
        return weight - first + self.end(shorter)

    def score(self, output: Sequence[object]) -> float:
        """The best share of the first pass in the score of a reading."""
        return _FirstPassReading(self, output).score()

    def name(self, entity: int) -> float:
        scale, word, _, _, name = self.config.weights
        prior = math.log(self.names.prior[entity])
        return scale * (self.unknown + prior) + word * len(self.names.words[entity]) + name


class _FirstPassReading:
    """One reading, read from left to right; every method gives the best score of the rest."""

    def __init__(self, book: FirstPassBook, output: Sequence[object]) -> None:
        self.book, self.output = book, output
        self.separator = book.vocabulary.separator_id
        self.scale = book.config.scale

    def score(self) -> float:
        starts = list(self.book.levels(("<s>",)))
        found = [self.scale * weight + self.begin(history, 0) for history, weight in starts]
        if self.separator is None and self.continues(0):  # a word began before the audio
            found.append(self.scale * starts[-1][1] + self.new_word(0))
        return max(found)

    def continues(self, at: int) -> bool:
        """Whether a plain token that goes on with a word is at ``at``."""
        item = self.output[at] if at < len(self.output) else ()
        return isinstance(item, int) and not self.book.vocabulary.ends_word[item]

    def after(self, context: tuple[str, ...], at: int) -> float:
        """A word is complete before ``at``."""
        levels = list(self.book.levels(context))
        if at == len(self.output):
            levels = levels if self.separator is None else levels[:1]
            return max(self.scale * (weight + self.book.end(h)) for h, weight in levels)
        if self.separator is not None:
            if self.output[at] != self.separator:
                return -math.inf
            at += 1
        return max(self.scale * weight + self.begin(h, at) for h, weight in levels)

    def begin(self, history: tuple[str, ...], at: int) -> float:
        """A word may begin at ``at``."""
        book, output = self.book, self.output
        found = [-math.inf]
        if at == len(output):
            return self.scale * book.end(history)
        if self.separator is not None and output[at] == self.separator:
            found.append(self.begin(history, at + 1))
        for gram, (log_probability, _) in book.book.rows.items():
            tokens = book.segmentations.get(gram[-1], ())
            fits = tokens and tuple(output[at : at + len(tokens)]) == tokens
            if fits and gram[:-1] == history and len(gram) <= book.order:
                paid = self.scale * log_probability + book.config.word_bonus
                found.append(paid + self.after(gram, at + len(tokens)))
        item = output[at]
        if isinstance(item, tuple) and not history:
            end = at + 1
            while self.continues(end):
                end += 1
            found.append(book.name(item[1]) + self.after((UNKNOWN,), end))
        elif not history and self.continues(at) == (self.separator is not None):
            found.append(self.new_word(at))
        return max(found)

    def new_word(self, at: int) -> float:
        """A word that the model does not know begins at ``at``, or before it."""
        scale, word, unknown, letter, _ = self.book.config.weights
        surfaces = self.book.vocabulary.surfaces
        found, letters = [], 0
        for end in range(at + 1, len(self.output) + 1):
            letters += len(surfaces[self.output[end - 1]])  # type: ignore[index]
            paid = scale * self.book.unknown + word + unknown + letter * letters
            found.append(paid + self.after((UNKNOWN,), end))
            if not self.continues(end):
                break
        return max(found)
