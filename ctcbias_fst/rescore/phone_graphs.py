"""Graphs for forced alignment: what hypotheses sound like, over the columns of a phone head.

Relation. For each utterance, the frame labels (runs merged, blanks dropped; the standard CTC
topology) that spell one pronunciation of each word of one hypothesis, word after word. The
hypotheses of an utterance share the states of their common beginnings: they are a tree over
words, each word of which has one branch per pronunciation; branches join after the word.

Labels are columns of the phone log-probs, 0 is the blank, not epsilon; there are no epsilons;
-1 on arcs to the final state. Tropical semiring; scores are minus the costs of the
pronunciations, on the arc that enters them. Arcs are sorted by label; the only cycles are
blanks and repeats. Attributes of arcs, int32: `HYPOTHESIS`, on arcs to the final state, is
one of the hypotheses that end there (others with the same words are not told apart), else -1;
`POSITION` is the place, from 0, in its hypothesis of the word that a phone belongs to, -1 on
blanks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ctcbias_fst.graph.vectors import assemble, expand
from ctcbias_fst.k2_import import k2
from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable

HYPOTHESIS = "hypothesis"
POSITION = "position"


@dataclass(frozen=True)
class WordTree:
    """The hypotheses of a batch as trees over units, one tree for each utterance.

    Nodes are numbered from 0 over all utterances, roots apart: the root of utterance u is
    ``-1 - u``.

    Attributes:
        unit, parent, utterance, depth: int64 (nodes,); the depth of a root's child is 0.
        end: int64 (H,), where each hypothesis ends.
    """

    unit: npt.NDArray[np.int64]
    parent: npt.NDArray[np.int64]
    utterance: npt.NDArray[np.int64]
    depth: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]

    @classmethod
    def of(cls, units: npt.NDArray[np.int64], utterance: npt.NDArray[np.int64]) -> WordTree:
        """Build the trees.

        Args:
            units: (H, L), the units of each hypothesis, filled up with -1.
            utterance: (H,), whose hypothesis it is.
        """
        count, width = units.shape
        order = np.lexsort([*units.T[::-1], utterance])
        rows, owner = units[order], utterance[order]
        other = np.ones((count, 1 + width), dtype=bool)
        other[1:, 0] = owner[1:] != owner[:-1]
        other[1:, 1:] = rows[1:] != rows[:-1]
        new = np.logical_or.accumulate(other, axis=1)[:, 1:] & (rows >= 0)
        number = np.where(new, np.cumsum(new).reshape(count, width) - 1, -1)
        number = np.maximum.accumulate(number, axis=0) if count else number
        root = (-1 - owner)[:, None]
        # Where a hypothesis has ended, the number is another's, and never looked at.
        above = np.concatenate([root, number[:, :-1]], axis=1)
        row, depth = np.nonzero(new)
        length = (rows >= 0).sum(axis=1)
        last = np.concatenate([root, number], axis=1)[np.arange(count), length]
        end = np.empty(count, dtype=np.int64)
        end[order] = last
        return cls(rows[row, depth], above[row, depth], owner[row], depth, end)


@dataclass(frozen=True, eq=False)
class PhoneGraph:
    """The graphs of a batch.

    Attributes:
        fsa: FsaVec, one graph per utterance; see the module.
        same: int64 (H,), for each hypothesis the one whose number its final arcs have.
    """

    fsa: k2.Fsa
    same: torch.Tensor


def phone_graph(
    tree: WordTree,
    table: PronunciationTable,
    num_utterances: int,
    *,
    cost_scale: float = 1.0,
    device: torch.device | str = "cpu",
) -> PhoneGraph:
    """Build the graphs of a batch of utterances; see the module.

    Args:
        tree: the hypotheses.
        table: what ``tree.unit`` points into. A unit without pronunciations is as if it were not
            there.
        num_utterances: graphs to build; one without hypotheses accepts blanks only.
        cost_scale: factor on the costs of pronunciations.
        device: where to build them.
    """
    tree = _without_mute(tree, table)
    return _Builder(tree, table, num_utterances, cost_scale, torch.device(device)).build()


def _without_mute(tree: WordTree, table: PronunciationTable) -> WordTree:
    """Let the nodes of units without pronunciations be their parents."""
    mute = np.diff(table.names)[tree.unit] == 0
    if not mute.any():
        return tree
    stands_for = np.where(mute, tree.parent, np.arange(len(mute)))
    # Parents have smaller numbers than their children, so chains end at what is not mute.
    while True:
        inner = stands_for >= 0
        following = stands_for.copy()
        following[inner] = stands_for[stands_for[inner]]
        if np.array_equal(following, stands_for):
            break
        stands_for = following
    number = np.cumsum(~mute) - 1

    def moved(nodes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        found = nodes.copy()
        found[nodes >= 0] = stands_for[nodes[nodes >= 0]]
        found[found >= 0] = number[found[found >= 0]]
        return found

    return WordTree(
        tree.unit[~mute],
        moved(tree.parent[~mute]),
        tree.utterance[~mute],
        tree.depth[~mute],
        moved(tree.end),
    )


class _Builder:
    """Lays out states and arcs by tensor operations.

    An *instance* is a pronunciation of the unit of a node. States of a graph: the start,
    which is the blank before the first word; a blank state after each node; a state for each
    phone of each instance and, but for its last phone, for the blank after it; the final state.
    """

    def __init__(
        self,
        tree: WordTree,
        table: PronunciationTable,
        num_utterances: int,
        cost_scale: float,
        device: torch.device,
    ) -> None:
        def moved(array: npt.NDArray[np.int64]) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        self.device = device
        self.size = num_utterances
        self.nodes = len(tree.unit)
        # Roots come before the nodes here.
        self.parent = moved(
            np.where(tree.parent < 0, -1 - tree.parent, tree.parent + num_utterances)
        )
        end = np.where(tree.end < 0, -1 - tree.end, tree.end + num_utterances)
        self.ends, self.lowest, self.which = map(
            moved, np.unique(end, return_index=True, return_inverse=True)
        )
        self.utterance = moved(tree.utterance)
        self.depth = moved(tree.depth)
        first_row, unit = moved(table.names), moved(tree.unit)
        count = first_row.diff()[unit]
        self.node, row = expand(first_row[unit], count)
        self.node_first = torch.cumsum(count, 0) - count
        self.node_count = count
        first_phone = moved(table.rows)
        self.length = first_phone.diff()[row]
        self.instance, at = expand(first_phone[row], self.length)
        self.phone = moved(table.phones.astype(np.int64))[at]
        self.first = torch.cumsum(self.length, 0) - self.length
        self.last = self.first + self.length - 1
        self.score = -cost_scale * torch.from_numpy(table.cost).to(device)[row]
        self._arcs: list[tuple[torch.Tensor, ...]] = []

    def build(self) -> PhoneGraph:
        """Number the states, collect the arcs, make k2's graphs."""
        size, phones = self.size, len(self.phone)
        everyone = torch.arange(size, device=self.device)
        of_phone = self.utterance[self.node[self.instance]]
        inner = torch.ones_like(self.phone, dtype=torch.bool)
        inner[self.last] = False
        inner = inner.nonzero().flatten()
        # Starts first, finals last, so that they are so in each utterance.
        owner = torch.cat([everyone, self.utterance, of_phone, of_phone[inner], everyone])
        boundary = torch.arange(size + self.nodes, device=self.device)
        state = size + self.nodes + torch.arange(phones, device=self.device)
        gap = size + self.nodes + phones + torch.arange(len(inner), device=self.device)
        final = len(owner) - size + everyone

        phone, node = self.phone, self.node
        place = self.depth[node[self.instance]]
        first, last = self.first, self.last
        self._add(boundary, boundary, 0)
        self._add(state, state, phone, position=place)
        self._add(state[inner], gap, 0)
        self._add(gap, gap, 0)
        self._add(gap, state[inner + 1], phone[inner + 1], position=place[inner])
        differ = inner[phone[inner] != phone[inner + 1]]
        self._add(state[differ], state[differ + 1], phone[differ + 1], position=place[differ])
        self._add(state[last], boundary[size + node], 0)
        # Into an instance: from the blank after the node above, and from its instances' ends.
        above = self.parent[node]
        self._add(
            boundary[above], state[first], phone[first], score=self.score, position=self.depth[node]
        )
        deeper = (above >= size).nonzero().flatten()
        of_above = above[deeper] - size
        row, end = expand(self.node_first[of_above], self.node_count[of_above])
        row, end = deeper[row], last[end]
        kept = phone[end] != phone[first[row]]
        row, end = row[kept], end[kept]
        self._add(
            state[end],
            state[first[row]],
            phone[first[row]],
            score=self.score[row],
            position=self.depth[node[row]],
        )
        # Of hypotheses that end at the same node, the first stands for all.
        ends, lowest, which = self.ends, self.lowest, self.which
        of_end = torch.where(
            ends < size, ends, self.utterance[(ends - size).clamp(min=0)] if self.nodes else ends
        )
        self._add(boundary[ends], final[of_end], -1, hypothesis=lowest)
        spoken = (ends >= size).nonzero().flatten()
        row, end = expand(
            self.node_first[ends[spoken] - size], self.node_count[ends[spoken] - size]
        )
        row = spoken[row]
        self._add(state[last[end]], final[of_end[row]], -1, hypothesis=lowest[row])
        silent = torch.ones_like(everyone, dtype=torch.bool)
        silent[of_end] = False
        self._add(everyone[silent], final[silent], -1)
        return PhoneGraph(self._finish(owner), lowest[which])

    def _add(
        self,
        source: torch.Tensor,
        target: torch.Tensor,
        label: torch.Tensor | int,
        *,
        score: torch.Tensor | None = None,
        hypothesis: torch.Tensor | None = None,
        position: torch.Tensor | None = None,
    ) -> None:
        labels = label if isinstance(label, torch.Tensor) else torch.full_like(source, label)
        scores = torch.zeros_like(source, dtype=torch.float32) if score is None else score
        none = torch.full_like(source, -1)
        self._arcs.append(
            (
                source,
                target,
                labels,
                scores,
                none if hypothesis is None else hypothesis,
                none if position is None else position,
            )
        )

    def _finish(self, owner: torch.Tensor) -> k2.Fsa:
        source, target, label, score, hypothesis, position = map(torch.cat, zip(*self._arcs))
        fsa, order = assemble(owner, source, target, label, score, size=self.size)
        setattr(fsa, HYPOTHESIS, hypothesis[order].int())
        setattr(fsa, POSITION, position[order].int())
        return fsa
