"""Back-off n-gram models of symbols (words, tokens, letters): the tables and their file.

The file is safetensors, one row per n-gram, sorted by (context, symbol), so that a context's
continuations lie together and only their number is stored. Costs (negative natural logs) are
floats, or one byte each by a table of 255 values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ctcbias_fst.errors import ModelError
from ctcbias_fst.files import atomic_path, sort_metadata

BEGIN, END, FIRST_SYMBOL = 0, 1, 2

Precision = Literal["byte", "float16", "float32"]

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
        metadata: what else the file says about itself.
    """

    orders: tuple[Order, ...]
    symbols: tuple[str, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)


def save(
    path: Path,
    orders: Sequence[Order],
    symbols: Sequence[str],
    *,
    precision: Precision = "byte",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a model.

    Args:
        precision: of probabilities and back-off weights. ``byte`` (255 equal steps) is off by
            half a step at most, ``float16`` by a 2,000th of the value.
        metadata: kept with it; the keys ``format`` and ``symbols`` are taken.
    """
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for name in ("log_probability", "log_backoff"):
        tables = [getattr(order, name) for order in orders]
        if precision == "byte":
            costs = -np.concatenate(tables)
            book = _code_book(costs[np.isfinite(costs)])
            tensors[f"{name}.values"] = book
        for n, table in enumerate(tables, start=1):
            if name == "log_probability" or n < len(orders):
                tensors[f"{name}.{n}"] = (
                    _encode(-table, book) if precision == "byte" else table.astype(precision)
                )
    for n, order in enumerate(orders, start=1):
        tensors[f"symbol.{n}"] = _compact(order.symbol)
        if n < len(orders):
            children = np.bincount(orders[n].context, minlength=len(order.symbol))
            tensors[f"children.{n}"] = _compact(children)
    header = {**(metadata or {}), "format": _FORMAT, "symbols": json.dumps(list(symbols))}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, header)
        sort_metadata(temporary)


def load(path: Path) -> Ngram:
    """Read a model.

    Raises:
        ModelError: the file is missing, damaged or of another kind.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such file; if it came with the package, install that anew")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{path}: damaged: {error}; if it came with the package, install that anew"
        ) from error
    if metadata.get("format") != _FORMAT:
        raise ModelError(f"{path}: format {metadata.get('format')!r}, expected {_FORMAT!r}")
    rest = {key: value for key, value in metadata.items() if key not in ("format", "symbols")}
    try:
        symbols = json.loads(metadata["symbols"])
        if not isinstance(symbols, list) or not all(isinstance(one, str) for one in symbols):
            raise ValueError("its symbols are no texts")
        orders = _orders(tensors)
        _check(orders, FIRST_SYMBOL + len(symbols))
        return Ngram(orders, tuple(symbols), rest)
    except (KeyError, ValueError, IndexError, RecursionError) as error:
        raise ModelError(f"{path}: its tables do not fit together: {error!r}") from error


def log_probability(orders: Sequence[Order], grams: _Ints) -> _Floats:
    """(R,) natural log-probs of the last symbols of (R, n) symbols after those before them."""
    n_symbols = int(orders[0].symbol.max()) + 1
    keys = [order.context * n_symbols + order.symbol for order in orders]
    result = np.full(len(grams), np.nan)
    backoff = np.zeros(len(grams))
    for length in range(min(grams.shape[1], len(orders)), 0, -1):
        part = grams[:, grams.shape[1] - length :]
        row, context = find_rows(keys, part, n_symbols)
        found = (row >= 0) & np.isnan(result)
        result[found] = backoff[found] + orders[length - 1].log_probability[row[found]]
        if length > 1:
            known = np.isnan(result) & (context >= 0)
            backoff[known] += orders[length - 2].log_backoff[context[known]]
    return result


def find_rows(keys: Sequence[_Ints], grams: _Ints, n_symbols: int) -> tuple[_Ints, _Ints]:
    """Rows of the n-grams and of their contexts, -1 where there is none.

    A symbol below 0 is none of the model.
    """
    row = context = np.zeros(len(grams), dtype=np.int64)
    for key, column in zip(keys, grams.T):
        context = row
        wanted = row * n_symbols + column
        if not len(key):
            row = np.full(len(grams), -1)
            continue
        at = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
        row = np.where((row >= 0) & (column >= 0) & (key[at] == wanted), at, -1)
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


def _compact(values: _Ints) -> npt.NDArray[np.generic]:
    """The same numbers in as few bytes as they need, two at least."""
    small = len(values) == 0 or int(values.max()) < 1 << 16
    return values.astype(np.uint16 if small else np.uint32)


def _orders(tensors: dict[str, npt.NDArray[np.generic]]) -> tuple[Order, ...]:
    """Decode the tables; contexts follow from the numbers of children, suffixes by search."""
    if any(table.ndim != 1 for table in tensors.values()):
        raise ValueError("a table is no list of numbers")
    count = sum(name.startswith("symbol.") for name in tensors)
    orders: list[Order] = []
    for n in range(1, count + 1):
        symbol = tensors[f"symbol.{n}"].astype(np.int64)
        rows = len(symbol)
        context = suffix = np.zeros(rows, dtype=np.int64)
        if n > 1:
            below = orders[-1]
            children = tensors[f"children.{n - 1}"].astype(np.int64)
            if len(children) != len(below.symbol) or children.sum() != rows:
                raise ValueError(f"tables of order {n} differ in length")
            context = np.repeat(np.arange(len(below.symbol)), children)
            suffix = _rows_of(below, below.suffix[context] if n > 2 else context * 0, symbol)
        probabilities = _decoded(tensors, "log_probability", n)
        backoffs = _decoded(tensors, "log_backoff", n) if n < count else np.zeros(rows)
        if not len(context) == len(probabilities) == len(backoffs) == rows:
            raise ValueError(f"tables of order {n} differ in length")
        orders.append(Order(context, symbol, suffix, probabilities, backoffs, np.zeros(rows)))
    return tuple(orders)


def _check(orders: Sequence[Order], n_symbols: int) -> None:
    """Refuse tables that no search can rely on."""
    if not orders or not len(orders[0].symbol):
        raise ValueError("it has no symbols")
    for n, order in enumerate(orders, start=1):
        if len(order.symbol) and int(order.symbol.max()) >= n_symbols:
            raise ValueError(f"order {n} has symbol {int(order.symbol.max())} of {n_symbols}")
        key = order.context * n_symbols + order.symbol
        if not (key[1:] > key[:-1]).all():
            raise ValueError(f"the rows of order {n} are not sorted")
        if not (order.log_probability < np.inf).all() or not np.isfinite(order.log_backoff).all():
            raise ValueError(f"order {n} has numbers that are none")


def _decoded(tensors: dict[str, npt.NDArray[np.generic]], name: str, n: int) -> _Floats:
    table = tensors[f"{name}.{n}"]
    if table.dtype != np.uint8:
        return table.astype(np.float64)
    costs = np.full(_INFINITE + 1, np.inf)
    values = tensors[f"{name}.values"]
    costs[: len(values)] = values.astype(np.float64)
    decoded: _Floats = -costs[table]
    return decoded


def _rows_of(order: Order, context: _Ints, symbol: _Ints) -> _Ints:
    """Rows of the n-grams (context, symbol), all of which must be listed."""
    base = int(order.symbol.max()) + 1
    key, wanted = order.context * base + order.symbol, context * base + symbol
    row = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    if not np.array_equal(key[row], wanted):
        raise ValueError("an n-gram's suffix is not listed")
    return row
