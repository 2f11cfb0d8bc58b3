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
import pynini

from ctcbias_fst.errors import ModelError
from ctcbias_fst.pronunciation import g2p_ngram as ngram
from ctcbias_fst.pronunciation.g2p_files import Arcs, to_fst
from ctcbias_fst.pronunciation.nbest_paths import best_strings
from ctcbias_fst.pronunciation.pronunciation_table import Pronunciation
from ctcbias_fst.text.phones import PHONE_ID

LONGEST = 100
"""Letters; of longer words only the best reading is sought."""


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
    if not letters or len(parsed) > 2 or any(phone not in PHONE_ID for phone in parsed):
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

    def readings(self, word: str, n: int = 5, max_cost: float = 6.0) -> list[Pronunciation]:
        """Return at most `n` readings, best first, at cost 0.

        Args:
            word: of `letters` only; one of more than :data:`LONGEST` has its best reading alone.
            n: most readings.
            max_cost: how much worse than the best one a reading may be.

        Returns:
            Empty if the word is, or has another letter.
        """
        if not word or not set(word) <= self.letters:
            return []
        if len(word) > LONGEST:
            phones = self.best(word)
            return [Pronunciation(phones, 0.0, "g2p")] if phones else []
        # A word has no epsilons, so that paths need no filter.
        lattice = pynini.compose(
            self._word(word), self._fst, compose_filter="trivial", connect=False
        )
        found = [both for both in best_strings(lattice, n + 1, max_cost) if both[0]][:n]
        return [Pronunciation(phones, cost - found[0][1], "g2p") for phones, cost in found]

    def best(self, word: str) -> tuple[int, ...]:
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
        return tuple([label for label in paths.olabels() if label])

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
    def _fst(self) -> pynini.Fst:
        """Groups of letters to phones; a unit's second phone follows on an arc of its own."""
        arcs, final, start = ngram.backoff_arcs(self._model)
        labels = np.zeros((ngram.FIRST_SYMBOL + len(self._units), 3), dtype=np.int64)
        for symbol, (letters, phones) in enumerate(self._units, start=ngram.FIRST_SYMBOL):
            labels[symbol, : 1 + len(phones)] = [
                self._group_id[letters],
                *map(PHONE_ID.get, phones),
            ]
        group, first, second = labels[arcs.input].T
        two = np.flatnonzero(second)
        middle = len(final) + np.arange(len(two))
        target = arcs.target.copy()
        target[two] = middle
        none = np.zeros_like(two)
        whole = Arcs.concatenate(
            Arcs(arcs.source, target, group, first, arcs.cost),
            Arcs(middle, arcs.target[two], none, second[two], none.astype(float)),
        )
        return to_fst(whole, np.concatenate([final, np.full(len(two), np.inf)]), start)
