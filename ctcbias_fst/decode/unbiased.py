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

from ctcbias_fst.records import LogProbs, Transcript, Word
from ctcbias_fst.text.phrases import PhraseMatcher

__all__ = ["unbiased_elsewhere"]

_CHANGE = 0.1
"""A change of a probability that is worth decoding again, or any of the best token."""


def unbiased_elsewhere(
    log_probs: LogProbs,
    transcripts: Sequence[Transcript],
    margin: float,
    matchers: Sequence[PhraseMatcher | None] = (),
) -> tuple[LogProbs, list[int]]:
    """Take the list out of the log-probs wherever no name is written.

    Args:
      log_probs: biased by a list, with those that are not, on any device.
      transcripts: of its utterances, in their order, with the times of tokens.
      margin: seconds before and after a name that stay as they are.
      matchers: of the utterances whose names the search does not mark.

    Returns:
      the log-probs, and the utterances that have to be decoded again, ascending; all others are as
      they were.
    """
    plain = log_probs.unbiased
    if plain is None:
        return log_probs, []
    changed: dict[int, torch.Tensor] = {}
    for row, transcript in enumerate(transcripts):
        length = int(log_probs.lengths[row])
        biased = log_probs.log_probs[row, :length]
        words = _named(transcript, matchers[row] if matchers else None)
        named = _frames(words, length, log_probs.frame_seconds, margin)
        mixed = torch.where(named.to(biased.device)[:, None], biased, plain[row, :length])
        if _differ(biased, mixed):
            changed[row] = mixed
    if not changed:
        return log_probs, []
    values = log_probs.log_probs.clone()
    for row, mixed in changed.items():
        values[row, : len(mixed)] = mixed
    return replace(log_probs, log_probs=values), list(changed)


def _named(transcript: Transcript, matcher: PhraseMatcher | None) -> list[Word]:
    """The words of names in the best hypothesis."""
    words = transcript.best.words
    if matcher is None:
        return [word for word in words if word.entity]
    found = matcher.occurrences([word.word for word in words])
    return [word for one in found for word in words[one.start : one.end]]


def _frames(
    words: Sequence[Word], length: int, frame_seconds: float, margin: float
) -> torch.Tensor:
    """bool (length,), whether one of the words is at a frame, or near."""
    near = torch.zeros(length, dtype=torch.bool)
    for word in words:
        begin = max(0, math.floor((word.start - margin) / frame_seconds))
        near[begin : math.ceil((word.end + margin) / frame_seconds)] = True
    return near


def _differ(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether log-probs (T, V) may be read otherwise."""
    if torch.equal(one, other):
        return False
    change = (one.exp() - other.exp()).abs().max() > _CHANGE
    return bool(change | (one.argmax(dim=-1) != other.argmax(dim=-1)).any())
