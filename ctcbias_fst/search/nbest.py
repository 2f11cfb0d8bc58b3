"""The n best readings of each utterance, exactly: no sampling.

A lattice has the same words on many paths: their subwords may begin at other frames, be
cut in another way, or belong to an entity on one path and not on another. What is asked
for are the n best *texts*, each with its best path. So each state keeps the n best texts
that lead to it, each with the best of its paths; that is exact, since what follows a state
does not depend on how it was reached, and two texts that differ stay different whatever
follows. A text is represented by a 64-bit hash that can be extended piece by piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ctcbias_fst.search.lattice import Lattice, Paths
from ctcbias_fst.search.text_hashes import text_hashes
from ctcbias_fst.text.vocabulary import Vocabulary

_LEAST = torch.finfo(torch.float64).min
_MANY, _LARGE = 3_000, 5_000_000
"""Texts of all arcs, of a frame or of a lattice, that are worth being looked through first."""
_NEAR = 2.0
"""Nats."""


@dataclass(frozen=True)
class TextHashes:
    """How each token of a blank-first vocabulary changes the hash of a text.

    Attributes:
        factor, summand: int64 (2, V), of the token after something, and at a word's start.
        vocabulary: which writes names as it can.
    """

    factor: torch.Tensor
    summand: torch.Tensor
    vocabulary: Vocabulary

    @classmethod
    def of(cls, vocabulary: Vocabulary, device: torch.device | str) -> TextHashes:
        """The hashes of what the tokens write. A word has a space before it."""
        marked = vocabulary.starts_word.tolist()
        inside = [" " * mark + text for mark, text in zip(marked, vocabulary.surfaces)]
        starting = [" " * (not mark) + text for mark, text in zip(marked, inside)]
        if vocabulary.separator_id is not None:
            starting[vocabulary.separator_id] = ""
        hashes = torch.from_numpy(np.stack([text_hashes(inside), text_hashes(starting)])).to(device)
        return cls(hashes[..., 0], hashes[..., 1], vocabulary)

    def of_arcs(self, lattice: Lattice) -> tuple[torch.Tensor, torch.Tensor]:
        """(factor, summand) of every arc; an entity writes its name with its last token."""
        aux, size = lattice.aux, lattice.graph.vocabulary_size
        plain = lattice.plain
        token = torch.where(plain, aux, torch.zeros_like(aux))
        starts = lattice.starts_word
        factor = torch.where(plain, self.factor[starts, token], torch.ones_like(aux))
        summand = torch.where(plain, self.summand[starts, token], torch.zeros_like(aux))
        complete = (aux >= size).nonzero().flatten()
        entity, of_arc = torch.unique(aux[complete] - size, return_inverse=True)
        names = [lattice.graph.entities[at].name for at in entity.tolist()]
        if names:
            written = text_hashes([" " + self.vocabulary.writing(name) for name in names])
            of_name = torch.from_numpy(written).to(aux.device)
            factor[complete], summand[complete] = of_name[of_arc].unbind(-1)
        return factor, summand


@dataclass(frozen=True)
class _Best:
    """The best texts that lead to each state, best first: (states, n) each.

    ``score`` is -inf where there are fewer; ``arc`` and ``slot`` say where from.
    """

    score: torch.Tensor
    text: torch.Tensor
    arc: torch.Tensor
    slot: torch.Tensor


def n_best_paths(lattice: Lattice, n: int, hashes: TextHashes) -> Paths:
    """The best path of each of the n best texts of every utterance (tropical semiring).

    Args:
        lattice: the lattice.
        n: texts per utterance, at most.
        hashes: of the vocabulary.
    """
    best = _best_texts(lattice, n, hashes)
    last_state = lattice.first_state[1:] - 1
    utterance, slot = ((best.score[last_state] > -torch.inf) & lattice.found[:, None]).nonzero(
        as_tuple=True
    )
    score = best.score[last_state[utterance], slot] + lattice.skipped_frame_score[utterance]
    final = lattice.label < 0
    length = torch.zeros(lattice.size, dtype=torch.int64, device=score.device)
    length[lattice.utterance[final]] = lattice.frame[final] + 1
    length = length[utterance]

    first_arc = torch.cat([length.new_zeros(1), length.cumsum(0)])
    arcs = torch.zeros(int(length.sum()), dtype=torch.int64, device=score.device)
    state, position = last_state[utterance], first_arc[1:] - 1
    open_path = torch.arange(len(utterance), device=score.device)
    while len(open_path):
        arc = best.arc[state, slot]
        arcs[position] = arc
        slot, state = best.slot[state, slot], lattice.source[arc]
        goes_on = position > first_arc[open_path]
        open_path, state, slot = open_path[goes_on], state[goes_on], slot[goes_on]
        position = position[goes_on] - 1
    return Paths(utterance, arcs, first_arc, score)


def _best_texts(lattice: Lattice, n: int, hashes: TextHashes) -> _Best:
    """Fill the states; of a large lattice only with what is near the best path, if that will do.

    Noise has millions of texts that hardly differ in their scores. If there are n that score less
    than the best path by no more than `_NEAR`, the n best are among these.
    """
    # A row at least: utterances that were lost may have no states, and are asked for their last.
    states = max(1, int(lattice.first_state[-1]))
    enough = lattice.score.new_full((states,), _LEAST)
    if len(lattice.frame) * n <= _LARGE:
        return _forward(lattice, n, hashes, enough)
    backward = lattice.fsa.get_backward_scores(use_double_scores=True, log_semiring=False)
    begin, end = lattice.first_state[:-1], lattice.first_state[1:]
    of_state = torch.repeat_interleave(end - begin)
    near = backward[begin.clamp(max=states - 1)][of_state] - _NEAR - backward
    best = _forward(lattice, n, hashes, near)
    few = lattice.found & (best.score[end - 1, -1] < near[end - 1])
    if not few.any():
        return best
    return _forward(lattice, n, hashes, torch.where(few[of_state], enough, near))


def _forward(lattice: Lattice, n: int, hashes: TextHashes, enough: torch.Tensor) -> _Best:
    """Fill the states frame by frame, all utterances together.

    Args:
        lattice: the lattice.
        n: texts to keep.
        hashes: of the vocabulary.
        enough: float64 (states,), what is worth keeping there scores as much, and more than -inf.
    """
    states, device, enough = len(enough), enough.device, enough.clone()
    best = _Best(
        score=torch.full((states, n), -torch.inf, dtype=torch.float64, device=device),
        text=torch.zeros(states, n, dtype=torch.int64, device=device),
        arc=torch.full((states, n), -1, dtype=torch.int64, device=device),
        slot=torch.zeros(states, n, dtype=torch.int64, device=device),
    )
    best.score[lattice.first_state[:-1][lattice.found], 0] = 0.0
    if not len(lattice.frame):
        return best
    factor, summand = hashes.of_arcs(lattice)
    entering = torch.bincount(lattice.target, minlength=states)
    single = entering[lattice.target] == 1
    # Of equal scores that of the last arc counts, as it does for k2's best path.
    steps = (lattice.frame * 2 + (~single).long()).flip(0)
    order = len(steps) - 1 - steps.sort(stable=True).indices
    slots = torch.arange(n, device=device).expand(len(order), n)
    per_step = torch.bincount(lattice.frame * 2 + (~single).long()).tolist()
    begin = 0
    for step, count in enumerate(per_step):
        arcs = order[begin : begin + count]
        begin += count
        if not count:
            continue
        source, target = lattice.source[arcs], lattice.target[arcs]
        many = count * n > _MANY
        if many:
            if step % 2:
                # The n texts of an arc are n different ones: less than all of them is no use.
                last = best.score[source, -1] + lattice.score[arcs]
                enough.scatter_reduce_(0, target, last, "amax")
            some = best.score[source, 0] + lattice.score[arcs] >= enough[target]
            arcs, source, target = arcs[some], source[some], target[some]
        score = best.score[source] + lattice.score[arcs, None]
        if step % 2 == 0:  # the only arc into its state: what was best stays best
            best.score[target] = score
            best.text[target] = best.text[source] * factor[arcs, None] + summand[arcs, None]
            best.arc[target] = arcs[:, None].expand(-1, n)
            best.slot[target] = slots[: len(arcs)]
            continue
        row, slot = (score >= (enough[target, None] if many else _LEAST)).nonzero(as_tuple=True)
        text = best.text[source[row], slot] * factor[arcs[row]] + summand[arcs[row]]
        kept, rank = _best_distinct(target[row], score[row, slot], text, n)
        row, slot = row[kept], slot[kept]
        at = (target[row], rank)
        best.score[at], best.text[at] = score[row, slot], text[kept]
        best.arc[at], best.slot[at] = arcs[row], slot
    return best


def _best_distinct(
    state: torch.Tensor, score: torch.Tensor, text: torch.Tensor, n: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The n best distinct texts of each state: which elements, and their ranks from 0."""
    by_score = score.sort(descending=True, stable=True).indices
    key = (text * 0x2545F4914F6CDD1D + state * 0x369DEA0F31A53F85)[by_score]
    key, order = key.sort(stable=True)
    new = torch.ones_like(key, dtype=torch.bool)
    new[1:] = key[1:] != key[:-1]
    distinct = torch.zeros_like(new)
    distinct[order[new]] = True
    kept = by_score[distinct]  # still by score
    state, order = state[kept].sort(stable=True)
    kept = kept[order]
    first = torch.searchsorted(state, state)
    rank = torch.arange(len(state), device=state.device) - first
    return kept[rank < n], rank[rank < n]
