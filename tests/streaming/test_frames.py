"""The frames of a stream that are kept, and what is known of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.streaming.chunks import SPEAKS, Chunk
from ctcbias_fst.streaming.frames import OpenFrames
from ctcbias_fst.text.phones import PHONES
from tests.streaming.speech import decoder, say, silence


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


def phones(rows: torch.Tensor) -> PhoneLogProbs:
    return PhoneLogProbs(rows[None], torch.tensor([len(rows)]), 0.04)


def test_phones_may_come_a_second_before_or_after_tokens() -> None:
    """Counted from the beginning of the stream, however short or empty a chunk is."""
    config = PipelineConfig(parts=("boost", "rescore"))
    one = Decoder(decoder().tokenizer, config, frame_seconds=0.04, phones=True)
    array = np.concatenate((say("abba cab"), silence(2.0)))
    heard = torch.zeros(len(array), 1 + len(PHONES)).log_softmax(dim=-1)
    for early in (24, -24):
        stream = one.stream()
        first, second = max(0, -early), max(0, early)
        stream.accept(array[:first], phones(heard[:second]))
        stream.accept(array[first:], phones(heard[second:]))
        assert stream.finish().committed == "abba cab"
    stream = one.stream(name="call")
    stream.accept(array[:1], phones(heard[:20]))
    told = r"^stream call, chunk at frame 1: with it the log-probs last 0\.08 s, .* 1\.20 s: "
    with pytest.raises(LogProbsError, match=told):
        stream.accept(array[1:2], phones(heard[20:30]))
    stream.accept(array[1:], phones(heard[20:]))
    assert stream.finish().committed == "abba cab"


def test_lags_may_become_known() -> None:
    """What is taken for silence at the beginning of a stream does not know them."""
    frames = OpenFrames(0.04)
    unknown = replace(chunk(2, biased=False), phones=torch.zeros(2, 4), phone_seconds=0.04)
    known = replace(unknown, lag=0.2, phone_lag=0.1)
    for one in (unknown, known, unknown):
        frames.check(one, "here")
        frames.append(one)
    assert (frames.lag, frames.phone_lag) == (0.2, 0.1)
    others = [{"lag": 0.3}, {"phone_lag": 0.0}, {"phone_seconds": 0.02}, {"phones": None}]
    for other in others:
        with pytest.raises(LogProbsError, match="not as in the chunks before"):
            frames.check(replace(known, **other), "here")  # type: ignore[arg-type]
