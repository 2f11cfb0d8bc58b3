"""Samples in chunks: as if they had come at once, or one clear error."""

from __future__ import annotations

import re
import warnings
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
    for one in (stereo, stereo.T):
        np.testing.assert_allclose(
            streamed(SampleStream(16000), one[None], []), expected, atol=1e-7
        )


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


def in_chunks(stream: SampleStream, samples: np.ndarray, size: int, axis: int) -> np.ndarray:
    """What comes of chunks of so many frames along an axis of time."""
    cuts = range(size, samples.shape[axis], size)
    parts = [stream.accept(part) for part in np.split(samples, cuts, axis=axis)]
    return np.concatenate([*parts, stream.finish()])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 19, 20, 500, 4000])
@pytest.mark.parametrize("rate", [8000, 16000])
def test_chunks_of_channels(size: int, rate: int) -> None:
    """Of any size, whichever axis they are; where they are short it must be said."""
    stereo = np.stack([noise(rate, seed=1), noise(rate, seed=2)], axis=1)
    mean = stereo.mean(axis=1, dtype=np.float32)
    expected = streamed(SampleStream(16000, rate), mean, [])
    for samples, axis in ((stereo, 0), (stereo.T, 1)):
        if size == axis + 1 == 2:
            continue  # two frames of two channels fit both ways
        stream = SampleStream(16000, rate, channels=2)
        np.testing.assert_array_equal(in_chunks(stream, samples, size, axis), expected)
        if size >= 20:
            stream = SampleStream(16000, rate)
            np.testing.assert_array_equal(in_chunks(stream, samples, size, axis), expected)


def test_the_last_block_may_be_short() -> None:
    stereo = np.stack([noise(16000), noise(16000)], axis=1)
    for samples, axis in ((stereo, 0), (stereo.T, 1)):
        stream = SampleStream(16000)
        parts = np.split(samples, [7000, 7998, 7999], axis=axis)
        found = np.concatenate([*map(stream.accept, parts), stream.finish()])
        np.testing.assert_array_equal(found, stereo[:, 0])
        assert len(stream.accept(samples[:0] if axis == 0 else samples[:, :0])) == 0


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(1, 2)], r"not clear how many channels .* shape \(1, 2\): pass channels="),
        ([(2, 1)], "not clear how many"),
        ([(19, 2)], "not clear how many"),
        ([(2, 2)], "not clear how many"),
        ([(400, 40)], "not clear how many"),
        ([(400, 2), (400,)], r"shape \(400,\) in a stream of 2 channels: all its chunks"),
        ([(400, 2), (2, 400)], "stream of 2 channels"),
        ([(400, 2), (400, 3)], "stream of 2 channels"),
        ([(400, 2), (1, 3)], "stream of 2 channels"),
        ([(400,), (400, 2)], "stream of 1 channel: all"),
        ([(2, 400, 3)], "are no chunk of one stream"),
    ],
)
def test_chunks_whose_channels_are_not_clear_or_change(
    shapes: list[tuple[int, ...]], message: str
) -> None:
    stream = SampleStream(16000, name="call")
    for shape in shapes[:-1]:
        stream.accept(np.zeros(shape, np.float32))
    before = stream.seconds
    with pytest.raises(AudioError, match=rf"^call, chunk at .*{message}"):
        stream.accept(np.zeros(shapes[-1], np.float32))
    assert stream.seconds == before
    if not before:
        assert len(stream.accept(np.zeros(9, np.float32))) == 9


@pytest.mark.parametrize("channels", [0, 33, 2.0, True, "2"])
def test_channels_that_are_none(channels: Any) -> None:
    with pytest.raises(AudioError, match="call: channels=.* is no number of channels"):
        SampleStream(16000, name="call", channels=channels)


@pytest.mark.parametrize("cancels", [(0.0, 0.5), (0.0, 0.25), (0.2, 0.5)])
def test_channels_that_cancel_each_other_for_a_while(cancels: tuple[float, float]) -> None:
    """Whatever chunks: as far as has been heard, they are averaged or one is used alone."""
    left = noise(16000, seed=1)
    right = 0.5 * noise(16000, seed=2)
    begin, end = (round(16000 * at) for at in cancels)
    right[begin:end] = -left[begin:end]
    stereo = np.stack([left, right], axis=1) * np.float32(0.1) + np.float32([0.01, -0.01])
    found = []
    for size in (len(stereo), 4000, 500, 320, 21):
        stream = SampleStream(16000)
        found.append(in_chunks(stream, stereo, size, 0))
        told = [text for text in stream.notices() if "cancel" in text]
        assert told == (["its channels cancel each other: number 1 is used alone"]
                        if begin == 0 else [])  # fmt: skip
    for one in found[1:]:
        np.testing.assert_array_equal(one, found[0])
    assert np.abs(found[0][:320]).max() > 0.005


def test_a_stream_that_is_quiet_is_told_once() -> None:
    """After ten seconds or at its end, whatever chunks it comes in."""
    for level, message in (
        (10 ** (-64 / 20), r"very quiet \(.* -6\d dB .*multiply the samples$"),
        (10 ** (-84 / 20), r"next to silence \("),
        (0.0, r"silence \(all samples so far are the same\)"),
        (0.1, None),
    ):
        samples = np.float32(level) * np.clip(noise(16000, 12.0) * 5, -1, 1)
        samples[8000:8100] *= 10  # a click does not count
        texts = set()
        for size, seconds in ((len(samples), 12), (1600, 12), (777, 12), (1600, 10), (3200, 3)):
            stream = SampleStream(16000)
            part = samples[: 16000 * seconds]
            told = []
            for begin in range(0, len(part), size):
                stream.accept(part[begin : begin + size])
                told += stream.notices()
                assert not told or begin + size >= 160000
            stream.finish()
            told += stream.notices()
            stream.finish()
            assert stream.notices() == []
            assert len(told) == (message is not None)
            texts |= {*told} if seconds >= 10 else set()
        if message is not None:
            (text,) = texts
            assert re.search(message, text), text


def test_a_stream_that_is_clipped_is_told_once() -> None:
    """As a recording is; one that goes far beyond full scale has lost nothing."""
    loud = noise(16000, 12.0) * 10
    for samples, message in (
        (np.clip(loud, -1, 1), r"^clipped \(\d+% of the samples so far are at full scale\)"),
        (loud, None),
        (np.clip(loud, -0.9, 0.9), None),
    ):
        for size in (len(samples), 777):
            stream, told = SampleStream(16000), []
            for begin in range(0, len(samples), size):
                stream.accept(samples[begin : begin + size])
                told += stream.notices()
            assert len(told) == (message is not None)
            assert message is None or re.search(message, told[0])


def test_samples_of_16_bits_in_integers_of_32_are_told_once() -> None:
    """With the warning of silence, and not with each chunk that is silent."""
    stream = SampleStream(16000)
    samples = (noise(16000, 11.0) * 32767).astype(np.int32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for begin in range(0, len(samples), 1600):
            stream.accept(samples[begin : begin + 1600])
    (told,) = stream.notices()
    assert told.startswith("next to silence")
    assert told.endswith("; give samples of 16 bits as int16")


def test_whatever_is_said_of_integers_is_said_of_any_chunk_of_them() -> None:
    wide = (noise(16000).astype(np.float64) * 2.0**62).astype(np.int64)
    wide[:100] //= 2**40
    for part in (wide, wide[:100], wide[200:300]):
        with pytest.raises(AudioError, match="64-bit integers have no known full scale"):
            SampleStream(16000).accept(part)
    assert len(SampleStream(16000).accept(np.zeros(9, np.int64))) == 9


def test_absurd_values_of_one_channel() -> None:
    for value in (np.nan, -1e19, 1e300):
        stereo = np.zeros((400, 2))
        stereo[7], stereo[9, 0] = [-value, value], 30.0
        with pytest.raises(AudioError, match="sample 7"):
            SampleStream(16000).accept(stereo)


@pytest.mark.parametrize("rate", [0, -1, "8000", 1.5, float("nan"), True, 10**9])
def test_rates_that_are_none(rate: Any) -> None:
    with pytest.raises(AudioError, match="call: a sampling rate"):
        SampleStream(16000, rate, "call")
