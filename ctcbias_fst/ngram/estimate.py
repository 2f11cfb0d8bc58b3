"""N-gram models of symbol sequences: interpolated modified Kneser-Ney, pruned by entropy.

Chen & Goodman 1998 (their figure 1, with the three discounts of equation 26) and Stolcke
1998 (equation 5). All counts of an order are handled at once: an n-gram is a row number, with the
rows of its context and of its suffix beside it, so that order n + 1 is numbered from
(row of the context, symbol). Symbols are 0 (begins a sequence), 1 (ends it), 2, 3, …
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ctcbias_fst.ngram.ngram import BEGIN, END, Order

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]


def estimate(
    sequences: Sequence[Sequence[int]], order: int, weights: Sequence[float] | None = None
) -> list[Order]:
    """Estimate a model of `order` from sequences of symbols (2 and up; ends are added here).

    Args:
        weights: how often each sequence is to be counted; fractions are for the counts of
            contexts and the choice of discounts rounded up to whole numbers.
    """
    lengths = np.array([len(sequence) + 2 for sequence in sequences])
    stream = np.full(lengths.sum(), BEGIN, dtype=np.int64)
    ends = np.cumsum(lengths) - 1
    inside = np.ones(len(stream), dtype=bool)
    inside[ends] = inside[ends - lengths + 1] = False
    stream[inside] = np.concatenate([np.asarray(s, dtype=np.int64) for s in sequences])
    stream[ends] = END
    weight = np.repeat(np.ones(len(lengths)) if weights is None else np.asarray(weights), lengths)
    since_begin = np.arange(len(stream)) - np.repeat(ends - lengths + 1, lengths)
    symbols = int(stream.max()) + 1

    rows = np.zeros(len(stream), dtype=np.int64)  # of the n-gram that ends at each position
    orders: list[Order] = []
    for n in range(1, order + 1):
        at = np.flatnonzero(since_begin >= n - 1)
        context = rows[at - 1] if n > 1 else np.zeros(len(at), dtype=np.int64)
        suffix = rows[at]
        key, first, inverse = np.unique(
            context * symbols + stream[at], return_index=True, return_inverse=True
        )
        empty = np.zeros(len(key))
        count = np.bincount(inverse, weight[at]).astype(np.float64)
        found = Order(key // symbols, key % symbols, suffix[first], empty, empty, count)
        orders.append(found)
        rows = np.full(len(stream), -1)
        rows[at] = inverse
    return _smoothed(orders)


def _smoothed(orders: list[Order]) -> list[Order]:
    """Turn counts into probabilities, from single symbols upwards."""
    smoothed: list[Order] = []
    for n, current in enumerate(orders, start=1):
        count = np.ceil(current.count)
        if n < len(orders):
            # How many symbols come before it; nothing comes before the beginning.
            seen_after = np.bincount(orders[n].suffix, minlength=len(count)).astype(float)
            count = np.where(seen_after > 0, seen_after, count)
        if n == 1:
            count[current.symbol == BEGIN] = 0.0
        discount = _discounts(count)[np.minimum(count, 3).astype(int)]
        contexts = len(smoothed[-1].symbol) if smoothed else 1
        total = np.bincount(current.context, count, minlength=contexts)
        left_over = np.bincount(current.context, discount, minlength=contexts) / np.maximum(
            total, 1e-30
        )
        own = (count - discount) / total[current.context]
        if n == 1:
            lower = np.full(len(count), 1.0 / max(int((count > 0).sum()), 1))
        else:
            lower = np.exp(smoothed[-1].log_probability[current.suffix])
            smoothed[-1] = replace(
                smoothed[-1],
                log_backoff=np.where(total > 0, np.log(np.maximum(left_over, 1e-30)), 0.0),
            )
        with np.errstate(divide="ignore"):
            log_probability = np.log(own + left_over[current.context] * lower)
        if n == 1:
            log_probability[current.symbol == BEGIN] = -np.inf
        smoothed.append(replace(current, log_probability=log_probability))
    return smoothed


def _discounts(count: _Floats) -> _Floats:
    """D1, D2 and D3+ at index 1 to 3, from how many n-grams occur 1 to 4 times."""
    seen = [max(float((count == times).sum()), 1.0) for times in range(1, 5)]
    y = seen[0] / (seen[0] + 2 * seen[1])
    found = [0.0] + [k - (k + 1) * y * seen[k] / seen[k - 1] for k in (1, 2, 3)]
    return np.array([min(max(value, 0.1 * (k > 0)), k) for k, value in enumerate(found)])


def prune(orders: Sequence[Order], threshold: float) -> list[Order]:
    """Drop every n-gram whose loss changes the model's entropy by less than `threshold` nats.

    Longest first; an n-gram that is the context or the suffix of one that is kept stays.
    Probabilities of histories are relative frequencies in the training data, so that
    Kneser-Ney's lower orders, which are no marginals, do not mislead (Chelba et al. 2010);
    of a model that was read from a file, without counts, they are the model's own.
    Back-off weights are computed anew.
    """
    orders = list(orders)
    shares = _history_shares(orders)
    for n in range(len(orders), 1, -1):
        current, below = orders[n - 1], orders[n - 2]
        backed_off = below.log_probability[current.suffix]
        p, q = np.exp(current.log_probability), np.exp(backed_off)
        rest_p, rest_q = (
            np.maximum(1.0 - np.bincount(current.context, one), 1e-12)[current.context]
            for one in (p, q)
        )
        old, new = np.log(rest_p / rest_q), np.log((rest_p + p) / (rest_q + q))
        history = shares[n - 2][current.context]
        change = -history * (
            p * (backed_off + new - current.log_probability) + rest_p * (new - old)
        )
        keep = change >= threshold
        if n < len(orders):
            keep[orders[n].context] = True
            keep[orders[n].suffix] = True
        orders[n - 1] = _rows(current, keep)
        if n < len(orders):
            renumbered = np.cumsum(keep) - 1
            above = orders[n]
            orders[n] = replace(
                above, context=renumbered[above.context], suffix=renumbered[above.suffix]
            )
    return _renormalised(orders)


def _history_shares(orders: Sequence[Order]) -> list[_Floats]:
    """Per row of each order, how often it occurs per symbol of the text (ends are symbols)."""
    counts = [order.count for order in orders]
    if counts[0].any():
        total = counts[0][orders[0].symbol != BEGIN].sum()
        return [count / total for count in counts]
    first = np.exp(orders[0].log_probability)
    first[orders[0].symbol == BEGIN] = first[orders[0].symbol == END].sum()
    shares = [first]
    for order in orders[1:]:
        shares.append(shares[-1][order.context] * np.exp(order.log_probability))
    return shares


def _rows(order: Order, keep: npt.NDArray[np.bool_]) -> Order:
    return Order(*(getattr(order, name)[keep] for name in Order.__dataclass_fields__))


def _renormalised(orders: list[Order]) -> list[Order]:
    """Give every context the back-off weight with which its probabilities add up to 1."""
    done = [orders[0]]
    for n in range(2, len(orders) + 1):
        current, below = orders[n - 1], done[-1]
        size = len(below.symbol)
        backed_off = below.log_probability[current.suffix]
        explicit_p = np.bincount(current.context, np.exp(current.log_probability), minlength=size)
        explicit_q = np.bincount(current.context, np.exp(backed_off), minlength=size)
        has_any = np.bincount(current.context, minlength=size) > 0
        weight = np.log(np.maximum(1 - explicit_p, 1e-9) / np.maximum(1 - explicit_q, 1e-9))
        done[-1] = replace(below, log_backoff=np.where(has_any, weight, 0.0))
        done.append(replace(current, log_backoff=np.zeros(len(current.symbol))))
    return done
