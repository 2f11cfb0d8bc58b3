r"""The decoding graph of a batch: CTC topology, entity trees, and the rules between them.

Relation. Frame labels are mapped to tokens by the CTC topology (runs merged, blanks
dropped; Graves et al. 2006), and the tokens are read as

.. math:: ( v \mid entity )^*

where v is any token and *entity* a path of the tree. An entity is entered only where a
word may begin, and left only after its last token, to the end of the utterance or to a
token that ends the word before it; a possessive 's may come between. Every plain reading
stays possible, so an entity competes with it, and one that is begun and not completed is
on no path to a final state: it wins nothing. Where the audio goes on behind the last frame
(``waits_from``), one that can wait for it is on a path, too: its arc to the final state has the
attribute ``open_end``.

The graph is built per utterance, from the tokens that are plausible there. It equals
the composition of topology and tree restricted in two ways, which lose nothing as long as
log-probs are read through :func:`ctcbias_fst.search.boosting.score_columns` (where what is
left out here has no score anyway): an arc from token to token without a blank between is
there only if the two are plausible at adjacent frames somewhere, and a node of the tree
only if its tokens are candidates at frames in that order, each within ``reach`` of the one
before. So the graph's size depends on the audio, hardly on the list.

The states of an utterance: :mod:`ctcbias_fst.graph.assembly`.

Labels are columns (:class:`ctcbias_fst.graph.labels.LabelTable`): 0 is the blank, not
epsilon, the graph has no epsilons; -1 on arcs to the final state. Aux labels: 0 nothing,
v a plain token (emitted at its first frame), ``vocabulary size + e`` entity e, emitted
with its last token; tokens before it in the tree emit nothing. If words are marked by
separators, arcs have the attribute ``starts_word``: 1 where a plain token is taken at the
start of a word. Scores: 0, but for an entity's last arc, which has its reward minus its
cost. Arcs are sorted by label. The graph is cyclic (blanks, repeats) and not
deterministic (an entity's tokens may be taken as plain ones).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ctcbias_fst.graph.assembly import Assembly
from ctcbias_fst.graph.candidates import Candidates
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.graph.labels import LabelTable
from ctcbias_fst.graph.reachable import Forest, reachable
from ctcbias_fst.graph.word_rules import WordRules
from ctcbias_fst.k2_import import k2
from ctcbias_fst.text.entity import Entity

Reward = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


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
    columns: LabelTable
    vocabulary_size: int
    entities: Sequence[Entity]
    separator: int | None


def decoding_graph(
    candidates: Candidates,
    graphs: Sequence[BoostGraph | None],
    token_order: torch.Tensor,
    rules: WordRules,
    *,
    reach: torch.Tensor | None = None,
    reward: Reward | None = None,
    waits_from: torch.Tensor | None = None,
) -> DecodingGraph:
    """Build the graphs of a batch on the device of ``candidates``.

    Args:
        candidates: what may be taken where.
        graphs: the entity tree of each utterance; several may share one.
        token_order: int64 (V,): blank-first column of each token id of the trees.
        rules: of the vocabulary.
        reach: int64 (N, T): the last frame to which an entity may go on after one of its
            tokens was taken at a frame, with nothing but blank between; by default any.
        reward: what a complete entity is paid, in nats, by the letters that its tokens write and
            its weight, float32 (K,) each; by default nothing.
        waits_from: int64 (N,), where the audio goes on behind these frames, the first frame from
            which an entity can wait for it; by default nothing follows.
    """
    forest = Forest.of(graphs, token_order)
    nodes = reachable(candidates, forest, reach, waits_from)
    columns = LabelTable.of(candidates, nodes)
    paid = torch.zeros_like(nodes.cost) if reward is None else reward(nodes.letters, nodes.weight)
    return DecodingGraph(
        fsa=Assembly(candidates, nodes, columns, rules).fsa(paid),
        columns=columns,
        vocabulary_size=candidates.shape[2],
        entities=forest.entities,
        separator=rules.separator,
    )
