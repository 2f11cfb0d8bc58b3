"""The n best readings of many words at once, by tensor operations.

Relation: the strings of phones that a graph of letters and phones (such as an n-gram of
letter-phone units with back-off arcs, :func:`ctcbias_fst.pronunciation.g2p_ngram.backoff_arcs`)
gives a word, each at the cost of its cheapest path; tropical semiring, costs are natural logs. It
is what OpenFst gives for word ∘ graph, projected, pruned, its epsilons removed and its shortest
paths taken, but letter by letter for hundreds of words together, which is several times as fast.

Three passes: the states that can be reached, forwards, with their costs; what each of them still
costs to the end, backwards; and again forwards the strings, of which only those are kept that are
within the limit, as is now known. Nothing within the limit is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ctcbias_fst.pronunciation.g2p_files import Arcs
from ctcbias_fst.text.encoded_entities import expand

__all__ = ["LetterGraph", "group_ids", "n_best_strings"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

_WORDS = 512
"""Words searched together; more do not fit into the processor's caches."""

_SLACK = 1e-6
"""Nats by which sums of the same costs may differ."""

_MIX = np.uint64(0x9E3779B97F4A7C15)
_MIX_2 = np.uint64(0xBF58476D1CE4E5B9)


@dataclass(frozen=True)
class LetterGraph:
    """A graph of groups of letters and phones, its arcs found by state and group.

    Attributes:
        begin: (states * groups + 1,) where the arcs of a state for a group begin.
        target: (arcs,) states.
        phones: (arcs, most) the phones of each, filled up with 0.
        cost: (arcs,)
        back, back_cost: (states,) where backing off leads, -1 for nowhere, and what it costs.
        final: (states,) the cost of ending, infinite where none may.
        start: the initial state.
        groups: how many groups of letters there are.
    """

    begin: npt.NDArray[np.int32]
    target: npt.NDArray[np.int32]
    phones: npt.NDArray[np.uint8]
    cost: _Floats
    back: _Ints
    back_cost: _Floats
    final: _Floats
    start: int
    groups: int

    @classmethod
    def of(
        cls,
        arcs: Arcs,
        final: _Floats,
        start: int,
        group: _Ints,
        phones: npt.NDArray[np.uint8],
    ) -> LetterGraph:
        """Index a graph.

        Args:
            arcs: of the graph; their labels are not looked at.
            final: (states,) the cost of ending, infinite where none may.
            start: the initial state.
            group: (arcs,) the group of letters that each takes; -1 for arcs that back off, of
                which a state has at most one, and which form no cycle.
            phones: (arcs, most) the phones of each, filled up with 0.
        """
        states, groups = len(final), int(group.max(initial=-1)) + 1
        off, on = np.flatnonzero(group < 0), np.flatnonzero(group >= 0)
        back, back_cost = np.full(states, -1, dtype=np.int64), np.zeros(states)
        back[arcs.source[off]] = arcs.target[off]
        back_cost[arcs.source[off]] = arcs.cost[off]
        key = arcs.source[on] * groups + group[on]
        on = on[np.argsort(key, kind="stable")]
        begin = np.zeros(states * groups + 1, dtype=np.int32)
        np.cumsum(np.bincount(key, minlength=states * groups), out=begin[1:])
        return cls(
            begin=begin,
            target=arcs.target[on].astype(np.int32),
            phones=phones[on],
            cost=arcs.cost[on],
            back=back,
            back_cost=back_cost,
            final=final,
            start=start,
            groups=groups,
        )


def group_ids(word: str, ids: Mapping[str, int], longest: int) -> list[_Ints]:
    """The groups that begin at each letter of a word, for each length; -1 for none."""
    return [
        np.array([ids.get(word[i : i + size], -1) for i in range(len(word))])
        for size in range(1, min(longest, len(word)) + 1)
    ]


class _Place(NamedTuple):
    """States between two letters, of all words; rows are sorted by (word, state).

    Attributes:
        word, state, cost: (R,) those that a letter led to, or the start, and the least cost.
        via: (K,) rows, by row: a state that backing off leads to from there, itself included,
        held, extra: (K,) its row among the held states, and what backing off costs.
        held_word, held_state: (H,) the states with those that backing off leads to.
    """

    word: _Ints
    state: _Ints
    cost: _Floats
    via: _Ints
    held: _Ints
    extra: _Floats
    held_word: _Ints
    held_state: _Ints


class _Steps(NamedTuple):
    """Arcs over one group of letters, sorted by where they come from.

    Attributes:
        source: (A,) held rows of the place before.
        target: (A,) rows of the place behind.
        arc: (A,) of the graph.
    """

    source: _Ints
    target: _Ints
    arc: _Ints


def n_best_strings(
    graph: LetterGraph, words: Sequence[Sequence[_Ints]], n: int, max_cost: float
) -> list[list[tuple[tuple[int, ...], float]]]:
    """Find the cheapest strings of phones of each word.

    Args:
        graph: see the module.
        words: of each word, for each group length from 1 on, the groups that begin at each of
            its letters: (letters,), -1 where there is none.
        n: strings of a word, at most.
        max_cost: how much more than the cheapest one a string may cost.

    Returns:
        Phones, and cost to four digits, by cost and then phones; none for a word that has none.
    """
    found: list[list[tuple[tuple[int, ...], float]]] = [[] for _ in words]
    by_length = sorted(range(len(words)), key=lambda i: len(words[i][0]))
    for begin in range(0, len(by_length), _WORDS):
        some = by_length[begin : begin + _WORDS]
        for i, strings in zip(some, _search(graph, [words[i] for i in some], n, max_cost)):
            found[i] = strings
    return found


def _search(
    graph: LetterGraph, words: Sequence[Sequence[_Ints]], n: int, max_cost: float
) -> list[list[tuple[tuple[int, ...], float]]]:
    lengths = np.array([len(word[0]) for word in words])
    longest = int(lengths.max())
    sizes = max(len(word) for word in words)
    groups = np.full((sizes, longest, len(words)), -1, dtype=np.int64)
    for row, word in enumerate(words):
        for size, of_size in enumerate(word):
            groups[size, : len(of_size), row] = of_size
    places, steps = _forward(graph, groups, lengths)
    rests, limit = _backward(graph, places, steps, lengths, max_cost)
    strings = _Strings(graph, len(words), n)
    for position, place in enumerate(places):
        live = strings.arrived(position, place)
        strings.end(live, place, rests[position], lengths == position, limit)
        for size, step in enumerate(steps[position]):
            end = position + size + 1
            leads = _leads(graph, place, step, (rests[position], rests[end]), limit)
            strings.prolong(live, leads, end)
    return strings.best(limit, max_cost)


def _forward(
    graph: LetterGraph, groups: _Ints, lengths: _Ints
) -> tuple[list[_Place], list[list[_Steps]]]:
    """The places of a batch, and what leaves each of them by groups of one letter, two, …"""
    sizes, longest, count = groups.shape
    arriving: list[list[tuple[_Ints, _Ints, _Floats]]] = [[] for _ in range(longest + 1)]
    rows = np.arange(count)
    arriving[0].append((rows, np.full(count, graph.start), np.zeros(count)))
    pending: list[list[tuple[int, int]]] = [[] for _ in range(longest + 1)]
    places: list[_Place] = []
    steps: list[list[_Steps]] = [[] for _ in range(longest + 1)]
    sources: dict[tuple[int, int], tuple[_Ints, _Ints]] = {}
    for position in range(longest + 1):
        word, state, cost = (np.concatenate(part) for part in zip(*arriving[position]))
        place, target = _place(graph, word, state, cost)
        places.append(place)
        begin = 0
        for origin in pending[position]:
            source, arc = sources.pop(origin)
            steps[origin[0]].append(_Steps(source, target[begin : begin + len(arc)], arc))
            begin += len(arc)
        if position == longest:
            break
        held_cost = np.full(len(place.held_word), np.inf)
        np.minimum.at(held_cost, place.held, (place.cost[place.via] + place.extra))
        for size in range(min(sizes, longest - position)):
            group = groups[size, position, place.held_word]
            usable = np.flatnonzero(group >= 0)
            key = place.held_state[usable] * graph.groups + group[usable]
            first = graph.begin[key].astype(np.int64)
            source, arc = expand(first, graph.begin[key + 1] - first)
            source = usable[source]
            sources[position, size] = (source, arc)
            end = position + size + 1
            pending[end].append((position, size))
            arriving[end].append(
                (
                    place.held_word[source],
                    graph.target[arc].astype(np.int64),
                    held_cost[source] + graph.cost[arc],
                )
            )
    return places, steps


def _place(graph: LetterGraph, word: _Ints, state: _Ints, cost: _Floats) -> tuple[_Place, _Ints]:
    """Merge what arrives at a place; also the row of each arrival."""
    states = len(graph.final)
    key, row = np.unique(word * states + state, return_inverse=True)
    least = np.full(len(key), np.inf)
    np.minimum.at(least, row, cost)
    word, state = np.divmod(key, states)
    via, at, extra = np.arange(len(key)), state, np.zeros(len(key))
    chains = [(via, at, extra)]
    while True:
        after = graph.back[at]
        more = after >= 0
        if not more.any():
            break
        via, extra = via[more], extra[more] + graph.back_cost[at[more]]
        at = after[more]
        chains.append((via, at, extra))
    via, at, extra = (np.concatenate(part) for part in zip(*chains))
    held_key, held = np.unique(word[via] * states + at, return_inverse=True)
    held_word, held_state = np.divmod(held_key, states)
    return _Place(word, state, least, via, held, extra, held_word, held_state), row


class _Rest(NamedTuple):
    """What is still to be paid at a place: by row, and by held row."""

    own: _Floats
    held: _Floats


def _backward(
    graph: LetterGraph,
    places: Sequence[_Place],
    steps: Sequence[Sequence[_Steps]],
    lengths: _Ints,
    max_cost: float,
) -> tuple[list[_Rest], _Floats]:
    """What each row still costs to the end of its word; and the limit of each word."""
    rests: dict[int, _Rest] = {}
    for position in range(len(places) - 1, -1, -1):
        place = places[position]
        ends = lengths[place.held_word] == position
        held = np.where(ends, graph.final[place.held_state], np.inf)
        for size, step in enumerate(steps[position]):
            if len(step.arc):
                value = graph.cost[step.arc] + rests[position + size + 1].own[step.target]
                new = np.flatnonzero(np.diff(step.source, prepend=-1))
                source = step.source[new]
                held[source] = np.minimum(held[source], np.minimum.reduceat(value, new))
        own = np.full(len(place.word), np.inf)
        np.minimum.at(own, place.via, place.extra + held[place.held])
        rests[position] = _Rest(own, held)
    least = rests[0].own
    limit = np.where(np.isfinite(least), least + max_cost + _SLACK, -np.inf)
    return [rests[i] for i in range(len(places))], limit


class _Leads(NamedTuple):
    """From rows of one place to rows of a later one, sorted by the former."""

    begin: _Ints
    target: _Ints
    arc: _Ints
    cost: _Floats


def _leads(
    graph: LetterGraph, place: _Place, step: _Steps, rests: tuple[_Rest, _Rest], limit: _Floats
) -> _Leads:
    """Back off, then take an arc: only what is on a path within the limit.

    ``rests`` are those of the place and of the one that the arcs lead to.
    """
    rest, behind = rests[0], rests[1].own
    before = place.cost[place.via] + place.extra
    within = before + rest.held[place.held] <= limit[place.word[place.via]]
    via, held, extra = (column[within] for column in (place.via, place.held, place.extra))
    first = np.searchsorted(step.source, held)
    at, one = expand(first, np.searchsorted(step.source, held, side="right") - first)
    via, arc, target = via[at], step.arc[one], step.target[one]
    cost = extra[at] + graph.cost[arc]
    good = place.cost[via] + cost + behind[target] <= limit[place.word[via]]
    good = np.flatnonzero(good)[np.argsort(via[good], kind="stable")]
    begin = np.zeros(len(place.word) + 1, dtype=np.int64)
    np.cumsum(np.bincount(via[good], minlength=len(place.word)), out=begin[1:])
    return _Leads(begin, target[good], arc[good], cost[good])


class _Live(NamedTuple):
    """Beginnings of strings at one place: (B,) each.

    Attributes:
        row: of the place.
        text: a number for the phones so far, the same for the same phones.
        cost: so far.
        number: among all beginnings.
    """

    row: _Ints
    text: npt.NDArray[np.uint64]
    cost: _Floats
    number: _Ints


class _Strings:
    """The strings of a batch of words, each as what was added last to another one.

    Of the beginnings that are in the same state only the ``n`` cheapest can be part of the
    ``n`` cheapest strings of a word.
    """

    def __init__(self, graph: LetterGraph, words: int, n: int) -> None:
        self._graph, self._words, self._n = graph, words, n
        self._count = 0
        self._parent: list[_Ints] = []
        self._arc: list[_Ints] = []
        self._ended: list[tuple[_Ints, npt.NDArray[np.uint64], _Floats, _Ints]] = []
        nobody = np.full(words, -1)
        text = np.zeros(words, dtype=np.uint64)
        self._arriving = {0: [(np.arange(words), text, np.zeros(words), nobody, nobody)]}

    def arrived(self, position: int, place: _Place) -> _Live:
        """The beginnings at a place: each text once in a row, the cheapest ones."""
        parts = self._arriving.pop(position, [])
        if not parts:
            parts = [
                (np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0))
                + 2 * (np.zeros(0, np.int64),)
            ]
        row, text, cost, parent, arc = (np.concatenate(part) for part in zip(*parts))
        kept = _cheapest_texts(row, text, cost)
        kept = kept[_rank_within(row[kept], cost[kept], text[kept]) < self._n]
        self._parent.append(parent[kept])
        self._arc.append(arc[kept])
        number = self._count + np.arange(len(kept))
        self._count += len(kept)
        return _Live(row[kept], text[kept], cost[kept], number)

    def end(
        self, live: _Live, place: _Place, rest: _Rest, ends: npt.NDArray[np.bool_], limit: _Floats
    ) -> None:
        """Complete the strings of words that end here."""
        word = place.word[live.row]
        cost = live.cost + rest.own[live.row]
        good = np.flatnonzero(ends[word] & (cost <= limit[word]))
        self._ended.append((word[good], live.text[good], cost[good], live.number[good]))

    def prolong(self, live: _Live, leads: _Leads, position: int) -> None:
        """Add the phones of every arc that a beginning may take."""
        first = leads.begin[live.row]
        at, one = expand(first, leads.begin[live.row + 1] - first)
        arc = leads.arc[one]
        text = live.text[at]
        for phone in self._graph.phones[arc].T:
            text = _added(text, phone)
        cost = live.cost[at] + leads.cost[one]
        self._arriving.setdefault(position, []).append(
            (leads.target[one], text, cost, live.number[at], arc)
        )

    def best(self, limit: _Floats, max_cost: float) -> list[list[tuple[tuple[int, ...], float]]]:
        """The cheapest strings of each word."""
        word, text, cost, number = (np.concatenate(part) for part in zip(*self._ended))
        kept = _cheapest_texts(word, text, cost)
        kept = kept[_rank_within(word[kept], cost[kept], text[kept]) < self._n]
        phones = self._phones(number[kept])
        found: list[list[tuple[tuple[int, ...], float]]] = [[] for _ in range(self._words)]
        for row, spoken, value in zip(word[kept].tolist(), phones.tolist(), cost[kept].tolist()):
            # Sums of the same costs differ in their last bits: ties must stay ties.
            found[row].append((tuple([phone for phone in spoken if phone]), round(value, 4)))
        for several in found:
            several.sort(key=lambda item: (item[1], item[0]))
        return found

    def _phones(self, number: _Ints) -> npt.NDArray[np.uint8]:
        """(strings, phones of all steps): the phones of strings, with zeros between."""
        parent, arcs = np.concatenate(self._parent), np.concatenate(self._arc)
        steps: list[npt.NDArray[np.uint8]] = [np.zeros((len(number), 0), dtype=np.uint8)]
        while len(number):
            arc = arcs[number]
            more = arc >= 0
            if not more.any():
                break
            steps.append(self._graph.phones[arc] * more[:, None])
            number = np.where(more, parent[number], number)
        return np.concatenate(steps[::-1], axis=1)


def _added(text: npt.NDArray[np.uint64], phone: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """The numbers of texts with a phone behind, where there is one (0 is none)."""
    mixed = (text + phone.astype(np.uint64)) * _MIX
    mixed ^= mixed >> np.uint64(29)
    mixed *= _MIX_2
    mixed ^= mixed >> np.uint64(32)
    return np.where(phone > 0, mixed, text)


def _cheapest_texts(group: _Ints, text: npt.NDArray[np.uint64], cost: _Floats) -> _Ints:
    """Which of those with the same group and text is the cheapest; by group, then text."""
    order = np.lexsort((cost, text, group))
    cheapest: _Ints = order[_begins(group[order]) | _begins(text[order])]
    return cheapest


def _rank_within(group: _Ints, cost: _Floats, text: npt.NDArray[np.uint64]) -> _Ints:
    """How many of the same group cost less; of those that cost the same, the text decides."""
    order = np.lexsort((text, np.rint(cost * 1e6), group))
    place = np.arange(len(order))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = place - np.maximum.accumulate(np.where(_begins(group[order]), place, 0))
    return rank


def _begins(ordered: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Where a run of equal values begins."""
    begins = np.ones(len(ordered), dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return begins
