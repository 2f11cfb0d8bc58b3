"""Back-off n-gram models of small symbols (letters, letter-phone units): file and graph.

The file is safetensors, one row per n-gram, sorted by (context, symbol), so that a context's
continuations lie together and only their number is stored. Costs (negative natural logs) are
one byte each, by a table of 255 values. ``recipes/pronunciation`` estimates the models.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ctcbias_fst.errors import ModelError
from ctcbias_fst.files import atomic_path
from ctcbias_fst.sound.openfst import Arcs

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

BEGIN, END, FIRST_SYMBOL = 0, 1, 2

_FORMAT = "ctcbias n-gram 1"
_INFINITE = 255

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Order:
    """All n-grams of one length, sorted by (context, symbol).

    Attributes:
        context: (R,) row of the first n - 1 symbols in the order below (0 for single symbols).
        symbol: (R,) the last symbol.
        suffix: (R,) row of the last n - 1 symbols in the order below (0 for single symbols).
        log_probability: (R,) natural log, of the symbol after its context.
        log_backoff: (R,) natural log, added where this n-gram is a context in which the next
            symbol is not listed; 0 where no n-gram continues it.
        count: (R,) how often it occurs in the training data; 0 when loaded.
    """

    context: _Ints
    symbol: _Ints
    suffix: _Ints
    log_probability: _Floats
    log_backoff: _Floats
    count: _Floats


@dataclass(frozen=True)
class Ngram:
    """A model.

    Attributes:
        orders: single symbols first. The context and the suffix of every n-gram are listed.
        symbols: what symbol ``FIRST_SYMBOL + i`` stands for.
    """

    orders: tuple[Order, ...]
    symbols: tuple[str, ...]


def save(path: Path, orders: Sequence[Order], symbols: Sequence[str]) -> None:
    """Write a model; probabilities lose some precision (one byte each)."""
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for name in ("log_probability", "log_backoff"):
        costs = -np.concatenate([getattr(order, name) for order in orders])
        table = _code_book(costs[np.isfinite(costs)])
        tensors[f"{name}.values"] = table
        for n, order in enumerate(orders, start=1):
            if name == "log_probability" or n < len(orders):
                tensors[f"{name}.{n}"] = _encode(-getattr(order, name), table)
    for n, order in enumerate(orders, start=1):
        tensors[f"symbol.{n}"] = order.symbol.astype(np.uint16)
        if n < len(orders):
            children = np.bincount(orders[n].context, minlength=len(order.symbol))
            tensors[f"children.{n}"] = children.astype(np.uint16)
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, {"format": _FORMAT, "symbols": json.dumps(list(symbols))})


def load(path: Path) -> Ngram:
    """Read a model.

    Raises:
        ModelError: the file is missing, damaged or of another kind.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; install the package anew")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path}: damaged: {error}; install the package anew") from error
    if metadata.get("format") != _FORMAT:
        raise ModelError(f"{path}: format {metadata.get('format')!r}, expected {_FORMAT!r}")
    try:
        return Ngram(_orders(tensors), tuple(json.loads(metadata["symbols"])))
    except (KeyError, ValueError, IndexError) as error:
        raise ModelError(f"{path}: its tables do not fit together: {error!r}") from error


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


def log_probability(orders: Sequence[Order], grams: _Ints) -> _Floats:
    """(R,) natural log-probs of the last symbols of (R, n) symbols after those before them."""
    n_symbols = int(orders[0].symbol.max()) + 1
    keys = [order.context * n_symbols + order.symbol for order in orders]
    result = np.full(len(grams), np.nan)
    backoff = np.zeros(len(grams))
    for length in range(min(grams.shape[1], len(orders)), 0, -1):
        part = grams[:, grams.shape[1] - length :]
        row, context = _find(keys, part, n_symbols)
        found = (row >= 0) & np.isnan(result)
        result[found] = backoff[found] + orders[length - 1].log_probability[row[found]]
        if length > 1:
            known = np.isnan(result) & (context >= 0)
            backoff[known] += orders[length - 2].log_backoff[context[known]]
    return result


def _find(keys: Sequence[_Ints], grams: _Ints, n_symbols: int) -> tuple[_Ints, _Ints]:
    """Rows of the n-grams and of their contexts, -1 where there is none."""
    row = context = np.zeros(len(grams), dtype=np.int64)
    for key, column in zip(keys, grams.T):
        context = row
        wanted = row * n_symbols + column
        at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        row = np.where((row >= 0) & (key[at] == wanted), at, -1)
    return row, context


def _code_book(values: _Floats) -> npt.NDArray[np.float32]:
    """255 values in equal steps: what counts for a path's cost is the largest error."""
    table: npt.NDArray[np.float32] = np.linspace(
        values.min(), values.max(), _INFINITE, dtype=np.float32
    )
    return table


def _encode(costs: _Floats, table: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    middle = (table[1:] + table[:-1]) / 2
    code = np.searchsorted(middle, costs)
    return np.where(np.isfinite(costs), code, _INFINITE).astype(np.uint8)


def _orders(tensors: dict[str, npt.NDArray[np.generic]]) -> tuple[Order, ...]:
    """Decode the tables; contexts follow from the numbers of children, suffixes by search."""
    cost = _decoder(tensors["log_probability.values"])
    backoff = _decoder(tensors["log_backoff.values"])
    count = sum(name.startswith("symbol.") for name in tensors)
    orders: list[Order] = []
    for n in range(1, count + 1):
        symbol = tensors[f"symbol.{n}"].astype(np.int64)
        rows = len(symbol)
        context = suffix = np.zeros(rows, dtype=np.int64)
        if n > 1:
            below = orders[-1]
            context = np.repeat(np.arange(len(below.symbol)), _counts(tensors[f"children.{n - 1}"]))
            suffix = _rows_of(below, below.suffix[context] if n > 2 else context * 0, symbol)
        probabilities = -cost[tensors[f"log_probability.{n}"]]
        backoffs = -backoff[tensors[f"log_backoff.{n}"]] if n < count else np.zeros(rows)
        if not len(context) == len(probabilities) == len(backoffs) == rows:
            raise ValueError(f"tables of order {n} differ in length")
        orders.append(Order(context, symbol, suffix, probabilities, backoffs, np.zeros(rows)))
    return tuple(orders)


def _rows_of(order: Order, context: _Ints, symbol: _Ints) -> _Ints:
    """Rows of the n-grams (context, symbol), all of which must be listed."""
    base = int(order.symbol.max()) + 1
    key, wanted = order.context * base + order.symbol, context * base + symbol
    row = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    if not np.array_equal(key[row], wanted):
        raise ValueError("an n-gram's suffix is not listed")
    return row


def _counts(table: npt.NDArray[np.generic]) -> _Ints:
    return table.astype(np.int64)


def _decoder(table: npt.NDArray[np.generic]) -> _Floats:
    values = np.full(_INFINITE + 1, np.inf)
    values[: len(table)] = table.astype(np.float64)
    return values
