"""What a first pass with a language model found, as a lattice of the graph without the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch

from ctcbias_fst.fst.columns import PLAIN, Block, Columns
from ctcbias_fst.fst.decoding import DecodingGraph
from ctcbias_fst.fst.vectors import fsa_vec
from ctcbias_fst.fst.word_rules import STARTS_WORD
from ctcbias_fst.k2_import import k2
from ctcbias_fst.search.frames import Frames
from ctcbias_fst.search.intersect import FRAME
from ctcbias_fst.search.lattice import Lattice

__all__ = ["Edges"]

_EDGE = "edge"


@dataclass(frozen=True)
class Edges:
    """Arcs of the decoding graph at frames of utterances, each once: (E,) each.

    ``before`` and ``after`` are places, -1 after arcs to the final state; ``base`` is the graph's
    score.
    """

    utterance: torch.Tensor
    frame: torch.Tensor
    before: torch.Tensor
    after: torch.Tensor
    label: torch.Tensor
    aux: torch.Tensor
    base: torch.Tensor

    @classmethod
    def joined(cls, parts: Sequence[Edges]) -> Edges:
        if len(parts) == 1:
            return parts[0]
        return cls(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def lattice(
        self, frames: Frames, scores: torch.Tensor, columns: Columns, graph: DecodingGraph
    ) -> Lattice:
        """The paths that they make up.

        Args:
          frames: that were searched.
          scores: float32 (N, T, C), by column.
          columns: all of them; the lattice has those that it needs.
          graph: what the lattice came from, but for the columns.
        """
        label = self.label.clamp(min=0)
        used = torch.zeros(len(columns), dtype=torch.bool, device=label.device)
        used[0] = True
        used[label] = True
        plain = columns.lookup(PLAIN, 1.0, graph.vocabulary_size)
        used[plain[columns.token[label]]] = True
        number = used.cumsum(0) - 1
        blocks, first = [], 1
        for block in columns.blocks:
            tokens = block.tokens[used[block.first : block.first + len(block.tokens)]]
            blocks.append(Block(block.kind, block.weight, first, tokens))
            first += len(tokens)
        score = scores[self.utterance, self.frame.clamp(max=scores.shape[1] - 1), label]
        score = torch.where(self.label < 0, torch.zeros_like(score), score) + self.base
        fsa, edge = self._fsa(scores.shape[0], scores.shape[1], score)
        fsa.aux_labels = self.aux[edge].int()
        fsa.labels = torch.where(self.label < 0, self.label, number[label])[edge].int()
        setattr(fsa, FRAME, self.frame[edge].int())
        if graph.separator is not None:
            at_start = (self.before == graph.vocabulary_size) | (self.before == graph.separator)
            starts = at_start & (self.aux > 0) & (self.aux < graph.vocabulary_size)
            setattr(fsa, STARTS_WORD, starts[edge].int())
        graph = replace(graph, columns=Columns(tuple(blocks)))
        return Lattice(fsa, graph, frames.original, frames.owed, scores[:, :, used])

    def _fsa(self, size: int, num_frames: int, score: torch.Tensor) -> tuple[k2.Fsa, torch.Tensor]:
        """An FsaVec without dead ends, and which edge each of its arcs is."""
        device = score.device
        places = int(torch.cat([self.before, self.after]).max()) + 2 if len(score) else 2
        last = places - 1
        stride = num_frames + 2
        utterances = torch.arange(size, device=device)
        source = (self.utterance * stride + self.frame) * places + self.before
        ended = self.after < 0
        when = torch.where(ended, torch.full_like(self.frame, num_frames + 1), self.frame + 1)
        after = torch.where(ended, torch.full_like(self.after, last), self.after)
        target = (self.utterance * stride + when) * places + after
        final = (utterances * stride + num_frames + 1) * places + last
        begin = utterances.new_zeros(0)
        if len(score):
            # Whatever is read first is read from the same place.
            at = self.before[self.frame == 0][:1].clone()
            begin = utterances * stride * places + at
        state, node = torch.unique(torch.cat([source, target, final, begin]), return_inverse=True)
        source, target = node[: len(score)], node[len(score) : 2 * len(score)]
        owner = state // (stride * places)
        num_states = torch.bincount(owner, minlength=size)
        first = num_states.cumsum(0) - num_states
        order = (source * (len(state) + 1) + target).sort(stable=True).indices
        utterance = self.utterance[order]
        arcs = torch.stack(
            [
                (source[order] - first[utterance]).int(),
                (target[order] - first[utterance]).int(),
                self.label[order].int(),
                score[order].view(torch.int32),
            ],
            dim=1,
        )
        fsa = fsa_vec(arcs, num_states, torch.bincount(utterance, minlength=size))
        setattr(fsa, _EDGE, order.int())
        fsa = k2.connect(fsa)
        edge = getattr(fsa, _EDGE).long()
        delattr(fsa, _EDGE)
        return fsa, edge
