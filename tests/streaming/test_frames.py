"""The frames of a stream that are kept, and what is known of them."""

from __future__ import annotations

from dataclasses import replace

import torch

from ctcbias_fst.streaming.chunks import SPEAKS, Chunk
from ctcbias_fst.streaming.frames import OpenFrames


def chunk(frames: int, *, biased: bool) -> Chunk:
    tokens = torch.randn(frames, 3)
    return Chunk(
        tokens=tokens,
        marks=torch.full((frames,), SPEAKS),
        unbiased=tokens - 1 if biased else tokens,
        biased=biased,
        phones=None,
        lag=None,
        phone_lag=None,
        phone_seconds=0.0,
    )


def test_a_list_may_act_in_some_chunks_only() -> None:
    """What was heard without it stands beside all frames, whichever came first."""
    for first in (False, True):
        frames = OpenFrames(0.04)
        chunks = [chunk(2, biased=first), chunk(3, biased=not first), chunk(1, biased=False)]
        for one in chunks:
            frames.check(one, "here")
            frames.append(one)
        assert frames.biased
        expected = torch.cat([one.unbiased for one in chunks])
        assert torch.equal(frames.unbiased.rows(0, 6), expected)
        frames.drop_before(3, 0)
        assert torch.equal(frames.unbiased.rows(3, 6), expected[3:])
    frames = OpenFrames(0.04)
    frames.append(replace(chunk(2, biased=False)))
    assert not frames.biased
