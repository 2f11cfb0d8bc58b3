"""Utterances of different lengths as one batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.vocabulary import Vocabulary


def stack(
    arrays: Sequence[torch.Tensor],
    ids: Sequence[str],
    vocabulary: Vocabulary,
    frame_seconds: float,
) -> LogProbs:
    """Utterances of different lengths, (T, V) each, as one padded batch."""
    return LogProbs(
        log_probs=torch.nn.utils.rnn.pad_sequence(list(arrays), batch_first=True),
        lengths=torch.tensor([len(array) for array in arrays], dtype=torch.int64),
        frame_seconds=frame_seconds,
        ids=tuple(ids),
        vocabulary=vocabulary,
    )
