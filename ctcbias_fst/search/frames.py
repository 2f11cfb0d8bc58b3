"""Leaving out frames that are surely blank, without changing what can be read.

At such a frame every path takes blank, at the same score. So a run of them is needed only
where it separates equal tokens, that is if some token may be taken both at the frame
before and at the frame after it; then one frame stands for the run, with the scores of all
its blanks. Any other run is left out, and its scores are added to every path
alike (``skipped_frame_score``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from ctcbias_fst.graph.candidates import Candidates


@dataclass(frozen=True)
class Frames:
    """The frames to search.

    Attributes:
        candidates: what may be taken, with the new frame numbers.
        blank: float32 (N, T), the log-probs of blank at the new frames.
        lengths: int64 (N,), new frames per utterance, at least 1 each.
        original: int64 (N, T), which old frame a new one is; for a run, its first.
        skipped_frame_score: float64 (N,), log-probs of what was left out, part of every path's
            score.
    """

    candidates: Candidates
    blank: torch.Tensor
    lengths: torch.Tensor
    original: torch.Tensor
    skipped_frame_score: torch.Tensor


def without_idle_frames(
    candidates: Candidates, blank: torch.Tensor, lengths: torch.Tensor, idle: torch.Tensor
) -> Frames:
    """Leave out runs of surely blank frames, or shorten them to one frame.

    An utterance of which nothing would be left keeps one frame, on which only blank may be
    taken; so does one that has no frames, at score 0.

    Args:
        candidates: none of them at an idle frame.
        blank: float32 (N, T), the log-probs of blank.
        lengths: int64 (N,) on the same device.
        idle: bool (N, T), frames that are surely blank.
    """
    size, num_frames = blank.shape
    device = blank.device
    inside = torch.arange(num_frames, device=device) < lengths[:, None]
    # kept[u, t + 1] is about frame t; slot 0 is there for utterances that keep nothing.
    kept = torch.cat([lengths.new_zeros(size, 1, dtype=torch.bool), inside & ~idle], dim=1)
    silent = torch.where(inside & idle, blank, torch.zeros_like(blank)).double()
    # before[u, t]: the scores of all idle frames before frame t.
    before = torch.cat([silent.new_zeros(size, 1), silent.cumsum(1)], dim=1)
    value = torch.cat([blank.new_zeros(size, 1), blank], dim=1)
    skipped_frame_score = before[:, -1].clone()

    nothing = (~kept.any(dim=1)).nonzero().flatten()
    kept[nothing, 0] = True
    value[nothing, 0] = skipped_frame_score[nothing].float()
    skipped_frame_score[nothing] = 0.0

    utterance, first, last = _separating_runs(candidates, kept[:, 1:])
    run = before[utterance, last + 1] - before[utterance, first]
    kept[utterance, first + 1] = True
    value[utterance, first + 1] = run.float()
    skipped_frame_score.index_add_(0, utterance, -run)

    new_lengths = kept.sum(dim=1)
    number = kept.long().cumsum(1) - 1
    row, slot = kept.nonzero(as_tuple=True)
    new_blank = blank.new_zeros(size, int(new_lengths.max()))
    original = torch.zeros_like(new_blank, dtype=torch.int64)
    at = (row, number[row, slot])
    new_blank[at] = value[row, slot]
    original[at] = (slot - 1).clamp(min=0)
    return Frames(
        candidates=replace(
            candidates,
            frame=number[candidates.utterance, candidates.frame + 1],
            shape=(size, new_blank.shape[1], candidates.shape[2]),
        ),
        blank=new_blank,
        lengths=new_lengths,
        original=original,
        skipped_frame_score=skipped_frame_score,
    )


def _separating_runs(
    candidates: Candidates, kept: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The runs of left-out frames with the same candidate on both sides.

    Returns their utterances, first and last frames.
    """
    size, num_frames = kept.shape
    number = kept.long().cumsum(1)
    row, frame = kept.nonzero(as_tuple=True)
    # Kept frame k of an utterance has number k + 1; tokens are joined by k.
    stride = num_frames + 2
    key = (candidates.utterance * stride + number[candidates.utterance, candidates.frame]) * (
        candidates.shape[2]
    ) + candidates.token
    after = key + candidates.shape[2]
    sentinel = key.new_full((1,), -1)
    keys = torch.cat([key.sort().values, sentinel])
    again = keys[torch.searchsorted(keys[:-1], after)] == after
    shared = torch.zeros(size, stride, dtype=torch.bool, device=kept.device)
    shared[
        candidates.utterance[again], number[candidates.utterance[again], candidates.frame[again]]
    ] = True
    follows = (row[1:] == row[:-1]) & (frame[1:] > frame[:-1] + 1)
    follows &= shared[row[:-1], number[row[:-1], frame[:-1]]]
    pair = follows.nonzero().flatten()
    return row[pair], frame[pair] + 1, frame[pair + 1] - 1
