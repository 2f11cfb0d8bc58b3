"""A language model: an n-gram of words, or of the tokens of one vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import LanguageModelError, ModelError
from ctcbias_fst.ngram import ngram as ngram_file
from ctcbias_fst.ngram.arpa import read_arpa, write_arpa
from ctcbias_fst.ngram.ngram import BEGIN, END, FIRST_SYMBOL, Ngram, Precision, log_probability
from ctcbias_fst.sums import Sums

Unit = Literal["word", "token"]

UNKNOWN = "<unk>"
_UNKNOWNS = (UNKNOWN, "<UNK>", "<oov>", "<OOV>")


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """An n-gram model and what its symbols are.

    Attributes:
        ngram: the tables.
        unit: what a symbol stands for: a word, or a token of the acoustic model's vocabulary.
        source: the file it came from, for messages.
    """

    ngram: Ngram
    unit: Unit = "word"
    source: str = "<model>"

    @property
    def order(self) -> int:
        """The symbols of the longest n-gram."""
        return len(self.ngram.orders)

    @property
    def num_symbols(self) -> int:
        """Symbols, the two that begin and end a sentence included."""
        return FIRST_SYMBOL + len(self.ngram.symbols)

    @cached_property
    def index(self) -> dict[str, int]:
        """Word (or token) to symbol."""
        return {word: FIRST_SYMBOL + i for i, word in enumerate(self.ngram.symbols)}

    @cached_property
    def folded_index(self) -> dict[str, int]:
        """Word in small letters to symbol: of several, the most probable, as in decoding."""
        order = self.ngram.orders[0]
        single = np.full(self.num_symbols, -np.inf)
        single[order.symbol] = order.log_probability
        likeliest = np.argsort(single[FIRST_SYMBOL:], kind="stable").tolist()
        return {self.ngram.symbols[i].lower(): FIRST_SYMBOL + i for i in likeliest}

    @cached_property
    def unknown(self) -> int | None:
        """The symbol of words that the model does not know, if it has one."""
        return next((self.index[word] for word in _UNKNOWNS if word in self.index), None)

    @cached_property
    def least_log_probability(self) -> float:
        """Natural log of the least probable single word: what an unknown one costs in a model
        that has no symbol for it."""
        values = self.ngram.orders[0].log_probability
        return float(values[np.isfinite(values)].min())

    def encode(self, words: Iterable[str]) -> list[int]:
        """Symbols of words; -1 where one is not known (even if there is a symbol for that)."""
        return [self.index.get(word, -1) for word in words]

    def score(self, words: Sequence[str]) -> float:
        """Natural log-probability of a sentence, its end included."""
        return float(_scores(self, [self.encode(words)])[0].sum())


@dataclass(frozen=True)
class Perplexity(Sums):
    """How well a model foretells a text. Sums; they can be added.

    Attributes:
        sentences: each of which has an end that is foretold too.
        words: of all sentences.
        unknown: words that the model does not know.
        log_probability: natural log, of all words and ends.
        log_probability_known: the same without the unknown words' own.
    """

    sentences: int = 0
    words: int = 0
    unknown: int = 0
    log_probability: float = 0.0
    log_probability_known: float = 0.0

    @property
    def with_unknown(self) -> float:
        """Perplexity per word and end, unknown words at the model's probability of them."""
        return float(np.exp(-self.log_probability / max(1, self.words + self.sentences)))

    @property
    def without_unknown(self) -> float:
        """Perplexity per word and end, unknown words left out (not from the histories)."""
        known = self.words + self.sentences - self.unknown
        return float(np.exp(-self.log_probability_known / max(1, known)))

    @property
    def unknown_rate(self) -> float:
        """Share of unknown words."""
        return self.unknown / max(1, self.words)


def load_lm(path: Path) -> LanguageModel:
    """Read a model: an ARPA file (compressed or not), or one of `save_lm`.

    Raises:
        LanguageModelError: it is missing, damaged, or neither.
    """
    if path.suffix != ".safetensors":
        return LanguageModel(read_arpa(path), source=str(path))
    try:
        ngram = ngram_file.load(path)
    except ModelError as error:
        raise LanguageModelError(str(error)) from error
    unit = ngram.metadata.get("unit", "word")
    if unit not in ("word", "token"):
        raise LanguageModelError(f"{path}: an n-gram of {unit!r}, expected of 'word' or 'token'")
    return LanguageModel(ngram, cast(Unit, unit), str(path))


def save_lm(path: Path, model: LanguageModel, precision: Precision = "float32") -> None:
    """Write a model as its name says: ``.arpa``, ``.arpa.gz`` or ``.safetensors``.

    Args:
        precision: of the numbers, for ``.safetensors``.

    Raises:
        LanguageModelError: another name.
    """
    check_name(path)
    if path.suffix == ".safetensors":
        metadata = {**model.ngram.metadata, "unit": model.unit}
        ngram_file.save(
            path, model.ngram.orders, model.ngram.symbols, precision=precision, metadata=metadata
        )
    else:
        write_arpa(path, model.ngram)


def check_name(path: Path) -> None:
    """Refuse a name that does not say in which form a model is to be written.

    Raises:
        LanguageModelError: it ends in none of those that `save_lm` knows.
    """
    if not path.name.endswith((".safetensors", ".arpa", ".arpa.gz")):
        raise LanguageModelError(
            f"{path}: name it .safetensors (small, loads quickly), .arpa or .arpa.gz (for others)"
        )


def perplexity(
    model: LanguageModel, sentences: Iterable[Sequence[str]], *, fold_case: bool = False
) -> Perplexity:
    """Score sentences of words (or of tokens, for a model of tokens).

    Args:
        fold_case: they are in small letters, and the model's words are compared so, too.
    """
    total = Perplexity()
    batch: list[list[int]] = []
    index = model.folded_index if fold_case else model.index
    for sentence in sentences:
        batch.append([index.get(word, -1) for word in sentence])
        if len(batch) == 10_000:
            total += _perplexity(model, batch)
            batch = []
    return total + _perplexity(model, batch)


def _perplexity(model: LanguageModel, sentences: Sequence[Sequence[int]]) -> Perplexity:
    if not sentences:
        return Perplexity()
    scores, unknown = _scores(model, sentences)
    return Perplexity(
        sentences=len(sentences),
        words=len(scores) - len(sentences),
        unknown=int(unknown.sum()),
        log_probability=float(scores.sum()),
        log_probability_known=float(scores[~unknown].sum()),
    )


def _scores(
    model: LanguageModel, sentences: Sequence[Sequence[int]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """(R,) log-probs of all words and ends, sentence by sentence; (R,) True for unknown words."""
    longest = model.order
    # What stands before a sentence's beginning is no symbol: -2.
    padding = [-2] * (longest - 2)
    stream = np.array([i for s in sentences for i in (*padding, BEGIN, *s, END)], dtype=np.int64)
    unknown = stream == -1
    if model.unknown is not None:
        stream[unknown] = model.unknown
    grams = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([np.full(longest - 1, -2), stream]), longest
    )
    foretold = stream != BEGIN
    foretold &= stream != -2
    scores = log_probability(model.ngram.orders, grams[foretold])
    unknown = unknown[foretold]
    if model.unknown is None:
        # Nothing is known after an unknown word but what backing off to single words gives.
        scores[unknown] = _backed_off(model, grams[foretold][unknown])
    return scores, unknown


def _backed_off(model: LanguageModel, grams: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Log-probs of unknown last symbols in a model without a symbol for them."""
    probe = grams.copy()
    # A symbol that follows no context: the sum of all back-off weights plus its own log-prob.
    probe[:, -1] = BEGIN
    orders = model.ngram.orders
    unigram = orders[0].log_probability.copy()
    unigram[orders[0].symbol == BEGIN] = model.least_log_probability
    return log_probability([replace(orders[0], log_probability=unigram), *orders[1:]], probe)
