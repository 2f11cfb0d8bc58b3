"""Speech that is hardly there: very quiet recordings, and channels that cancel each other."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from lhotse import AudioSource, MultiCut
from lhotse import Recording as LhotseRecording

import ctcbias_fst
from ctcbias_fst.audio.audio import Recording, read_audio, to_recording
from ctcbias_fst.audio.levels import audible, averaged
from ctcbias_fst.corpus.cuts import load_recording
from ctcbias_fst.errors import CtcbiasWarning

RATE = 16000
CLIP = Path(ctcbias_fst.__file__).parent / "pretrained" / "clips" / "medical-1.flac"
WAVE = np.random.default_rng(1).normal(size=RATE).clip(-3, 3).astype(np.float32) / 3


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.square(samples, dtype=np.float64).mean()))


@given(decibels=st.floats(-74, 0), offset=st.floats(-0.1, 0.1))
def test_the_level_does_not_matter(decibels: float, offset: float) -> None:
    samples, told = audible((10 ** (decibels / 20) * WAVE + offset).astype(np.float32), RATE)
    assert rms(samples - samples.mean()) > 0.01 * rms(WAVE)
    assert np.abs(samples).max() <= 1.2
    assert (told is not None) == (decibels < -34.5) or -35.5 < decibels < -34.5
    assert audible(samples, RATE)[1] is None


def test_a_click_does_not_hide_quiet_speech() -> None:
    quiet = WAVE * np.float32(10 ** (-50 / 20))
    quiet[5000:5010] = 1.0
    samples, told = audible(quiet, RATE)
    assert rms(samples) > 0.1 * rms(WAVE) and np.abs(samples).max() <= 1.0
    assert told is not None and "very quiet" in told and "dB louder" in told


def test_silence_stays_silent() -> None:
    for silence in (np.zeros(RATE, np.float32), np.full(RATE, 0.01, np.float32)):
        same, told = audible(silence, RATE)
        assert same is silence and told is not None and told.startswith("silence")
    noise = WAVE / np.float32(32768)
    same, told = audible(noise, RATE)
    assert same is noise and told is not None and "next to silence" in told


@pytest.mark.parametrize("gains", [(1.0, -1.0), (1.0, -0.9), (0.5, -0.5, 0.4, -0.4)])
def test_channels_that_cancel(tmp_path: Path, gains: tuple[float, ...]) -> None:
    path = tmp_path / "a.wav"
    every = np.stack([np.float32(0.5 * gain) * WAVE for gain in gains], axis=1)
    soundfile.write(path, every, RATE, subtype="FLOAT")
    told = "its channels cancel each other: number 1 is used alone"
    with path.open("rb") as stream:
        for source in (path, path.read_bytes(), io.BytesIO(path.read_bytes()), stream):
            found = read_audio(source)
            np.testing.assert_allclose(found.samples, every[:, 0], atol=1e-6)
            assert found.warning == told
    part = read_audio(path, start=0.25, seconds=0.5, channels=[1, 0])
    np.testing.assert_allclose(abs(part.samples), abs(every[4000:12000, 0]), atol=1e-6)
    with pytest.warns(CtcbiasWarning, match="cancel each other") as caught:
        of_array = to_recording(every.T, RATE, RATE)
    assert caught[0].filename == __file__
    np.testing.assert_allclose(of_array.samples, every[:, 0], atol=1e-6)


def test_channels_that_do_not_cancel(tmp_path: Path) -> None:
    other = np.roll(WAVE, 4000)
    for channels in ((WAVE, other), (WAVE, 0 * WAVE), (WAVE, WAVE, -WAVE), (WAVE,)):
        path = tmp_path / "a.wav"
        every = np.stack(channels, axis=1) / 2
        soundfile.write(path, every, RATE, subtype="FLOAT")
        assert read_audio(path).warning is None
        mean, told = averaged(every)
        assert told is None
        np.testing.assert_allclose(mean, every.mean(axis=1), atol=1e-6)
    assert averaged(np.zeros((100, 2)))[1] is None


def test_channels_of_cuts_that_cancel(tmp_path: Path) -> None:
    sources = []
    for channel, gain in enumerate((0.4, -0.5)):
        path = tmp_path / f"{channel}.wav"
        soundfile.write(path, np.float32(gain) * WAVE, RATE, subtype="FLOAT")
        sources.append(AudioSource("file", [channel], str(path)))
    recording = LhotseRecording("r", sources, RATE, RATE, 1.0, channel_ids=[0, 1])
    cut = MultiCut("m", 0.0, 1.0, channel=[0, 1], recording=recording)
    for one in (cut, cut.pad(1.5)):
        found = load_recording(one, RATE)
        assert found.warning == "its channels cancel each other: number 2 is used alone"
        np.testing.assert_allclose(found.samples[:RATE], -0.5 * WAVE, atol=1e-4)


def test_recordings_in_memory_are_told_once() -> None:
    quiet = Recording("r", WAVE * np.float32(10 ** (-60 / 20)), RATE)
    louder = to_recording(quiet, RATE)
    assert louder.warning is not None and "very quiet" in louder.warning
    assert to_recording(louder, RATE) is louder
    hardly = to_recording(Recording("r", WAVE * np.float32(1e-5), RATE), RATE)
    assert to_recording(hardly, RATE) is hardly


@pytest.mark.parametrize("rate", [RATE, 8000, 44100])
def test_a_clipped_recording_is_told(tmp_path: Path, rate: int) -> None:
    """At whatever rate it is; what is as loud and whole is not."""
    speech, own = soundfile.read(CLIP, dtype="float32")
    speech = speech / np.abs(speech).max()
    for name, gain in (("loud", 1.0), ("clipped", 12.0)):
        samples = soxr.resample(speech, own, rate)
        soundfile.write(tmp_path / f"{name}.wav", (gain * samples).clip(-1, 1), rate)
    assert to_recording(tmp_path / "loud.wav", RATE).warning is None
    told = to_recording(tmp_path / "clipped.wav", RATE).warning
    assert told is not None and told.startswith("clipped (") and "words may be lost" in told
    beyond, said = audible(np.float32(12.0) * speech, RATE)
    assert said is None and beyond.max() > 1
