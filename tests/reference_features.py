"""Features of speech models, written out frame by frame from their definitions: slow and plain."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

EPSILON = 1.1920929e-07


def kaldi_fbank(wave: Array, high: float, snip_edges: bool, window: str) -> Array:
    """Kaldi's log-mel energies, 80 filters from 20 Hz, 25 ms every 10 ms at 16 kHz, no dither."""
    count = 1 + (len(wave) - 400) // 160 if snip_edges else (len(wave) + 80) // 160
    cosine = np.array([math.cos(2 * math.pi * i / 399) for i in range(400)])
    shapes = {"povey": (0.5 - 0.5 * cosine) ** 0.85, "hamming": 0.54 - 0.46 * cosine}
    bank = _bank(
        80, 20.0, 8000.0 + high, 512, lambda f: 1127.0 * math.log(1 + f / 700), in_mel=True
    )
    rows = []
    for number in range(count):
        begin = number * 160 if snip_edges else number * 160 + 80 - 200
        places = [abs(i + 0.5) - 0.5 for i in range(begin, begin + 400)]
        places = [int(min(i, 2 * len(wave) - 1 - i)) for i in places]
        frame = wave[places].astype(np.float64)
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        power = np.abs(np.fft.rfft(frame * shapes[window], 512)) ** 2
        rows.append(np.log(np.maximum(power @ bank, EPSILON)))
    return np.array(rows)


def low_frame_rate(frames: Array, size: int, shift: int) -> Array:
    """FunASR's: frame 0 is repeated in front, the last one behind."""
    rows = []
    for row in range(math.ceil(len(frames) / shift)):
        middle = row * shift
        places = range(middle - (size - 1) // 2, middle - (size - 1) // 2 + size)
        rows.append(np.concatenate([frames[min(max(i, 0), len(frames) - 1)] for i in places]))
    return np.array(rows)


def nemo_mel(wave: Array, bins: int, normalise: bool) -> Array:
    """NeMo's log-mel energies, in the manner of librosa."""

    def mel(f: float) -> float:
        return f * 3 / 200 if f < 1000 else 15 + 27 * math.log(f / 1000) / math.log(6.4)

    bank = _bank(bins, 0.0, 8000.0, 512, mel, in_mel=False, area=True)
    emphasised = wave.astype(np.float64).copy()
    emphasised[1:] -= 0.97 * wave[:-1].astype(np.float64)
    shape = np.array([0.5 - 0.5 * math.cos(2 * math.pi * i / 399) for i in range(400)])
    rows = []
    for number in range(len(wave) // 160):
        frame = np.zeros(400)
        for i in range(400):
            at = number * 160 - 200 + i
            frame[i] = emphasised[at] if 0 <= at < len(wave) else 0.0
        # Where a window stands within an FFT changes phases only.
        power = np.abs(np.fft.rfft(frame * shape, 512)) ** 2
        rows.append(np.log(power @ bank + 2.0**-24))
    found = np.array(rows)
    if not normalise:
        return found
    deviation = np.sqrt(((found - found.mean(0)) ** 2).sum(0) / (len(found) - 1))
    return (found - found.mean(0)) / (deviation + 1e-5)


def gigaam_mel(wave: Array, centred: bool) -> Array:
    """GigaAM's log-mel energies, version 2 (centred) and 3, without its rounding to bfloat16."""
    size = 400 if centred else 320
    bank = _bank(64, 0.0, 8000.0, size, lambda f: 2595 * math.log10(1 + f / 700), in_mel=False)
    shape = np.array([0.5 - 0.5 * math.cos(2 * math.pi * i / size) for i in range(size)])
    if centred:
        wave = np.concatenate([wave[200:0:-1], wave, wave[-2:-202:-1]])
    count = (len(wave) - size) // 160 + 1
    frames = [wave[i * 160 : i * 160 + size].astype(np.float64) * shape for i in range(count)]
    power = [np.abs(np.fft.rfft(frame)) ** 2 @ bank for frame in frames]
    return np.log(np.clip(power, 1e-9, 1e9))


def _bank(
    bins: int,
    low: float,
    high: float,
    fft: int,
    mel: Callable[[float], float],
    *,
    in_mel: bool,
    area: bool = False,
) -> Array:
    """Triangles ``(frequency, filter)``, straight in mels or in Hertz; of equal area, or height."""
    points = [mel(low) + (mel(high) - mel(low)) * i / (bins + 1) for i in range(bins + 2)]
    if not in_mel:
        points = [_inverse(mel, point, high) for point in points]
    bank = np.zeros((fft // 2 + 1, bins))
    for place in range(fft // 2 + 1):
        hertz = place * 16000 / fft
        x = mel(hertz) if in_mel else hertz
        for i, (left, centre, right) in enumerate(zip(points, points[1:], points[2:])):
            height = min((x - left) / (centre - left), (right - x) / (right - centre))
            bank[place, i] = max(0.0, height) * (2 / (right - left) if area else 1.0)
    return bank


def _inverse(mel: Callable[[float], float], value: float, high: float) -> float:
    """The frequency of a mel, by bisection."""
    below, above = 0.0, high + 1.0
    for _ in range(60):
        middle = (below + above) / 2
        below, above = (middle, above) if mel(middle) < value else (below, middle)
    return below
