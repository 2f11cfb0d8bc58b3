"""The n best strings of phones against all paths, listed one by one; costs of any size."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.pronunciation.g2p_files import Arcs
from ctcbias_fst.pronunciation.nbest_paths import (
    LetterGraph,
    _cheapest_texts,
    _rank_within,
    group_ids,
    n_best_strings,
)
from ctcbias_fst.variants.shipped import load_pronouncer

GROUPS = {"a": 0, "b": 1, "ab": 2}
Arc = tuple[int, int, int, tuple[int, int], float]
Strings = list[tuple[tuple[int, ...], float]]


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Arc], list[tuple[int, int, float]], np.ndarray]:
    """Arcs by group, arcs that back off (to a lower state), and costs of ending."""
    states = draw(st.integers(1, 3))
    state, scale = st.integers(0, states - 1), draw(st.sampled_from([1.0, 10.0, 300.0, 1e6]))
    cost = st.integers(0, 400).map(lambda value: scale * value / 100)
    arc = st.tuples(
        state, state, st.integers(0, 2), st.tuples(st.integers(0, 2), st.integers(0, 2)), cost
    )
    arcs = draw(st.lists(arc, min_size=1, max_size=8))
    off = [
        (source, draw(st.integers(0, source - 1)), draw(cost))
        for source in range(1, states)
        if draw(st.booleans())
    ]
    final = [draw(st.one_of(st.just(np.inf), cost)) for _ in range(states)]
    return arcs, off, np.array(final)


def compiled(
    arcs: list[Arc], off: list[tuple[int, int, float]], final: np.ndarray
) -> tuple[LetterGraph, int]:
    """The graph; it starts in its last state."""
    source = np.array([a[0] for a in arcs] + [o[0] for o in off])
    target = np.array([a[1] for a in arcs] + [o[1] for o in off])
    cost = np.array([a[4] for a in arcs] + [o[2] for o in off], dtype=float)
    group = np.array([a[2] for a in arcs] + [-1] * len(off))
    phones = np.array([a[3] for a in arcs] + [(0, 0)] * len(off), dtype=np.uint8)
    start = len(final) - 1
    none = np.zeros_like(source)
    return LetterGraph.of(
        Arcs(source, target, none, none, cost), final, start, group, phones
    ), start


def all_strings(
    arcs: list[Arc],
    off: list[tuple[int, int, float]],
    final: np.ndarray,
    start: int,
    word: str,
) -> dict[tuple[int, ...], float]:
    """Every string of phones of a word, at its least cost."""
    found: dict[tuple[int, ...], float] = {}

    def go(state: int, rest: str, phones: tuple[int, ...], cost: float) -> None:
        if not rest and np.isfinite(final[state]):
            total = cost + final[state]
            found[phones] = min(total, found.get(phones, np.inf))
        for source, target, extra in off:
            if source == state:
                go(target, rest, phones, cost + extra)
        for source, target, group, said, extra in arcs:
            letters = next(text for text, number in GROUPS.items() if number == group)
            if source == state and rest.startswith(letters):
                more = tuple(phone for phone in said if phone)
                go(target, rest[len(letters) :], phones + more, cost + extra)

    go(start, word, (), 0.0)
    return found


@given(
    graph=graphs(),
    words=st.lists(st.text(alphabet="ab", min_size=1, max_size=5), min_size=1, max_size=4),
    n=st.integers(1, 4),
    max_cost=st.sampled_from([0.0, 2.5, 40.0, 2e3, 1e8]),
)
def test_costs_of_any_size_equal_brute_force(
    graph: tuple[list[Arc], list[tuple[int, int, float]], np.ndarray],
    words: list[str],
    n: int,
    max_cost: float,
) -> None:
    letters, start = compiled(*graph)
    ids = {text: number for text, number in GROUPS.items() if number < letters.groups}
    several = n_best_strings(letters, [group_ids(w, ids, 2) for w in words], n, max_cost)
    for word, strings in zip(words, several):
        right = all_strings(*graph, start, word)
        least = min(right.values(), default=0.0)
        near = sorted(cost for cost in right.values() if cost <= least + max_cost)
        assert [cost for _, cost in strings] == pytest.approx(near[:n], abs=1e-3)
        assert len(dict(strings)) == len(strings)
        for phones, cost in strings:
            assert right[phones] == pytest.approx(cost, abs=1e-3)


@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 1 << 18, 1 << 40]),
            st.sampled_from([0, 1, 1 << 63, (1 << 64) - 1]),
            st.sampled_from([0.0, 1.0, 134.0, 135.0, 136.0, 1e4, 2e4, 2e4 + 1e-5]),
        ),
        max_size=30,
    )
)
def test_ranks_are_those_of_plain_sorting(rows: list[tuple[int, int, float]]) -> None:
    group = np.array([row[0] for row in rows], dtype=np.int64)
    text = np.array([row[1] for row in rows], dtype=np.uint64)
    cost = np.array([row[2] for row in rows], dtype=float)
    kept = _cheapest_texts(group, text, cost)
    least = {both: min(row[2] for row in rows if row[:2] == both) for both in {r[:2] for r in rows}}
    assert sorted((*rows[i][:2], rows[i][2]) for i in kept) == sorted(
        (*both, value) for both, value in least.items()
    )
    rank = _rank_within(group[kept], cost[kept], text[kept])
    for i, place in zip(kept.tolist(), rank.tolist()):
        mine = sorted((least[both], both[1]) for both in least if both[0] == rows[i][0])
        assert mine[place] == (rows[i][2], rows[i][1])


NAMES = (
    "taumatawhakatangihangakoauauotamateaturipukakapikimaungahoronukupokaiwhenuakitanatahu",
    "llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch",
    "pneumonoultramicroscopicsilicovolcanoconiosis",
    "dichlorodiphenyltrichloroethanebromochlorofluorocarbon",
)


def test_long_names_sound_as_the_shortest_path_says() -> None:
    """pynini's shortest path is another way to the same reading."""
    pronouncer = load_pronouncer()
    g2p = pronouncer._g2p
    for first, second in product(NAMES, ("", "metformin", NAMES[0])):
        name = first + second
        found = g2p.readings(name, 5, 4.0)
        assert found[0] == (g2p.best(name), 0.0)
        assert len({phones for phones, _ in found}) == len(found) == 5
