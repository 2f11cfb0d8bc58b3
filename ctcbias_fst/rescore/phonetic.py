r"""Phonetic rescoring: how well does each hypothesis fit what the phone head heard?

Each hypothesis is force-aligned to the phone head's log-probs: with :math:`q(t, p)` for phone
p at frame t, and the alignments :math:`\pi` of any of its pronunciations, of cost :math:`c`,

.. math::

    phone = \max_{c, \pi} \Big( \sum_t q(t, \pi_t) - \kappa c \Big) - u m
        - \sum_t \max_p q(t, p)

where m words are neither in the lexicon nor in the list of names: how they sound is only
guessed from how they are written, which is what was heard, so each costs u. 0 says that the
hypothesis sounds exactly like what was heard; else the score is negative. The n best are
ranked by :math:`score + \lambda\, phone` (Dingliwal et al. 2022, section 3.4).

The hypotheses of an utterance are one graph, a tree (:mod:`ctcbias_fst.rescore.phone_graphs`), and
all utterances of a batch are searched at once by k2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from ctcbias_fst.bounds import (
    MAX_HYPOTHESES,
    MAX_STATES,
    at_least_one,
    at_most,
    not_negative,
    positive,
)
from ctcbias_fst.k2_import import k2
from ctcbias_fst.pronunciation.pronunciation_table import Pronunciation, PronunciationTable
from ctcbias_fst.records import Hypothesis, Transcript
from ctcbias_fst.rescore.phone_frames import PhoneFrames
from ctcbias_fst.rescore.phone_graphs import HYPOTHESIS, POSITION, WordTree, phone_graph
from ctcbias_fst.rescore.word_pronunciations import EntityPronunciations, WordPronunciations
from ctcbias_fst.search.intersect import FRAME, search

_ARC = "phone_arc"


@dataclass(frozen=True)
class RescoreConfig:
    """How hypotheses are rescored by their sounds.

    Attributes:
        phone_scale: lambda, the weight of the phone score beside the decoder's.
        cost_scale: kappa, the factor on the costs of less likely pronunciations.
        unlisted_cost: u, nats for a word that neither lexicon nor list knows.
        nbest: so many hypotheses per utterance are rescored.
        blank_threshold: phone frames whose blank is more probable are left out; 1 for none.
        search_beam: nats below the best at which an alignment is given up.
        output_beam: a hypothesis that is so much worse than the best one of its utterance, in
            nats, counts as being just as much worse.
        max_active: states per frame and utterance that the alignment aims to keep.
    """

    phone_scale: float = 0.4
    cost_scale: float = 0.3
    unlisted_cost: float = 10.0
    nbest: int = 30
    blank_threshold: float = 0.99
    search_beam: float = 20.0
    output_beam: float = 30.0
    max_active: int = 2000

    def __post_init__(self) -> None:
        not_negative(self, "phone_scale", "cost_scale", "unlisted_cost")
        positive(self, "search_beam", "output_beam")
        at_least_one(self, "nbest", "max_active")
        at_most(self, MAX_HYPOTHESES, "nbest")
        at_most(self, MAX_STATES, "max_active")
        if not 0.5 < self.blank_threshold <= 1:
            raise ValueError(
                f"blank_threshold must lie above 0.5 and at most 1, found {self.blank_threshold}"
            )


class Unit(NamedTuple):
    """Words of a hypothesis that are pronounced as one.

    Attributes:
        begin, end: which of its words.
        pronunciations: how they may sound; none if nobody knows.
        name: whether they are a name of the list.
        listed: whether lexicon or list knows them.
    """

    begin: int
    end: int
    pronunciations: tuple[Pronunciation, ...]
    name: bool
    listed: bool = True


class Spans(NamedTuple):
    """Where the units of a sequence of each utterance are heard; (N, L) each.

    Attributes:
        begin, end: int64, the first frame of the phone head at which a phone of the unit is, and
            the one after the last; -1 where it has no pronunciation, or its utterance was lost.
        score: float64, the share of these frames in the phone score: what the alignment says of
            them, the cost of the pronunciation included, less what their best phones do.
    """

    begin: torch.Tensor
    end: torch.Tensor
    score: torch.Tensor


class PhoneAligner:
    """Force-aligns hypotheses to the phones of a batch.

    Args:
        config: the settings.
        words: how words sound.
    """

    def __init__(self, config: RescoreConfig, words: WordPronunciations) -> None:
        self.config = config
        self.words = words

    def units(self, hypothesis: Hypothesis, names: EntityPronunciations | None) -> list[Unit]:
        """Part a hypothesis into words and names."""
        units: list[Unit] = []
        words = hypothesis.words
        at = 0
        while at < len(words):
            end = at + 1
            if not words[at].entity or names is None:
                word = words[at].word.lower()
                listed = self.words.is_listed(word)
                units.append(Unit(at, end, self.words.word(word), False, listed))
            else:
                while end < len(words) and words[end].entity:
                    end += 1
                begin = at
                for length, own in names.read([word.word for word in words[at:end]]):
                    units.append(Unit(begin, begin + length, own, True))
                    begin += length
            at = end
        return units

    def best_possible(self, hypothesis: Hypothesis, names: EntityPronunciations | None) -> float:
        """What the hypothesis would score if it sounded exactly like what was heard."""
        unlisted = sum(
            not (word.entity and names is not None) and not self.words.is_listed(word.word.lower())
            for word in hypothesis.words
        )
        config = self.config
        cost = min(config.unlisted_cost * unlisted, config.output_beam)
        return hypothesis.score - config.phone_scale * cost

    def scores(
        self, frames: PhoneFrames, sequences: Sequence[Sequence[Unit]], utterances: Sequence[int]
    ) -> torch.Tensor:
        """The phone scores of sequences of units: float64 (H,), at most 0; see the module.

        One that is lost, or worse than the best of its utterance by ``output_beam``, gets the
        best one's score less that.

        Args:
            frames: of the batch.
            sequences: what is said; any number for an utterance.
            utterances: (H,), whose frames they are aligned to.
        """
        device = frames.log_probs.device
        lattice, same = self._align(frames, sequences, utterances)
        forward = lattice.get_forward_scores(use_double_scores=True, log_semiring=False)
        states = lattice.arcs.row_ids(2).long()
        ends = (lattice.labels == -1).nonzero().flatten()
        hypothesis = getattr(lattice, HYPOTHESIS).long()[ends]
        ends, hypothesis = ends[hypothesis >= 0], hypothesis[hypothesis >= 0]
        total = forward[states[ends]] + lattice.scores.detach().double()[ends]
        found = _largest(hypothesis, total, len(sequences))
        owner = torch.tensor(utterances, dtype=torch.int64, device=device)
        unlisted = [sum(not unit.listed for unit in sequence) for sequence in sequences]
        costs = self.config.unlisted_cost * torch.tensor(unlisted, device=device).double()
        score = found[same] - frames.best[owner] - costs
        # Where nothing was found all are equally bad.
        best = _largest(owner, score, len(frames.ids)).clamp(min=-1e3)
        return score.maximum((best - self.config.output_beam)[owner]).clamp(max=0.0)

    def spans(self, frames: PhoneFrames, sequences: Sequence[Sequence[Unit]]) -> Spans:
        """Where the units of one sequence per utterance are heard, and how well."""
        longest = max((len(sequence) for sequence in sequences), default=0)
        lattice, _ = self._align(frames, sequences, range(len(sequences)))
        setattr(lattice, _ARC, torch.arange(lattice.num_arcs, dtype=torch.int32).to(lattice.device))
        path = k2.shortest_path(lattice, use_double_scores=True)
        arcs = getattr(path, _ARC).long()
        place = getattr(lattice, POSITION).long()[arcs]
        row = path.arcs.row_ids(1).long()[path.arcs.row_ids(2).long()]
        frame = getattr(lattice, FRAME).long()[arcs].clamp(max=frames.log_probs.shape[1] - 1)
        gain = path.scores.detach().double() - frames.log_probs[row, frame].amax(dim=-1)
        gain[path.labels < 0] = 0.0  # the last arc of a path has no frame
        total = gain.cumsum(0)
        spoken = (place >= 0).nonzero().flatten()
        frame = frames.original[row, frame][spoken]
        # A path's frames ascend, and so do the places of its words.
        key = row[spoken] * longest + place[spoken]
        changes = torch.ones(len(key) + 1, dtype=torch.bool, device=key.device)
        changes[1:-1] = key[1:] != key[:-1]
        first, last = changes[:-1].nonzero().flatten(), changes[1:].nonzero().flatten()
        begin = key.new_full((len(sequences), longest), -1)
        end = torch.full_like(begin, -1)
        score = gain.new_zeros(begin.shape)
        begin.view(-1)[key[first]] = frame[first]
        end.view(-1)[key[last]] = frame[last] + 1
        first, last = spoken[first], spoken[last]
        score.view(-1)[(row * longest + place)[first]] = total[last] - total[first] + gain[first]
        return Spans(begin, end, score)

    def _align(
        self, frames: PhoneFrames, sequences: Sequence[Sequence[Unit]], utterances: Sequence[int]
    ) -> tuple[k2.Fsa, torch.Tensor]:
        """The lattice of all utterances, and which hypothesis stands for each."""
        index: dict[tuple[Pronunciation, ...], int] = {}
        rows = [
            [index.setdefault(u.pronunciations, len(index)) for u in units] for units in sequences
        ]
        units = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int64)
        for row, ids in enumerate(rows):
            units[row, : len(ids)] = ids
        graph = phone_graph(
            WordTree.of(units, np.asarray(utterances, dtype=np.int64)),
            PronunciationTable.of(list(index)),
            len(frames.ids),
            cost_scale=self.config.cost_scale,
            device=frames.log_probs.device,
        )
        lattice = search(
            frames.log_probs,
            frames.lengths,
            graph.fsa,
            search_beam=self.config.search_beam,
            output_beam=self.config.output_beam,
            max_active=self.config.max_active,
            ids=frames.ids,
        )
        return lattice, graph.same


def _largest(group: torch.Tensor, value: torch.Tensor, groups: int) -> torch.Tensor:
    """The largest value of each group: (groups,), -inf where it is empty."""
    order = value.sort(stable=True).indices
    order = order[group[order].sort(stable=True).indices]
    end = torch.bincount(group, minlength=groups).cumsum(0)
    count = torch.bincount(group, minlength=groups)
    found = value.new_full((groups,), -torch.inf)
    found[count > 0] = value[order][(end - 1)[count > 0]]
    return found


def rescore(
    transcripts: Sequence[Transcript],
    frames: PhoneFrames,
    aligner: PhoneAligner,
    names: Sequence[EntityPronunciations | None],
    keep: int = 1,
) -> list[Transcript]:
    """Rank the n best of each utterance anew, their phone scores added.

    If only the best is asked for, one hypothesis is aligned first, and all only where another may
    still be better: no phone score is above 0, and what is unlisted is known beforehand.

    Args:
        transcripts: of the decoder, one per utterance.
        frames: of the same utterances.
        aligner: with the settings.
        names: the list of each utterance.
        keep: so many hypotheses of each utterance are returned.

    Returns:
        Transcripts whose hypotheses have their ``phone`` score, and ``score`` with it.
    """
    jobs = [
        _Job(row, hypothesis, aligner.best_possible(hypothesis, names[row]))
        for row, transcript in enumerate(transcripts)
        for hypothesis in transcript.nbest
    ]
    if keep == 1:
        first: dict[int, _Job] = {}
        for job in jobs:
            if job.row not in first or job.bound > first[job.row].bound:
                first[job.row] = job
        done = _rescored(list(first.values()), frames, aligner, names)
        best = {row: hypothesis.score for row, hypothesis in done}
        open_rows = {
            job.row for job in jobs if job is not first[job.row] and job.bound > best[job.row]
        }
        # Together with the first, as scores are limited by the best of those that are aligned.
        done = [(row, hypothesis) for row, hypothesis in done if row not in open_rows]
        done += _rescored([job for job in jobs if job.row in open_rows], frames, aligner, names)
    else:
        done = _rescored(jobs, frames, aligner, names)
    results = list(transcripts)
    for row, several in _by_row(done).items():
        several.sort(key=lambda hypothesis: -hypothesis.score)
        results[row] = replace(results[row], best=several[0], nbest=tuple(several[:keep]))
    return results


class _Job(NamedTuple):
    """A hypothesis of utterance ``row``, and a score that it cannot surpass."""

    row: int
    hypothesis: Hypothesis
    bound: float


def _rescored(
    jobs: Sequence[_Job],
    frames: PhoneFrames,
    aligner: PhoneAligner,
    names: Sequence[EntityPronunciations | None],
) -> list[tuple[int, Hypothesis]]:
    if not jobs:
        return []
    sequences = [aligner.units(job.hypothesis, names[job.row]) for job in jobs]
    phones = aligner.scores(frames, sequences, [job.row for job in jobs]).tolist()
    scale = aligner.config.phone_scale
    done = []
    for job, phone in zip(jobs, phones):
        share, score = scale * phone, job.hypothesis.score
        rescored = replace(job.hypothesis, phone=phone, phone_share=share, score=score + share)
        done.append((job.row, rescored))
    return done


def _by_row(done: Sequence[tuple[int, Hypothesis]]) -> dict[int, list[Hypothesis]]:
    rows: dict[int, list[Hypothesis]] = {}
    for row, hypothesis in done:
        rows.setdefault(row, []).append(hypothesis)
    return rows
