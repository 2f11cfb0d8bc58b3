"""Estimates, pruning and the file of n-gram models, against the formulas done by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from ctcbias_fst.errors import ModelError
from ctcbias_fst.ngram.estimate import estimate, prune
from ctcbias_fst.pronunciation import g2p_ngram as ngram
from ctcbias_fst.pronunciation.g2p_files import to_fst
from ctcbias_fst.pronunciation.g2p_ngram import BEGIN, END, Ngram, Order, log_probability
from tests.fst_costs import cheapest

SYMBOLS = (2, 3, 4)
texts = st.lists(st.lists(st.sampled_from(SYMBOLS), min_size=1, max_size=5), min_size=3, max_size=9)


def score(orders: Sequence[Order], history: Sequence[int], symbol: int) -> float:
    """The textbook recursion: the probability itself, or back-off weight times a shorter one."""
    rows = {}
    for order in orders:
        for row in range(len(order.symbol)):
            rows[grams_of(orders, order, row)] = (
                order.log_probability[row],
                order.log_backoff[row],
            )
    history = tuple(history)[-(len(orders) - 1) :] if len(orders) > 1 else ()
    total = 0.0
    while (*history, symbol) not in rows:
        total += rows[history][1] if history in rows else 0.0
        history = history[1:]
    return total + rows[(*history, symbol)][0]


def grams_of(orders: Sequence[Order], order: Order, row: int) -> tuple[int, ...]:
    """The symbols of one n-gram."""
    level = next(i for i, other in enumerate(orders) if other is order)
    symbols = [int(order.symbol[row])]
    at = int(order.context[row])
    for below in reversed(orders[:level]):
        symbols.insert(0, int(below.symbol[at]))
        at = int(below.context[at])
    return tuple(symbols)


@given(texts, st.integers(1, 4))
def test_probabilities_add_up_to_one(sequences: list[list[int]], order: int) -> None:
    orders = estimate(sequences, order)
    outcomes = [int(s) for s in orders[0].symbol if s != BEGIN]
    for length in range(3):
        for history in itertools.product((BEGIN, *SYMBOLS), repeat=length):
            total = sum(np.exp(score(orders, history, symbol)) for symbol in outcomes)
            assert total == pytest.approx(1.0, abs=1e-6)


@given(texts)
def test_batched_look_up_equals_the_recursion(sequences: list[list[int]]) -> None:
    orders = estimate(sequences, 3)
    known = [int(s) for s in orders[0].symbol if s != BEGIN]
    table = np.array(list(itertools.product((BEGIN, *known), (BEGIN, *known), known)))
    expected = [score(orders, row[:2], row[2]) for row in table.tolist()]
    np.testing.assert_allclose(log_probability(orders, table), expected, atol=1e-9)


@given(texts, st.sampled_from([0.0, 1e-3, 1e-2, 0.1, 10.0]))
def test_pruned_models_are_models(sequences: list[list[int]], threshold: float) -> None:
    full = estimate(sequences, 3)
    orders = prune(full, threshold)
    for larger, smaller in zip(full, orders):
        assert len(smaller.symbol) <= len(larger.symbol)
    outcomes = [int(s) for s in orders[0].symbol if s != BEGIN]
    for history in itertools.product((BEGIN, *outcomes), repeat=2):
        total = sum(np.exp(score(orders, history, symbol)) for symbol in outcomes)
        assert total == pytest.approx(1.0, abs=1e-6)


def test_pruning_everything_leaves_single_symbols() -> None:
    orders = prune(estimate([[2, 3], [2, 3], [3, 2, 2]], 3), 100.0)
    assert [len(order.symbol) for order in orders] == [4, 0, 0]


def test_what_was_seen_is_likelier() -> None:
    orders = estimate([[2, 3]] * 5 + [[3, 4]] * 2 + [[2, 4]], 2)
    assert score(orders, (2,), 3) > score(orders, (2,), 4) > score(orders, (2,), 2)
    likely, strange = log_probability(orders, np.array([[2, 3], [4, 4]]))
    assert likely > strange


def test_weights_are_counts() -> None:
    once, twice = [[2, 3], [3, 3]], [[2, 3], [3, 3], [3, 3]]
    for a, b in zip(estimate(once, 2, [1.0, 2.0]), estimate(twice, 2)):
        np.testing.assert_allclose(a.log_probability, b.log_probability)


@given(texts, st.lists(st.sampled_from(SYMBOLS), max_size=4))
def test_the_graph_scores_like_the_model(sequences: list[list[int]], labels: list[int]) -> None:
    orders = tuple(estimate(sequences, 3))
    known = {int(s) for s in orders[0].symbol}
    arcs, final, start = ngram.backoff_arcs(Ngram(orders, ("x", "y", "z")))
    fst = to_fst(arcs, final, start)
    if not set(labels) <= known:
        assert cheapest(fst, labels) == np.inf
        return
    padded = [BEGIN, *labels, END]
    exact = -sum(score(orders, padded[max(i - 2, 0) : i], padded[i]) for i in range(1, len(padded)))
    # A path may also back off although it need not, so the graph is never dearer.
    assert cheapest(fst, labels) <= exact + 1e-4


@given(texts, st.lists(st.sampled_from(SYMBOLS), max_size=4))
def test_the_full_graph_is_exact(sequences: list[list[int]], labels: list[int]) -> None:
    sequences = [*sequences, list(SYMBOLS)]
    orders = tuple(estimate(sequences, 3))
    fst = to_fst(*ngram.full_arcs(Ngram(orders, ("x", "y", "z"))))
    padded = [BEGIN, *labels, END]
    exact = -sum(score(orders, padded[max(i - 2, 0) : i], padded[i]) for i in range(1, len(padded)))
    assert cheapest(fst, labels) == pytest.approx(exact, abs=1e-4)


def test_a_file_keeps_the_model(tmp_path: Path) -> None:
    orders = estimate([[2, 3, 4], [2, 3], [4, 4, 2, 3], [3]], 3)
    ngram.save(tmp_path / "m.safetensors", orders, ("x", "y", "z"))
    loaded = ngram.load(tmp_path / "m.safetensors")
    assert loaded.symbols == ("x", "y", "z")
    for a, b in zip(orders, loaded.orders):
        np.testing.assert_array_equal(a.context, b.context)
        np.testing.assert_array_equal(a.symbol, b.symbol)
        np.testing.assert_array_equal(a.suffix, b.suffix)
        np.testing.assert_allclose(a.log_probability, b.log_probability, atol=0.02)
        np.testing.assert_allclose(a.log_backoff, b.log_backoff, atol=0.02)


def test_faults_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    with pytest.raises(ModelError, match=r"m\.safetensors: no such file"):
        ngram.load(path)
    path.write_bytes(b"no safetensors at all")
    with pytest.raises(ModelError, match="damaged"):
        ngram.load(path)
    ngram.save(path, estimate([[2, 3]], 2), ("x", "y"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    with pytest.raises(ModelError, match="damaged"):
        ngram.load(path)
    path.write_bytes(whole.replace(b"ctcbias n-gram 1", b"ctcbias n-gram 9"))
    with pytest.raises(ModelError, match="expected 'ctcbias n-gram 1'"):
        ngram.load(path)
    path.write_bytes(whole.replace(b"children.1", b"childish.1"))
    with pytest.raises(ModelError, match="do not fit together"):
        ngram.load(path)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("symbol.1", lambda a: np.full_like(a, 60_000), "suffix is not listed"),
        ("symbol.1", lambda a: a[::-1], "order 1 are not sorted|suffix is not listed"),
        ("symbol.1", lambda a: a[:0], "differ in length|no symbols"),
        ("children.1", lambda a: np.full(len(a), 2**32 - 1, np.uint32), "differ in length"),
        ("log_probability.2", lambda a: np.full(len(a), np.nan, np.float32), "that are none"),
        ("log_probability.2", lambda a: a[:, None], "do not fit together"),
    ],
)
def test_tables_that_cannot_be(
    tmp_path: Path, name: str, change: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    path = tmp_path / "m.safetensors"
    ngram.save(path, estimate([[2, 3]], 2), ("x", "y"), precision="float32")
    with safe_open(path, framework="numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors[name] = np.ascontiguousarray(change(tensors[name]))
    save_file(tensors, path, metadata)
    with pytest.raises(ModelError, match=words) as caught:
        ngram.load(path)
    assert "\n" not in str(caught.value)
