"""Which nodes of the entity trees an utterance can go through.

The trees may have a million names; what audio leaves of them, by the candidates at its frames,
is a few nodes. Everything after it works on these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ctcbias_fst.graph.candidates import Candidates
from ctcbias_fst.graph.entity_tree import BoostGraph, TreeTensors
from ctcbias_fst.graph.vectors import expand
from ctcbias_fst.text.entity import Entity


@dataclass(frozen=True)
class Nodes:
    """Nodes of the trees that an utterance may go through, parents before children.

    Attributes:
        utterance, token, end: int64 (K,); ``end`` is the entity complete here, or -1.
        weight, cost, letters: float32 (K,).
        parent: int64 (K,), the node's place among these, or -1 for the root.
        inner: bool (K,), whether a child of it is among these, or ``open``.
        open: bool (K,), whether an entity may wait here for what follows the utterance.
    """

    utterance: torch.Tensor
    token: torch.Tensor
    end: torch.Tensor
    weight: torch.Tensor
    cost: torch.Tensor
    letters: torch.Tensor
    parent: torch.Tensor
    inner: torch.Tensor
    open: torch.Tensor


@dataclass(frozen=True)
class Forest:
    """The trees of a batch in one set of arrays, each tree once; see :class:`BoostGraph`."""

    trees: TreeTensors
    root: torch.Tensor  # (N,) of each utterance, -1 for none
    token_order: torch.Tensor
    entities: Sequence[Entity]

    @classmethod
    def of(cls, graphs: Sequence[BoostGraph | None], token_order: torch.Tensor) -> Forest:
        device = token_order.device
        distinct = {id(graph): graph for graph in graphs if graph is not None}
        first_node: dict[int, int] = {}
        trees: list[TreeTensors] = []
        entities: list[Entity] = []
        nodes = 0
        for key, graph in distinct.items():
            tree = graph.tensors(device)
            first_node[key] = nodes
            if nodes:
                tree = replace(
                    tree,
                    first_child=tree.first_child + nodes,
                    end=torch.where(tree.end >= 0, tree.end + len(entities), tree.end),
                )
            trees.append(tree)
            nodes += graph.num_nodes
            if len(distinct) > 1:
                entities.extend(graph.entities)
        roots = [-1 if graph is None else first_node[id(graph)] for graph in graphs]
        return cls(
            trees=TreeTensors.concatenate(trees, device),
            root=torch.tensor(roots, dtype=torch.int64, device=device),
            token_order=token_order,
            entities=next(iter(distinct.values())).entities if len(distinct) == 1 else entities,
        )


def reachable(
    candidates: Candidates,
    forest: Forest,
    reach: torch.Tensor | None,
    waits_from: torch.Tensor | None = None,
) -> Nodes:
    """The nodes whose tokens are candidates at frames in that order, each near enough to its
    parent's, with a complete entity at or below them, or an open one.

    Level by level, all utterances together. For each node only the earliest frame is looked
    at, at which its token can have been taken; whether two tokens are near each other is
    asked of the whole utterance. So a few more nodes are kept than must be.

    Args:
        candidates: what may be taken where.
        forest: the trees.
        reach: see :func:`ctcbias_fst.graph.decoding_graph.decoding_graph`.
        waits_from: int64 (N,), the first frame from which an entity can wait for what follows the
            utterance, with nothing but blank after it; None if nothing follows.
    """
    trees = forest.trees
    utterance = torch.nonzero(forest.root >= 0).flatten()
    node = forest.root[utterance]
    token = torch.zeros_like(node)
    frame = torch.full_like(node, -1)
    place = torch.full_like(node, -1)
    taken = _FirstTaken(candidates, candidates.entry)
    near = _Near.of(candidates, reach) if len(node) else None
    levels: list[tuple[torch.Tensor, ...]] = []
    waiting: list[torch.Tensor] = []
    count = 0
    while len(node):
        row, child = expand(trees.first_child[node], trees.num_children[node])
        child_token = forest.token_order[trees.token[child].long()]
        if levels and near is not None:
            possible = near.follows(utterance, token, row, child_token)
        else:
            possible = taken.ever[utterance[row], child_token]
        some = possible.nonzero().flatten()
        row, child, child_token = row[some], child[some], child_token[some]
        # A blank must come between equal tokens.
        earliest = frame[row] + 1 + (child_token == token[row])
        found, at = taken.first(utterance[row], child_token, earliest)
        row, node, token, frame = row[found], child[found], child_token[found], at[found]
        utterance, parent = utterance[row], place[row]
        place = torch.arange(count, count + len(node), device=node.device)
        levels.append((utterance, node, token, parent))
        waits = torch.zeros_like(node, dtype=torch.bool)
        if waits_from is not None:
            late = torch.maximum(frame, waits_from[utterance])
            waits = taken.first(utterance, token, late)[0] & (trees.num_children[node] > 0)
        waiting.append(waits)
        count += len(node)
        if len(levels) == 1:
            taken = _FirstTaken(candidates, candidates.boosted)
    if not levels:
        levels.append((utterance, node, token, place))
        waiting.append(torch.zeros_like(node, dtype=torch.bool))

    useful = [(trees.end[level[1]] >= 0) | waits for level, waits in zip(levels, waiting)]
    start = count
    for depth in range(len(levels) - 1, 0, -1):
        start -= len(levels[depth][1])
        above = start - len(levels[depth - 1][1])
        useful[depth - 1][levels[depth][3][useful[depth]] - above] = True
    keep = torch.cat(useful)
    utterance, node, token, parent = (torch.cat(field)[keep] for field in zip(*levels))
    new_place = torch.cumsum(keep, 0) - 1
    parent = torch.where(parent >= 0, new_place[parent.clamp(min=0)], parent)
    waits = torch.cat(waiting)[keep]
    inner = waits.clone()
    inner[parent[parent >= 0]] = True
    return Nodes(
        utterance=utterance,
        token=token,
        end=trees.end[node].long(),
        weight=trees.weight[node],
        cost=trees.cost[node],
        letters=trees.letters[node],
        parent=parent,
        inner=inner,
        open=waits,
    )


class _FirstTaken:
    """When a token can first be taken, from a given frame on.

    Attributes:
        ever: bool (N, V), whether an utterance can take a token at all.
    """

    def __init__(self, candidates: Candidates, which: torch.Tensor) -> None:
        size, frames, self._vocabulary = candidates.shape
        self.ever = torch.zeros(size, self._vocabulary, dtype=torch.bool, device=which.device)
        self.ever[candidates.utterance[which], candidates.token[which]] = True
        self._stride = frames + 3
        keys = self._key(
            candidates.utterance[which], candidates.token[which], candidates.frame[which]
        )
        sentinel = keys.new_full((1,), torch.iinfo(torch.int64).max)
        self._keys = torch.cat([keys.sort().values, sentinel])

    def _key(
        self, utterance: torch.Tensor, token: torch.Tensor, frame: torch.Tensor
    ) -> torch.Tensor:
        return (utterance * self._vocabulary + token) * self._stride + frame

    def first(
        self, utterance: torch.Tensor, token: torch.Tensor, frame: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Whether there is such a frame at or after ``frame``, and the first one."""
        at = self._keys[torch.searchsorted(self._keys, self._key(utterance, token, frame))]
        first = at - self._key(utterance, token, torch.zeros_like(frame))
        return first < self._stride, first


@dataclass(frozen=True)
class _Near:
    """Which boosted tokens can come soon enough after which tokens, somewhere in an utterance.

    Attributes:
        local: int64 (N, V): the position of a token among those that the utterance can take
            inside an entity.
        local_boosted: int64 (N, V): likewise, boosted ones; those that are none have the last.
        near: bool (N, L, B + 1), by these.
    """

    local: torch.Tensor
    local_boosted: torch.Tensor
    near: torch.Tensor

    @classmethod
    def of(cls, candidates: Candidates, reach: torch.Tensor | None) -> _Near:
        size, frames, _ = candidates.shape
        device = candidates.token.device
        if reach is None:
            reach = torch.full((size, frames), frames - 1, device=device)
        in_tree = candidates.entry | candidates.boosted
        local, left = _local(candidates, in_tree)
        local_boosted, right = _local(candidates, candidates.boosted)
        taken = torch.zeros(size, frames, left, device=device)
        utterance = candidates.utterance[in_tree]
        taken[utterance, candidates.frame[in_tree], local[utterance, candidates.token[in_tree]]] = 1
        # before[u, t, b]: at how many frames before t boosted token b can be taken.
        before = torch.zeros(size, frames + 1, right + 1, device=device)
        boosted = candidates.boosted.nonzero().flatten()
        utterance = candidates.utterance[boosted]
        before[
            utterance,
            candidates.frame[boosted] + 1,
            local_boosted[utterance, candidates.token[boosted]],
        ] = 1
        before = before.cumsum(1)
        until = (reach + 1).unsqueeze(-1).expand(-1, -1, right + 1)
        soon = before.gather(1, until) - before[:, 1:]
        return cls(local, local_boosted, torch.bmm(taken.transpose(1, 2), soon) > 0)

    def follows(
        self,
        utterance: torch.Tensor,
        token: torch.Tensor,
        row: torch.Tensor,
        following: torch.Tensor,
    ) -> torch.Tensor:
        """bool: whether ``following[i]`` can come after ``token[row[i]]`` in its utterance."""
        _, left, right = self.near.shape
        first = (utterance * left + self.local[utterance, token]) * right
        return self.near.view(-1)[first[row] + self.local_boosted[utterance[row], following]]


def _local(candidates: Candidates, which: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Number the tokens of each utterance; those that it lacks get the last number.

    Returns int64 (N, V), and the most tokens of an utterance, which is that number.
    """
    size, _, vocabulary = candidates.shape
    present = torch.zeros(size, vocabulary, dtype=torch.bool, device=which.device)
    present[candidates.utterance[which], candidates.token[which]] = True
    number = present.long().cumsum(1)
    most = int(number.max()) if number.numel() else 0
    return torch.where(present, number - 1, torch.full_like(number, most)), most
