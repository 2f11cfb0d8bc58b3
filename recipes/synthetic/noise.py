"""Noises and room impulse responses for augmentation while training.

Noise: stationary coloured noise with slow level changes, mains hum, and babble of several
training utterances. Rooms: image-source simulations of random shoe-box rooms by pyroomacoustics.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from .names import require
from .settings import Noise

__all__ = ["write_noises", "write_rooms"]

Samples = npt.NDArray[np.float32]


def coloured(rng: np.random.Generator, samples: int, exponent: float) -> Samples:
    """Noise whose power falls with frequency to the power of ``exponent`` (0 white, 1 pink)."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequencies = np.maximum(np.arange(len(spectrum)), 1.0)
    wave = np.fft.irfft(spectrum * frequencies ** (-exponent / 2.0), n=samples)
    return _scaled(wave)


def _scaled(wave: npt.NDArray[np.float64]) -> Samples:
    scaled: Samples = (0.1 * wave / np.sqrt(np.mean(wave**2))).astype(np.float32)
    return scaled


def _hum(rng: np.random.Generator, samples: int, rate: int) -> npt.NDArray[np.float64]:
    time = np.arange(samples) / rate
    base = rng.choice((50.0, 60.0)) * rng.uniform(0.99, 1.01)
    harmonics = range(1, int(rng.integers(4, 30)))
    total = np.zeros(samples)
    for harmonic in harmonics:
        phase = rng.uniform(0.0, 2.0 * np.pi)
        level = rng.exponential(1.0 / harmonic)
        total += level * np.sin(2.0 * np.pi * base * harmonic * time + phase)
    return total


def _stationary(rng: np.random.Generator, samples: int, rate: int) -> Samples:
    wave = coloured(rng, samples, rng.uniform(0.0, 2.2)).astype(np.float64)
    points = coloured(rng, samples // 800 + 2, 2.0)
    swing = np.interp(np.arange(samples), np.arange(len(points)) * 800, points)
    wave *= np.exp(rng.uniform(0.0, 8.0) * swing)
    if rng.random() < 0.3:
        wave += rng.uniform(0.02, 0.2) * _hum(rng, samples, rate)
    return _scaled(wave)


def _babble(rng: np.random.Generator, samples: int, speech: list[Path]) -> Samples:
    total = np.zeros(samples)
    for _ in range(int(rng.integers(3, 9))):
        position = -int(rng.integers(0, 16000))
        level = rng.uniform(0.4, 1.0)
        while position < samples:
            wave, _rate = soundfile.read(rng.choice(np.array(speech, dtype=object)))
            begin, end = max(position, 0), min(position + len(wave), samples)
            if end > begin:
                total[begin:end] += level * wave[begin - position : end - position]
            position += len(wave)
    return _scaled(total)


def _clips(settings: Noise, rate: int, speech: list[Path], seed: int) -> Iterator[Samples]:
    rng = np.random.default_rng(seed)
    samples = int(settings.clip_seconds * rate)
    for _ in range(settings.stationary):
        yield _stationary(rng, samples, rate)
    for _ in range(settings.babble):
        yield _babble(rng, samples, speech)


def write_noises(out: Path, settings: Noise, rate: int, speech: list[Path], seed: int) -> Path:
    """Write noise clips and the CutSet ``cuts_noise.jsonl.gz``.

    Args:
        speech: training clips of which babble is made.
    """
    lhotse = require("lhotse", "lhotse")
    folder = out / "audio" / "noise"
    folder.mkdir(parents=True, exist_ok=True)
    recordings = []
    for index, wave in enumerate(_clips(settings, rate, speech, seed)):
        path = folder / f"noise{index:04d}.flac"
        soundfile.write(path, np.clip(wave, -1.0, 1.0), rate)
        recordings.append(lhotse.Recording.from_file(path))
    target = out / "cuts_noise.jsonl.gz"
    lhotse.CutSet.from_cuts(recording.to_cut() for recording in recordings).to_file(target)
    return target


def write_rooms(out: Path, settings: Noise, rate: int, seed: int) -> Path:
    """Write impulse responses and the RecordingSet ``rirs.jsonl.gz``."""
    rooms = require("pyroomacoustics", "pyroomacoustics")
    lhotse = require("lhotse", "lhotse")
    folder = out / "audio" / "rirs"
    folder.mkdir(parents=True, exist_ok=True)
    generator = random.Random(seed)
    recordings = []
    for index in range(settings.rooms):
        size = [generator.uniform(*side) for side in ((2.5, 9.0), (2.5, 8.0), (2.3, 4.0))]
        walls = 2 * (size[0] * size[1] + size[1] * size[2] + size[0] * size[2])
        # Sabine's formula has no solution below some decay time of a large room
        slowest = 0.161 * np.prod(size) / walls
        decay = max(generator.uniform(0.15, 0.7), 1.2 * slowest)
        absorption, order = rooms.inverse_sabine(decay, size)
        room = rooms.ShoeBox(
            size, fs=rate, materials=rooms.Material(absorption), max_order=min(order, 14)
        )
        places = [[generator.uniform(0.4, side - 0.4) for side in size] for _ in range(2)]
        room.add_source(places[0])
        room.add_microphone(places[1])
        room.compute_rir()
        response = np.asarray(room.rir[0][0])[: int(0.6 * rate)]
        response = response[max(0, int(np.argmax(np.abs(response))) - 20) :]
        path = folder / f"rir{index:04d}.wav"
        soundfile.write(path, 0.9 * response / np.abs(response).max(), rate, subtype="FLOAT")
        recordings.append(lhotse.Recording.from_file(path))
    target = out / "rirs.jsonl.gz"
    lhotse.RecordingSet.from_recordings(recordings).to_file(target)
    return target
