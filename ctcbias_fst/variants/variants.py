"""Other spellings of names that sound alike, as a recogniser might write them.

A name sounds as its pronunciations say, and as the table makes of its letters. From these phones
the inverse table leads to letters again::

    (pronunciations ∪ name ∘ table) ∘ table⁻¹ ∘ spelling model

A spelling costs what its cheapest path does: how unlikely the phones are for the name, plus
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
from ctcbias_fst.pronunciation.g2p import LONGEST
from ctcbias_fst.pronunciation.nbest_paths import best_strings
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.recent import Recent
from ctcbias_fst.text.normalise import fold_diacritics, normalise
from ctcbias_fst.text.text_files import PathLike, read_lines
from ctcbias_fst.variants.table import Row
from ctcbias_fst.variants.variant_graphs import (
    acceptor,
    letters_to_phones,
    phones_to_letters,
    spelled,
    spelling_graphs,
    word_acceptor,
)

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


class SpellingVariants:
    """Spells names otherwise. Threads may share it.

    Args:
        pronouncer: for the pronunciations of names.
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
        self._phones_of = letters_to_phones(table, self._config.sound_weight)
        self._spellings_of = phones_to_letters(table, self._config.table_weight)
        self._coarse, self._fine = spelling_graphs(
            spelling, self._config.spelling_weight, self._config.gap_cost
        )
        self._known: Recent[tuple[str, int], list[Variant]] = Recent(_KEPT)

    def spelling_variants(self, names: Sequence[str], n: int = 20) -> list[list[Variant]]:
        """Return at most `n` other spellings of each name, cheapest first.

        A name's variants depend on the name alone. A word with a digit, without a vowel of its
        own (an initialism), or of more than 100 letters stays as it is.

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
        return [self._name(name, n) for name in normalised]

    def _name(self, name: str, n: int) -> list[Variant]:
        partial, *others = [self._word(word, n + _SPARE) for word in name.split(" ")]
        for other in others:
            partial = _combined(partial, other, 2 * n + _SPARE)
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

    def _word(self, word: str, n: int) -> list[Variant]:
        """The spellings of a word, itself (at no cost) first."""
        known = self._known.get((word, n))
        if known is not None:
            return known
        found = self._spell(word, n) if _spellable(word) else []
        return self._known.put((word, n), [Variant(word, 0.0), *found])

    def _costs(self, word: str) -> dict[tuple[int, ...], float]:
        """The strings of phones that a word may have, each at its least cost."""
        config = self._config
        lattice = pynini.compose(word_acceptor(_plain(word)), self._phones_of, connect=False)
        by_table = best_strings(lattice, config.readings, config.beam)
        costs = {
            labels: cost - by_table[0][1] + config.table_cost for labels, cost in by_table if labels
        }
        for found in self._pronouncer.pronounce_all([word])[0]:
            cost = config.sound_weight * found.cost
            costs[found.phones] = min(cost, costs.get(found.phones, cost))
        return costs

    def _spell(self, word: str, n: int) -> list[Variant]:
        lattice = pynini.compose(acceptor(self._costs(word)), self._spellings_of).project("output")
        found: list[Variant] = []
        # Long words have enough spellings close by; short ones are looked at more widely.
        for beam in (self._config.beam, 2 * self._config.beam):
            found = self._likely(lattice, n + 1, beam)
            if len(found) > n:
                break
        least = found[0].cost if found else 0.0
        plain = _plain(word)
        return [
            Variant(v.spelling, round(v.cost - least, 4)) for v in found if v.spelling != plain
        ][:n]

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
    """Tell whether a word is said as it is spelt: of letters, with a vowel among them, a word."""
    plain = _plain(word)
    return len(plain) <= LONGEST and bool(
        re.fullmatch("[a-z]{2,}", plain) and set(plain) & set("aeiouy")
    )


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
