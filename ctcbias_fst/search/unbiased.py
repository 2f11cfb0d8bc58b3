"""Where no name of the list is written, the list has no part in the log-probs.

A contextual adapter biases the log-probs towards names that it hears. Where it was wrong, the
search writes no name there, and yet other words than the model would: the adapter made them a
little more like one. So the biased log-probs count around the names that are written, and the
model's own everywhere else; what this changes is decoded again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from ctcbias_fst.records import LogProbs, Transcript

_CHANGE = 0.1
"""A change of a probability that is worth decoding again, or any of the best token."""


def unbiased_elsewhere(
    log_probs: LogProbs,
    transcripts: Sequence[Transcript],
    margin: float,
) -> tuple[LogProbs, list[int]]:
    """Take the list out of the log-probs wherever no name is written.

    Args:
        log_probs: biased by a list, with those that are not, on any device.
        transcripts: of its utterances, in their order, with the times of tokens.
        margin: seconds before and after a name that stay as they are.

    Returns:
        the log-probs, and the utterances that have to be decoded again, ascending; all others are
        as they were.
    """
    plain, biased = log_probs.unbiased, log_probs.log_probs
    if plain is None:
        return log_probs, []
    named = torch.zeros(biased.shape[:2], dtype=torch.bool)
    for row, transcript in enumerate(transcripts):
        for word in transcript.best.words:
            if not word.entity:
                continue
            begin = max(0, math.floor((word.start - margin) / log_probs.frame_seconds))
            named[row, begin : math.ceil((word.end + margin) / log_probs.frame_seconds)] = True
    inside = torch.arange(biased.shape[1]) < log_probs.lengths[:, None]
    elsewhere = (inside & ~named).to(biased.device)
    change = (biased.exp() - plain.exp()).abs().amax(dim=-1) > _CHANGE
    change |= biased.argmax(dim=-1) != plain.argmax(dim=-1)
    rows = (change & elsewhere).any(dim=1)
    again = rows.nonzero().flatten().tolist()
    if not again:
        return log_probs, []
    mixed = torch.where((elsewhere & rows[:, None])[:, :, None], plain, biased)
    return replace(log_probs, log_probs=mixed), again
