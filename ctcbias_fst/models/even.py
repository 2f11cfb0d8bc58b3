"""Speakers of different loudness in one recording, made about as loud as each other.

An encoder that reads loud speech takes speech that is 30 dB quieter for the background of it,
though alone it reads either. So stretches that are much quieter than the rest are raised before.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from ctcbias_fst.models.features import FRAME_SECONDS

_QUIETER = 18.0
"""Decibels: what is not as much quieter than the loudest is read as it is."""

_OTHER = 12.0
"""A quieter stretch goes on for as long as the level is so far below: no sentence is parted."""

_MOST = 40.0
"""So many decibels are added at most, and nothing where these were not nearly enough."""

_BEYOND = 5.0
_SMOOTH_SECONDS = 0.05
_GAP_SECONDS = 0.8
"""Speech does not go on for longer without a loud sound, nor, mostly, without a quiet one."""

_BURST_SECONDS = 0.4
"""Loud sounds between which there are no such gaps are not a level of their own in less time."""

_SHORTEST_SECONDS = 0.8
_EDGE_SECONDS = 0.3
"""Stretches begin and end where it is quietest within this time of where they were found."""

_PEAK_SECONDS = 0.3
"""A stretch is so long at least as loud as its level says."""

_LIVELY = 8.0
_LIVELY_SHARE = 0.1
_LOUD = 12.0
"""Of the frames that are at most 12 dB below the level of a stretch, a tenth has near it what is
8 dB quieter than that level: in steady noise hardly any has (up to 4 % in 14 clips)."""

_CLEAR = -0.25
"""Mean log-prob of the phones that are heard in speech which was raised: -0.05 to -0.21 in 18
sentences, below in 12 of 17 pauses of recordings with 8 bits."""


def raises(features: Tensor) -> Tensor:
    """By how much quiet speech in a long recording is to be raised.

    Stretches of 0.8 s or more that are 18 dB or more below the loudest speech, but are no steady
    noise, are made as loud, each as a whole; in them quieter ones in the same way.

    Args:
        features: ``(frame, mel)`` log energies, of a frame every 10 ms.

    Returns:
        decibels ``(frame,)``, float64 on the CPU; 0 where nothing is to be raised.
    """
    return _raised(_decibels(features))


def louder(features: Tensor, decibels: Tensor) -> Tensor:
    """Features ``(frame, mel)`` of the same recording with each frame so much louder."""
    if not bool(decibels.any()):
        return features
    return features + (decibels * (math.log(10) / 10)).to(features)[:, None]


def raised_where_spoken(decibels: Tensor, phones: Tensor, rate: int) -> Tensor:
    """Of stretches that are to be raised, those that are clear speech then.

    What is left of a pause by few bits, or somebody typing, is no steady noise and no speech.

    Args:
        decibels: ``(frame,)``, what :func:`raises` found.
        phones: ``(frame // rate, 1 + phones)`` log-probs of the recording when it is raised.
        rate: frames of the features for one of these.
    """
    kept = decibels.clone()
    if not bool(decibels.any()):
        return kept
    best, phone = phones.max(dim=-1)
    best, heard = best.cpu(), (phone != 0).cpu()
    lengths = torch.unique_consecutive(decibels, return_counts=True)[1].tolist()
    ends = list(itertools.accumulate(lengths))
    for begin, end in zip([0, *ends], ends):
        if not decibels[begin]:
            continue
        where = slice(begin // rate, -(-end // rate))
        clear = best[where][heard[where]]
        if not len(clear) or float(clear.mean()) < _CLEAR:
            kept[begin:end] = 0.0
    return kept


def _decibels(features: Tensor) -> Tensor:
    """Smoothed energies ``(frame,)``, float64 on the CPU."""
    energies = features.double().exp().sum(dim=1).cpu()[None, None]
    reach = _frames(_SMOOTH_SECONDS) // 2
    padded = torch.nn.functional.pad(energies, (reach, reach), mode="replicate")
    smooth: Tensor = torch.nn.functional.avg_pool1d(padded, 2 * reach + 1, stride=1)[0, 0]
    return 10 * smooth.log10()


def _raised(decibels: Tensor) -> Tensor:
    """By how much each frame is to be raised."""
    gap = _frames(_GAP_SECONDS)
    level = _opened(_closed(decibels, gap), _frames(_BURST_SECONDS))
    lively = level - _opened(decibels, gap) >= _LIVELY
    raised = torch.zeros_like(decibels)
    top = float(level.max())
    # Frames, the level around them, and the level of what is, or is made, as loud as the loudest.
    todo = [(0, len(level), top, top)]
    while todo:
        first, last, around, even = todo.pop()
        peak = _frames(_PEAK_SECONDS)
        for begin, end in _runs(level[first:last] < around - _OTHER):
            low, high = _trimmed(decibels, first + begin, first + end)
            if end - begin < _frames(_SHORTEST_SECONDS) or high - low < 2 * peak:
                continue
            own = float(level[low:high].topk(peak).values[-1])
            if own < top - _MOST - _BEYOND:
                continue
            loud = decibels[low:high] >= own - _LOUD
            share = float(lively[low:high][loud].double().mean())
            spoken = own <= even - _QUIETER and share >= _LIVELY_SHARE
            if spoken:
                raised[low:high] = min(top - own, _MOST)
            todo.append((low, high, own, own if spoken else even))
    return raised


def _trimmed(decibels: Tensor, begin: int, end: int) -> tuple[int, int]:
    """A stretch with ends where it is quiet, if it does not reach to those of the recording."""
    edge = _frames(_EDGE_SECONDS)
    first, last = begin, end
    if begin > 0:
        first += int(decibels[begin : begin + edge].argmin())
    if end < len(decibels):
        last -= 1 + int(decibels[max(0, end - edge) : end].flip(0).argmin())
    return first, last


def _runs(chosen: Tensor) -> list[tuple[int, int]]:
    """Where ``chosen`` is true without a break."""
    edges = torch.nn.functional.pad(chosen.int(), (1, 1)).diff().nonzero().flatten().tolist()
    return list(zip(edges[::2], edges[1::2]))


def _opened(values: Tensor, frames: int) -> Tensor:
    """Peaks of fewer frames are gone."""
    return _greatest(-_greatest(-values, frames), frames)


def _closed(values: Tensor, frames: int) -> Tensor:
    """Dips of fewer frames are gone."""
    return -_opened(-values, frames)


def _greatest(values: Tensor, frames: int) -> Tensor:
    """Of about ``frames`` frames around each."""
    reach = frames // 2
    pooled: Tensor = torch.nn.functional.max_pool1d(
        values[None, None], 2 * reach + 1, stride=1, padding=reach
    )
    return pooled[0, 0]


def _frames(seconds: float) -> int:
    return round(seconds / FRAME_SECONDS)
