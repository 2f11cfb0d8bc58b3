"""Which tokens may be taken at which frame of which utterance."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Candidates:
    """Every (utterance, frame, token) that may be taken, by utterance and frame.

    Attributes:
        utterance, frame, token: int64 (M,); token is a column of the log-probs, never 0.
        score: float32 (M,), the log-prob.
        gap: float32 (M,), to the frame's best, blank included; 0 or more.
        entry, boosted: bool (M,): may it be the first token of an entity, or a later one?
        shape: (N, T, V) of the log-probs.
    """

    utterance: torch.Tensor
    frame: torch.Tensor
    token: torch.Tensor
    score: torch.Tensor
    gap: torch.Tensor
    entry: torch.Tensor
    boosted: torch.Tensor
    shape: tuple[int, int, int]
