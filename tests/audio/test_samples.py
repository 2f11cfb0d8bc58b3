"""Samples in memory: every type and shape that has one meaning, and no other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ctcbias_fst.audio.audio import Recording, to_recording
from ctcbias_fst.audio.samples import mono_samples
from ctcbias_fst.errors import AudioError, CtcbiasWarning

WAVE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16000)


def scaled(dtype: Any) -> np.ndarray:
    info = np.iinfo(dtype)
    wave = WAVE * 2.0 ** (info.bits - 1)
    return (wave + (0 if info.min else 2.0 ** (info.bits - 1))).astype(dtype)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64])
def test_integers_are_scaled_by_their_type(dtype: Any) -> None:
    samples = mono_samples(scaled(dtype))
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, WAVE, atol=2.0 ** (1 - min(16, np.iinfo(dtype).bits)))
    if np.issubdtype(dtype, np.signedinteger):
        swapped = scaled(dtype).astype(np.dtype(dtype).newbyteorder(">"))
        np.testing.assert_array_equal(mono_samples(swapped), samples)


def test_integers_without_a_known_full_scale() -> None:
    with pytest.raises(AudioError, match="64-bit integers of at most 16384 have no known"):
        mono_samples(scaled(np.int16).astype(np.int64))
    with pytest.raises(AudioError, match="no known full scale"):
        mono_samples(scaled(np.int16).tolist())
    with pytest.warns(CtcbiasWarning, match="32-bit integers of at most 16384 are next to silence"):
        mono_samples(scaled(np.int16).astype(np.int32))
    assert not mono_samples(np.zeros(8000, np.int64)).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_floats_are_as_they_are(dtype: Any) -> None:
    np.testing.assert_allclose(mono_samples(WAVE.astype(dtype)), WAVE, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors(dtype: torch.dtype) -> None:
    tensor = torch.from_numpy(WAVE).to(dtype).requires_grad_()
    np.testing.assert_allclose(mono_samples(tensor), WAVE, atol=1e-2)
    np.testing.assert_allclose(mono_samples(torch.from_numpy(scaled(np.int16))), WAVE, atol=1e-4)


def test_lists_and_buffers() -> None:
    np.testing.assert_allclose(mono_samples(WAVE.tolist()), WAVE, atol=1e-6)
    np.testing.assert_allclose(mono_samples(scaled(np.int16).data), WAVE, atol=1e-4)


@pytest.mark.parametrize("integers", [False, True])
def test_channels_are_averaged_whatever_axis_they_are(integers: bool) -> None:
    stereo = np.stack([WAVE, np.zeros(8000)], axis=1)
    given = (stereo * 32768).astype(np.int16) if integers else stereo
    for shaped in (given, given.T, given[None], torch.from_numpy(given.T.copy())):
        np.testing.assert_allclose(mono_samples(shaped), WAVE / 2, atol=1e-4)
    for shaped in (WAVE[:, None], WAVE[None], WAVE[None, None]):
        np.testing.assert_allclose(mono_samples(shaped), WAVE, atol=1e-6)


def test_what_comes_out_is_the_callers_own() -> None:
    given = WAVE.astype(np.float32)
    given.flags.writeable = False
    for view in (given, given[::-1], given[::2]):
        samples = mono_samples(view)
        assert samples.flags.writeable
        assert samples.flags.c_contiguous
        assert not np.shares_memory(samples, given)


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (np.zeros((100, 100)), r"found shape \(100, 100\)"),
        (np.zeros((40, 8000)), r"found shape \(40, 8000\)"),
        (np.zeros((2, 8000, 3)), r"the shape \(2, 8000, 3\) are several recordings"),
        (np.zeros((2, 1, 8000)), r"the shape \(2, 1, 8000\) are several recordings: pass a list"),
        (np.float32(0.5), r"found shape \(\)"),
        (np.zeros(8000, complex), "an array of complex128 is neither samples"),
        (np.zeros(8000, bool), "an array of bool is neither samples"),
        (np.array(["a"]), "is neither samples"),
        ([[1.0], [1.0, 2.0]], "a list of list is more than one recording"),
        ([1.0, None, object()], "not an array of samples|is neither samples"),
        (None, "NoneType is neither samples"),
        ([WAVE, WAVE], "a list of ndarray is more than one recording"),
        ((torch.zeros(800), torch.zeros(800)), "a tuple of Tensor is more than one recording"),
        (["a.wav", "b.wav"], "a list of str is more than one recording"),
        ([b"RIFF"], "a list of bytes is more than one recording"),
        ([[0.0] * 800] * 2, "a list of list is more than one recording"),
        ([], "0 samples are less than 25 ms"),
        (object(), "object is neither samples"),
        (
            {"array": WAVE},
            "a mapping with 'array' in it; one of audio has 'array', the samples, and",
        ),
        ((16000, WAVE), "a pair of rate and samples"),
        ((WAVE, 16000), "a pair of rate and samples"),
    ],
)
def test_what_is_no_samples(audio: Any, words: str) -> None:
    with pytest.raises(AudioError, match=words):
        to_recording(audio, 16000, 16000)


def test_mappings_as_datasets_give_them() -> None:
    given = {"path": "a.wav", "array": WAVE, "sampling_rate": 16000}
    expected = to_recording(WAVE, 8000, 16000)
    assert np.array_equal(to_recording(given, 8000).samples, expected.samples)
    for rate, words in ((16000, "says its own rate"), (None, "'16000' is no whole.*not a string")):
        with pytest.raises(AudioError, match=words):
            to_recording({**given, "sampling_rate": "16000"}, 8000, rate)


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e19, 1e300, 32767.0])
def test_absurd_values(value: float) -> None:
    wave = WAVE.copy()
    wave[800] = value
    with pytest.raises(AudioError, match=r"samples: sample 800 \(0\.050 s\) is"):
        to_recording(wave, 16000, 16000)
    with np.errstate(over="ignore"):
        single = wave.astype(np.float32)
    with pytest.raises(AudioError, match=r"bad: sample 800 \(0\.050 s\) is"):
        to_recording(Recording("bad", single, 16000), 16000)


def test_the_rate_must_be_said() -> None:
    with pytest.raises(AudioError, match="the sampling rate of samples must be said"):
        to_recording(WAVE, 16000)
    recording = Recording("r", WAVE.astype(np.float32), 16000)
    given = {"a path": "a.wav", "the content of a file": b"RIFF", "a Recording": recording}
    for kind, audio in given.items():
        with pytest.raises(AudioError, match=f"sampling_rate=8000 is given with {kind}"):
            to_recording(audio, 16000, 8000)


def test_recordings_are_resampled() -> None:
    wave = WAVE.astype(np.float32)
    same = Recording("r", wave, 16000)
    assert to_recording(same, 16000) is same
    other = to_recording(Recording("r", wave, 32000, "cut"), 16000)
    assert (other.id, other.sampling_rate, other.warning) == ("r", 16000, "cut")
    assert len(other.samples) == 4000
    np.testing.assert_allclose(
        other.samples, to_recording(scaled(np.int16), 16000, 32000).samples, atol=1e-4
    )
    integers = to_recording(Recording("r", scaled(np.int16), 16000), 16000)  # type: ignore[arg-type]
    np.testing.assert_allclose(integers.samples, WAVE, atol=1e-4)
    with pytest.raises(AudioError, match="r: a sampling rate of 0 Hz"):
        to_recording(Recording("r", wave, 0), 16000)


@pytest.mark.parametrize("rate", [np.int64(16000), np.float32(16000), torch.tensor(16000)])
def test_rates_of_other_types(rate: Any) -> None:
    assert to_recording(WAVE, 16000, rate).sampling_rate == 16000


_ARRAYS = st.one_of(
    [
        arrays(
            dtype,
            st.one_of(
                array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=40),
                st.sampled_from([(800,), (800, 2), (3, 800), (1, 1, 800), (2, 800, 2)]),
            ),
            fill=st.just(dtype.type()),
        )
        for dtype in map(np.dtype, ["i1", "u1", "<i2", ">i2", "u2", "i4", "u4", "i8", "u8"])
    ]
    + [
        arrays(
            np.dtype(kind),
            st.sampled_from([(), (0,), (800,), (800, 2), (2, 800), (30, 30), (1, 800, 1)]),
            elements=wild,
            fill=st.just(0.0),
        )
        for kind in ("f2", "f4", "f8")
        for wild in ({}, {"min_value": -1, "max_value": 1})
    ]
)

_RATES = st.one_of(
    st.sampled_from([16000, 8000, 44100, 2000, 768_000, 0, -1, None, "16000", 1e308, 16000.0]),
    st.integers(),
    st.floats(),
)


@settings(max_examples=300)
@given(_ARRAYS, _RATES)
@pytest.mark.filterwarnings("ignore::ctcbias_fst.errors.CtcbiasWarning")
def test_any_array_at_any_rate(array: np.ndarray, rate: Any) -> None:
    """Samples that a model can take, or one line."""
    try:
        recording = to_recording(array, 16000, rate)
    except AudioError as error:
        assert "\n" not in str(error)
        return
    assert recording.samples.dtype == np.float32
    assert recording.samples.ndim == 1
    assert np.isfinite(recording.samples).all()
    assert recording.seconds >= 0.02
    assert torch.from_numpy(recording.samples).isfinite().all()
