"""Noises and room impulse responses for augmentation while training.

Noise: stationary coloured noise with slow level changes, mains hum, babble of several training
utterances, and music: chords, a melody and a beat, by chance. Rooms: image-source simulations of
random shoe-box rooms by pyroomacoustics.
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


_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9))
"""Semitones of major, minor and pentatonic scales."""


def music(rng: np.random.Generator, samples: int, rate: int) -> Samples:
    """A chord for every bar, a melody over it, and a beat of noise bursts or none."""
    beat = int(rate * 60.0 / rng.uniform(70.0, 160.0))
    scale = np.array(_SCALES[int(rng.integers(len(_SCALES)))])
    key = 110.0 * 2.0 ** (rng.integers(0, 12) / 12.0)
    voices = [(rng.uniform(0.5, 2.5), rng.uniform(1.0, 8.0)) for _ in range(2)]
    drums = rng.uniform(0.0, 0.5) if rng.random() < 0.6 else 0.0
    total = np.zeros(samples)

    def note(
        begin: int, length: int, degree: int, level: float, voice: tuple[float, float]
    ) -> None:
        octave, step = divmod(degree, len(scale))
        pitch = key * 2.0 ** (octave + scale[step] / 12.0)
        time = np.arange(min(length, samples - begin)) / rate
        slope, decay = voice
        tone = np.zeros(len(time))
        for harmonic in range(1, 12):
            if pitch * harmonic < 0.45 * rate:
                tone += np.sin(2.0 * np.pi * pitch * harmonic * time) / harmonic**slope
        total[begin : begin + len(time)] += (
            level * tone * np.exp(-decay * time) * np.minimum(1.0, time / 0.01)
        )

    degree = int(rng.integers(0, 14))
    for count, begin in enumerate(range(0, samples, beat)):
        if count % 4 == 0:
            root = int(rng.integers(0, len(scale)))
            for third in (0, 2, 4):
                note(begin, 4 * beat, root + third, 0.4, voices[0])
        for part in range(int(rng.integers(1, 3))):
            degree = int(np.clip(degree + rng.integers(-3, 4), 0, 20))
            note(min(begin + part * beat // 2, samples), beat, degree + 7, 0.5, voices[1])
        burst = np.arange(min(beat, samples - begin)) / rate
        total[begin : begin + len(burst)] += (
            drums * rng.standard_normal(len(burst)) * np.exp(-burst * (15.0 + 25.0 * (count % 2)))
        )
    return _scaled(total)


def _clips(settings: Noise, rate: int, speech: list[Path], seed: int) -> Iterator[Samples]:
    rng = np.random.default_rng(seed)
    samples = int(settings.clip_seconds * rate)
    for _ in range(settings.stationary):
        yield _stationary(rng, samples, rate)
    for _ in range(settings.babble):
        yield _babble(rng, samples, speech)
    for _ in range(settings.music):
        yield music(rng, samples, rate)


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
