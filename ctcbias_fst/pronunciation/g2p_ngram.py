"""Back-off n-gram models of small symbols (letters, letter-phone units) as graphs.

``recipes/pronunciation`` estimates the models; :mod:`ctcbias_fst.ngram.ngram` has their tables and
files.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctcbias_fst.ngram.ngram import (
    BEGIN,
    END,
    FIRST_SYMBOL,
    Ngram,
    Order,
    load,
    log_probability,
    save,
)
from ctcbias_fst.pronunciation.g2p_files import Arcs

__all__ = [
    "BEGIN",
    "END",
    "FIRST_SYMBOL",
    "Ngram",
    "Order",
    "backoff_arcs",
    "full_arcs",
    "load",
    "log_probability",
    "save",
]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


def backoff_arcs(ngram: Ngram) -> tuple[Arcs, _Floats, int]:
    """Return the model as an acceptor: states are contexts, labels are symbols.

    Relation: sequences of symbols, each with (at best) its cost, END included as the cost of
    ending. Semiring: tropical. Backing off is an epsilon arc, so that a path may back off
    although the longer context lists the symbol; that is seldom the cheaper way. Epsilons form
    no cycle. State 0 is the empty context.

    Returns:
        The arcs, (S,) the costs of ending, and the state after BEGIN.
    """
    states = 1
    parts: list[Arcs] = []
    final: list[_Floats] = []
    state_of: list[_Ints] = []  # row to its own state, -1 if nothing continues it
    target_of: list[_Ints] = []  # row to the state of its longest suffix that has one
    for order, longer in zip(ngram.orders, [*ngram.orders[1:], None]):
        rows = len(order.symbol)
        continued = np.zeros(rows, dtype=bool)
        if longer is not None:
            continued[longer.context] = True
        state = np.where(continued, states - 1 + np.cumsum(continued), -1)
        states += int(continued.sum())
        shorter = target_of[-1][order.suffix] if target_of else np.zeros(rows, dtype=np.int64)
        target = np.where(continued, state, shorter)
        source = state_of[-1][order.context] if state_of else np.zeros(rows, dtype=np.int64)
        plain = order.symbol >= FIRST_SYMBOL
        label = order.symbol[plain]
        parts.append(
            Arcs(source[plain], target[plain], label, label, -order.log_probability[plain])
        )
        none = np.zeros(int(continued.sum()), dtype=np.int64)
        parts.append(
            Arcs(state[continued], shorter[continued], none, none, -order.log_backoff[continued])
        )
        ends = order.symbol == END
        final.append(np.stack([source[ends], -order.log_probability[ends]]))
        state_of.append(state)
        target_of.append(target)
    cost = np.full(states, np.inf)
    for source, ending in final:
        cost[source.astype(np.int64)] = ending
    begin = int(target_of[0][ngram.orders[0].symbol == BEGIN][0])
    return Arcs.concatenate(*parts), cost, begin


def full_arcs(ngram: Ngram) -> tuple[Arcs, _Floats, int]:
    """Return the model as an acceptor without backing off: every context, every symbol.

    Relation and semiring as `backoff_arcs`, but deterministic, without epsilons, and exact. It
    has as many states as there are contexts that could be, so it suits few symbols and short
    contexts.

    Returns:
        The arcs, (S,) the costs of ending, and the state after BEGIN.
    """
    length = len(ngram.orders) - 1
    base = FIRST_SYMBOL + len(ngram.symbols)
    labels = np.arange(FIRST_SYMBOL, base)
    # A context is its symbols to the base of their number, padded in front with BEGIN.
    context = np.arange(base**length)
    digits = np.stack([context // base**k % base for k in range(length - 1, -1, -1)], axis=1)
    letter = digits >= FIRST_SYMBOL
    valid = ~(digits == END).any(axis=1) & (letter[:, 1:] >= letter[:, :-1]).all(axis=1)
    context, digits = context[valid], digits[valid]
    number = np.full(base**length, -1)
    number[context] = np.arange(len(context))
    # Only one BEGIN is part of the history; what stands before it is unknown to the model.
    history = np.where(digits == BEGIN, -1, digits)
    first = (digits == BEGIN).sum(axis=1) - 1
    history[np.flatnonzero(first >= 0), first[first >= 0]] = BEGIN
    outcomes = np.concatenate([labels, [END]])
    grams = np.concatenate(
        [
            np.repeat(history, len(outcomes), axis=0),
            np.tile(outcomes, len(context))[:, None],
        ],
        axis=1,
    )
    cost = -log_probability(ngram.orders, grams).reshape(len(context), len(outcomes))
    source = np.repeat(np.arange(len(context)), len(labels))
    label = np.tile(labels, len(context))
    target = number[(np.repeat(context, len(labels)) * base + label) % base**length]
    arcs = Arcs(source, target, label, label, cost[:, :-1].ravel())
    return arcs, cost[:, -1], int(number[0])
