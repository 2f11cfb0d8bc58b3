"""Recordings of any rate and channel count as mono samples at the model's rate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from ctcbias_fst.errors import AudioError

__all__ = ["SHORTEST_SECONDS", "Recording", "check_samples", "longest_seconds", "read_audio"]

SHORTEST_SECONDS = 0.025
"""One analysis window: less audio has no frame."""

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """A recording in memory.

    Attributes:
        id: name for messages and results.
        samples: mono, ``(samples,)`` float32, full scale is 1.
        sampling_rate: samples per second.
    """

    id: str
    samples: Samples
    sampling_rate: int

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.sampling_rate


def read_audio(path: Path | str, sampling_rate: int = 16000) -> Recording:
    """Read a file that libsndfile knows; channels are averaged, the rate is converted.

    Raises:
        AudioError: the file is missing, a directory, empty, in no known format, truncated,
            too short, or has samples that are not finite.
    """
    path = Path(path)
    if path.is_dir():
        raise AudioError(f"{path}: is a directory; name the audio files in it")
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: the file is empty")
    try:
        with soundfile.SoundFile(path) as stream:
            rate, expected = stream.samplerate, stream.frames
            channels = stream.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(
            f"{path}: cannot be decoded ({_reason(error)}); it is damaged or in a format that "
            "libsndfile lacks: convert it to WAV, FLAC, Ogg or MP3"
        ) from error
    if 0 <= len(channels) < expected < 2**62:
        raise AudioError(
            f"{path}: truncated: {len(channels)} of {expected} samples are there; "
            "copy or encode it again"
        )
    samples = check_samples(channels.mean(axis=1), rate, str(path))
    if rate != sampling_rate:
        samples = soxr.resample(samples, rate, sampling_rate)
    return Recording(str(path), np.ascontiguousarray(samples, dtype=np.float32), sampling_rate)


def longest_seconds(paths: Iterable[Path | str]) -> float | None:
    """The duration of the longest of these files, from their headers; None if none has one."""
    seconds = []
    for path in paths:
        try:
            seconds.append(float(soundfile.info(path).duration))
        except (soundfile.LibsndfileError, OSError):
            continue  # whoever reads it says why it cannot be used
    return max(seconds, default=None)


def check_samples(samples: Samples, sampling_rate: int, name: str) -> Samples:
    """Refuse samples that no model can use.

    Raises:
        AudioError: not one-dimensional, too short, or not finite.
    """
    if samples.ndim != 1:
        raise AudioError(f"{name}: samples must be mono, found shape {samples.shape}")
    if len(samples) < SHORTEST_SECONDS * sampling_rate:
        raise AudioError(
            f"{name}: {len(samples)} samples are less than {1000 * SHORTEST_SECONDS:.0f} ms: "
            "too short to hold speech"
        )
    finite = np.isfinite(samples)
    if not finite.all():
        first = int(np.argmin(finite))
        raise AudioError(
            f"{name}: sample {first} ({first / sampling_rate:.3f} s) is {samples[first]}; "
            "repair the recording, every sample must be a number"
        )
    return samples


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return text.strip().rstrip(".")
