"""Other spellings of names that sound alike, as a recogniser might write them.

A name's sounds are its pronunciations, and what the table makes of its letters. From the
sounds the inverse table leads to letters again::

    (pronunciations ∪ name ∘ table) ∘ table⁻¹ ∘ spelling model

A spelling costs what its cheapest path does: how unlikely the sounds are for the name, plus
how unlikely they are for the spelling, plus how unlike the recogniser's language the spelling
looks (noisy channel; the G2G of Le et al. 2020, arXiv 2010.13878, by rule). What is a common
word, or common words, costs more, so that a name does not take the place of a word in use.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pynini

from ctcbias_fst.errors import InputError
from ctcbias_fst.pronunciation import g2p_ngram as ngram
from ctcbias_fst.pronunciation.nbest_paths import n_best_strings
from ctcbias_fst.pronunciation.pronounce import Pronouncer, Pronunciation
from ctcbias_fst.recent import Recent
from ctcbias_fst.text.normalise import fold_diacritics, normalise
from ctcbias_fst.text.text_files import PathLike, read_lines
from ctcbias_fst.variants.paths import best_strings
from ctcbias_fst.variants.table import Row
from ctcbias_fst.variants.variant_graphs import (
    PHONE_ID,
    TableLetters,
    acceptor,
    phones_to_letters,
    spelled,
    spelling_graphs,
)

__all__ = ["SpellingVariants", "Variant", "VariantsConfig", "read_word_costs"]

_MARGIN = 0.5
"""What the beam is wider by as long as not all costs are known."""

_SPARE = 4
"""More variants of a word than are asked for, in place of those that are common words."""

_KEPT = 10_000
"""Words whose variants are kept for further lists, at most: some 4 kB each."""

_rank = itemgetter(1, 0)
"""Of variants: by cost, then by spelling."""


class Variant(NamedTuple):
    """Another spelling of a name.

    Attributes:
        spelling: normalised: letters and single spaces.
        cost: at least 0, natural log: how much less likely it is to be written than the
            likeliest spelling of the name.
    """

    spelling: str
    cost: float


@dataclass(frozen=True)
class VariantsConfig:
    """How spellings are weighed against each other; costs are natural logs.

    Attributes:
        max_cost: spellings that cost more are left out.
        beam: the same before common words are made dearer; larger is slower. It is doubled
            for names that have too few spellings within it.
        readings: of the table, so many at most are added to the pronunciations.
        sound_weight: on the costs of the name's sounds.
        table_weight: on -log p(phones | letters) of a spelling.
        spelling_weight: on the spelling model's costs.
        table_cost: of the table's best reading of the name, beside its pronunciations.
        gap_cost: of a space inside a word.
        common_cost: a spelling whose words all together have a cost (-log of their share
            in running text) below this one costs the difference more; 0 turns it off.
        unknown_word_cost: the share of a word that is not known to be common.
    """

    max_cost: float = 10.0
    beam: float = 3.5
    readings: int = 5
    sound_weight: float = 1.0
    table_weight: float = 1.0
    spelling_weight: float = 0.5
    table_cost: float = 3.0
    gap_cost: float = 3.0
    common_cost: float = 12.0
    unknown_word_cost: float = 12.0

    def __post_init__(self) -> None:
        """Refuse what would make a cost negative."""
        for name, value in vars(self).items():
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be a number of at least 0, not {value!r}")


_Sounds = dict[tuple[int, ...], float]
"""Strings of phones and their costs."""


class SpellingVariants:
    """Spells names otherwise. Threads may share it.

    Args:
        pronouncer: for the sounds of names.
        table: of letters and phones.
        spelling: n-gram of letters within words.
        word_costs: common words, each with -log of its share in running text.
        config: the weights.
    """

    def __init__(
        self,
        pronouncer: Pronouncer,
        table: Sequence[Row],
        spelling: ngram.Ngram,
        word_costs: Mapping[str, float],
        config: VariantsConfig | None = None,
    ) -> None:
        """Compile the graphs that all names share."""
        self._config = config or VariantsConfig()
        self._pronouncer = pronouncer
        self._word_costs = word_costs
        self._letters = TableLetters(table, self._config.sound_weight)
        self._spellings_of = phones_to_letters(table, self._config.table_weight)
        self._coarse, self._fine = spelling_graphs(
            spelling, self._config.spelling_weight, self._config.gap_cost
        )
        self._known: Recent[tuple[str, int], list[Variant]] = Recent(_KEPT)

    def spelling_variants(self, names: Sequence[str], n: int = 20) -> list[list[Variant]]:
        """Return at most `n` other spellings of each name, cheapest first.

        A name's variants depend on the name alone. A word with a digit, or without a vowel of
        its own (an initialism), stays as it is.

        Args:
            names: in any form; they are normalised.
            n: most variants of a name.

        Raises:
            InputError: a name is empty after normalisation.
        """
        if n < 0:
            raise ValueError(f"n must not be negative: {n}")
        normalised = [normalise(name) for name in names]
        for name, plain in zip(names, normalised):
            if not plain:
                raise InputError(f"{name!r}: the name is empty (no letter, no digit)")
        if not n:
            return [[] for _ in names]
        words = self._words(normalised, n + _SPARE)
        return [self._name(name, n, words) for name in normalised]

    def _words(self, names: Sequence[str], n: int) -> dict[str, list[Variant]]:
        """The spellings of each word of names, itself (at no cost) first."""
        found: dict[str, list[Variant]] = {}
        new = []
        for word in dict.fromkeys(word for name in names for word in name.split(" ")):
            known = self._known.get((word, n))
            if known is not None:
                found[word] = known
            elif _spellable(word):
                new.append(word)
            else:
                found[word] = [Variant(word, 0.0)]
        for word, sounds in zip(new, self._sounding(new)):
            found[word] = self._known.put((word, n), self._spell(word, sounds, n))
        return found

    def _sounding(self, words: Sequence[str]) -> list[_Sounds]:
        """The sounds of words, found for all of them at once."""
        config = self._config
        by_table = n_best_strings(
            self._letters.graph,
            [self._letters.groups(_plain(word)) for word in words],
            config.readings,
            config.beam,
        )
        spoken = self._pronouncer.pronounce_all(words)
        return [_costs(found, strings, config) for found, strings in zip(spoken, by_table)]

    def _name(self, name: str, n: int, words: Mapping[str, list[Variant]]) -> list[Variant]:
        first, *others = name.split(" ")
        partial = words[first]
        for word in others:
            partial = _combined(partial, words[word], 2 * n + _SPARE)
        # Of equal spellings the cheapest stays: it comes last.
        ranked = sorted(map(self._weighed, partial), key=_rank, reverse=True)
        found = {variant.spelling: variant for variant in ranked}
        for same in (name, fold_diacritics(name)):
            found.pop(same, None)
        kept = [v for v in found.values() if v.cost <= self._config.max_cost]
        return sorted(kept, key=_rank)[:n]

    def _weighed(self, variant: Variant) -> Variant:
        """Add what a spelling costs for being common."""
        unknown = self._config.unknown_word_cost
        words = variant.spelling.split(" ")
        share = sum(self._word_costs.get(word, unknown) for word in words)
        extra = max(0.0, self._config.common_cost - share)
        return Variant(variant.spelling, round(variant.cost + extra, 4))

    def _spell(self, word: str, sounds: _Sounds, n: int) -> list[Variant]:
        itself = Variant(word, 0.0)
        plain = _plain(word)
        lattice = pynini.compose(acceptor(sounds), self._spellings_of).project("output")
        found: list[Variant] = []
        # Long words have enough spellings close by; short ones are looked at more widely.
        for beam in (self._config.beam, 2 * self._config.beam):
            found = self._likely(lattice, n + 1, beam)
            if len(found) > n:
                break
        least = found[0].cost if found else 0.0
        others = [
            Variant(v.spelling, round(v.cost - least, 4)) for v in found if v.spelling != plain
        ]
        return [itself, *others][: n + 1]

    def _likely(self, lattice: pynini.Fst, n: int, beam: float) -> list[Variant]:
        """Weigh the spellings of a lattice by the spelling model; return the best `n`."""
        if lattice.start() == -1:
            return []
        spellings = lattice.copy()
        # What is too unlike is cut before the spelling model's contexts multiply it.
        wide = f"{beam + _MARGIN:.6f}"
        spellings.prune(weight=wide).rmepsilon()
        coarse = pynini.compose(spellings, self._coarse).project("output").prune(weight=wide)
        weighed = pynini.compose(coarse.rmepsilon(), self._fine)
        return [Variant(spelled(labels), cost) for labels, cost in best_strings(weighed, n, beam)]


def _costs(
    pronunciations: Sequence[Pronunciation],
    by_table: Sequence[tuple[tuple[int, ...], float]],
    config: VariantsConfig,
) -> _Sounds:
    """The strings of phones that a word may have, each at its least cost.

    Args:
        pronunciations: of the word.
        by_table: what the table makes of its letters, the cheapest first.
        config: the weights.
    """
    costs = {
        labels: cost - by_table[0][1] + config.table_cost for labels, cost in by_table if labels
    }
    for found in pronunciations:
        labels = tuple([PHONE_ID[phone] for phone in found.phones])
        cost = config.sound_weight * found.cost
        costs[labels] = min(cost, costs.get(labels, cost))
    return costs


def variants_to_arrays(
    several: Sequence[Sequence[Variant]],
) -> dict[str, npt.NDArray[np.generic]]:
    """The variants of a list of names as arrays, to be stored."""
    text = "\n".join(variant.spelling for found in several for variant in found)
    return {
        "count": np.array([len(found) for found in several], dtype=np.int64),
        "cost": np.array([v.cost for found in several for v in found], dtype=np.float64),
        "text": np.frombuffer(text.encode(), dtype=np.uint8),
    }


def variants_from_arrays(
    arrays: Mapping[str, npt.NDArray[np.generic]],
) -> list[list[Variant]]:
    """Undo `variants_to_arrays`.

    Raises:
        ValueError, KeyError: they are not of this form.
    """
    count, costs = arrays["count"].tolist(), arrays["cost"].tolist()
    text = arrays["text"].tobytes().decode()
    spellings = text.split("\n") if text else []
    if not len(spellings) == len(costs) == sum(count):
        raise ValueError("there are not as many spellings as costs")
    whole = map(Variant, spellings, costs)
    return [list(islice(whole, number)) for number in count]


def read_word_costs(path: PathLike) -> dict[str, float]:
    """Read lines ``word<TAB>cost``.

    Raises:
        InputError: the file is missing, or a line is not of this form.
    """
    costs: dict[str, float] = {}
    for number, line in enumerate(read_lines(path), start=1):
        word, _, cost = line.partition("\t")
        try:
            costs[word] = float(cost)
        except ValueError:
            raise InputError(f"{path}, line {number}: not a word, a tab, a number") from None
    return costs


def _plain(word: str) -> str:
    return fold_diacritics(word).replace("'", "")


def _spellable(word: str) -> bool:
    """Tell whether a word is said as it is spelt: of letters, with a vowel among them."""
    plain = _plain(word)
    return bool(re.fullmatch("[a-z]{2,}", plain) and set(plain) & set("aeiouy"))


def _combined(first: Sequence[Variant], second: Sequence[Variant], n: int) -> list[Variant]:
    """Return the best `n` spellings of two words in a row, of each word's own, sorted by cost.

    Before the pair (i, j) there are (i + 1) (j + 1) - 1 that cost no more, so most pairs need not
    be tried.
    """
    pairs = [
        Variant(f"{a.spelling} {b.spelling}", round(a.cost + b.cost, 4))
        for i, a in enumerate(first[:n])
        for b in second[: n // (i + 1)]
    ]
    return sorted(pairs, key=_rank)[:n]
