"""The G2P against all cuts of a word, listed one by one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pynini
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.errors import ModelError
from ctcbias_fst.ngram.estimate import estimate
from ctcbias_fst.pronunciation import g2p_ngram as ngram
from ctcbias_fst.pronunciation.g2p import G2P, format_unit, parse_unit
from ctcbias_fst.pronunciation.g2p_files import to_fst
from ctcbias_fst.pronunciation.g2p_ngram import FIRST_SYMBOL
from ctcbias_fst.pronunciation.pronunciation_table import Pronunciation
from ctcbias_fst.text.phones import PHONE_ID
from tests.fst_costs import cheapest
from tests.tiny_g2p import UNITS

words = st.text(alphabet="acektx", min_size=1, max_size=5)


def cuts(word: str) -> Iterator[list[int]]:
    """All ways to cut a word into units."""
    if not word:
        yield []
    for index, unit in enumerate(UNITS):
        letters, _ = parse_unit(unit)
        if word.startswith(letters):
            for rest in cuts(word[len(letters) :]):
                yield [FIRST_SYMBOL + index, *rest]


def brute_force(model: pynini.Fst, word: str) -> dict[tuple[int, ...], float]:
    """Phones to the cost of the cheapest cut that has them, in the graph of units."""
    found: dict[tuple[int, ...], float] = {}
    for cut in cuts(word):
        cost = cheapest(model, cut)
        phones = tuple(PHONE_ID[p] for s in cut for p in parse_unit(UNITS[s - FIRST_SYMBOL])[1])
        found[phones] = min(cost, found.get(phones, np.inf))
    return found


@pytest.fixture(scope="module")
def unit_graph(tiny_path: Path) -> pynini.Fst:
    """The n-gram of units; tests of n-grams compare it with the formulas."""
    return to_fst(*ngram.backoff_arcs(ngram.load(tiny_path)))


@given(word=words)
def test_readings_are_those_of_all_cuts(tiny_g2p: G2P, unit_graph: pynini.Fst, word: str) -> None:
    expected = brute_force(unit_graph, word)
    expected.pop((), None)
    readings = tiny_g2p.readings(word, n=4, max_cost=50.0)
    if not expected:
        assert readings == []
        return
    least = min(expected.values())
    costs = sorted(cost - least for cost in expected.values())[:4]
    np.testing.assert_allclose([one.cost for one in readings], costs, atol=1e-3)
    for phones, cost, _ in readings:
        assert cost == pytest.approx(expected[phones] - least, abs=1e-3)


@given(word=words, n=st.integers(1, 5))
def test_readings_are_ranked(tiny_g2p: G2P, word: str, n: int) -> None:
    readings = tiny_g2p.readings(word, n=n, max_cost=8.0)
    costs = [one.cost for one in readings]
    assert len(readings) <= n
    assert len({one.phones for one in readings}) == len(readings)
    assert costs == sorted(costs) or np.allclose(costs, sorted(costs), atol=1e-3)
    assert all(0 <= cost <= 8.0 + 1e-3 for cost in costs)
    assert not readings or costs[0] == 0.0
    # Asking for fewer gives the cheapest of them (of equal ones, any).
    fewer = tiny_g2p.readings(word, n=1, max_cost=8.0)
    assert len(fewer) == len(readings[:1])
    np.testing.assert_allclose([one.cost for one in fewer], costs[:1], atol=1e-3)


def test_other_letters_have_no_reading(tiny_g2p: G2P) -> None:
    assert tiny_g2p.letters == frozenset("acektx")
    assert tiny_g2p.readings("") == []
    assert tiny_g2p.readings("taz") == []


def test_two_phones_of_one_letter(tiny_g2p: G2P) -> None:
    assert tiny_g2p.readings("ax", n=1)[0] == Pronunciation.of(["AE", "K", "S"], 0.0, "g2p")


def test_units_as_text() -> None:
    for unit in UNITS:
        assert format_unit(*parse_unit(unit)) == unit
    for wrong in (":K", "a:QQ", "a:K K K", ""):
        with pytest.raises(ValueError, match="not a unit"):
            parse_unit(wrong)


def test_a_model_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    ngram.save(path, estimate([[2, 3]], 2), ("x", "y:QQ"))
    with pytest.raises(ModelError, match="G2P model: not a unit"):
        G2P.load(path)


@given(word=words)
def test_the_best_reading_alone(tiny_g2p: G2P, word: str) -> None:
    best = tiny_g2p.best(word)
    costs = {one.phones: one.cost for one in tiny_g2p.readings(word, n=200, max_cost=0.01)}
    # Saying nothing may be cheapest; it is no reading.
    assert not best or costs[best] == pytest.approx(0.0, abs=1e-3)
    assert tiny_g2p.best("") == tiny_g2p.best("ä") == ()


def test_the_best_reading_is_the_first_one(tiny_g2p: G2P) -> None:
    for word in ("ace", "text", "kecka", "x"):
        assert tiny_g2p.best(word) == tiny_g2p.readings(word)[0][0]
