"""Graphs between letters and phones, of which spelling variants are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pynini

from ctcbias_fst.errors import ModelError
from ctcbias_fst.pronunciation import g2p_ngram as ngram
from ctcbias_fst.pronunciation.g2p_files import Arcs, to_fst
from ctcbias_fst.text.phones import PHONE_ID
from ctcbias_fst.variants.table import Row

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_LETTER_ID = {letter: index for index, letter in enumerate(_LETTERS, start=1)}
_GAP = len(_LETTERS) + 1
"""Label of a space inside what was one word."""

_LONGEST = 3
"""Letters of context that the spelling model may have."""


def acceptor(costs: Mapping[tuple[int, ...], float]) -> pynini.Fst:
    """Minimal acceptor of weighted strings."""
    fst = pynini.Fst()
    states: dict[tuple[int, ...], int] = {(): fst.add_state()}
    fst.set_start(0)
    one = pynini.Weight.one("tropical")
    for labels, cost in sorted(costs.items()):
        for end, label in enumerate(labels, start=1):
            if labels[:end] not in states:
                states[labels[:end]] = fst.add_state()
                arc = pynini.Arc(label, label, one, states[labels[:end]])
                fst.add_arc(states[labels[: end - 1]], arc)
        fst.set_final(states[labels], cost)
    return fst.minimize()


def word_acceptor(word: str) -> pynini.Fst:
    """Acceptor of the letters of a word."""
    return acceptor({tuple([_LETTER_ID[letter] for letter in word]): 0.0})


def letters_to_phones(table: Sequence[Row], weight: float) -> pynini.Fst:
    """Relation: letters to phones, each row of the table any number of times."""
    rows = [(*_labels(row), weight * row.cost, 0, 0) for row in table]
    return _rows_graph(rows, [0.0])


def phones_to_letters(table: Sequence[Row], weight: float) -> pynini.Fst:
    """Relation: phones to letters; silent letters only one row at a time, after what sounds.

    Without this limit, silent letters would be added without end.
    """
    rows = []
    for row in table:
        letters, phones = _labels(row)
        cost = weight * row.cost
        if phones:
            rows += [(phones, letters, cost, 0, 1), (phones, letters, cost, 1, 1)]
        else:
            rows.append((phones, letters, cost, 1, 0))
    return _rows_graph(rows, [0.0, 0.0])


def _labels(row: Row) -> tuple[list[int], list[int]]:
    return [_LETTER_ID[c] for c in row.letters], [PHONE_ID[p] for p in row.phones]


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
            labels = [part[step] if step < len(part) else 0 for part in (inputs, outputs)]
            arcs.append((at, after, labels[0], labels[1], 0.0 if step else cost))
            at = after
    final = np.full(states, np.inf)
    final[: len(hubs)] = hubs
    return to_fst(Arcs(*map(np.array, zip(*arcs))), final)


def spelling_graphs(
    model: ngram.Ngram, weight: float, gap_cost: float
) -> tuple[pynini.Fst, pynini.Fst]:
    """Graphs of letters, and of `_GAP` between the words that a word may fall into.

    The first knows one letter of context, and puts gaps in (epsilon to `_GAP`); the second
    accepts letters and gaps, and its weights, negative ones among them, make up the
    difference to the whole model. Tropical, scaled by `weight`; deterministic.

    Raises:
        ModelError: the model knows a symbol that is no letter, or is too large for this.
    """
    if not 2 <= len(model.orders) <= _LONGEST + 1 or not set(model.symbols) <= {*_LETTERS, "'"}:
        raise ModelError(
            f"spelling model: it must be of letters, with 1 to {_LONGEST} as context; rebuild it"
        )
    known = np.array([0] * ngram.FIRST_SYMBOL + [_LETTER_ID.get(s, 0) for s in model.symbols])
    coarse, coarse_end, first = ngram.full_arcs(ngram.Ngram(model.orders[:2], model.symbols))
    fine, fine_end, start = ngram.full_arcs(model)
    # The last letter of a context says all that the coarse model knows of it.
    last = np.full(len(fine_end), first)
    coarse_after = np.full(len(known), first)
    coarse_after[coarse.input] = coarse.target
    last[fine.target] = coarse_after[fine.input]
    coarse_cost = np.zeros((len(coarse_end), len(known)))
    coarse_cost[coarse.source, coarse.input] = coarse.cost
    rest = replace(fine, cost=fine.cost - coarse_cost[last[fine.source], fine.input])
    rest_end = fine_end - coarse_end[last]
    graphs = []
    for arcs, end, begin, gap_in, extra in (
        (coarse, coarse_end, first, 0, gap_cost),
        (rest, rest_end, start, _GAP, 0.0),
    ):
        label = known[arcs.input]
        letters = Arcs(arcs.source, arcs.target, label, label, weight * arcs.cost)
        usable = Arcs(*(column[label > 0] for column in vars(letters).values()))
        # No word is empty, so none ends where it begins.
        final = weight * end
        final[begin] = np.inf
        ends = np.flatnonzero(np.isfinite(final))
        same = np.zeros(len(ends), dtype=np.int64)
        gaps = Arcs(ends, same + begin, same + gap_in, same + _GAP, final[ends] + extra)
        graphs.append(to_fst(Arcs.concatenate(usable, gaps), final, begin))
    return graphs[0], graphs[1]


def spelled(labels: Sequence[int]) -> str:
    written = "".join(" " if label == _GAP else _LETTERS[label - 1] for label in labels)
    return " ".join(written.split())
