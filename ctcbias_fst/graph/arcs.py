"""Arcs of a graph as they are collected, and the graph of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ctcbias_fst.graph.vectors import assemble
from ctcbias_fst.graph.word_rules import OPEN_END, STARTS_WORD
from ctcbias_fst.k2_import import k2


class Arcs(NamedTuple):
    """Arcs of one kind, or of all.

    Attributes:
        source, target: int64 (A,), states.
        label: int64 (A,), -1 on arcs to a final state.
        aux: int32 (A,).
        score: float32 (A,).
        starts_word: bool (A,), whether a word begins with the arc.
        open_end: bool (A,), whether it ends a name that may go on behind the last frame.
    """

    source: torch.Tensor
    target: torch.Tensor
    label: torch.Tensor
    aux: torch.Tensor
    score: torch.Tensor
    starts_word: torch.Tensor
    open_end: torch.Tensor

    @classmethod
    def of(
        cls,
        source: torch.Tensor,
        target: torch.Tensor,
        label: torch.Tensor | int,
        *,
        aux: torch.Tensor | int = 0,
        score: torch.Tensor | float = 0.0,
        starts_word: torch.Tensor | bool = False,
        open_end: bool = False,
    ) -> Arcs:
        """Arcs from ``source[i]`` to ``target[i]``; the rest per arc, or one for all."""

        def per_arc(value: torch.Tensor | float, dtype: torch.dtype) -> torch.Tensor:
            given = torch.as_tensor(value, dtype=dtype, device=source.device)
            return given.expand(len(source))

        return cls(
            source,
            target,
            per_arc(label, torch.int64),
            per_arc(aux, torch.int32),
            per_arc(score, torch.float32),
            per_arc(starts_word, torch.bool),
            per_arc(open_end, torch.bool),
        )

    @classmethod
    def joined(cls, parts: Sequence[Arcs]) -> Arcs:
        """All of several, in their order."""
        return cls(*map(torch.cat, zip(*parts)))

    def graph(self, owner: torch.Tensor, size: int = 1) -> k2.Fsa:
        """The graph of each utterance, see :func:`ctcbias_fst.graph.vectors.assemble`.

        Args:
            owner: int64 (S,), the utterance of each state.
            size: how many utterances there are.
        """
        fsa, order = assemble(owner, self.source, self.target, self.label, self.score, size=size)
        fsa.aux_labels = self.aux[order]
        for name, mark in ((STARTS_WORD, self.starts_word), (OPEN_END, self.open_end)):
            if bool(mark.any()):
                setattr(fsa, name, mark[order].int())
        return fsa
