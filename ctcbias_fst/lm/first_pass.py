r"""The language model in the first pass: search with it, then go on as without.

The search goes through one graph for all utterances: the static graph of a language model and a
vocabulary (:mod:`ctcbias_fst.lm.static_graph`), compiled once, and the tree of a list of names,
written behind it in a moment (:mod:`ctcbias_fst.lm.attach`). The tree hangs at the empty history,
as a name of the class BOOST: it costs what the model says of an unknown word there, what its
prior says, and the class cost; its tokens are boosted, and it is left, as
:mod:`ctcbias_fst.fst.decoding` says.

What the search keeps is then read without the language model, as a lattice of that module's
decoding graph (:mod:`ctcbias_fst.lm.edges`). Ways that differ only in their histories are one way
there; what only the search's graph may read (equal tokens without a blank between) falls out. So
its scores are those of any first pass, and the language model's exact ones come in by
:mod:`ctcbias_fst.lm.compose`, as ever: how the first pass scored decides what is kept, and nothing
else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from threading import Lock

import torch

from ctcbias_fst.fst.boost import BoostGraph, token_letters
from ctcbias_fst.fst.columns import BOOSTED, ENTRY, PLAIN, STAY, Block, Columns
from ctcbias_fst.fst.decoding import DecodingGraph
from ctcbias_fst.fst.word_rules import WordRules
from ctcbias_fst.lm.attach import Workspace, parents
from ctcbias_fst.lm.config import LmConfig
from ctcbias_fst.lm.edges import Edges
from ctcbias_fst.lm.lexicon import Lexicon
from ctcbias_fst.lm.static_graph import StaticGraph
from ctcbias_fst.search.boosting import score_columns
from ctcbias_fst.search.config import SearchConfig
from ctcbias_fst.search.frames import Frames
from ctcbias_fst.search.intersect import search
from ctcbias_fst.search.lattice import Lattice
from ctcbias_fst.text.entities import Entity
from ctcbias_fst.text.vocabulary import Vocabulary

__all__ = ["FirstPass"]


class FirstPass:
    """Searches batches of one vocabulary with one language model.

    Threads may share it, but search one after the other: the lists of names are written into one
    graph.

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
        self._boost_letters = torch.tensor(token_letters(blank_first), device=device)
        self._upper = blank_first.upper_case
        self._boost_class, self._lexicon, self._single = boost_class, lexicon, single
        self._workspace: Workspace | None = None
        self._lock = Lock()

    def lattice(
        self,
        frames: Frames,
        trees: Sequence[BoostGraph | None],
        token_order: torch.Tensor,
        config: SearchConfig,
        *,
        lm: LmConfig,
        ids: Sequence[str],
    ) -> Lattice:
        """Search a batch; utterances with the same list are searched together.

        Args:
          frames: what may be taken where.
          trees: the names of each utterance.
          token_order: int64 (V,): blank-first column of each token id of the trees.
          config: of the search; its beams are those of ``lm.first_pass``, though.
          lm: how the language model acts.
          ids: of the utterances, for messages.
        """
        lists = {id(tree): tree for tree in trees}
        names = [tree for tree in lists.values() if tree is not None]
        columns = self._columns(names, token_order)
        scores = score_columns(
            frames.blank, frames.candidates, columns, self._boost_letters, config
        )
        # The start state reads blank at a frame of its own.
        before = scores.new_full((scores.shape[0], 1, scores.shape[2]), -torch.inf)
        before[:, :, 0] = 0.0
        padded = torch.cat([before, scores], dim=1)
        lengths = frames.lengths.cpu() + 1
        edges, entities = [], list[Entity]()
        with self._lock:
            workspace = self._scored(lm)
            for key, tree in lists.items():
                rows = [row for row, other in enumerate(trees) if id(other) == key]
                workspace.attach(tree, columns, token_order, config.boost)
                which = torch.tensor(rows, device=self._device)
                some = len(rows) < len(trees)
                fsa = search(
                    padded[which] if some else padded,
                    lengths[which.cpu()] if some else lengths,
                    workspace.fsa,
                    search_beam=lm.first_pass.search_beam,
                    output_beam=lm.first_pass.lattice_beam,
                    max_active=lm.first_pass.max_active,
                    ids=[ids[row] for row in rows],
                    checked=True,
                )
                edges.append(workspace.read(fsa, which, config.modified_topology, len(entities)))
                entities.extend(() if tree is None else tree.entities)
        graph = DecodingGraph(workspace.fsa, columns, self._size, entities, self._rules.separator)
        return Edges.joined(edges).lattice(frames, scores, columns, graph)

    def _columns(self, trees: Sequence[BoostGraph], token_order: torch.Tensor) -> Columns:
        """All plain tokens, as the static graph has them, and what the trees need."""
        device = self._device
        wanted = [(PLAIN, 1.0, torch.arange(1, self._size, device=device))]
        arrays = [tree.tensors(device) for tree in trees]
        if arrays:
            token = torch.cat([token_order[a.token[1:].long()] for a in arrays])
            weight = torch.cat([a.weight[1:] for a in arrays])
            entry = torch.cat([parents(tree, device)[1:] == 0 for tree in trees])
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

    def _scored(self, config: LmConfig) -> Workspace:
        """The graph with the scores of these settings; made anew when they change."""
        if self._workspace is None or self._workspace.weights != _weights(config):
            self._workspace = Workspace(
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
