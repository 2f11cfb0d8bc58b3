"""Pauses of audio, whatever a model reads in it: where its background alone is heard."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.pauses import Pause

_HOPS = 100
"""Of a second, about; seconds are counted by them here."""

_LEAST = 24
"""Hops of a pause: what is shorter may be the closure of a stop inside a word."""

_NEAR = 1500
"""Background and speech are those of so many hops before and after."""

_BACKGROUND = 5.0
"""Percent of the frames are not louder than the background: closures and pauses have so many."""

_ABOVE = 6.0
"""Decibels by which the background varies."""

_INAUDIBLE = 60.0
"""Decibels below the loudest frame, where there is nothing to be heard beside it."""

_BELOW = 15.0
"""Decibels by which a pause is quieter than the loudest frame; less is music, say, or noise."""

_NOTHING = -100.0
"""Decibels of full scale: no more is digital silence, whatever is around it."""

_EMPHASIS = 0.97
_SILENCE = 1e-12
_AT_ONCE = 10_000


def hop_of(sampling_rate: int) -> int:
    """Samples of a frame in which pauses are told: of 10 ms, or nearly."""
    return max(1, round(sampling_rate / _HOPS))


def quiet_pauses(samples: Samples, sampling_rate: int) -> list[Pause]:
    """Find where a recording has nothing but its background, for a quarter of a second or more.

    Args:
        samples: ``(sample,)``.
        sampling_rate: of these.

    Returns:
        pauses in order of time, in frames of :func:`hop_of`; none where the background is about as
        loud as the rest. Digital silence is a pause in any case.
    """
    level = _level(samples, hop_of(sampling_rate))
    quiet = np.zeros(len(level) + 2, dtype=bool)
    for begin in range(0, len(level), _HOPS):
        around = level[max(0, begin - _NEAR) : begin + _HOPS + _NEAR]
        top = float(around.max())
        background = float(np.percentile(around, _BACKGROUND))
        most = min(max(background + _ABOVE, top - _INAUDIBLE), top - _BELOW)
        here = level[begin : begin + _HOPS]
        quiet[begin + 1 : begin + 1 + len(here)] = here <= max(most, _NOTHING)
    edges = np.flatnonzero(quiet[1:] != quiet[:-1]).tolist()
    runs = zip(edges[::2], edges[1::2])
    return [Pause(begin, end) for begin, end in runs if end - begin >= _LEAST]


def _level(samples: Samples, hop: int) -> npt.NDArray[np.float64]:
    """Decibels of each whole frame, smoothed; high frequencies raised, as hum is no speech."""
    frames = len(samples) // hop
    energy = np.empty(frames)
    for begin in range(0, frames, _AT_ONCE):
        end = min(frames, begin + _AT_ONCE)
        wave = np.asarray(samples[max(0, begin * hop - 1) : end * hop], dtype=np.float64)
        wave = wave if begin else np.append(wave[:1], wave)
        sharp = wave[1:] - _EMPHASIS * wave[:-1]
        energy[begin:end] = np.square(sharp).reshape(-1, hop).mean(axis=1)
    if not frames:
        return energy
    smooth = np.convolve(np.pad(energy, 1, mode="edge"), np.full(3, 1 / 3), mode="valid")
    decibels: npt.NDArray[np.float64] = 10 * np.log10(smooth + _SILENCE)
    return decibels
