"""Which names can be in an utterance, by the subwords that are heard in it.

A coarse look that takes no time: whether the subwords of a name come up at all, in whatever
order. It finds other names than a look by sound (:mod:`ctcbias_fst.shortlist.phone_index`) does:
those whose pronunciation nobody guesses from their letters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from ctcbias_fst.text.encoded_entities import EncodedEntities

FLOOR = -10.0
"""Log-probs below count as this: what is that unlikely is equally absent."""


def floored_log_probs(log_probs: Tensor, lengths: Tensor) -> Tensor:
    """Log-probs ``(batch, frame, token)`` down to :data:`FLOOR`, with silence behind the end."""
    heard = log_probs.detach().float().clamp_min(FLOOR)
    frames = torch.arange(heard.shape[1], device=heard.device)
    return heard.masked_fill((frames >= lengths.to(heard.device)[:, None])[:, :, None], FLOOR)


@dataclass(frozen=True, eq=False)
class SubwordIndex:
    """The subwords of a list of names, ready to be looked for.

    Attributes:
        tokens: ``(subword,)`` int64 of all spellings, one after another.
        begin: ``(spelling,)`` int64: where each begins in ``tokens``.
        counts: ``(spelling,)`` int64: subwords of each, at least one.
    """

    tokens: Tensor
    begin: Tensor
    counts: Tensor

    @classmethod
    def of(cls, entities: EncodedEntities, device: torch.device | str = "cpu") -> SubwordIndex:
        """Take the rows of a list."""
        tokens = torch.from_numpy(entities.values.astype(np.int64))
        begin = torch.from_numpy(entities.row_splits[:-1].astype(np.int64))
        counts = torch.from_numpy(np.diff(entities.row_splits))
        return cls(tokens.to(device), begin.to(device), counts.to(device))

    def presence(self, log_probs: Tensor, lengths: Tensor) -> Tensor:
        """How well each spelling could be somewhere in each utterance, by its subwords alone.

        Args:
            log_probs: ``(batch, frame, token)``.
            lengths: ``(batch,)`` frames.

        Returns:
            ``(batch, spelling)``: mean over the subwords of their best log-prob at any frame.
        """
        if not log_probs.shape[1]:
            return log_probs.new_full((len(log_probs), len(self.counts)), FLOOR)
        best = floored_log_probs(log_probs, lengths).amax(dim=1)
        # A spelling is a bag of subwords, what was heard of a subword its embedding.
        total: Tensor = embedding_bag(self.tokens, best.t().contiguous(), self.begin, mode="sum")
        return (total / self.counts[:, None]).t()

    def likeliest(self, log_probs: Tensor, lengths: Tensor, most: int) -> Tensor:
        """The spellings with the most presence, likeliest first: ``(batch, at most most)``."""
        found = self.presence(log_probs, lengths)
        best: Tensor = found.topk(min(most, found.shape[1]), dim=1).indices
        return best
