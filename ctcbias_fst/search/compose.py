r"""A lattice composed with words and an n-gram, on the fly, exactly.

Relation: the paths of the lattice, each with the words that it writes and what the model says of
them. With :math:`a` the path's score so far, :math:`w_1 \dots w_n` its words and ends,

.. math::

    score = a + \lambda \sum_i \log p(w_i \mid w_1 \dots w_{i-1})
            + \beta\,n_{words} - c_u\,n_{unknown} - c_l\,n_{letters} - c_c\,n_{names}

Words are what tokens write between word boundaries, however they are cut. One that the model
does not know is scored as its unknown word: :math:`p(unk \mid history)`, from which the model
goes on as it does after one. So does a name of the list, which is a word of the class BOOST,
whether the model knows its words or not: it costs :math:`c_c` and what its prior says, and never
:math:`c_u` or :math:`c_l`. (A model without a symbol for unknown words has both at its empty
context, by way of its back-off weights.) The model itself stays as it is.

States of the result are (state of the lattice, context of the model, beginning of the word),
found frame by frame for the whole batch: no static graph is compiled, so a list of names costs
nothing here, and back-off is that of failure arcs (:mod:`ctcbias_fst.ngram.tables`). What a state
can still score in the lattice is known exactly, so little needs to be kept: readings within
``beam`` of the best, and at most ``max_active``. Without these limits nothing is lost.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from ctcbias_fst.graph.vectors import connected, fsa_vec
from ctcbias_fst.graph.word_rules import STARTS_WORD, WordRules
from ctcbias_fst.k2_import import k2
from ctcbias_fst.ngram.ngram_lm import LanguageModel
from ctcbias_fst.ngram.tables import NgramTables
from ctcbias_fst.search.intersect import FRAME
from ctcbias_fst.search.lattice import Lattice, LmScores
from ctcbias_fst.search.lm_config import LmConfig
from ctcbias_fst.search.units import (
    ArcExpansion,
    Contexts,
    LatticeEntities,
    Tokens,
    Words,
    states_around,
)
from ctcbias_fst.search.word_lexicon import Lexicon
from ctcbias_fst.text.vocabulary import Vocabulary

with warnings.catch_warnings():
    # torch 1.13 says once that this function is in beta; its maximum has stayed as it is since.
    warnings.simplefilter("ignore")
    torch.zeros(1).scatter_reduce(0, torch.zeros(1, dtype=torch.int64), torch.zeros(1), "amax")


class LmComposer:
    """Composes lattices of one vocabulary with one language model. Threads may share it.

    Args:
        model: of words, or of the vocabulary's tokens.
        vocabulary: of the acoustic model.
        device: of the lattices.
        boost_class: a name is one word of the class BOOST. If not, it is the words (or tokens)
            that it writes, as if it had been read without a list.

    Raises:
        LanguageModelError: a model of tokens that knows hardly any of the vocabulary.
    """

    def __init__(
        self,
        model: LanguageModel,
        vocabulary: Vocabulary,
        device: torch.device | str = "cpu",
        *,
        boost_class: bool = True,
    ) -> None:
        blank_first = vocabulary.blank_first()
        self._vocabulary = blank_first
        self._device = torch.device(device)
        self._boost_class = boost_class
        self._tables = NgramTables.of(model, device)
        self._rules = WordRules.of(blank_first, device)
        self._words: Words | Tokens
        if model.unit == "word":
            self._words = Words(Lexicon.of(model, blank_first, device))
        else:
            self._words = Tokens.of(model, blank_first, device)

    def compose(
        self, lattice: Lattice, config: LmConfig, output_beam: float, context: Contexts = None
    ) -> Lattice:
        """Compose a batch.

        Args:
            lattice: without a language model's scores.
            config: scales and limits.
            output_beam: nats below the best path that the result keeps.
            context: of each utterance that is a piece of something.
        """
        assert lattice.lm is None, "the lattice has been composed already"
        steps = _Expansion(self, lattice, config, self._around(context, lattice.size))
        levels = list(steps.run())
        return _assemble(lattice, levels, output_beam)

    def _around(self, context: Contexts, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        return states_around(
            context, size, self._words, self._tables, boost_class=self._boost_class
        )

    def share(
        self, tokens: Sequence[Sequence[int]], config: LmConfig, context: Contexts = None
    ) -> torch.Tensor:
        """The share of the model in the scores of whole readings without names.

        Args:
            tokens: of each reading, blank-first columns.
            config: scales.
            context: as of :meth:`compose`.

        Returns:
            float64 (N,), what composing a lattice adds to a path that reads these tokens.
        """
        begin, ends = self._around(context, len(tokens))
        # Thousands of words are added up.
        moves = ArcExpansion(begin, torch.full_like(begin, self._words.root), torch.float64)
        moves.whole(self._tables, self._words.symbols(tokens, self._vocabulary), ends)
        weights = torch.tensor(config.weights, dtype=torch.float64, device=self._device)
        return moves.counts @ weights


@dataclass(frozen=True)
class _Readings:
    """Where readings of the lattice stand: (K,) each.

    ``state`` is the lattice's, ``context`` the model's, ``node`` the beginning of the word.
    """

    state: torch.Tensor
    context: torch.Tensor
    node: torch.Tensor
    score: torch.Tensor


@dataclass(frozen=True)
class _Level:
    """The arcs of one frame, and the states that they enter.

    ``source`` and ``target`` count all states, the first ones of the utterances first.
    """

    source: torch.Tensor
    target: torch.Tensor
    arc: torch.Tensor
    share: torch.Tensor
    utterance: torch.Tensor
    score: torch.Tensor


class _Expansion:
    """The composition of one batch, frame by frame."""

    def __init__(
        self,
        composer: LmComposer,
        lattice: Lattice,
        config: LmConfig,
        around: tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        self.lattice, self.config = lattice, config
        self.begin, self.ends = around
        self.tables, self.words = composer._tables, composer._words
        self.weights = torch.tensor(config.weights, device=lattice.score.device)
        ahead = self.words.best_ahead(self.tables.unknown_score())
        self.ahead = (config.scale * ahead).double()
        self.rest: torch.Tensor = lattice.fsa.get_backward_scores(
            use_double_scores=True, log_semiring=False
        )
        self.hope = lattice.score + self.rest[lattice.target]
        self.first_arc = lattice.fsa.arcs.row_splits(2).long()
        self.num_arcs = self.first_arc[1:] - self.first_arc[:-1]
        self.plain = lattice.plain
        ends_word = composer._rules.ends_word[lattice.written]
        self.final = lattice.label < 0
        self.closes = (self.plain & ends_word) | lattice.in_tree | self.final
        self.names = LatticeEntities.of(
            lattice,
            self.words,
            boost_class=composer._boost_class,
            upper_case=composer._vocabulary.upper_case,
        )
        self.reads_names = not composer._boost_class and isinstance(self.words, Tokens)

    @property
    def _size(self) -> int:
        return self.lattice.graph.vocabulary_size

    def run(self) -> Iterator[_Level]:
        """Yield the arcs of each frame."""
        lattice = self.lattice
        utterance = lattice.found.nonzero().flatten()
        here = _Readings(
            state=lattice.first_state[utterance],
            context=self.begin[utterance],
            node=torch.full_like(utterance, self.words.root),
            score=torch.zeros(len(utterance), dtype=torch.float64, device=utterance.device),
        )
        first = 0
        while len(here.state):
            after = first + len(here.state)
            row, arc = self._leaving(here)
            if not len(arc):  # only final states are left
                return
            moves = self._move(here, row, arc)
            share = moves.counts @ self.weights
            score = here.score[row] + lattice.score[arc] + share.double()
            kept = self._best(arc, score + self._ahead(lattice.target[arc], moves.node))
            row, arc, score = row[kept], arc[kept], score[kept]
            there, number = _merged(
                lattice.target[arc], moves.context[kept], moves.node[kept], score
            )
            utterance = torch.empty_like(there.state)
            utterance[number] = lattice.utterance[arc]
            yield _Level(first + row, after + number, arc, share[kept], utterance, there.score)
            here, first = there, after

    def _ahead(self, state: torch.Tensor, node: torch.Tensor) -> torch.Tensor:
        """What a reading may still score: exactly in the lattice, about in the model."""
        return self.rest[state] + self.ahead[node]

    def _leaving(self, here: _Readings) -> tuple[torch.Tensor, torch.Tensor]:
        """The arcs that leave each reading's state: readings and arcs, the hopeless left out."""
        count = self.num_arcs[here.state]
        row = torch.repeat_interleave(count)
        shift = self.first_arc[here.state] - (torch.cumsum(count, 0) - count)
        arc = torch.arange(len(row), device=row.device) + shift[row]
        hope = (here.score + self.ahead[here.node])[row] + self.hope[arc]
        kept = self._within_beam(arc, hope)
        return row[kept], arc[kept]

    def _within_beam(self, arc: torch.Tensor, hope: torch.Tensor) -> torch.Tensor:
        utterance = self.lattice.utterance[arc]
        best = hope.new_full((self.lattice.size,), -torch.inf)
        best = best.scatter_reduce(0, utterance, hope, "amax")
        return (hope >= best[utterance] - self.config.beam).nonzero().flatten()

    def _best(self, arc: torch.Tensor, hope: torch.Tensor) -> torch.Tensor:
        """Which readings are kept."""
        kept = self._within_beam(arc, hope)
        utterance = self.lattice.utterance[arc[kept]]
        if int(torch.bincount(utterance).max()) <= self.config.max_active:
            return kept
        order = hope[kept].sort(descending=True, stable=True).indices
        utterance, by_utterance = utterance[order].sort(stable=True)
        rank = torch.arange(len(utterance), device=arc.device)
        rank -= torch.searchsorted(utterance, utterance)
        return kept[order[by_utterance[rank < self.config.max_active]]]

    def _move(self, here: _Readings, row: torch.Tensor, arc: torch.Tensor) -> ArcExpansion:
        """Take ``arc[i]`` from reading ``row[i]``."""
        moves = ArcExpansion(here.context[row], here.node[row])
        words, tables, lattice = self.words, self.tables, self.lattice
        words.close(moves, tables, self.closes[arc])
        reads = self.plain[arc]
        if self.reads_names:
            reads = reads | lattice.in_tree[arc]
        at = reads.nonzero().flatten()
        words.extend(moves, tables, at, lattice.written[arc[at]])
        at = (lattice.aux[arc] >= self._size).nonzero().flatten()
        if len(at):
            self.names.complete(moves, tables, at, lattice.aux[arc[at]] - self._size)
            moves.node[at] = words.after_name
        at = self.final[arc].nonzero().flatten()
        if len(at):
            moves.end(tables, at[self.ends[lattice.utterance[arc[at]]]])
            moves.context[at], moves.node[at] = 0, words.root
        return moves


def _merged(
    state: torch.Tensor, context: torch.Tensor, node: torch.Tensor, score: torch.Tensor
) -> tuple[_Readings, torch.Tensor]:
    """Join readings that stand at the same place; returns them, and where each one went."""
    key = node + context * (int(node.max()) + 1)
    if int(state.max()) >= (1 << 62) // (int(key.max()) + 1):
        key = torch.unique(key, return_inverse=True)[1]
    key += state * (int(key.max()) + 1)
    place, number = torch.unique(key, return_inverse=True)
    best = score.new_full((len(place),), -torch.inf)
    best = best.scatter_reduce(0, number, score, "amax")
    one = torch.empty_like(place)
    one[number] = torch.arange(len(number), device=number.device)
    return _Readings(state[one], context[one], node[one], best), number


def _assemble(lattice: Lattice, levels: Sequence[_Level], output_beam: float) -> Lattice:
    """Make a lattice of the arcs, without those that are no part of a good path."""
    start = lattice.found.nonzero().flatten()
    if not len(start):
        return _without_arcs(lattice)
    utterance = torch.cat([start, *(level.utterance for level in levels)])
    zeros = torch.zeros_like(start, dtype=torch.float64)
    forward = torch.cat([zeros, *(level.score for level in levels)])
    source = torch.cat([level.source for level in levels])
    target = torch.cat([level.target for level in levels])
    arc = torch.cat([level.arc for level in levels])
    base = lattice.fsa.scores.detach()[arc]
    share = torch.cat([level.share for level in levels])
    score = base + share

    # What can still be scored after each state, in k2's order of them.
    draft = _Draft(lattice.size, utterance, torch.ones_like(utterance, dtype=torch.bool))
    fsa, _ = draft.fsa(source, target, lattice.label[arc], score)
    backward = fsa.get_backward_scores(use_double_scores=True, log_semiring=False)
    through = forward[source] + score.double() + backward[draft.number[target]]
    owner = utterance[source]
    best = forward.new_full((lattice.size,), -torch.inf)
    best = best.scatter_reduce(0, owner, through, "amax")
    good = through >= best[owner] - output_beam
    begins = torch.arange(len(utterance), device=utterance.device) < len(start)
    good, used = connected(good, source, target, begins, lattice.label[arc] < 0)
    kept = good.nonzero().flatten()

    draft = _Draft(lattice.size, utterance, used)
    fsa, order = draft.fsa(source[kept], target[kept], lattice.label[arc[kept]], score[kept])
    kept = kept[order]
    for name in ("aux_labels", FRAME, STARTS_WORD):
        if hasattr(lattice.fsa, name):
            setattr(fsa, name, getattr(lattice.fsa, name)[arc[kept]])
    return replace(lattice, fsa=fsa, lm=LmScores(base[kept], share[kept]))


def _without_arcs(lattice: Lattice) -> Lattice:
    """The result for a batch of which nothing was found: what k2 left leads nowhere."""
    nothing = lattice.label[:0]
    score = lattice.score[:0].float()
    fsa, _ = _Draft(lattice.size, nothing, nothing.bool()).fsa(nothing, nothing, nothing, score)
    for name in ("aux_labels", FRAME, STARTS_WORD):
        if hasattr(lattice.fsa, name):
            setattr(fsa, name, getattr(lattice.fsa, name)[:0])
    return replace(lattice, fsa=fsa, lm=LmScores(score, score))


class _Draft:
    """The states of a batch, those of an utterance together, in the order they were found.

    Attributes:
        used: bool (S,), which of the states that were found are part of it.
        number: int64 (S,), their numbers in the batch.
    """

    def __init__(self, size: int, utterance: torch.Tensor, used: torch.Tensor) -> None:
        self._size, self._utterance, self.used = size, utterance, used
        states = used.nonzero().flatten()
        owner = utterance[states]
        self._num_states = torch.bincount(owner, minlength=size)
        self.number = torch.full_like(utterance, -1)
        self.number[states[owner.sort(stable=True).indices]] = torch.arange(
            len(states), device=used.device
        )

    def fsa(
        self, source: torch.Tensor, target: torch.Tensor, label: torch.Tensor, score: torch.Tensor
    ) -> tuple[k2.Fsa, torch.Tensor]:
        """Make an FsaVec; returns it, and which of the given arcs each of its arcs is."""
        order = self.number[source].sort(stable=True).indices
        owner = self._utterance[source[order]]
        source, target = self.number[source[order]], self.number[target[order]]
        first = (torch.cumsum(self._num_states, 0) - self._num_states)[owner]
        arcs = torch.stack(
            [
                (source - first).int(),
                (target - first).int(),
                label[order].int(),
                score[order].view(torch.int32),
            ],
            dim=1,
        )
        num_arcs = torch.bincount(owner, minlength=self._size)
        return fsa_vec(arcs, self._num_states, num_arcs), order
