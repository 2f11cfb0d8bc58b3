"""The plain tokens that an utterance can take, and which of them can be neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ctcbias_fst.graph.candidates import Candidates
from ctcbias_fst.graph.labels import PLAIN, LabelTable
from ctcbias_fst.graph.vectors import expand


@dataclass(frozen=True)
class TokenSuccessors:
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
    def of(cls, candidates: Candidates, columns: LabelTable) -> TokenSuccessors:
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
