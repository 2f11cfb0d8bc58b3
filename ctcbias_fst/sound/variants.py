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

import heapq
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pynini

from ctcbias_fst.errors import InputError, ModelError
from ctcbias_fst.sound import ngram
from ctcbias_fst.sound.openfst import Arcs, to_fst
from ctcbias_fst.sound.paths import best_strings
from ctcbias_fst.sound.pronounce import Pronouncer, Pronunciation
from ctcbias_fst.sound.table import Row
from ctcbias_fst.text.files import PathLike, read_lines
from ctcbias_fst.text.normalise import fold_diacritics, normalise
from ctcbias_fst.text.phones import PHONES

__all__ = ["SpellingVariants", "Variant", "VariantsConfig", "read_word_costs"]

_PHONE_ID = {phone: index for index, phone in enumerate(PHONES, start=1)}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LETTER_ID = {letter: index for index, letter in enumerate(_LETTERS, start=1)}
_GAP = len(_LETTERS) + 1
"""Label of a space inside what was one word."""


@dataclass(frozen=True)
class Variant:
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
        sound_weight: on the costs of the name's sounds.
        table_weight: on -log p(phones | letters) of a spelling.
        spelling_weight: on the spelling model's costs.
        table_cost: of taking the name's sounds from the table, not from its pronunciations.
        gap_cost: of a space inside a word.
        common_cost: a spelling whose words all together have a cost (-log of their share
            in running text) below this one costs the difference more; 0 turns it off.
        unknown_word_cost: the share of a word that is not known to be common.
    """

    max_cost: float = 10.0
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
    """Spells names otherwise.

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
        self._sounds_of = _letters_to_phones(table, self._config)
        self._spellings_of = _phones_to_letters(table, self._config)
        self._spelling = _spelling_graph(spelling, self._config)
        self._known: dict[tuple[str, int], list[Variant]] = {}

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
        return [self._name(name, n) for name in names]

    def _name(self, name: str, n: int) -> list[Variant]:
        normalised = normalise(name)
        if not normalised:
            raise InputError(f"{name!r}: the name is empty (no letter, no digit)")
        if not n:
            return []
        words = normalised.split(" ")
        partial = [Variant("", 0.0)]
        for word in words:
            # Enough of each word that what common words take away is made up for.
            choices = self._word(word, 2 * n)
            partial = heapq.nsmallest(
                3 * n,
                (
                    Variant(f"{a.spelling} {b.spelling}".lstrip(), a.cost + b.cost)
                    for a in partial
                    for b in choices
                ),
                key=_rank,
            )
        # Of equal spellings the cheapest stays: it comes last.
        ranked = sorted(map(self._weighed, partial), key=_rank, reverse=True)
        found = {variant.spelling: variant for variant in ranked}
        for same in (normalised, fold_diacritics(normalised)):
            found.pop(same, None)
        kept = [v for v in found.values() if v.cost <= self._config.max_cost]
        return sorted(kept, key=_rank)[:n]

    def _weighed(self, variant: Variant) -> Variant:
        """Add what a spelling costs for being common."""
        unknown = self._config.unknown_word_cost
        words = variant.spelling.split(" ")
        share = sum(self._word_costs.get(word, unknown) for word in words)
        return Variant(variant.spelling, variant.cost + max(0.0, self._config.common_cost - share))

    def _word(self, word: str, n: int) -> list[Variant]:
        """Return the spellings of one word, itself (at no cost) first."""
        known = self._known.get((word, n))
        if known is None:
            known = self._known[word, n] = self._spell(word, n)
        return known

    def _spell(self, word: str, n: int) -> list[Variant]:
        plain = fold_diacritics(word).replace("'", "")
        itself = Variant(word, 0.0)
        if not re.fullmatch("[a-z]{2,}", plain) or not set(plain) & set("aeiouy"):
            return [itself]
        sounds = self._sounds(plain, self._pronouncer.pronounce_all([word])[0])
        spellings = pynini.compose(sounds, self._spellings_of).project("output")
        if spellings.start() == -1:
            return [itself]
        spellings.prune(weight=f"{self._config.max_cost:.6f}").rmepsilon()
        weighed = pynini.compose(spellings, self._spelling).project("output")
        found = [
            Variant(_text(labels), cost)
            for labels, cost in best_strings(weighed, n + 1, self._config.max_cost)
        ]
        least = found[0].cost if found else 0.0
        others = [Variant(v.spelling, v.cost - least) for v in found if v.spelling != plain]
        return [itself, *others][: n + 1]

    def _sounds(self, word: str, pronunciations: Sequence[Pronunciation]) -> pynini.Fst:
        """Acceptor of the phones that a word may have."""
        config = self._config
        by_table = pynini.compose(_chain([_LETTER_ID[c] for c in word]), self._sounds_of)
        by_table.project("output").prune(weight=f"{config.max_cost:.6f}")
        by_table.rmepsilon()
        fst = pynini.Fst()
        start = fst.add_state()
        fst.set_start(start)
        for found in pronunciations:
            state = start
            cost = pynini.Weight("tropical", config.sound_weight * found.cost)
            for phone in found.phones:
                label, after = _PHONE_ID[phone], fst.add_state()
                fst.add_arc(state, pynini.Arc(label, label, cost, after))
                cost, state = pynini.Weight.one("tropical"), after
            fst.set_final(state)
        if by_table.start() != -1:
            fst.union(by_table)
        fst.rmepsilon()
        return fst.arcsort("olabel")


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


def _rank(variant: Variant) -> tuple[float, str]:
    return round(variant.cost, 4), variant.spelling


def _text(labels: Sequence[int]) -> str:
    written = "".join(" " if label == _GAP else _LETTERS[label - 1] for label in labels)
    return " ".join(written.split())


def _chain(labels: Sequence[int]) -> pynini.Fst:
    fst = pynini.Fst()
    fst.add_states(len(labels) + 1)
    fst.set_start(0)
    fst.set_final(len(labels))
    one = pynini.Weight.one("tropical")
    for state, label in enumerate(labels):
        fst.add_arc(state, pynini.Arc(label, label, one, state + 1))
    return fst


def _letters_to_phones(table: Sequence[Row], config: VariantsConfig) -> pynini.Fst:
    """Relation: letters to phones, each row any number of times. Tropical, epsilons, cyclic."""
    return _rows_graph(
        [
            (
                [_LETTER_ID[c] for c in row.letters],
                [_PHONE_ID[p] for p in row.phones],
                config.sound_weight * row.cost,
                0,
                0,
            )
            for row in table
        ],
        [config.table_cost],
    )


def _phones_to_letters(table: Sequence[Row], config: VariantsConfig) -> pynini.Fst:
    """Relation: phones to letters; silent letters only one row at a time, after what sounds.

    Without this limit, silent letters would be added without end.
    """
    rows = []
    for row in table:
        letters = [_LETTER_ID[c] for c in row.letters]
        phones = [_PHONE_ID[p] for p in row.phones]
        cost = config.table_weight * row.cost
        if phones:
            rows += [(phones, letters, cost, 0, 1), (phones, letters, cost, 1, 1)]
        else:
            rows.append((phones, letters, cost, 1, 0))
    return _rows_graph(rows, [0.0, 0.0])


def _rows_graph(
    rows: Sequence[tuple[list[int], list[int], float, int, int]],
    hubs: Sequence[float],
) -> pynini.Fst:
    """Graph whose hubs are joined by paths: (input, output, cost, from hub, to hub).

    Labels of one row are set side by side, so that letters follow their phone at once.
    `hubs` are the costs of ending.
    """
    arcs: list[tuple[int, int, int, int, float]] = []
    states = len(hubs)
    for inputs, outputs, cost, source, target in rows:
        steps = max(len(inputs), len(outputs))
        at = source
        for step in range(steps):
            after = target if step == steps - 1 else states
            states += step < steps - 1
            arcs.append(
                (
                    at,
                    after,
                    inputs[step] if step < len(inputs) else 0,
                    outputs[step] if step < len(outputs) else 0,
                    0.0 if step else cost,
                )
            )
            at = after
    final = np.full(states, np.inf)
    final[: len(hubs)] = hubs
    return to_fst(_arcs(arcs), final)


def _spelling_graph(model: ngram.Ngram, config: VariantsConfig) -> pynini.Fst:
    """Relation: letters to themselves, with `_GAP` between the words that they may fall into.

    Tropical, scaled by `spelling_weight`. Epsilons (backing off) form no cycle.

    Raises:
        ModelError: the model knows a symbol that is no letter.
    """
    arcs, final, start = ngram.backoff_arcs(model)
    try:
        letters = [_LETTER_ID.get(symbol, 0) for symbol in model.symbols]
        known = np.array([0] * ngram.FIRST_SYMBOL + letters)
        label = known[arcs.input]
    except IndexError as error:
        raise ModelError("spelling model: a symbol is no letter") from error
    weight = config.spelling_weight
    usable = (label > 0) | (arcs.input == 0)
    kept = Arcs(
        arcs.source[usable],
        arcs.target[usable],
        label[usable],
        label[usable],
        weight * arcs.cost[usable],
    )
    ends = np.flatnonzero(np.isfinite(final))
    none, gap = np.zeros(len(ends), dtype=np.int64), np.full(len(ends), _GAP)
    gaps = Arcs(ends, none + start, none, gap, weight * final[ends] + config.gap_cost)
    return to_fst(Arcs.concatenate(kept, gaps), weight * final, start)


def _arcs(rows: Sequence[tuple[int, int, int, int, float]]) -> Arcs:
    source, target, inputs, outputs, cost = zip(*rows)
    return Arcs(*map(np.array, (source, target, inputs, outputs)), np.array(cost, dtype=float))
