"""Speech that is there, but hardly: recordings that are very quiet or clipped, and channels that
cancel each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_QUIET = 10 ** (-35 / 20)
"""Below this level the embedded model begins to lose words; full scale is 1."""

_SILENT = 10 ** (-75 / 20)
"""Below this level 16 bits have no room for speech."""

_FULL, _BEYOND, _CLIPPED = 0.97, 1.6, 0.01
"""Of sizes: at full scale, where a change of the rate makes ripples; beyond what these reach, so
that nothing was cut off; and the share at full scale that no loud speech has."""

_USUAL = 10 ** (-12 / 20)
_BLOCK_SECONDS = 0.05
_LOUDER_BLOCKS = 2
"""So many blocks may be louder than the level: a click does not hide that speech is quiet."""

_SURE_SECONDS = 10.0
"""A stream of which nothing was louder for so long, is quiet."""

_CANCELLED = 0.1
"""Channels that have nothing in common keep the Nth part of their energy when N of them are
averaged; with less than this share of that, they are each other's opposite."""

Samples = npt.NDArray[np.float32]


def audible(samples: Samples, sampling_rate: int) -> tuple[Samples, str | None]:
    """Make a very quiet recording louder: features depend on the level.

    Args:
        samples: ``(samples,)`` float32, finite.

    Returns:
        the samples, as they were or new ones; and what is to be said of it, if anything is.
        Silence stays silence.
    """
    level = _level(samples, round(_BLOCK_SECONDS * sampling_rate))
    if level == 0.0 and len(samples) and samples.min() == samples.max():
        return samples, "silence (all samples are the same)"
    if level >= _QUIET or level == 0.0:
        return samples, _clipped(samples)
    shown = f"{20 * math.log10(level):.0f} dB of full scale"
    if level < _SILENT:
        return samples, f"next to silence (its loudest parts have {shown})"
    gain = _USUAL / level
    louder = np.clip(gain * (samples - samples.mean(dtype=np.float64)), -1.0, 1.0)
    return (
        louder.astype(np.float32),
        f"very quiet (its loudest parts have {shown}): taken {20 * math.log10(gain):.0f} dB louder",
    )


def _clipped(samples: Samples) -> str | None:
    """What is to be said of a recording that was louder than its format can tell."""
    sizes = np.abs(samples)
    if not len(sizes) or sizes.max() > _BEYOND:
        return None
    share = float((sizes >= _FULL).mean())
    return None if share <= _CLIPPED else _cut_off(share, "its samples")


def _cut_off(share: float, what: str) -> str:
    return (
        f"clipped ({share:.0%} of {what} are at full scale), so that words may be lost: "
        "record or convert it more quietly"
    )


def _level(samples: Samples, block: int) -> float:
    """Half the range of values in the loudest blocks, but for a few: an offset does not count."""
    starts = np.arange(0, len(samples), block)
    if not len(starts):
        return 0.0
    highs, lows = np.maximum.reduceat(samples, starts), np.minimum.reduceat(samples, starts)
    return _level_of(((highs - lows) / 2).tolist())


def _level_of(levels: Sequence[float]) -> float:
    """That of the loudest blocks, but for a few."""
    ordered = sorted(levels)
    return ordered[max(0, len(ordered) - 1 - _LOUDER_BLOCKS)]


class StreamLevel:
    """Finds that all of a stream is very quiet, or clipped, once that is clear: after ten seconds,
    or at its end. It hangs on the stream's samples alone, not on the chunks that they come in.

    Args:
        rate: samples per second.
    """

    def __init__(self, rate: int) -> None:
        self._block = round(_BLOCK_SECONDS * rate)
        self._left = round(_SURE_SECONDS * rate)
        self._kept: Samples = np.zeros(0, np.float32)
        self._levels: list[float] = []
        self._least, self._most = math.inf, -math.inf
        self._heard, self._full = 0, 0
        self._decided = False

    def hear(self, samples: Samples, *, last: bool = False) -> str | None:
        """Take samples; returns what is to be said of the stream, once, if anything is."""
        if self._decided:
            return None
        samples = samples[: self._left]
        self._left -= len(samples)
        self._heard += len(samples)
        self._full += int((np.abs(samples) >= _FULL).sum())
        last = last or not self._left
        joined = np.concatenate((self._kept, samples))
        end = len(joined) if last else len(joined) - len(joined) % self._block
        for begin in range(0, end, self._block):
            part = joined[begin : min(begin + self._block, end)]
            least, most = float(part.min()), float(part.max())
            self._levels = sorted([*self._levels, (most - least) / 2])[-1 - _LOUDER_BLOCKS :]
            self._least, self._most = min(self._least, least), max(self._most, most)
        self._kept = joined[end:].copy()
        self._decided = last
        return self._told() if last and len(self._levels) > _LOUDER_BLOCKS else None

    def _told(self) -> str | None:
        if self._least == self._most:
            return "silence (all samples so far are the same)"
        level = _level_of(self._levels)
        if level >= _QUIET or level == 0.0:
            share = self._full / self._heard
            cut_off = share > _CLIPPED and max(-self._least, self._most) <= _BEYOND
            return _cut_off(share, "the samples so far") if cut_off else None
        shown = f"{20 * math.log10(level):.0f} dB of full scale"
        if level < _SILENT:
            return f"next to silence (the loudest parts so far have {shown})"
        return (
            f"very quiet (the loudest parts so far have {shown}), so that words may be lost; "
            "streams are not made louder: multiply the samples"
        )


def averaged(
    samples: npt.NDArray[Any], weights: Sequence[float] | None = None
) -> tuple[npt.NDArray[Any], str | None]:
    """Average channels, unless they cancel each other.

    Args:
        samples: ``(samples, channels)``.
        weights: of the channels in the mean; by default the same.

    Returns:
        ``(samples,)``, and what is to be said of it, if anything is.
    """
    mono = np.average(samples, axis=1, weights=weights).astype(samples.dtype, copy=False)
    wide = samples.astype(np.float64, copy=False)
    energies = [float(np.square(wide[:, channel]).sum()) for channel in range(wide.shape[1])]
    best = cancelled_by(float(np.square(mono.astype(np.float64)).sum()), energies)
    return (mono, None) if best is None else (samples[:, best], of_one_channel(best))


def cancelled_by(mean: float, channels: Sequence[float]) -> int | None:
    """Which channel, the loudest, stands for all if their mean is about nothing.

    Args:
        mean: energy of the channels' mean.
        channels: energy of each.
    """
    total = sum(channels)
    if not 0 < total < math.inf or mean * len(channels) ** 2 >= _CANCELLED * total:
        return None
    return max(range(len(channels)), key=lambda channel: channels[channel])


def of_one_channel(channel: int) -> str:
    """What is to be said where one channel, from 0, stands for all."""
    return f"its channels cancel each other: number {channel + 1} is used alone"
