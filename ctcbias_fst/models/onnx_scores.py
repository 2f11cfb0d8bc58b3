"""What ONNX models give, made natural log-probs: log-probs, probabilities or logits."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.arrays import are_probabilities, is_one, sum_of_probabilities
from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.onnx_session import Array

_LEAST = 1e-30
"""Of probabilities, before their logarithm."""


class Scores(Enum):
    """What rows of scores are."""

    LOGITS = "logits"
    LOG_PROBS = "log-probs"
    PROBS = "probabilities"


def kind_of(rows: Array, path: Path) -> Scores:
    """What a model gives, by whether its rows ``(frame, token)`` sum to one.

    Raises:
        ModelError: there are none, or none that are finite.
    """
    if not len(rows) or not np.isfinite(rows).any():
        raise ModelError(f"{path}: gave no frames, or no finite scores, for a second of noise")
    values = torch.from_numpy(rows)
    if bool(is_one(sum_of_probabilities(values)).all()):
        return Scores.LOG_PROBS
    if are_probabilities(values):
        return Scores.PROBS
    return Scores.LOGITS


def log_probs_of(rows: Array, kind: Scores) -> Tensor:
    """Natural log-probs of rows of scores ``(frame, token)``."""
    values = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))
    if kind is Scores.LOGITS:
        return values.log_softmax(dim=-1)
    return values.clamp_min(_LEAST).log() if kind is Scores.PROBS else values
