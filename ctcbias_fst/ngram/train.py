"""Training a language model from text, and pruning one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ctcbias_fst.bounds import at_least_one, not_negative
from ctcbias_fst.errors import LanguageModelError
from ctcbias_fst.ngram.estimate import estimate, prune
from ctcbias_fst.ngram.ngram import FIRST_SYMBOL, Ngram
from ctcbias_fst.ngram.ngram_lm import UNKNOWN, LanguageModel, Unit
from ctcbias_fst.text.normalise import normalise_lines
from ctcbias_fst.text.text_files import read_lines
from ctcbias_fst.text.tokens import Tokenizer


@dataclass(frozen=True)
class TrainLmConfig:
    """How a language model is trained.

    Attributes:
        order: longest n-gram.
        min_count: words seen less often are unknown words to the model. What it learns of
            where those stand is what it knows about new names, so 2 is better than 1.
        max_words: the most frequent words that it knows; 0 for all.
        prune: an n-gram without which the model's entropy rises by less (nats) is left out.
    """

    order: int = 3
    min_count: int = 2
    max_words: int = 0
    prune: float = 0.0

    def __post_init__(self) -> None:
        at_least_one(self, "order", "min_count")
        not_negative(self, "max_words", "prune")


def read_sentences(
    paths: Iterable[Path], tokenizer: Tokenizer | None = None, *, clean: bool = True
) -> Iterator[list[str]]:
    """Read texts of one sentence per line, as words, or as tokens if there is a tokenizer.

    Args:
        paths: of the texts; gzip is allowed.
        tokenizer: of the acoustic model.
        clean: bring the text into the normal form of names and transcripts.

    Raises:
        LanguageModelError: a text cannot be read.
    """
    for path in paths:
        lines = read_lines(path, LanguageModelError)
        for line in normalise_lines(lines) if clean else lines:
            if not line.strip():
                continue
            if tokenizer is None:
                yield line.split()
            else:
                tokens = tokenizer.vocabulary.tokens
                yield [tokens[i] for i in tokenizer.encode(line)]


def train_lm(
    sentences: Iterable[Sequence[str]],
    config: TrainLmConfig = TrainLmConfig(),
    unit: Unit = "word",
) -> LanguageModel:
    """Estimate a model: interpolated modified Kneser-Ney (:mod:`ctcbias_fst.ngram.estimate`).

    Args:
        sentences: lists of words (or of tokens); empty ones are left out.
        config: see there.
        unit: what they are lists of.

    Raises:
        LanguageModelError: there is no text.
    """
    text = [sentence for sentence in sentences if sentence]
    if not text:
        raise LanguageModelError("the text to train the language model on is empty")
    counts = Counter(word for sentence in text for word in sentence)
    known = [word for word, times in counts.items() if times >= config.min_count]
    known.sort(key=lambda word: (-counts[word], word))
    known = known[: config.max_words or None]
    names = [*known] if len(known) == len(counts) else [UNKNOWN, *known]
    if UNKNOWN in known:
        names = known
    number = {name: FIRST_SYMBOL + i for i, name in enumerate(names)}
    other = number.get(UNKNOWN, -1)
    sequences = [[number.get(word, other) for word in sentence] for sentence in text]
    orders = estimate(sequences, config.order)
    if config.prune:
        orders = prune(orders, config.prune)
    return LanguageModel(Ngram(tuple(orders), tuple(names)), unit, "<trained>")


def prune_lm(model: LanguageModel, threshold: float) -> LanguageModel:
    """Leave out n-grams that hardly matter (:func:`ctcbias_fst.ngram.estimate.prune`)."""
    orders = tuple(prune(model.ngram.orders, threshold))
    return replace(model, ngram=replace(model.ngram, orders=orders))
