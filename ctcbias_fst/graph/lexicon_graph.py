r"""The decoding graph of a model whose tokens are phones: words through a lexicon.

Relation. Frame labels are mapped to tokens by the CTC topology (runs merged, blanks dropped; Graves
et al. 2006), and the tokens are read as

.. math:: ( word \mid entity )^*

where *word* is a path of the lexicon's tree and *entity* one of the tree of a list of names. A
word, and an entity, is entered where the one before it is complete. What is begun and not complete
is on no path to a final state.

The part of the words is the same for all utterances and lists, and made once. A list adds its tree:
then the graph is the same for all utterances that have it.

States: the *gap* between words, the start state, in which blanks are taken; an *end(v)* for each
token that words or entities may end with, in which it goes on; for every inner node of the trees
one in which its token goes on, and one for the blank after it; the final state. The gap and the
ends are final.

Labels are columns (:class:`ctcbias_fst.graph.labels.LabelTable`): 0 is the blank, not epsilon, the
graph has no epsilons; -1 on arcs to the final state. If the model has a token that stands between
words, the blank inside words has a column of its own. Aux labels: 0 nothing; ``v`` below the number
of tokens a token of a word (emitted at its first frame), from there on, up to the size of the
vocabulary, a word, emitted with its last token; ``vocabulary size + e`` entity e, likewise; tokens
before it emit nothing. Scores: minus the cost of a pronunciation on the last arc of a word, the
reward minus the cost on that of an entity. Arcs are sorted by label. The graph is cyclic and not
deterministic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ctcbias_fst.graph.arcs import Arcs
from ctcbias_fst.graph.decoding_graph import DecodingGraph, Reward
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.graph.labels import BOOSTED, ENTRY, INSIDE, PLAIN, REPEAT, Block, LabelTable
from ctcbias_fst.graph.lexicon_tree import LexiconTree

_GAP = 0


@dataclass(frozen=True)
class _Tree:
    """A tree as the graph has it: of K nodes, E of which complete something.

    Attributes:
        token, parent, inner: as of :class:`LexiconTree`.
        end, aux, score: of what is complete at a node: what it emits, and its score there.
        label, stay: int64 (K,), the columns of the arc into a node, and of its token going on.
        blank: the column of the blank after it.
        emits: whether the tokens before the last one emit themselves.
    """

    token: torch.Tensor
    parent: torch.Tensor
    inner: torch.Tensor
    end: torch.Tensor
    aux: torch.Tensor
    score: torch.Tensor
    label: torch.Tensor
    stay: torch.Tensor
    blank: int
    emits: bool


class LexiconGraph:
    """The part of the graph that all lists share.

    Args:
        tree: of the lexicon, in blank-first tokens.
        num_tokens: of the model, the blank included; aux labels of words begin here.
        num_words: of the lexicon.
        separated: whether the blank inside words has a column of its own.
        device: where to search.
    """

    def __init__(
        self,
        tree: LexiconTree,
        num_tokens: int,
        num_words: int,
        *,
        separated: bool,
        device: torch.device | str = "cpu",
    ) -> None:
        self.num_tokens, self.vocabulary_size = num_tokens, num_tokens + num_words
        self._device = torch.device(device)
        tokens = torch.arange(1, num_tokens, device=self._device)
        blocks = [Block(PLAIN, 1.0, 1, tokens)]
        if separated:
            blocks.append(Block(INSIDE, 1.0, num_tokens, tokens.new_zeros(1)))
        self._blocks = tuple(blocks)
        self._end_state = tokens.new_zeros(num_tokens)
        self._end_state[1:] = tokens
        self._num_states = num_tokens
        gap = torch.zeros_like(tokens)
        token = torch.from_numpy(tree.token).to(self._device)
        words = _Tree(
            token=token,
            parent=torch.from_numpy(tree.parent).to(self._device),
            inner=torch.from_numpy(tree.inner).to(self._device),
            end=torch.from_numpy(tree.end).to(self._device),
            aux=torch.from_numpy(tree.word).to(self._device) + num_tokens,
            score=-torch.from_numpy(tree.cost).to(self._device),
            label=token,
            stay=token,
            blank=num_tokens if separated else 0,
            emits=True,
        )
        own, count = self._arcs_of(words, self._num_states)
        self._num_states += count
        ends = [
            Arcs.of(gap[:1], gap[:1], 0),
            Arcs.of(tokens, tokens, tokens),
            Arcs.of(tokens, gap, 0),
        ]
        self._arcs = Arcs.joined([*ends, *own])

    def with_names(
        self, graph: BoostGraph | None, token_order: torch.Tensor, reward: Reward | None = None
    ) -> DecodingGraph:
        """The whole graph.

        Args:
            graph: the tree of a list, or None.
            token_order: int64 (V,), blank-first column of each token id of that tree.
            reward: see :func:`ctcbias_fst.graph.decoding_graph.decoding_graph`.
        """
        table, states = LabelTable(self._blocks), self._num_states
        parts = [self._arcs]
        if graph is not None and graph.num_nodes > 1:
            table, tree = self._names(graph, token_order, reward)
            arcs, count = self._arcs_of(tree, states)
            parts += arcs
            states += count
        heads = torch.arange(self.num_tokens, device=self._device)
        parts.append(Arcs.of(heads, torch.full_like(heads, states), -1, aux=-1))
        owner = torch.zeros(states + 1, dtype=torch.int64, device=self._device)
        fsa = Arcs.joined(parts).graph(owner)
        entities = () if graph is None else graph.entities
        return DecodingGraph(fsa, table, self.vocabulary_size, entities, None)

    def _arcs_of(self, tree: _Tree, first: int) -> tuple[list[Arcs], int]:
        """The arcs of a tree, whose states are numbered from ``first`` on, and how many it has."""
        inner = tree.inner.nonzero().flatten()
        state = torch.full_like(tree.token, -1)
        state[inner] = first + 2 * torch.arange(len(inner), device=inner.device)
        blank = state + 1
        stay, token = tree.stay[inner], tree.token
        arcs = [
            Arcs.of(state[inner], state[inner], stay),
            Arcs.of(state[inner], blank[inner], tree.blank),
            Arcs.of(blank[inner], blank[inner], tree.blank),
        ]
        # An arc into a node leads on, or ends something.
        node = torch.cat([inner, tree.end])
        target = torch.cat([state[inner], self._end_state[token[tree.end]]])
        aux = torch.cat([token[inner] * tree.emits, tree.aux])
        score = torch.cat([torch.zeros(len(inner), device=inner.device), tree.score])
        parent = tree.parent[node]
        later = (parent >= 0).nonzero().flatten()
        direct = later[token[node[later]] != token[parent[later]]]
        entry = (parent < 0).nonzero().flatten()
        heads = torch.arange(self.num_tokens, device=inner.device)
        head, begun = (x.flatten() for x in torch.meshgrid(heads, entry, indexing="ij"))
        # A blank must come between equal tokens.
        apart = head != token[node[begun]]
        for source, at in (
            (blank[parent[later]], later),
            (state[parent[direct]], direct),
            (head[apart], begun[apart]),
        ):
            label = tree.label[node[at]]
            arcs.append(Arcs.of(source, target[at], label, aux=aux[at], score=score[at]))
        return arcs, 2 * len(inner)

    def _names(
        self, graph: BoostGraph, token_order: torch.Tensor, reward: Reward | None
    ) -> tuple[LabelTable, _Tree]:
        """The tree of a list, and columns for it."""
        trees = graph.tensors(self._device)
        token = token_order[trees.token[1:].long()]
        parent = torch.from_numpy(graph.parent[1:].astype("int64") - 1).to(self._device)
        weight, end = trees.weight[1:], trees.end[1:].long()
        later = parent >= 0
        blocks: Sequence[tuple[int, float]] = [
            (ENTRY, 1.0),
            (REPEAT, 1.0),
            *((BOOSTED, one) for one in torch.unique(weight[later]).tolist()),
        ]
        table = LabelTable(self._blocks)
        for kind, of_weight in blocks:
            tokens = torch.arange(kind != REPEAT, self.num_tokens, device=self._device)
            table = LabelTable((*table.blocks, Block(kind, of_weight, len(table), tokens)))
        label = table.lookup(ENTRY, 1.0, self.num_tokens)[token]
        for block in table.blocks:
            if block.kind == BOOSTED:
                of_token = table.lookup(BOOSTED, block.weight, self.num_tokens)
                label = torch.where(later & (weight == block.weight), of_token[token], label)
        complete = (end >= 0).nonzero().flatten()
        paid = -trees.cost[1:][complete]
        if reward is not None:
            paid = paid + reward(trees.letters[1:][complete], weight[complete])
        inner = torch.zeros_like(later)
        inner[parent[later]] = True
        stay = table.lookup(REPEAT, 1.0, self.num_tokens)
        tree = _Tree(
            token=token,
            parent=parent,
            inner=inner,
            end=complete,
            aux=self.vocabulary_size + end[complete],
            score=paid,
            label=label,
            stay=stay[token],
            blank=int(stay[0]),
            emits=False,
        )
        return table, tree
