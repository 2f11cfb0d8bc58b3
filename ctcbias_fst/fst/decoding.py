r"""The decoding graph of a batch: CTC topology, entity trees, and the rules between them.

Relation. Frame labels are mapped to tokens by the CTC topology (runs merged, blanks
dropped; :mod:`ctcbias_fst.fst.topology`), and the tokens are read as

.. math:: ( v \mid entity )^*

where v is any token and *entity* a path of the tree. An entity is entered only where a
word may begin, and left only after its last token, to the end of the utterance or to a
token that ends the word before it; a possessive 's may come between. Every plain reading
stays possible, so an entity competes with it, and one that is begun and not completed is
on no path to a final state: it wins nothing.

The graph is built per utterance, from the tokens that are plausible there. It equals
the composition of topology and tree restricted in two ways, which lose nothing as long as
log-probs are read through :func:`ctcbias_fst.decode.boosting.score_columns` (where what is
left out here has no score anyway): an arc from token to token without a blank between is
there only if the two are plausible at adjacent frames somewhere, and a node of the tree
only if its tokens are candidates at frames in that order, each within ``reach`` of the one
before. So the graph's size depends on the audio, hardly on the list.

States of an utterance, with what was last taken as their meaning:

- *blank* (with separators two: at a word's start or inside a word), the start state;
- *hub(v)*, plain token v;
- *node(n)* and *blank after node(n)*, inside the tree, the path not complete;
- *end(v)* and *blank after end*, an entity whose last token was v is complete: entities
  share these, whichever they are;
- *possessive(p)* and *blank after* it;
- the final state.

Labels are columns (:class:`Columns`): 0 is the blank, not epsilon, the graph has no
epsilons; -1 on arcs to the final state. Aux labels: 0 nothing, v a plain token (emitted at
its first frame), ``vocabulary size + e`` entity e, emitted with its last token; tokens
before it in the tree emit nothing. If words are marked by separators, arcs have the
attribute ``starts_word``: 1 where a plain token is taken at the start of a word. Scores: 0,
but for an entity's last arc, which has its bonus minus its cost. Arcs are sorted by label.
The graph is cyclic (blanks, repeats) and not deterministic (an entity's tokens may be taken
as plain ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import k2
import torch

from ctcbias_fst.fst.boost import BoostGraph, TreeTensors
from ctcbias_fst.fst.vectors import assemble, expand
from ctcbias_fst.text.entities import Entity
from ctcbias_fst.text.vocabulary import Vocabulary

__all__ = [
    "BOOSTED",
    "ENTRY",
    "PLAIN",
    "STARTS_WORD",
    "STAY",
    "Candidates",
    "Columns",
    "DecodingGraph",
    "WordRules",
    "decoding_graph",
]

PLAIN, ENTRY, BOOSTED, STAY = 0, 1, 2, 3
STARTS_WORD = "starts_word"
_APOSTROPHE_S = "'s"


@dataclass(frozen=True)
class Candidates:
    """Every (utterance, frame, token) that may be taken, by utterance and frame.

    Attributes:
      utterance, frame, token: int64 (M,); token is a column of the log-probs, never 0.
      score: float32 (M,), the log-prob.
      gap: float32 (M,), to the frame's best; 0 or more.
      entry, boosted: bool (M,): may it be the first token of an entity, or a later one?
      shape: (N, T, V) of the log-probs.
    """

    utterance: torch.Tensor
    frame: torch.Tensor
    token: torch.Tensor
    score: torch.Tensor
    gap: torch.Tensor
    entry: torch.Tensor
    boosted: torch.Tensor
    shape: tuple[int, int, int]


class Block(NamedTuple):
    """Columns of one kind: ``first + i`` stands for ``tokens[i]``; weight is 1 but for boosts."""

    kind: int
    weight: float
    first: int
    tokens: torch.Tensor


@dataclass(frozen=True)
class Columns:
    """What the labels of a decoding graph stand for; label 0 is the blank.

    There are four kinds: ``PLAIN`` tokens (first frame and further ones), the ``ENTRY`` to an
    entity, that is its first token's first frame, its ``BOOSTED`` later tokens' first frames,
    and what it takes to ``STAY`` inside it: further frames of its tokens, and blanks (token 0)
    before its last token. Only what some utterance of the batch can take has a column.

    Attributes:
      blocks: the columns after 0, by kind and weight, tokens ascending in each.
    """

    blocks: tuple[Block, ...]

    def __len__(self) -> int:
        """The number of columns, the blank's included."""
        return 1 + sum(len(block.tokens) for block in self.blocks)

    @cached_property
    def token(self) -> torch.Tensor:
        """int64: the token of each column."""
        return torch.cat(
            [self.blocks[0].tokens.new_zeros(1), *(block.tokens for block in self.blocks)]
        )

    @cached_property
    def begins_in_tree(self) -> torch.Tensor:
        """bool: whether a token of an entity begins at an arc with this label."""
        kinds = [0] + [b.kind in (ENTRY, BOOSTED) for b in self.blocks for _ in b.tokens]
        return torch.tensor(kinds, dtype=torch.bool, device=self.token.device)

    def lookup(self, kind: int, weight: float, num_tokens: int) -> torch.Tensor:
        """int64 (num_tokens,): the column of each token in one block, or -1; plain blank has 0."""
        of_token = self.token.new_full((num_tokens,), -1)
        if kind == PLAIN:
            of_token[0] = 0
        for block in self.blocks:
            if (block.kind, block.weight) == (kind, weight):
                of_token[block.tokens] = torch.arange(
                    block.first, block.first + len(block.tokens), device=of_token.device
                )
        return of_token


@dataclass(frozen=True)
class WordRules:
    """Where words begin, as the graph needs to know it. Tokens are blank-first columns.

    Attributes:
      ends_word: bool (V,): tokens that end the word before them.
      separator: the token between words, if words are marked by one.
      possessives: the token sequences that write 's at the end of a word.
    """

    ends_word: torch.Tensor
    separator: int | None
    possessives: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, vocabulary: Vocabulary, device: torch.device | str) -> WordRules:
        """The rules of a vocabulary whose blank is token 0."""
        assert vocabulary.blank_id == 0, "columns must be in blank-first order"
        continuation = {
            surface: token
            for token, surface in enumerate(vocabulary.surfaces)
            if surface and not vocabulary.ends_word[token] and not vocabulary.special[token]
        }
        written = _APOSTROPHE_S.upper() if vocabulary.upper_case else _APOSTROPHE_S
        pieces = [(written,), tuple(written)]
        return cls(
            ends_word=torch.from_numpy(vocabulary.ends_word.copy()).to(device),
            separator=vocabulary.separator_id,
            possessives=tuple(
                tuple(continuation[piece] for piece in split)
                for split in pieces
                if all(piece in continuation for piece in split)
            ),
        )


@dataclass(frozen=True)
class DecodingGraph:
    """A graph per utterance, and what its labels mean.

    Attributes:
      fsa: an arc-sorted FsaVec with one graph per utterance; see the module.
      columns: what its labels stand for.
      vocabulary_size: aux labels from here on are entities.
      entities: the entity of aux label ``vocabulary_size + i``.
      separator: the token between words, if words are marked by one.
    """

    fsa: k2.Fsa
    columns: Columns
    vocabulary_size: int
    entities: Sequence[Entity]
    separator: int | None


@dataclass(frozen=True)
class _Nodes:
    """Nodes of the trees that an utterance may go through, parents before children.

    Attributes:
      utterance, token, end: int64 (K,); ``end`` is the entity complete here, or -1.
      weight, cost: float32 (K,).
      parent: int64 (K,), the node's place among these, or -1 for the root.
      inner: bool (K,), whether a child of it is among these.
    """

    utterance: torch.Tensor
    token: torch.Tensor
    end: torch.Tensor
    weight: torch.Tensor
    cost: torch.Tensor
    parent: torch.Tensor
    inner: torch.Tensor


def decoding_graph(
    candidates: Candidates,
    graphs: Sequence[BoostGraph | None],
    token_order: torch.Tensor,
    rules: WordRules,
    *,
    reach: torch.Tensor | None = None,
    modified: bool = False,
    bonus: float = 0.0,
    cost_scale: float = 1.0,
) -> DecodingGraph:
    """Build the graphs of a batch on the device of ``candidates``.

    Args:
      candidates: what may be taken where.
      graphs: the entity tree of each utterance; several may share one.
      token_order: int64 (V,): blank-first column of each token id of the trees.
      rules: of the vocabulary.
      reach: int64 (N, T): the last frame to which an entity may go on after one of its
        tokens was taken at a frame, with nothing but blank between; by default any.
      modified: allow equal tokens to follow each other without a blank.
      bonus: nats for a finished entity.
      cost_scale: factor on the costs of the trees' paths.
    """
    forest = _Forest.of(graphs, token_order)
    nodes = _reachable(candidates, forest, modified, reach)
    columns = _columns(candidates, nodes)
    return DecodingGraph(
        fsa=_Assembly(candidates, nodes, columns, rules, modified).fsa(bonus, cost_scale),
        columns=columns,
        vocabulary_size=candidates.shape[2],
        entities=forest.entities,
        separator=rules.separator,
    )


@dataclass(frozen=True)
class _Forest:
    """The trees of a batch in one set of arrays, each tree once; see :class:`BoostGraph`."""

    trees: TreeTensors
    root: torch.Tensor  # (N,) of each utterance, -1 for none
    token_order: torch.Tensor
    entities: Sequence[Entity]

    @classmethod
    def of(cls, graphs: Sequence[BoostGraph | None], token_order: torch.Tensor) -> _Forest:
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


def _reachable(
    candidates: Candidates, forest: _Forest, modified: bool, reach: torch.Tensor | None
) -> _Nodes:
    """The nodes whose tokens are candidates at frames in that order, each near enough to its
    parent's, with a complete entity at or below them.

    Level by level, all utterances together. For each node only the earliest frame is looked
    at, at which its token can have been taken; whether two tokens are near each other is
    asked of the whole utterance. So a few more nodes are kept than must be.
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
        earliest = frame[row] + 1
        if not modified:  # a blank must come between equal tokens
            earliest = earliest + (child_token == token[row])
        found, at = taken.first(utterance[row], child_token, earliest)
        row, node, token, frame = row[found], child[found], child_token[found], at[found]
        utterance, parent = utterance[row], place[row]
        place = torch.arange(count, count + len(node), device=node.device)
        levels.append((utterance, node, token, parent))
        count += len(node)
        if len(levels) == 1:
            taken = _FirstTaken(candidates, candidates.boosted)
    if not levels:
        levels.append((utterance, node, token, place))

    useful = [trees.end[level[1]] >= 0 for level in levels]
    start = count
    for depth in range(len(levels) - 1, 0, -1):
        start -= len(levels[depth][1])
        above = start - len(levels[depth - 1][1])
        useful[depth - 1][levels[depth][3][useful[depth]] - above] = True
    keep = torch.cat(useful)
    utterance, node, token, parent = (torch.cat(field)[keep] for field in zip(*levels))
    new_place = torch.cumsum(keep, 0) - 1
    parent = torch.where(parent >= 0, new_place[parent.clamp(min=0)], parent)
    inner = torch.zeros_like(parent, dtype=torch.bool)
    inner[parent[parent >= 0]] = True
    return _Nodes(
        utterance=utterance,
        token=token,
        end=trees.end[node].long(),
        weight=trees.weight[node],
        cost=trees.cost[node],
        parent=parent,
        inner=inner,
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


def _columns(candidates: Candidates, nodes: _Nodes) -> Columns:
    """Give a column to every (kind, weight, token) that occurs."""
    first, later = nodes.parent < 0, nodes.parent >= 0
    wanted = [(PLAIN, 1.0, candidates.token), (ENTRY, 1.0, nodes.token[first])]
    if len(nodes.token):
        wanted.append((STAY, 1.0, torch.cat([nodes.token, nodes.token.new_zeros(1)])))
    for weight in torch.unique(nodes.weight[later]).tolist():
        wanted.append((BOOSTED, weight, nodes.token[later & (nodes.weight == weight)]))
    blocks: list[Block] = []
    column = 1
    for kind, weight, tokens in wanted:
        present = torch.zeros(candidates.shape[2], dtype=torch.bool, device=tokens.device)
        present[tokens] = True
        blocks.append(Block(kind, weight, column, present.nonzero().flatten()))
        column += len(blocks[-1].tokens)
    return Columns(tuple(blocks))


@dataclass(frozen=True)
class _Hubs:
    """The plain tokens of each utterance, and which can follow which without a blank.

    Attributes:
      utterance, token: int64 (H,), by utterance and token.
      of_token: int64 (N, V): the hub of a token, -1 if the utterance cannot take it.
      next_token: int64 (P,): tokens that can follow, by hub.
      first_next, num_next: int64 (H,): the range of each hub in ``next_token``.
    """

    utterance: torch.Tensor
    token: torch.Tensor
    of_token: torch.Tensor
    next_token: torch.Tensor
    first_next: torch.Tensor
    num_next: torch.Tensor

    @classmethod
    def of(cls, candidates: Candidates, columns: Columns, modified: bool) -> _Hubs:
        size, frames, vocabulary = candidates.shape
        present = torch.zeros(size, vocabulary, dtype=torch.bool, device=candidates.token.device)
        present[candidates.utterance, candidates.token] = True
        utterance, token = present.nonzero(as_tuple=True)
        of_token = torch.full((size, vocabulary), -1, device=token.device)
        of_token[utterance, token] = torch.arange(len(token), device=token.device)

        frame = candidates.utterance * (frames + 1) + candidates.frame
        in_frame = torch.bincount(frame, minlength=size * (frames + 1) + 1)
        first_in_frame = torch.cumsum(in_frame, 0) - in_frame
        before, after = expand(first_in_frame[frame + 1], in_frame[frame + 1])
        hub = of_token[candidates.utterance, candidates.token]
        plain = columns.lookup(PLAIN, 1.0, vocabulary) - 1
        adjacent = torch.zeros(
            len(token), len(columns.blocks[0].tokens), dtype=torch.bool, device=token.device
        )
        adjacent[hub[before], plain[candidates.token[after]]] = True
        if not modified:
            adjacent[torch.arange(len(token), device=token.device), plain[token]] = False
        from_hub, next_column = adjacent.nonzero(as_tuple=True)
        num_next = torch.bincount(from_hub, minlength=len(token))
        return cls(
            utterance=utterance,
            token=token,
            of_token=of_token,
            next_token=columns.blocks[0].tokens[next_column],
            first_next=torch.cumsum(num_next, 0) - num_next,
            num_next=num_next,
        )

    def follow(self, hub: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Everything that can follow each of ``hub``: positions in ``hub``, and tokens."""
        row, at = expand(self.first_next[hub], self.num_next[hub])
        return row, self.next_token[at]


class _Graph:
    """Collects states and arcs, and makes k2's FsaVec of them."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._owners: list[torch.Tensor] = []
        self._arcs: list[tuple[torch.Tensor, ...]] = []
        self._count = 0

    def states(self, utterance: torch.Tensor) -> torch.Tensor:
        """A new state in each ``utterance[i]``; their numbers."""
        self._owners.append(utterance)
        self._count += len(utterance)
        return torch.arange(self._count - len(utterance), self._count, device=self._device)

    def arcs(
        self,
        source: torch.Tensor,
        target: torch.Tensor,
        label: torch.Tensor | int,
        *,
        aux: torch.Tensor | int = 0,
        score: torch.Tensor | float = 0.0,
        starts_word: torch.Tensor | bool = False,
    ) -> None:
        """Arcs from ``source[i]`` to ``target[i]``; the rest per arc, or one for all."""

        def per_arc(value: torch.Tensor | float, dtype: torch.dtype) -> torch.Tensor:
            if isinstance(value, torch.Tensor):
                return value.to(dtype)
            return torch.full((len(source),), value, dtype=dtype, device=self._device)

        self._arcs.append(
            (
                source,
                target,
                per_arc(label, torch.int64),
                per_arc(aux, torch.int32),
                per_arc(score, torch.float32),
                per_arc(starts_word, torch.bool),
            )
        )

    def finish(self, num_utterances: int) -> k2.Fsa:
        """One graph per utterance, see :func:`ctcbias_fst.fst.vectors.assemble`."""
        owner = torch.cat(self._owners)
        source, target, label, aux, score, starts = map(torch.cat, zip(*self._arcs))
        fsa, order = assemble(owner, source, target, label, score, size=num_utterances)
        fsa.aux_labels = aux[order]
        if bool(starts.any()):
            setattr(fsa, STARTS_WORD, starts[order].int())
        return fsa


@dataclass(frozen=True)
class _Open:
    """States after which a word, or an entity, may begin; by what was taken last.

    Attributes:
      state, hub: after a token, the hub of which is the second.
      blank_state, utterance: after a blank.
    """

    state: torch.Tensor
    hub: torch.Tensor
    blank_state: torch.Tensor
    utterance: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[_Open]) -> _Open:
        return cls(
            torch.cat([part.state for part in parts]),
            torch.cat([part.hub for part in parts]),
            torch.cat([part.blank_state for part in parts]),
            torch.cat([part.utterance for part in parts]),
        )


class _Assembly:
    """Puts a batch's graphs together, one kind of states after the other."""

    def __init__(
        self,
        candidates: Candidates,
        nodes: _Nodes,
        columns: Columns,
        rules: WordRules,
        modified: bool,
    ) -> None:
        self.size, _, self.vocabulary = candidates.shape
        self.nodes, self.columns, self.rules, self.modified = nodes, columns, rules, modified
        self.plain = columns.lookup(PLAIN, 1.0, self.vocabulary)
        self.stay = columns.lookup(STAY, 1.0, self.vocabulary)
        self.hubs = _Hubs.of(candidates, columns, modified)
        self.graph = _Graph(candidates.token.device)
        self.utterances = torch.arange(self.size, device=candidates.token.device)

    def fsa(self, bonus: float, cost_scale: float) -> k2.Fsa:
        """The graphs, with ``bonus`` and the scaled costs on the last arcs of entities."""
        word_start, final, owner = self._tokens()
        if len(self.nodes.token):
            ended = self._ends()
            closed = self._possessives(ended)
            self._leave(closed)
            if self.rules.separator is None:
                word_start = _Open.joined([word_start, closed])
            self._trees(word_start, bonus - cost_scale * self.nodes.cost)
            final = torch.cat([final, closed.state, closed.blank_state])
            owner = torch.cat([owner, self.hubs.utterance[closed.hub], closed.utterance])
        last = self.graph.states(self.utterances)
        self.graph.arcs(final, last[owner], -1, aux=-1)
        return self.graph.finish(self.size)

    def _tokens(self) -> tuple[_Open, torch.Tensor, torch.Tensor]:
        """Plain tokens and the blanks between them.

        Returns where words may begin, the states that are final, and their utterances.
        """
        graph, hubs, plain = self.graph, self.hubs, self.plain
        blank = graph.states(self.utterances)
        blanks, after = [blank], blank[hubs.utterance]
        separated = self.rules.separator is not None
        # Token 0 is the blank: without separators nothing is equal to it.
        separates = torch.eq(hubs.token, self.rules.separator or 0)
        if separated:
            blanks.append(graph.states(self.utterances))
            after = torch.where(separates, after, blanks[1][hubs.utterance])
        self.hub_state = graph.states(hubs.utterance)
        for state in blanks:
            graph.arcs(state, state, 0)
            graph.arcs(
                state[hubs.utterance],
                self.hub_state,
                plain[hubs.token],
                aux=hubs.token,
                starts_word=separated and state is blank,
            )
        graph.arcs(self.hub_state, self.hub_state, plain[hubs.token])
        graph.arcs(self.hub_state, after, 0)
        hub = torch.arange(len(hubs.token), device=hubs.token.device)
        row, token = hubs.follow(hub)
        graph.arcs(
            self.hub_state[row],
            self.hub_state[hubs.of_token[hubs.utterance[row], token]],
            plain[token],
            aux=token,
            starts_word=separates[row],
        )
        if separated:
            hub = separates.nonzero().flatten()
        word_start = _Open(self.hub_state[hub], hub, blank, self.utterances)
        owners = [self.utterances for _ in blanks] + [hubs.utterance]
        return word_start, torch.cat([*blanks, self.hub_state]), torch.cat(owners)

    def _token_and_blank(
        self, utterance: torch.Tensor, token: torch.Tensor, column: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A state in which a token goes on, and one for the blank after it.

        ``column`` says which label a token has that goes on, and which one blank has.
        """
        state, blank = self.graph.states(utterance), self.graph.states(utterance)
        silence = column[0].expand(len(state))
        self.graph.arcs(state, state, column[token])
        self.graph.arcs(state, blank, silence)
        self.graph.arcs(blank, blank, silence)
        return state, blank

    def _ends(self) -> _Open:
        """Where complete entities lead: a state per last token, a blank per utterance."""
        nodes, hubs = self.nodes, self.hubs
        complete = nodes.end >= 0
        mark = torch.zeros(len(hubs.token), dtype=torch.bool, device=hubs.token.device)
        mark[hubs.of_token[nodes.utterance[complete], nodes.token[complete]]] = True
        hub = mark.nonzero().flatten()
        utterance = torch.unique(hubs.utterance[hub])
        state, blank = self.graph.states(hubs.utterance[hub]), self.graph.states(utterance)
        self.end_of_hub = torch.full_like(hubs.token, -1)
        self.end_of_hub[hub] = state
        blank_of_utterance = torch.full_like(self.utterances, -1)
        blank_of_utterance[utterance] = blank
        self.graph.arcs(state, state, self.stay[hubs.token[hub]])
        self.graph.arcs(state, blank_of_utterance[hubs.utterance[hub]], 0)
        self.graph.arcs(blank, blank, 0)
        return _Open(state, hub, blank, utterance)

    def _possessives(self, ended: _Open) -> _Open:
        """Add 's after complete entities; returns where an entity may be left."""
        hubs = self.hubs
        opened: dict[tuple[int, ...], _Open] = {(): ended}
        for pieces in self.rules.possessives:
            for length, token in enumerate(pieces):
                if pieces[: length + 1] in opened:
                    continue
                before = opened[pieces[:length]]
                has = hubs.of_token[before.utterance, token] >= 0
                utterance = before.utterance[has]
                tokens = torch.full_like(utterance, token)
                state, blank = self._token_and_blank(utterance, tokens, self.plain)
                of_utterance = torch.full_like(self.utterances, -1)
                of_utterance[utterance] = state
                self.graph.arcs(before.blank_state[has], state, self.plain[tokens], aux=token)
                row, following = hubs.follow(before.hub)
                row = row[following == token]
                self.graph.arcs(
                    before.state[row],
                    of_utterance[hubs.utterance[before.hub[row]]],
                    self.plain[following[following == token]],
                    aux=token,
                )
                opened[pieces[: length + 1]] = _Open(
                    state, hubs.of_token[utterance, token], blank, utterance
                )
        return _Open.joined([ended, *(opened[pieces] for pieces in self.rules.possessives)])

    def _leave(self, closed: _Open) -> None:
        """From a complete entity to the plain tokens that end its last word."""
        hubs, plain, ends_word = self.hubs, self.plain, self.rules.ends_word
        row, token = hubs.follow(closed.hub)
        row, token = row[ends_word[token]], token[ends_word[token]]
        target = hubs.of_token[hubs.utterance[closed.hub[row]], token]
        self.graph.arcs(closed.state[row], self.hub_state[target], plain[token], aux=token)
        word = ends_word[hubs.token].nonzero().flatten()
        count = torch.bincount(hubs.utterance[word], minlength=self.size)
        first = torch.cumsum(count, 0) - count
        row, at = expand(first[closed.utterance], count[closed.utterance])
        token = hubs.token[word[at]]
        self.graph.arcs(closed.blank_state[row], self.hub_state[word[at]], plain[token], aux=token)

    def _trees(self, word_start: _Open, end_score: torch.Tensor) -> None:
        """The nodes of the trees, entered from ``word_start``, left for the ends."""
        nodes, hubs = self.nodes, self.hubs
        inner = nodes.inner.nonzero().flatten()
        complete = (nodes.end >= 0).nonzero().flatten()
        state = torch.full_like(nodes.token, -1)
        blank = torch.full_like(nodes.token, -1)
        state[inner], blank[inner] = self._token_and_blank(
            nodes.utterance[inner], nodes.token[inner], self.stay
        )
        # An arc into a node leads on, or ends an entity, or there is one of each.
        node = torch.cat([inner, complete])
        end = self.end_of_hub[hubs.of_token[nodes.utterance[complete], nodes.token[complete]]]
        target = torch.cat([state[inner], end])
        aux = torch.cat([torch.zeros_like(inner), self.vocabulary + nodes.end[complete]])
        score = torch.cat([torch.zeros_like(end_score[inner]), end_score[complete]])
        label = self._labels()[node]
        parent, utterance, token = nodes.parent[node], nodes.utterance[node], nodes.token[node]

        later = (parent >= 0).nonzero().flatten()
        direct = later
        if not self.modified:
            direct = later[token[later] != nodes.token[parent[later]]]
        for at, source in ((later, blank[parent[later]]), (direct, state[parent[direct]])):
            self.graph.arcs(source, target[at], label[at], aux=aux[at], score=score[at])

        entry = (parent < 0).nonzero().flatten()
        key = (utterance * self.vocabulary + token)[entry]
        key, order = key.sort()
        entry = entry[order]
        row, following = hubs.follow(word_start.hub)
        wanted = hubs.utterance[word_start.hub[row]] * self.vocabulary + following
        first = torch.searchsorted(key, wanted)
        one, at_token = expand(first, torch.searchsorted(key, wanted, right=True) - first)
        count = torch.bincount(utterance[entry], minlength=self.size)
        first = (torch.cumsum(count, 0) - count)[word_start.utterance]
        other, at_blank = expand(first, count[word_start.utterance])
        for at, source in (
            (entry[at_token], word_start.state[row[one]]),
            (entry[at_blank], word_start.blank_state[other]),
        ):
            self.graph.arcs(source, target[at], label[at], aux=aux[at], score=score[at])

    def _labels(self) -> torch.Tensor:
        """The column of the arc into each node."""
        nodes = self.nodes
        label = self.columns.lookup(ENTRY, 1.0, self.vocabulary)[nodes.token]
        later = nodes.parent >= 0
        for block in self.columns.blocks:
            if block.kind == BOOSTED:
                here = later & (nodes.weight == block.weight)
                of_token = self.columns.lookup(BOOSTED, block.weight, self.vocabulary)
                label[here] = of_token[nodes.token[here]]
        return label
