"""Best path of CTC log-probs without any graph."""

from __future__ import annotations

from torch import Tensor


def greedy_tokens(log_probs: Tensor, lengths: Tensor) -> list[list[int]]:
    """Best column of every frame, repeats merged, blanks removed (Graves et al. 2006).

    Args:
        log_probs: ``(batch, frame, token)``, blank in column 0.
        lengths: valid frames per utterance ``(batch,)``.
    """
    best = log_probs.argmax(dim=-1).cpu()
    sequences = []
    for row, length in zip(best, lengths.tolist()):
        merged = row[:length].unique_consecutive()
        sequences.append(merged[merged != 0].tolist())
    return sequences
