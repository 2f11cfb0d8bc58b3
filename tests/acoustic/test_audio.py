"""Audio in: every rate and channel count, and every kind of broken file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ctcbias_fst.acoustic.audio import read_audio
from ctcbias_fst.errors import AudioError


def tone(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_any_rate_keeps_time_and_pitch(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(rate, 1.0), rate)
    recording = read_audio(path)
    assert recording.sampling_rate == 16000
    assert abs(len(recording.samples) - 16000) <= 1
    spectrum = np.abs(np.fft.rfft(recording.samples[:16000], n=16000))
    assert abs(int(spectrum.argmax()) - 440) <= 1


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_formats_and_channels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"eight.{suffix}"
    channels = np.stack([tone(16000, 0.5) * (k % 2) for k in range(8)], axis=1)
    soundfile.write(path, channels, 16000)
    recording = read_audio(path)
    assert recording.samples.shape == (8000,)
    assert np.abs(recording.samples).max() == pytest.approx(0.25, abs=0.02)


def refuse(path: Path, words: str) -> None:
    with pytest.raises(AudioError, match=words) as caught:
        read_audio(path)
    assert str(path) in str(caught.value)


def test_missing_directory_and_empty(tmp_path: Path) -> None:
    refuse(tmp_path / "none.wav", "no such file")
    refuse(tmp_path, "is a directory")
    (tmp_path / "empty.wav").touch()
    refuse(tmp_path / "empty.wav", "the file is empty")


def test_text_is_not_audio(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_text("hello")
    refuse(path, "cannot be decoded")


def test_header_without_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(0), 16000)
    refuse(path, "too short")


def test_ten_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(16000, 0.01), 16000)
    refuse(path, "less than 25 ms")


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_flac(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 32000), 16000)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refuse(path, "truncated|cannot be decoded")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_not_finite(tmp_path: Path, value: float) -> None:
    path = tmp_path / "a.wav"
    samples = tone(16000, 1.0)
    samples[8000] = value
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    refuse(path, r"sample 8000 \(0\.500 s\) is")
