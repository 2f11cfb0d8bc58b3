"""A list of names, written behind the static graph of the first pass; reading what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ctcbias_fst.fst.boost import BoostGraph
from ctcbias_fst.fst.columns import BOOSTED, ENTRY, STAY, Columns
from ctcbias_fst.fst.vectors import sorted_order
from ctcbias_fst.fst.word_rules import WordRules
from ctcbias_fst.k2_import import k2
from ctcbias_fst.lm.edges import Edges
from ctcbias_fst.lm.static_graph import BEGINS, WORD_START, StaticGraph
from ctcbias_fst.lm.token_graph import LETTERS, UNKNOWN, WORD
from ctcbias_fst.search.boosting import reward
from ctcbias_fst.search.config import BoostConfig
from ctcbias_fst.search.intersect import FRAME
from ctcbias_fst.text.entities import Entity

__all__ = ["Workspace", "parents"]

_MEANING = "meaning"
_ROOM = (1 << 18, 1 << 20)
"""States and arcs that a list may have before the graph is made anew, larger: some 1,000 names with
all their variants."""
_FLAGS = 4
_LARGEST_KEY = 1 << 62
_NAMED = 256
"""Meanings of arcs from here on are rows of :class:`_Meanings`; below, kinds of static arcs."""


@dataclass(frozen=True)
class _Meanings:
    """What the arcs behind the static graph are in the decoding graph: (M,) each.

    Attributes:
      place: where the arc leads (:class:`_Places`).
      label: its column.
      aux: what it emits.
      base: its score there.
      begins: the token that begins with it, or 0.
    """

    place: torch.Tensor
    label: torch.Tensor
    aux: torch.Tensor
    base: torch.Tensor
    begins: torch.Tensor


@dataclass(frozen=True)
class _Places:
    """The states of the decoding graph, as numbers.

    0 blank; v after plain token v; V blank where, with separators, a word has yet to begin; V + 1
    blank after a name; V + 2 + v after a name whose last token was v; then two for every beginning
    of a possessive and for every node of the tree, after the token and after a blank.

    Attributes:
      token: int64 (P,): the token that was taken last, if no blank was since.
      closed: bool (P,): a name is complete.
    """

    token: torch.Tensor
    closed: torch.Tensor


class _Part:
    """Collects the states and arcs for a list of names."""

    def __init__(self, first_state: int, device: torch.device) -> None:
        self.device = device
        self._first, self.num_states = first_state, 0
        self._arcs: list[tuple[torch.Tensor, ...]] = []
        self._meanings: list[tuple[torch.Tensor, ...]] = []
        self._count = 0

    def states(self, count: int) -> torch.Tensor:
        begin = self._first + self.num_states
        self.num_states += count
        return torch.arange(begin, begin + count, device=self.device)

    def meanings(
        self,
        place: torch.Tensor,
        label: torch.Tensor,
        *,
        aux: torch.Tensor | int = 0,
        base: torch.Tensor | float = 0.0,
        begins: torch.Tensor | int = 0,
    ) -> torch.Tensor:
        """New rows; what is not said is nothing."""
        types = (torch.int64, torch.int64, torch.int64, torch.float32, torch.int64)
        values = (place, label, aux, base, begins)
        row = tuple(
            torch.as_tensor(value, device=self.device).to(dtype).expand(len(place))
            for value, dtype in zip(values, types)
        )
        self._meanings.append(row)
        self._count += len(place)
        return torch.arange(self._count - len(place), self._count, device=self.device)

    def arcs(
        self,
        source: torch.Tensor,
        target: torch.Tensor | int,
        meaning: torch.Tensor,
        label: torch.Tensor | int,
        score: torch.Tensor | float = 0.0,
    ) -> None:
        """Arcs, one for every element of ``source``."""
        types = (torch.int32, torch.int32, torch.int32, torch.int32, torch.float32)
        values = (source, target, meaning, label, score)
        self._arcs.append(
            tuple(
                torch.as_tensor(value, device=self.device).to(dtype).expand(len(source))
                for value, dtype in zip(values, types)
            )
        )

    def finish(self) -> tuple[torch.Tensor, torch.Tensor, _Meanings]:
        """Arcs as k2 has them, sorted by state and label, their meanings, and the table."""
        source, target, meaning, label, score = map(torch.cat, zip(*self._arcs))
        labels = int(label.max()) + 2
        key = source.long() * labels + torch.where(label < 0, labels - 1, label)
        order = sorted_order(key * (int(target.max()) + 1) + target)
        arcs = torch.stack([source, target, label, score.view(torch.int32)], dim=1)[order]
        table = _Meanings(*(torch.cat(column) for column in zip(*self._meanings)))
        # The final arc is no row of the table.
        means = torch.where(label < 0, torch.zeros_like(meaning), meaning + _NAMED)
        return arcs, means[order], table


class Workspace:
    """A static graph with the scores of some settings, and room behind it for a list of names.

    The static arcs are never touched again. The final state and one for arcs that are not in use
    come after the room, so that their numbers stay the same whatever the list.

    Attributes:
      fsa: an arc-sorted FsaVec of one graph.
      weights: the factors on what is counted.
    """

    def __init__(
        self,
        static: StaticGraph,
        weights: tuple[float, ...],
        letters: torch.Tensor,
        rules: WordRules,
        name_scores: Callable[[Sequence[Entity], tuple[float, ...]], torch.Tensor],
    ) -> None:
        self._static, self.weights, self._rules = static, weights, rules
        self._name_scores = name_scores
        self._device = letters.device
        self._size = len(letters)
        kind = torch.from_numpy(static.kind).to(self._device)
        arcs = torch.from_numpy(static.arcs).to(self._device)
        score = weights[0] * arcs[:, 3].view(torch.float32)
        score += weights[1] * ((kind & WORD) > 0)
        paid = (kind & (UNKNOWN | LETTERS)).nonzero().flatten()
        unknown = (kind[paid] & UNKNOWN) > 0
        spelt = ((kind[paid] & LETTERS) > 0) * letters[arcs[paid, 2].long().clamp(min=0)]
        score[paid] += weights[2] * unknown + weights[3] * spelt
        self._num_arcs = len(arcs)
        self._make_room(arcs, score, kind, *_ROOM)
        self._attached: tuple[object, ...] = ()
        self._tree: BoostGraph | None = None

    def _make_room(
        self,
        arcs: torch.Tensor,
        score: torch.Tensor,
        kind: torch.Tensor,
        states: int,
        room: int,
    ) -> None:
        """Make the graph, with room for so many states and arcs."""
        first = self._static.num_states
        self._room = (states, room)
        self._spare, self._final = first + states, first + states + 1
        total = self._num_arcs + room
        flat = torch.empty(6 + 4 * total, dtype=torch.int32, device=self._device)
        head = [1, 0, 0, self._final + 1, 0, total]
        flat[:6] = torch.tensor(head, dtype=torch.int32, device=self._device)
        table = flat[6:].view(-1, 4)
        table[: self._num_arcs] = arcs[: self._num_arcs]
        table[: self._num_arcs, 3] = score[: self._num_arcs].view(torch.int32)
        final = (arcs[: self._num_arcs, 2] < 0).nonzero().flatten()
        table[final, 1] = self._final
        table[self._num_arcs :] = table.new_tensor([self._spare, self._spare, 0, 0])
        self.fsa = k2.Fsa(flat)
        self._end = self._num_arcs
        meaning = torch.zeros(total, dtype=torch.int32, device=self._device)
        meaning[: self._num_arcs] = kind[: self._num_arcs]
        setattr(self.fsa, _MEANING, meaning)

    def attach(
        self,
        tree: BoostGraph | None,
        columns: Columns,
        token_order: torch.Tensor,
        boost: BoostConfig,
    ) -> None:
        """Write a list of names behind the static graph, in place of the one before."""
        layout = tuple((b.kind, b.weight, b.first) for b in columns.blocks)
        settings = (layout, boost, self._rules)
        # The tree itself is compared, and so kept: a new one may have an old one's id.
        if self._attached == settings and self._tree is tree:
            return
        self._attached = ()  # whatever ends this early, it does not leave half a list
        part = _Part(self._static.num_states, self._device)
        self._places = self._names(part, tree, columns, token_order, boost)
        root = torch.tensor([self._static.num_states - 1], device=self._device)
        nothing = part.meanings(torch.zeros_like(root), torch.zeros_like(root))
        part.arcs(root, self._final, nothing, -1, self.weights[0] * self._static.end)
        arcs, meaning, self._meanings = part.finish()
        self._write(arcs, meaning, part.num_states)
        self._attached, self._tree = settings, tree

    def _write(self, arcs: torch.Tensor, meaning: torch.Tensor, num_states: int) -> None:
        states, room = self._room
        if num_states > states or len(arcs) > room:
            table = self.fsa.arcs.values()
            self._make_room(
                table,
                table[:, 3].view(torch.float32),
                getattr(self.fsa, _MEANING),
                max(states, 2 * num_states),
                max(room, 2 * len(arcs)),
            )
            arcs = arcs.clone()
            arcs[arcs[:, 2] < 0, 1] = self._final
        first, begin = self._static.num_states - 1, self._num_arcs
        end = begin + len(arcs)
        values, row_ids = self.fsa.arcs.values(), self.fsa.arcs.row_ids(2)
        row_splits = self.fsa.arcs.row_splits(2)
        values[begin:end] = arcs
        values[end : self._end] = values.new_tensor([self._spare, self._spare, 0, 0])
        getattr(self.fsa, _MEANING)[begin:end] = meaning
        row_ids[begin:end] = arcs[:, 0]
        row_ids[end : self._end] = self._spare
        self._end = end
        # From the empty history on; its static arcs are among the first ones.
        count = torch.bincount(arcs[:, 0].long() - first, minlength=self._spare - first)
        row_splits[first + 1 : self._spare + 1] = (begin + count.cumsum(0)).int()

    def _names(
        self,
        part: _Part,
        tree: BoostGraph | None,
        columns: Columns,
        token_order: torch.Tensor,
        boost: BoostConfig,
    ) -> _Places:
        """Add the tree, the ends of names, and possessives."""
        size, device, rules = self._size, self._device, self._rules
        prefixes = sorted({p[: i + 1] for p in rules.possessives for i in range(len(p))}, key=len)
        num_nodes = 0 if tree is None else tree.num_nodes
        first_node = 2 * size + 2 + 2 * len(prefixes)
        token = torch.zeros(first_node + 2 * num_nodes, dtype=torch.int64, device=device)
        closed = torch.zeros_like(token, dtype=torch.bool)
        token[1:size] = token[size + 3 : 2 * size + 2] = torch.arange(1, size, device=device)
        closed[size + 1 : 2 * size + 2] = True
        for i, prefix in enumerate(prefixes):
            token[2 * size + 2 + 2 * i] = prefix[-1]
            closed[2 * size + 2 + 2 * i : 2 * size + 4 + 2 * i] = prefix in rules.possessives
        if tree is not None and tree.num_nodes > 1:
            node_token = token_order[tree.tensors(device).token[1:].long()]
            token[first_node + 2 :: 2] = node_token
            after = self._after_name(part, prefixes)
            self._tree_arcs(part, tree, columns, (token_order, first_node, after), boost)
        return _Places(token, closed)

    def _after_name(
        self, part: _Part, prefixes: Sequence[tuple[int, ...]]
    ) -> list[tuple[int, float]]:
        """Add blanks and possessives after names; returns where a name's last token leads."""
        size, rules = self._size, self._rules
        exits = [(at, self.weights[0] * weight) for at, weight in self._static.after_name]
        ended = part.states(1)
        self._pause(part, ended, size + 1, exits)
        opened: dict[tuple[int, ...], torch.Tensor] = {(): ended}
        for i, prefix in enumerate(prefixes):
            place = 2 * size + 2 + 2 * i
            complete = prefix in rules.possessives
            token = torch.tensor(prefix[-1:], device=part.device)
            here, run = part.states(1), part.states(1)
            opened[prefix] = here
            at = torch.tensor([place], device=part.device)
            begins = part.meanings(at, token, aux=token, begins=token)
            stays = part.meanings(at, token)
            before = opened[prefix[:-1]]
            self._pause(part, here, place + 1, exits if complete else [])
            part.arcs(before, run, begins, token)
            part.arcs(run, run, stays, token)
            for target, weight in [(int(here), 0.0), *(exits if complete else [])]:
                part.arcs(before, target, begins, token, weight)
                part.arcs(run, target, stays, token, weight)
        return [(int(ended), 0.0), *exits]

    def _pause(
        self, part: _Part, state: torch.Tensor, place: int, exits: Sequence[tuple[int, float]]
    ) -> None:
        """Blanks after a name: the last one leads on."""
        at = torch.tensor([place], device=part.device)
        blank = part.meanings(at, torch.zeros_like(at))
        part.arcs(state, state, blank, 0)
        for target, weight in exits:
            part.arcs(state, target, blank, 0, weight)

    def _tree_arcs(
        self,
        part: _Part,
        tree: BoostGraph,
        columns: Columns,
        where: tuple[torch.Tensor, int, list[tuple[int, float]]],
        boost: BoostConfig,
    ) -> None:
        token_order, first_place, exits = where
        size, device = self._size, self._device
        arrays = tree.tensors(device)
        parent = parents(tree, device)
        token = torch.zeros_like(parent)
        token[1:] = token_order[arrays.token[1:].long()]
        stay = columns.lookup(STAY, 1.0, size)
        label = columns.lookup(ENTRY, 1.0, size)[token]
        for block in columns.blocks:
            if block.kind == BOOSTED:
                here = (parent > 0) & (arrays.weight == block.weight)
                of_token = columns.lookup(BOOSTED, block.weight, size)
                label[here] = of_token[token[here]]
        place = first_place + 2 * torch.arange(len(token), device=device)
        state = torch.full_like(parent, self._static.num_states - 1)  # of the root
        inner = (arrays.num_children > 0).nonzero().flatten()[1:]
        state[inner] = part.states(len(inner))
        node = (arrays.end >= 0).nonzero().flatten()
        base = reward(arrays.letters[node], arrays.weight[node], boost) - arrays.cost[node]
        paid = base + self._name_scores(tree.entities, self.weights)[arrays.end[node].long()]
        share = min(0.0, float(paid.max()))

        def entering(node: torch.Tensor) -> torch.Tensor:
            """What is paid on the way into a name: what all names have to pay."""
            return torch.where(parent[node] == 0, share, 0.0)

        # Inner nodes: the token's first frame, further frames, blanks.
        run = part.states(len(inner))
        begins = part.meanings(place[inner], label[inner], begins=token[inner])
        stays = part.meanings(place[inner], stay[token[inner]])
        blank = part.meanings(place[inner] + 1, stay[:1].expand(len(inner)))
        for into in (state[inner], run):
            part.arcs(state[parent[inner]], into, begins, label[inner], entering(inner))
            part.arcs(run, into, stays, stay[token[inner]])
        part.arcs(state[inner], state[inner], blank, stay[:1].expand(len(inner)))

        # Complete names: those with the same last token share what comes after its first frame.
        last, of_token = torch.unique(token[node], return_inverse=True)
        run = part.states(len(last))
        end = size + 2 + last
        entity = arrays.end[node].long()
        begins = part.meanings(
            end[of_token], label[node], aux=size + entity, base=base, begins=token[node]
        )
        stays = part.meanings(end, stay[last])
        score = paid - share + entering(node)
        source = state[parent[node]]
        part.arcs(source, run[of_token], begins, label[node], score)
        part.arcs(run, run, stays, stay[last])
        for target, weight in exits:
            part.arcs(source, target, begins, label[node], score + weight)
            part.arcs(run, target, stays, stay[last], weight)

    def read(
        self, fsa: k2.Fsa, utterance: torch.Tensor, modified: bool, first_entity: int
    ) -> Edges:
        """What the search found, in terms of the decoding graph.

        Args:
          fsa: lattices of this graph.
          utterance: int64, which ones they are of.
          modified: equal tokens may follow each other without a blank.
          first_entity: what to add to the numbers of entities.
        """
        table, places = self._all_meanings(first_entity), self._places
        source = fsa.arcs.row_ids(2).long()
        owner = fsa.arcs.row_ids(1).long()[source]
        target = fsa.arcs.values()[:, 1].long() + fsa.arcs.row_splits(1).long()[owner]
        label, frame = fsa.labels.long(), getattr(fsa, FRAME).long()
        means = getattr(fsa, _MEANING).long()
        named = means >= _NAMED
        flags = (means & BEGINS) // BEGINS * 2 + (means & WORD_START) // WORD_START
        static = _FLAGS * (label + 1) + flags
        what = torch.where(named, _FLAGS * (self._size + 1) + means - _NAMED, static)

        # What is read at the frame before the audio leads to where the decoding graph starts.
        real = frame > 0
        start = self._size if self._rules.separator is not None else 0
        place = torch.where(real, table.place[what], torch.full_like(what, start))
        arc, before = _ways_on(source, target, place, real)

        took, new = places.token[before], table.begins[what[arc]]
        good = torch.ones_like(took, dtype=torch.bool)
        if not modified:
            good &= (new == 0) | (took != new)
        closed = places.closed[before] & ~named[arc] & (label[arc] >= 0)
        good &= ~closed | ((new > 0) & self._rules.ends_word[new])
        arc, before = arc[good], before[good]

        frames, num_places = int(frame.max()) + 1 if len(frame) else 1, len(places.token)
        row = (owner[arc] * frames + frame[arc]) * num_places + before
        limits = (fsa.shape[0] * frames * num_places, len(table.place))
        row, what = _distinct(row, what[arc], limits)
        row, before = row // num_places, row % num_places
        return Edges(
            utterance=utterance[row // frames],
            frame=row % frames - 1,
            before=before,
            after=table.place[what],
            label=table.label[what],
            aux=table.aux[what],
            base=table.base[what],
        )

    def _all_meanings(self, first_entity: int) -> _Meanings:
        """The table with static arcs at its head: ``_FLAGS`` for each label from -1 on, by whether
        a token begins, and whether a word has yet to."""
        size, table = self._size, self._meanings
        number = torch.arange(_FLAGS * (size + 1), device=self._device)
        token, flags = number // _FLAGS - 1, number % _FLAGS
        nothing = torch.zeros_like(token)
        place = torch.where((token == 0) & (flags == 1), torch.full_like(token, size), token)
        begins = torch.where((flags >= 2) & (token > 0), token, nothing)
        aux = torch.where(token < 0, token, begins)
        entity = table.aux + first_entity * (table.aux >= size)
        return _Meanings(
            place=torch.cat([place, table.place]),
            label=torch.cat([token, table.label]),
            aux=torch.cat([aux, entity]),
            base=torch.cat([nothing.float(), table.base]),
            begins=torch.cat([begins, table.begins]),
        )


def _ways_on(
    source: torch.Tensor, target: torch.Tensor, place: torch.Tensor, real: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every arc that is ``real`` with every place at which its source state is entered.

    ``place`` is where each arc leads, below 0 if to a final state. Returns arcs and places.
    """
    number = int(place.max()) + 1 if len(place) else 1
    inside = (place >= 0).nonzero().flatten()
    into = torch.unique(target[inside] * number + place[inside])
    state, entered = into // number, into % number
    first = torch.searchsorted(state, source)
    count = (torch.searchsorted(state, source, right=True) - first) * real
    arc = torch.repeat_interleave(count)
    row = torch.arange(len(arc), device=arc.device) + (first - count.cumsum(0) + count)[arc]
    return arc, entered[row]


def _distinct(
    first: torch.Tensor, second: torch.Tensor, limits: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The distinct pairs, sorted; each number is below its limit."""
    if limits[0] * limits[1] > _LARGEST_KEY:
        few, number = torch.unique(first, return_inverse=True)
        number, second = _distinct(number, second, (len(few), limits[1]))
        return few[number], second
    key = torch.unique(first * limits[1] + second)
    return key // limits[1], key % limits[1]


def parents(tree: BoostGraph, device: torch.device) -> torch.Tensor:
    """int64 (nodes,): where the arc into each node comes from; -1 at the root."""
    return torch.from_numpy(tree.parent).to(device).long()
