"""Forced alignment of a batch to CTC log-probs, on any device, without a graph."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

BLANK_FRAME = -1
"""Marks a frame that emits the blank, or lies behind the end."""


def forced_alignment(
    log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor
) -> tuple[Tensor, Tensor]:
    """Best CTC path of every utterance through its targets (Viterbi over Graves' trellis).

    Args:
        log_probs: ``(batch, frame, token)``, blank 0.
        lengths: frames ``(batch,)``.
        targets: all utterances' tokens, one after another, none of them blank.
        target_lengths: ``(batch,)``.

    Returns:
        positions ``(batch, frame)`` int64: which target a frame emits, counted within the
        utterance, or :data:`BLANK_FRAME`; and scores ``(batch,)``: the paths' log-probs,
        ``-inf`` where the utterance is too short for its targets (all frames blank then).
    """
    device = log_probs.device
    batch, frames, _ = log_probs.shape
    lengths, counts = lengths.to(device), target_lengths.to(device)
    labels = pad_sequence(list(targets.to(device).split(target_lengths.tolist())), batch_first=True)
    states = 2 * labels.shape[1] + 1
    extended = labels.new_zeros((batch, states))
    extended[:, 1::2] = labels
    skip = torch.zeros_like(extended, dtype=torch.bool)
    skip[:, 3::2] = extended[:, 3::2] != extended[:, 1:-2:2]
    emissions = log_probs.gather(2, extended[:, None, :].expand(-1, frames, -1))
    never = torch.full((batch, states), -torch.inf, device=device)
    score = never.clone()
    if frames:
        score[:, :2] = emissions[:, 0, :2]
    back = torch.zeros((batch, frames, states), dtype=torch.int8, device=device)
    for frame in range(1, frames):
        step = torch.cat((never[:, :1], score[:, :-1]), dim=1)
        jump = torch.cat((never[:, :2], score[:, :-2]), dim=1).masked_fill(~skip, -torch.inf)
        best, moved = torch.stack((score, step, jump)).max(dim=0)
        inside = (frame < lengths)[:, None]
        back[:, frame] = torch.where(inside, moved, torch.zeros_like(moved)).to(torch.int8)
        score = torch.where(inside, best + emissions[:, frame], score)
    rows = torch.arange(batch, device=device)
    last = 2 * counts
    ends = torch.stack((score[rows, last], score[rows, (last - 1).clamp(min=0)]))
    total, which = ends.max(dim=0)
    empty = lengths == 0
    total = torch.where(empty, torch.where(counts == 0, 0.0, -torch.inf).to(total), total)
    state = last - which
    positions = torch.full((batch, frames), BLANK_FRAME, dtype=torch.int64, device=device)
    for frame in range(frames - 1, -1, -1):
        emits = (state % 2 == 1) & (frame < lengths) & torch.isfinite(total)
        positions[:, frame] = torch.where(emits, state // 2, BLANK_FRAME)
        state = state - back[rows, frame, state].to(state.dtype)
    return positions, total
