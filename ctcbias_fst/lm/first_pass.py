r"""The language model in the first pass: search with it, then go on as without.

The search goes through one graph for all utterances: the static graph of a language model and a
vocabulary (:mod:`ctcbias_fst.lm.static_graph`), compiled once, and the tree of a list of names,
written behind it in a moment (:class:`_Workspace`). The tree hangs at the empty history, as a
name of the class BOOST: it costs what the model says of an unknown word there, what its prior
says, and the class cost; its tokens are boosted, and it is left, as
:mod:`ctcbias_fst.fst.decoding` says.

What the search keeps is then read without the language model, as a lattice of that module's
decoding graph (:class:`_Edges`). Ways that differ only in their histories are one way there; what
only the search's graph may read (equal tokens without a blank between) falls out. So its scores
are those of any first pass, and the language model's exact ones come in by
:mod:`ctcbias_fst.lm.compose`, as ever: how the first pass scored decides what is kept, and nothing
else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import k2
import torch

from ctcbias_fst.decode.boosting import score_columns
from ctcbias_fst.decode.frames import Frames
from ctcbias_fst.decode.lattice import Lattice
from ctcbias_fst.decode.search import FRAME, search
from ctcbias_fst.fst.boost import BoostGraph
from ctcbias_fst.fst.decoding import (
    BOOSTED,
    ENTRY,
    PLAIN,
    STARTS_WORD,
    STAY,
    Block,
    Columns,
    DecodingGraph,
    WordRules,
)
from ctcbias_fst.fst.vectors import fsa_vec, sorted_order
from ctcbias_fst.lm.config import LmConfig
from ctcbias_fst.lm.lexicon import Lexicon
from ctcbias_fst.lm.static_graph import BEGINS, WORD_START, StaticGraph
from ctcbias_fst.lm.token_graph import LETTERS, UNKNOWN, WORD
from ctcbias_fst.text.entities import Entity
from ctcbias_fst.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from ctcbias_fst.decode.config import DecodeConfig

__all__ = ["FirstPass"]

_MEANING, _EDGE = "meaning", "edge"
_ROOM = (1 << 18, 1 << 20)
"""States and arcs that a list may have before the graph is made anew, larger: some 1,000 names with
all their variants."""
_FLAGS = 4
_NAMED = 256
"""Meanings of arcs from here on are rows of :class:`_Meanings`; below, kinds of static arcs."""


class FirstPass:
    """Searches batches of one vocabulary with one language model.

    Not for several threads at a time: the lists of names are written into one graph.

    Args:
      static: compiled for the model and the vocabulary.
      vocabulary: of the acoustic model.
      device: where to search.
      boost_class: see :class:`ctcbias_fst.lm.compose.LmComposer`.
      lexicon: of the model, to score names without the class BOOST; None for models of tokens.
      single: float32 (symbols,), log-probs of single words, likewise.
    """

    def __init__(
        self,
        static: StaticGraph,
        vocabulary: Vocabulary,
        device: torch.device | str,
        *,
        boost_class: bool = True,
        lexicon: Lexicon | None = None,
        single: torch.Tensor | None = None,
    ) -> None:
        blank_first = vocabulary.blank_first()
        self.static = static
        self._size = blank_first.size
        self._device = torch.device(device)
        self._rules = WordRules.of(blank_first, device)
        self._letters = torch.tensor([len(s) for s in blank_first.surfaces], device=device)
        self._upper = blank_first.upper_case
        self._boost_class, self._lexicon, self._single = boost_class, lexicon, single
        self._workspace: _Workspace | None = None

    def lattice(
        self,
        frames: Frames,
        trees: Sequence[BoostGraph | None],
        token_order: torch.Tensor,
        config: DecodeConfig,
        ids: Sequence[str],
    ) -> Lattice:
        """Search a batch; utterances with the same list are searched together.

        Args:
          frames: what may be taken where.
          trees: the names of each utterance.
          token_order: int64 (V,): blank-first column of each token id of the trees.
          config: the decoder's.
          ids: of the utterances, for messages.
        """
        lists = {id(tree): tree for tree in trees}
        names = [tree for tree in lists.values() if tree is not None]
        columns = self._columns(names, token_order)
        scores = score_columns(frames.blank, frames.candidates, columns, config)
        # The start state reads blank at a frame of its own.
        before = scores.new_full((scores.shape[0], 1, scores.shape[2]), -torch.inf)
        before[:, :, 0] = 0.0
        padded = torch.cat([before, scores], dim=1)
        lengths = frames.lengths.cpu() + 1
        workspace = self._scored(config.lm)
        edges, entities = [], list[Entity]()
        for key, tree in lists.items():
            rows = [row for row, other in enumerate(trees) if id(other) == key]
            workspace.attach(tree, columns, token_order, config)
            which = torch.tensor(rows, device=self._device)
            some = len(rows) < len(trees)
            fsa = search(
                padded[which] if some else padded,
                lengths[which.cpu()] if some else lengths,
                workspace.fsa,
                search_beam=config.lm.first_pass.search_beam,
                output_beam=config.lm.first_pass.lattice_beam,
                max_active=config.lm.first_pass.max_active,
                ids=[ids[row] for row in rows],
                checked=True,
            )
            edges.append(workspace.read(fsa, which, config.modified_topology, len(entities)))
            entities.extend(() if tree is None else tree.entities)
        graph = DecodingGraph(workspace.fsa, columns, self._size, entities, self._rules.separator)
        return _Edges.joined(edges).lattice(frames, scores, columns, graph)

    def _columns(self, trees: Sequence[BoostGraph], token_order: torch.Tensor) -> Columns:
        """All plain tokens, as the static graph has them, and what the trees need."""
        device = self._device
        wanted = [(PLAIN, 1.0, torch.arange(1, self._size, device=device))]
        arrays = [tree.tensors(device) for tree in trees]
        if arrays:
            token = torch.cat([token_order[a.token[1:].long()] for a in arrays])
            weight = torch.cat([a.weight[1:] for a in arrays])
            entry = torch.cat([_parents(tree, device)[1:] == 0 for tree in trees])
            zero = token.new_zeros(1)
            wanted += [(ENTRY, 1.0, token[entry]), (STAY, 1.0, torch.cat([zero, token]))]
            for value in torch.unique(weight[~entry]).tolist():
                wanted.append((BOOSTED, value, token[~entry & (weight == value)]))
        blocks: list[Block] = []
        column = 1
        for kind, value, tokens in wanted:
            blocks.append(Block(kind, value, column, torch.unique(tokens)))
            column += len(blocks[-1].tokens)
        return Columns(tuple(blocks))

    def _scored(self, config: LmConfig) -> _Workspace:
        """The graph with the scores of these settings; made anew when they change."""
        if self._workspace is None or self._workspace.weights != _weights(config):
            self._workspace = _Workspace(
                self.static, _weights(config), self._letters, self._rules, self._name_scores
            )
        return self._workspace

    def _name_scores(self, entities: Sequence[Entity], weights: tuple[float, ...]) -> torch.Tensor:
        """float32 (E,): about what the language model adds to each name."""
        scale, word, unknown, letter, name = weights
        words = torch.tensor([len(e.name.split()) for e in entities], dtype=torch.float32)
        if self._boost_class or self._lexicon is None or self._single is None:
            prior = torch.tensor([math.log(e.prior) for e in entities], dtype=torch.float32)
            share = scale * (self.static.unknown + prior) + word * words + name
            return share.to(self._device)
        spelt = [e.name.upper() if self._upper else e.name for e in entities]
        every = [part for one in spelt for part in one.split()]
        symbol = torch.tensor(self._lexicon.find(every), dtype=torch.int64, device=self._device)
        length = torch.tensor([len(part) for part in every], device=self._device)
        known = symbol >= 0
        of_word = torch.where(
            known,
            scale * self._single[symbol.clamp(min=0)],
            scale * self.static.unknown + unknown + letter * length,
        )
        owner = torch.repeat_interleave(words.long()).to(self._device)
        return (words * word).to(self._device).index_add(0, owner, of_word)


def _weights(config: LmConfig) -> tuple[float, ...]:
    """The factors on what is counted, in the first pass."""
    return tuple(config.first_pass.scale * weight for weight in config.weights)


def _parents(tree: BoostGraph, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(tree.parent).to(device).long()


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


class _Workspace:
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
        config: DecodeConfig,
    ) -> None:
        """Write a list of names behind the static graph, in place of the one before."""
        boost = config.boost
        layout = tuple((b.kind, b.weight, b.first) for b in columns.blocks)
        settings = (layout, boost.bonus, boost.cost_scale, self._rules)
        # The tree itself is compared, and so kept: a new one may have an old one's id.
        if self._attached == settings and self._tree is tree:
            return
        part = _Part(self._static.num_states, self._device)
        self._places = self._names(part, tree, columns, token_order, config)
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
        config: DecodeConfig,
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
            self._tree_arcs(part, tree, columns, (token_order, first_node, after), config)
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
        config: DecodeConfig,
    ) -> None:
        token_order, first_place, exits = where
        size, device = self._size, self._device
        arrays = tree.tensors(device)
        parent = _parents(tree, device)
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
        base = config.boost.bonus - config.boost.cost_scale * arrays.cost[node]
        paid = base + self._name_scores(tree.entities, self.weights)[arrays.end[node].long()]
        share = float(paid.max())

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
    ) -> _Edges:
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
        row, what = _distinct(row, what[arc], len(table.place))
        row, before = row // num_places, row % num_places
        return _Edges(
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
    first: torch.Tensor, second: torch.Tensor, limit: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The distinct pairs, sorted; ``second`` is below ``limit``."""
    key = torch.unique(first * limit + second)
    return key // limit, key % limit


@dataclass(frozen=True)
class _Edges:
    """Arcs of the decoding graph at frames of utterances, each once: (E,) each.

    ``before`` and ``after`` are places, -1 after arcs to the final state; ``base`` is the graph's
    score.
    """

    utterance: torch.Tensor
    frame: torch.Tensor
    before: torch.Tensor
    after: torch.Tensor
    label: torch.Tensor
    aux: torch.Tensor
    base: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[_Edges]) -> _Edges:
        if len(parts) == 1:
            return parts[0]
        return cls(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def lattice(
        self, frames: Frames, scores: torch.Tensor, columns: Columns, graph: DecodingGraph
    ) -> Lattice:
        """The paths that they make up.

        Args:
          frames: that were searched.
          scores: float32 (N, T, C), by column.
          columns: all of them; the lattice has those that it needs.
          graph: what the lattice came from, but for the columns.
        """
        label = self.label.clamp(min=0)
        used = torch.zeros(len(columns), dtype=torch.bool, device=label.device)
        used[0] = True
        used[label] = True
        plain = columns.lookup(PLAIN, 1.0, graph.vocabulary_size)
        used[plain[columns.token[label]]] = True
        number = used.cumsum(0) - 1
        blocks, first = [], 1
        for block in columns.blocks:
            tokens = block.tokens[used[block.first : block.first + len(block.tokens)]]
            blocks.append(Block(block.kind, block.weight, first, tokens))
            first += len(tokens)
        score = scores[self.utterance, self.frame.clamp(max=scores.shape[1] - 1), label]
        score = torch.where(self.label < 0, torch.zeros_like(score), score) + self.base
        fsa, edge = self._fsa(scores.shape[0], scores.shape[1], score)
        fsa.aux_labels = self.aux[edge].int()
        fsa.labels = torch.where(self.label < 0, self.label, number[label])[edge].int()
        setattr(fsa, FRAME, self.frame[edge].int())
        if graph.separator is not None:
            at_start = (self.before == graph.vocabulary_size) | (self.before == graph.separator)
            starts = at_start & (self.aux > 0) & (self.aux < graph.vocabulary_size)
            setattr(fsa, STARTS_WORD, starts[edge].int())
        graph = replace(graph, columns=Columns(tuple(blocks)))
        return Lattice(fsa, graph, frames.original, frames.owed, scores[:, :, used])

    def _fsa(self, size: int, num_frames: int, score: torch.Tensor) -> tuple[k2.Fsa, torch.Tensor]:
        """An FsaVec without dead ends, and which edge each of its arcs is."""
        device = score.device
        places = int(torch.cat([self.before, self.after]).max()) + 2 if len(score) else 2
        last = places - 1
        stride = num_frames + 2
        utterances = torch.arange(size, device=device)
        source = (self.utterance * stride + self.frame) * places + self.before
        ended = self.after < 0
        when = torch.where(ended, torch.full_like(self.frame, num_frames + 1), self.frame + 1)
        after = torch.where(ended, torch.full_like(self.after, last), self.after)
        target = (self.utterance * stride + when) * places + after
        final = (utterances * stride + num_frames + 1) * places + last
        begin = utterances.new_zeros(0)
        if len(score):
            # Whatever is read first is read from the same place.
            at = self.before[self.frame == 0][:1].clone()
            begin = utterances * stride * places + at
        state, node = torch.unique(torch.cat([source, target, final, begin]), return_inverse=True)
        source, target = node[: len(score)], node[len(score) : 2 * len(score)]
        owner = state // (stride * places)
        num_states = torch.bincount(owner, minlength=size)
        first = num_states.cumsum(0) - num_states
        order = (source * (len(state) + 1) + target).sort(stable=True).indices
        utterance = self.utterance[order]
        arcs = torch.stack(
            [
                (source[order] - first[utterance]).int(),
                (target[order] - first[utterance]).int(),
                self.label[order].int(),
                score[order].view(torch.int32),
            ],
            dim=1,
        )
        fsa = fsa_vec(arcs, num_states, torch.bincount(utterance, minlength=size))
        setattr(fsa, _EDGE, order.int())
        fsa = k2.connect(fsa)
        edge = getattr(fsa, _EDGE).long()
        delattr(fsa, _EDGE)
        return fsa, edge
