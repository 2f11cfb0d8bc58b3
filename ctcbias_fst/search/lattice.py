"""The lattice of a batch: what the search kept, with the meaning of its arcs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from ctcbias_fst.graph.decoding_graph import DecodingGraph
from ctcbias_fst.graph.labels import ENTRY, PLAIN
from ctcbias_fst.graph.word_rules import OPEN_END, STARTS_WORD
from ctcbias_fst.k2_import import k2
from ctcbias_fst.search.intersect import FRAME

_ARC = "lattice_arc"


@dataclass(frozen=True, eq=False)
class LmScores:
    """What a language model says of a lattice's arcs; see :mod:`ctcbias_fst.search.compose`.

    Attributes:
        base: float32 (A,), the scores without it.
        share: float32 (A,), what it adds.
    """

    base: torch.Tensor
    share: torch.Tensor


@dataclass(frozen=True, eq=False)
class Lattice:
    """The readings of each utterance that survived the search.

    Per arc, ``A`` of all utterances together, in k2's order (by utterance, then frame):

    Attributes:
        fsa: the FsaVec itself; ``labels`` are columns of ``graph.columns``, ``aux_labels`` plain
            tokens and entities as :mod:`ctcbias_fst.graph.decoding_graph` says. Top-sorted and
            acyclic; an arc per frame, tropical or log semiring.
        graph: the decoding graph it came from.
        original: int64 (N, T), the model's frame behind each frame of the search.
        skipped_frame_score: float64 (N,), what to add to the score of a path for frames left out.
        scores: float32 (N, T, C), the columns that were searched.
        lm: the share of a language model in the scores of the arcs, if it was composed with one.
        lost: bool (N,), utterances whose best path scores less than the best plain reading, which
            is always in the graph: the search lost what it should have found. None if that is not
            known.
        pruned: bool (N,), utterances that had names of which a word was not heard
            (:mod:`ctcbias_fst.search.heard`). None if there is none.
        flat: bool (N,), utterances with frames whose scores are so flat that few tokens were tried
            (:mod:`ctcbias_fst.search.lexicon_search`). None if all were.
    """

    fsa: k2.Fsa
    graph: DecodingGraph
    original: torch.Tensor
    skipped_frame_score: torch.Tensor
    scores: torch.Tensor
    lm: LmScores | None = None
    lost: torch.Tensor | None = None
    pruned: torch.Tensor | None = None
    flat: torch.Tensor | None = None

    @property
    def size(self) -> int:
        """How many utterances."""
        return int(self.fsa.shape[0])

    @cached_property
    def first_state(self) -> torch.Tensor:
        """int64 (N + 1,): the first state of each utterance, counted over all."""
        first: torch.Tensor = self.fsa.arcs.row_splits(1).long()
        return first

    @cached_property
    def utterance(self) -> torch.Tensor:
        """int64 (A,)."""
        utterance: torch.Tensor = self.fsa.arcs.row_ids(1).long()[self.fsa.arcs.row_ids(2).long()]
        return utterance

    @cached_property
    def source(self) -> torch.Tensor:
        """int64 (A,): the state each arc leaves, counted over all utterances."""
        source: torch.Tensor = self.fsa.arcs.row_ids(2).long()
        return source

    @cached_property
    def target(self) -> torch.Tensor:
        """int64 (A,): the state each arc enters, counted over all utterances."""
        target: torch.Tensor = (
            self.fsa.arcs.values()[:, 1].long() + self.first_state[self.utterance]
        )
        return target

    @cached_property
    def score(self) -> torch.Tensor:
        """float64 (A,)."""
        score: torch.Tensor = self.fsa.scores.detach().double()
        return score

    @cached_property
    def frame(self) -> torch.Tensor:
        """int64 (A,): the frame of the search; arcs to the final state have the last plus 1."""
        frame: torch.Tensor = getattr(self.fsa, FRAME).long()
        return frame

    @cached_property
    def label(self) -> torch.Tensor:
        """int64 (A,): column, -1 on arcs to the final state."""
        label: torch.Tensor = self.fsa.labels.long()
        return label

    @cached_property
    def aux(self) -> torch.Tensor:
        """int64 (A,): 0 nothing, below the vocabulary's size a plain token, from it on an
        entity, -1 on arcs to the final state."""
        aux: torch.Tensor = self.fsa.aux_labels.long()
        return aux

    @cached_property
    def token(self) -> torch.Tensor:
        """int64 (A,): the token under each column, 0 for blank and on arcs to the final state."""
        return self.graph.columns.token[self.label.clamp(min=0)]

    @cached_property
    def written(self) -> torch.Tensor:
        """int64 (A,): the token that each arc writes: the one under its column, or of plain ones
        the word of a lexicon that is complete with it."""
        return torch.where(self.plain, self.aux, self.token)

    @cached_property
    def plain(self) -> torch.Tensor:
        """bool (A,): whether a token begins at the arc that is part of no entity."""
        return ~self.in_tree & (self.aux > 0) & (self.aux < self.graph.vocabulary_size)

    @cached_property
    def starts_word(self) -> torch.Tensor:
        """int64 (A,): 1 where a plain token is at the start of a word, with separators only."""
        if not hasattr(self.fsa, STARTS_WORD):
            return torch.zeros_like(self.aux)
        starts: torch.Tensor = getattr(self.fsa, STARTS_WORD).long()
        return starts

    @cached_property
    def open_end(self) -> torch.Tensor:
        """bool (A,): whether the arc ends a name that what follows may complete."""
        if not hasattr(self.fsa, OPEN_END):
            return torch.zeros_like(self.aux, dtype=torch.bool)
        ends: torch.Tensor = getattr(self.fsa, OPEN_END) > 0
        return ends

    @cached_property
    def in_tree(self) -> torch.Tensor:
        """bool (A,): whether a token of an entity begins at the arc."""
        return self.graph.columns.begins_in_tree[self.label.clamp(min=0)]

    @cached_property
    def enters_name(self) -> torch.Tensor:
        """bool (A,): whether the first token of an entity begins at the arc."""
        columns = self.graph.columns
        enters = torch.zeros(len(columns), dtype=torch.bool, device=self.label.device)
        for block in columns.blocks:
            if block.kind == ENTRY:
                enters[block.first : block.first + len(block.tokens)] = True
        return enters[self.label.clamp(min=0)] & (self.label >= 0)

    @cached_property
    def emits(self) -> torch.Tensor:
        """bool (A,): whether a token begins at the arc (blanks and repeats do not)."""
        return self.in_tree | (self.aux > 0)

    @cached_property
    def boost(self) -> torch.Tensor:
        """float64 (A,): how much better the arc scores than its token's log-prob."""
        plain = self.graph.columns.lookup(PLAIN, 1.0, self.graph.vocabulary_size)
        column = plain[self.token]
        frame = self.frame.clamp(max=self.scores.shape[1] - 1)
        acoustic = self.scores[self.utterance, frame, column].double()
        plain = (self.label < 0) | ~self.graph.columns.given[self.label.clamp(min=0)]
        score = self.score if self.lm is None else self.lm.base.double()
        return torch.where(plain, torch.zeros_like(acoustic), score - acoustic)

    @cached_property
    def posterior(self) -> torch.Tensor:
        """float64 (A,): the probability of each arc given the lattice, in [0, 1]."""
        log: torch.Tensor = self.fsa.get_arc_post(use_double_scores=True, log_semiring=True)
        return log.exp().clamp(max=1)

    @cached_property
    def found(self) -> torch.Tensor:
        """bool (N,): whether the search reached the end of each utterance, and did not lose its
        best reading on the way."""
        # Of an utterance that was lost k2 may leave arcs that lead nowhere.
        found = torch.zeros(self.size, dtype=torch.bool, device=self.label.device)
        found[self.utterance[self.label < 0]] = True
        return found if self.lost is None else found & ~self.lost


@dataclass(frozen=True, eq=False)
class Paths:
    """Paths through a lattice.

    Attributes:
        utterance: int64 (P,), ascending; paths of one utterance are sorted, best first.
        arcs: int64, the lattice's arcs of all paths.
        first_arc: int64 (P + 1,), where each path begins in ``arcs``.
        score: float64 (P,), natural log, all frames included.
    """

    utterance: torch.Tensor
    arcs: torch.Tensor
    first_arc: torch.Tensor
    score: torch.Tensor

    @cached_property
    def of_arc(self) -> torch.Tensor:
        """int64: the path of each element of ``arcs``."""
        return torch.repeat_interleave(self.first_arc[1:] - self.first_arc[:-1])


def best_paths(lattice: Lattice) -> Paths:
    """The best path of every utterance that was found (tropical semiring)."""
    fsa = lattice.fsa.clone()
    setattr(fsa, _ARC, torch.arange(fsa.num_arcs, dtype=torch.int32, device=fsa.device))
    best = k2.shortest_path(fsa, use_double_scores=True)
    arcs = getattr(best, _ARC).long()
    first_arc = best.arcs.row_splits(2).long()[best.arcs.row_splits(1).long()]
    length = first_arc[1:] - first_arc[:-1]
    utterance = lattice.found.nonzero().flatten()
    arcs = arcs[torch.repeat_interleave(lattice.found, length)]
    path = torch.repeat_interleave(length[utterance])
    score = lattice.skipped_frame_score[utterance].index_add(0, path, lattice.score[arcs])
    first = torch.cat([length.new_zeros(1), torch.cumsum(length[utterance], 0)])
    return Paths(utterance, arcs, first, score)
