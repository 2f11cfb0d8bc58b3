"""Samples in chunks: as if they had come at once, or one clear error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst.audio.sample_stream import SampleStream
from ctcbias_fst.errors import AudioError

RATES = [8000, 11025, 16000, 22050, 44100, 48000]


def noise(rate: int, seconds: float = 0.5, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).normal(0, 0.1, round(rate * seconds))
    return found.astype(np.float32)


def streamed(stream: SampleStream, samples: Any, cuts: list[int]) -> np.ndarray:
    parts = [stream.accept(part) for part in np.split(samples, sorted(cuts))]
    return np.concatenate([*parts, stream.finish()])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), rate=st.sampled_from(RATES))
def test_where_chunks_end_makes_no_difference(data: st.DataObject, rate: int) -> None:
    samples = noise(rate)
    cuts = data.draw(st.lists(st.integers(0, len(samples)), max_size=20))
    found = streamed(SampleStream(16000, rate), samples, cuts)
    np.testing.assert_array_equal(found, streamed(SampleStream(16000, rate), samples, []))
    expected = soxr.resample(samples, rate, 16000)
    assert abs(len(found) - len(expected)) <= 1
    n = min(len(found), len(expected))
    np.testing.assert_allclose(found[:n], expected[:n], atol=1e-4)


@pytest.mark.parametrize("size", [1, 7, 160])
def test_chunks_of_a_sample(size: int) -> None:
    samples = noise(8000, 0.1)
    cuts = list(range(size, len(samples), size))
    once = streamed(SampleStream(16000, 8000), samples, [])
    np.testing.assert_array_equal(streamed(SampleStream(16000, 8000), samples, cuts), once)
    assert streamed(SampleStream(8000), samples, cuts).tolist() == samples.tolist()


def test_types_of_samples() -> None:
    whole = (np.arange(-100, 100) * 100).astype(np.int16)
    expected = whole.astype(np.float32) / 32768
    for one in (whole, torch.from_numpy(whole), expected.tolist(), expected.astype(np.float64)):
        np.testing.assert_allclose(SampleStream(16000).accept(one), expected, atol=1e-7)
    for empty in ([], np.zeros(0, np.int64), torch.zeros(0), b""):
        stream = SampleStream(16000, 8000)
        assert stream.accept(empty).shape == (0,)
        assert stream.seconds == 0.0
    stereo = np.stack((expected, expected), axis=1)
    np.testing.assert_allclose(SampleStream(16000).accept(stereo), expected, atol=1e-7)


def test_a_chunk_that_cannot_be_used_leaves_the_stream_as_it_was() -> None:
    samples = noise(8000)
    stream = SampleStream(16000, 8000, "call")
    first = stream.accept(samples[:1000])
    bad = samples[1000:1010].copy()
    bad[3] = np.nan
    with pytest.raises(AudioError, match=r"^call, chunk at 0\.12 s: .*sample"):
        stream.accept(bad)
    with pytest.raises(AudioError, match=r"16000 Hz after 0\.12 s of 8000 Hz: .* open another one"):
        stream.accept(samples[1000:], 16000)
    for wrong in ("abc", 7, object(), [["a"]]):
        with pytest.raises(AudioError, match=r"^call, chunk at 0\.12 s"):
            stream.accept(wrong)
    rest = stream.accept(samples[1000:], 8000)
    found = np.concatenate((first, rest, stream.finish()))
    np.testing.assert_array_equal(found, streamed(SampleStream(16000, 8000), samples, []))


@pytest.mark.parametrize("rate", [0, -1, "8000", 1.5, float("nan"), True, 10**9])
def test_rates_that_are_none(rate: Any) -> None:
    with pytest.raises(AudioError, match="call: a sampling rate"):
        SampleStream(16000, rate, "call")
