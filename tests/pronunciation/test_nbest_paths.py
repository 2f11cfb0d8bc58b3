"""The best strings of a lattice against all its paths, listed one by one."""

from __future__ import annotations

import numpy as np
import pynini
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.pronunciation import nbest_paths
from ctcbias_fst.pronunciation.g2p import LONGEST
from ctcbias_fst.pronunciation.nbest_paths import best_strings
from ctcbias_fst.variants.shipped import load_pronouncer

Arc = tuple[int, int, int, float]
STATES = 5


@st.composite
def lattices(draw: st.DrawFn) -> tuple[list[Arc], list[float]]:
    """Arcs to higher states (source, target, output, cost), and costs of ending."""
    cost = st.one_of(st.sampled_from([0.0, 1.0, 2.5]), st.floats(0, 9)).map(np.float32).map(float)
    arc = st.tuples(st.integers(0, STATES - 2), st.integers(1, 4), st.integers(0, 2), cost)
    arcs = [
        (source, min(source + step, STATES - 1), label, price)
        for source, step, label, price in draw(st.lists(arc, max_size=12))
    ]
    return arcs, [draw(st.one_of(st.just(np.inf), cost)) for _ in range(STATES)]


def all_strings(arcs: list[Arc], final: list[float]) -> dict[tuple[int, ...], float]:
    """Every string, at the cost of its cheapest path."""
    found: dict[tuple[int, ...], float] = {}

    def go(state: int, labels: tuple[int, ...], cost: float) -> None:
        if np.isfinite(final[state]):
            found[labels] = min(cost + final[state], found.get(labels, np.inf))
        for source, target, label, price in arcs:
            if source == state:
                go(target, labels + (label,) * (label > 0), cost + price)

    go(0, (), 0.0)
    return found


@pytest.mark.parametrize("many_states", [400, 0])
@given(lattice=lattices(), n=st.integers(2, 6), max_cost=st.sampled_from([0.0, 2.5, 40.0]))
def test_they_equal_brute_force(
    many_states: int, lattice: tuple[list[Arc], list[float]], n: int, max_cost: float
) -> None:
    """Told apart before or after the best paths are sought: these are all, in so small ones."""
    fst = pynini.Fst()
    fst.add_states(STATES)
    fst.set_start(0)
    for state, cost in enumerate(lattice[1]):
        if np.isfinite(cost):
            fst.set_final(state, cost)
    for source, target, label, cost in lattice[0]:
        fst.add_arc(source, pynini.Arc(7, label, cost, target))
    right = all_strings(*lattice)
    least = min(right.values(), default=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nbest_paths, "_MANY_STATES", many_states)
        found = best_strings(fst, n, max_cost)
    near = sorted(cost for cost in right.values() if cost <= least + max_cost + 1e-5)
    sure = [cost for cost in near if cost <= least + max_cost - 1e-5 or max_cost == 0.0]
    costs = [cost for _, cost in found]
    # Sums of 32-bit floats: what is at the limit may be in or out.
    assert len(sure[:n]) <= len(found) <= len(near[:n]) or max_cost == 0.0
    assert costs == pytest.approx(near[: len(found)], abs=1e-3)
    assert found == sorted(found, key=lambda item: (item[1], item[0]))
    assert len(dict(found)) == len(found)
    for labels, cost in found:
        assert right[labels] == pytest.approx(cost, abs=1e-3)


NAMES = (
    "taumatawhakatangihangakoauauotamateaturipukakapikimaungahoronukupokaiwhenuakitanatahu",
    "llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch",
    "pneumonoultramicroscopicsilicovolcanoconiosis",
    "dichlorodiphenyltrichloroethanebromochlorofluorocarbon",
)


@pytest.mark.parametrize("first", [*NAMES, ("bacada" * 17)[:LONGEST]])
def test_long_names_sound_as_the_shortest_path_says(first: str) -> None:
    """In a moment: what is one word and no name has hundreds of thousands of readings."""
    g2p = load_pronouncer()._g2p
    for second in ("", "metformin", NAMES[0], "bacada" * 150):
        found = g2p.readings(first + second, 5, 4.0)
        assert (found[0].phones, found[0].cost) == (g2p.best(first + second), 0.0)
        assert len({one.phones for one in found}) == len(found)
        if len(first + second) > LONGEST:
            assert len(found) == 1
        else:
            assert len(found) == 5 or first not in NAMES
