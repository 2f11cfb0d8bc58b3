"""Channels of chunks: which axis they are, and how they become one, wherever chunks end."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ctcbias_fst.audio.levels import cancelled_by, of_one_channel
from ctcbias_fst.errors import AudioError

MAX_CHANNELS = 32

LONGER = 10
"""An axis is one of channels if the other is so many times as long."""

_BLOCK_SECONDS = 0.02
"""How channels are mixed is decided for so much at a time, and so much is held back."""

_LOUDER = 4.0
"""Times the energy that another channel has before it takes the place of the one used alone."""

Samples = npt.NDArray[np.float32]


class Layout(NamedTuple):
    """How the chunks of a stream are laid out.

    Attributes:
        channels: how many.
        axis: which axis of a chunk they are; None where that is not known, or there is one alone.
    """

    channels: int
    axis: int | None = None


def checked_channels(channels: Any, name: str) -> Layout | None:
    """The layout of chunks with so many channels, as a caller says it; None if it says nothing.

    Raises:
        AudioError: it is no number of channels.
    """
    if channels is None:
        return None
    whole = isinstance(channels, (int, np.integer)) and not isinstance(channels, bool)
    if not whole or not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"{name}: channels={channels!r} is no number of channels from 1 to {MAX_CHANNELS}"
        )
    return Layout(int(channels))


def laid_out(
    array: npt.NDArray[Any], known: Layout | None, name: str
) -> tuple[npt.NDArray[Any], Layout]:
    """The next chunk of a stream, with its channels last.

    Args:
        array: the chunk, not empty: ``(frames,)``, or one axis more for channels; the first chunk
            tells which.
        known: what is known of the chunks before; None before the first.
        name: for messages.

    Returns:
        ``(frames,)`` of one channel, else ``(frames, channels)``; and what is known now.

    Raises:
        AudioError: it has other channels than the chunks before, or it is not clear which axis they
            are.
    """
    shape = array.shape
    while array.ndim > 2 and len(array) == 1:
        array = array[0]
    if array.ndim not in (1, 2):
        raise AudioError(f"{name}: samples of the shape {shape} are no chunk of one stream")
    layout = _first(array.shape, name) if known is None else _next(array.shape, known, name)
    if layout.channels == 1:
        return array.reshape(-1), layout
    return np.ascontiguousarray(array if layout.axis == 1 else array.T), layout


def _first(shape: tuple[int, ...], name: str) -> Layout:
    few, many = sorted((*shape, 1)[:2])
    if len(shape) == 1 or many == 1:
        return Layout(1)
    if few > MAX_CHANNELS or many < LONGER * few:
        raise AudioError(
            f"{name}: it is not clear how many channels a stream has that begins with the shape "
            f"{shape}: pass channels= where it is opened"
        )
    return Layout(few, None if few == 1 else shape.index(few))


def _next(shape: tuple[int, ...], known: Layout, name: str) -> Layout:
    if known.channels == 1:
        fits = len(shape) == 1 or 1 in shape
    else:
        axes = [1, 0] if known.axis is None else [known.axis]
        axis = next((one for one in axes if len(shape) == 2 and shape[one] == known.channels), None)
        fits, known = axis is not None, known._replace(axis=axis)
    if not fits:
        raise AudioError(
            f"{name}: a chunk of the shape {shape} in a stream of {known.channels} channel"
            f"{'s' if known.channels > 1 else ''}: all its chunks must have the same channels"
        )
    return known


class ChannelMixer:
    """Averages channels, or uses one of them while they cancel each other.

    That is decided for blocks that are counted from the beginning, by the energies of all that has
    come until their end, so that chunks of any size give the same samples.

    Args:
        rate: samples per second.
    """

    def __init__(self, rate: int) -> None:
        self._size = max(1, round(_BLOCK_SECONDS * rate))
        self._kept: Samples | None = None
        self._energies: list[float] = []
        self._energy = 0.0
        self._alone: int | None = None
        self._noticed = False
        self.notice: str | None = None
        """What is to be said of the channels; whoever says it takes it away."""

    def add(self, samples: Samples, *, last: bool = False) -> Samples:
        """Take ``(frames, channels)`` and give what is decided ``(frames,)``, at the end all."""
        if self._kept is not None and len(self._kept):
            samples = np.concatenate((self._kept, samples))
        size = self._size
        end = len(samples) if last else len(samples) - len(samples) % size
        parts = [self._mixed(samples[at : min(at + size, end)]) for at in range(0, end, size)]
        self._kept = samples[end:].copy()
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def rest(self) -> Samples:
        """What was held back."""
        if self._kept is None:
            return np.zeros(0, np.float32)
        return self.add(self._kept[:0], last=True)

    def _mixed(self, block: Samples) -> Samples:
        mono: Samples = np.ascontiguousarray(block.mean(axis=1, dtype=np.float32))
        own = [_energy(block[:, channel]) for channel in range(block.shape[1])]
        before = self._energies or [0.0] * len(own)
        self._energies = [one + more for one, more in zip(before, own)]
        self._energy += _energy(mono)
        best = cancelled_by(self._energy, self._energies)
        if best is None:
            self._alone = None
            return mono
        if self._alone is None or self._energies[best] > _LOUDER * self._energies[self._alone]:
            self._alone = best
            self.notice = self.notice if self._noticed else of_one_channel(best)
            self._noticed = True
        return np.ascontiguousarray(block[:, self._alone])


def _energy(samples: Samples) -> float:
    """Without that of an offset, which is no sound."""
    wide = samples.astype(np.float64)
    return float(np.square(wide - wide.mean()).sum())
