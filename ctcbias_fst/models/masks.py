"""What a frame sees: masks over utterances and chunks, and what a stream keeps of before."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


def padding_mask(lengths: Tensor, frames: int, device: torch.device) -> Tensor:
    """True where a frame belongs to its utterance: ``(batch, frames)`` from ``(batch,)``."""
    return torch.arange(frames, device=device)[None, :] < lengths.to(device)[:, None]


def chunk_mask(frames: int, size: int, left: int, device: torch.device) -> Tensor:
    """``(frame, frame)``: True where the first sees the second.

    Args:
        frames: of the utterance.
        size: frames of a chunk; a frame sees all of its own one.
        left: so many frames before its chunk.
    """
    places = torch.arange(frames, device=device)
    begins = torch.div(places, size, rounding_mode="floor")[:, None] * size
    return (places >= begins - left) & (places < begins + size)


class BlockCache(NamedTuple):
    """What a block keeps of the past of streams.

    Attributes:
        keys, values: of the attention, ``(batch, heads, left, size)``, not yet rotated: positions
            are counted from the oldest of them, so that they stay small in long streams.
        gated: input of the convolution, ``(batch, kernel // 2, width)``.
    """

    keys: Tensor
    values: Tensor
    gated: Tensor
