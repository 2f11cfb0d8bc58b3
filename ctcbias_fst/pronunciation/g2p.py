"""Phones of any word of letters: a joint n-gram of letter-phone units, n best.

The model (Bisani & Ney 2008, their equation 3) gives probabilities to sequences of units such
as ``ph:F`` or ``x:K S``. As a transducer it maps letters to phones; a word's readings are the
cheapest paths of word ∘ model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pynini

from ctcbias_fst.errors import ModelError
from ctcbias_fst.pronunciation import g2p_ngram as ngram
from ctcbias_fst.pronunciation.g2p_files import Arcs, to_fst
from ctcbias_fst.pronunciation.nbest_paths import LetterGraph, group_ids, n_best_strings
from ctcbias_fst.text.phones import PHONES

__all__ = ["G2P", "Reading", "format_unit", "parse_unit"]

_PHONE_ID = {phone: index for index, phone in enumerate(PHONES, start=1)}

Reading = tuple[tuple[str, ...], float]
"""Phones and cost."""


def format_unit(letters: str, phones: Sequence[str]) -> str:
    """Return ``x:K S``, the form in which units are stored."""
    return f"{letters}:{' '.join(phones)}"


def parse_unit(unit: str) -> tuple[str, tuple[str, ...]]:
    """Undo `format_unit`.

    Raises:
        ValueError: no letters, more than two phones, or an unknown phone.
    """
    letters, _, phones = unit.partition(":")
    parsed = tuple(phones.split())
    if not letters or len(parsed) > 2 or any(phone not in _PHONE_ID for phone in parsed):
        raise ValueError(f"not a unit of letters and at most two phones: {unit!r}")
    return letters, parsed


class G2P:
    """Grapheme-to-phoneme conversion of words in the letters a to z."""

    def __init__(self, model: ngram.Ngram) -> None:
        """Compile the model.

        Raises:
            ModelError: a symbol of it is no unit.
        """
        try:
            units = [parse_unit(symbol) for symbol in model.symbols]
        except ValueError as error:
            raise ModelError(f"G2P model: {error}") from error
        groups = sorted({letters for letters, _ in units})
        self._group_id = {letters: index for index, letters in enumerate(groups, start=1)}
        self._numbers = {letters: index for index, letters in enumerate(groups)}
        self._longest = max(map(len, groups))
        self._model, self._units = model, units

    @classmethod
    def load(cls, path: Path) -> G2P:
        """Read a model file.

        Raises:
            ModelError: it is missing or damaged.
        """
        return cls(ngram.load(path))

    @cached_property
    def letters(self) -> frozenset[str]:
        """The letters that a word may have."""
        return frozenset(group for group in self._group_id if len(group) == 1)

    def readings(self, word: str, n: int = 5, max_cost: float = 6.0) -> list[Reading]:
        """Return at most `n` readings, best first.

        Args:
            word: of `letters` only.
            n: most readings.
            max_cost: how much worse than the best one a reading may be.

        Returns:
            Phones and cost: natural log, how much less likely than the best reading, whose
            cost is 0. Empty if the word is, or has another letter.
        """
        return self.readings_of([word], n, max_cost)[0]

    def readings_of(
        self, words: Sequence[str], n: int = 5, max_cost: float = 6.0
    ) -> list[list[Reading]]:
        """Return `readings` of each word; many together take much less time."""
        usable = [i for i, word in enumerate(words) if word and set(word) <= self.letters]
        groups = [group_ids(words[i], self._numbers, self._longest) for i in usable]
        found = n_best_strings(self._graph, groups, n + 1, max_cost)
        readings: list[list[Reading]] = [[] for _ in words]
        for i, strings in zip(usable, found):
            spoken = [(labels, cost) for labels, cost in strings if labels][:n]
            readings[i] = [
                (tuple([PHONES[label - 1] for label in labels]), cost - spoken[0][1])
                for labels, cost in spoken
            ]
        return readings

    def best(self, word: str) -> tuple[str, ...]:
        """Return the phones of the best reading alone, sooner than `readings` does.

        Args:
            word: of `letters` only.

        Returns:
            No phones if the word has no reading, or another letter.
        """
        if not word or not set(word) <= self.letters:
            return ()
        path = pynini.shortestpath(pynini.compose(self._word(word), self._fst))
        paths = path.paths()
        if paths.done():
            return ()
        return tuple(PHONES[label - 1] for label in paths.olabels() if label)

    def _word(self, word: str) -> pynini.Fst:
        """All ways to cut the word into groups of letters that the model has."""
        fst = pynini.Fst()
        fst.add_states(len(word) + 1)
        fst.set_start(0)
        fst.set_final(len(word))
        one = pynini.Weight.one("tropical")
        for start in range(len(word)):
            for end in range(start + 1, min(start + self._longest, len(word)) + 1):
                label = self._group_id.get(word[start:end])
                if label is not None:
                    fst.add_arc(start, pynini.Arc(label, label, one, end))
        return fst

    @cached_property
    def _labels(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        """Of each symbol: its group of letters (0 for none), and its two phones (likewise)."""
        padding = [0] * ngram.FIRST_SYMBOL
        group = padding + [self._group_id[letters] for letters, _ in self._units]
        phones = np.zeros((len(group), 2), dtype=np.uint8)
        for symbol, (_, spoken) in enumerate(self._units, start=ngram.FIRST_SYMBOL):
            phones[symbol, : len(spoken)] = [_PHONE_ID[phone] for phone in spoken]
        return np.array(group), phones

    @cached_property
    def _graph(self) -> LetterGraph:
        arcs, final, start = ngram.backoff_arcs(self._model)
        group, phones = self._labels
        return LetterGraph.of(arcs, final, start, group[arcs.input] - 1, phones[arcs.input])

    @cached_property
    def _fst(self) -> pynini.Fst:
        """Groups of letters to phones; a unit's second phone follows on an arc of its own."""
        arcs, final, start = ngram.backoff_arcs(self._model)
        group, (first, second) = self._labels[0], self._labels[1].astype(np.int64).T
        symbol = arcs.input
        two = np.flatnonzero(second[symbol])
        middle = len(final) + np.arange(len(two))
        target = arcs.target.copy()
        target[two] = middle
        none = np.zeros(len(two), dtype=np.int64)
        whole = Arcs.concatenate(
            Arcs(arcs.source, target, group[symbol], first[symbol], arcs.cost),
            Arcs(middle, arcs.target[two], none, second[symbol[two]], none.astype(float)),
        )
        return to_fst(whole, np.concatenate([final, np.full(len(two), np.inf)]), start)
