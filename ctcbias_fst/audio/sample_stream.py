"""Samples as they come: of any type and rate, made mono float32 of one rate."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import soxr

from ctcbias_fst.audio.blocks import check_rate, check_values
from ctcbias_fst.audio.channels import ChannelMixer, Layout, checked_channels, laid_out
from ctcbias_fst.audio.levels import StreamLevel
from ctcbias_fst.audio.samples import AS_INT16, Samples, as_array, with_full_scale_1
from ctcbias_fst.errors import AudioError


class Chunk(NamedTuple):
    """A chunk that was looked at, and not taken yet.

    Attributes:
        samples: float32 ``(frames,)``, or ``(frames, channels)``.
        layout: how the chunks of the stream are laid out, as far as is known with it.
        wide: whether they were integers of 32 bits.
    """

    samples: Samples
    layout: Layout | None = None
    wide: bool = False


class SampleStream:
    """Makes samples of one rate of chunks; where these are cut makes no difference.

    Args:
        target: the rate of what comes out, in Hz.
        rate: of what goes in; the same by default.
        name: for messages.
        channels: of what goes in; by default the first chunk tells.

    Raises:
        AudioError: ``rate`` or ``channels`` is none.
    """

    def __init__(
        self, target: int, rate: Any = None, name: str = "stream", channels: Any = None
    ) -> None:
        self.target, self.name = target, name
        self.rate = target if rate is None else check_rate(rate, name)
        self._resampler: Any = None
        if self.rate != target:
            self._resampler = soxr.ResampleStream(self.rate, target, 1, dtype="float32")
        self._layout = checked_channels(channels, name)
        self._mixer, self._level = ChannelMixer(self.rate), StreamLevel(self.rate)
        self._wide = True
        self._notices: list[str] = []
        self._taken = 0
        self._finished = False

    @property
    def seconds(self) -> float:
        """How much has come in."""
        return self._taken / self.rate

    def accept(self, samples: Any, rate: Any = None) -> Samples:
        """Take a chunk: what `read` makes of it, at the rate of the target."""
        return self.take(self.read(samples, rate))

    def read(self, samples: Any, rate: Any = None) -> Chunk:
        """Look at the next chunk, without taking it.

        Args:
            samples: of any size, 0 too, and of the types that
                :func:`ctcbias_fst.audio.samples.mono_samples` takes; with an axis for channels, the
                much shorter one in the first chunk, and the same in those that follow.
            rate: of them, if the caller says it each time; it may not change.

        Returns:
            the samples at their own rate.

        Raises:
            AudioError: they are no samples, or of another rate or other channels than those before.
        """
        if rate is not None and check_rate(rate, self.name) != self.rate:
            raise AudioError(
                f"{self.name}: {rate} Hz after {self.seconds:.2f} s of {self.rate} Hz: a stream "
                "has one rate; open another one"
            )
        place = f"{self.name}, chunk at {self.seconds:.2f} s"
        array = as_array(samples, place) if _is_filled(samples) else _NONE
        if not array.size:
            return Chunk(_NONE, self._layout)
        array, layout = laid_out(array, self._layout, place)
        if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.any():
            raise AudioError(
                f"{place}: 64-bit integers have no known full scale; give the type that they had "
                "(such as int16), or floats in [-1, 1]"
            )
        with np.errstate(over="ignore", invalid="ignore"):  # what is absurd is refused afterwards
            filled = with_full_scale_1(array, place).astype(np.float32)
        check_values(_furthest(filled), self.rate, place)
        return Chunk(filled, layout, bool(array.dtype == np.int32))

    def take(self, chunk: Chunk) -> Samples:
        """Take what `read` gave; returns what can be told by now at the rate of the target."""
        if not len(chunk.samples):
            return _NONE
        self._layout = chunk.layout
        self._taken += len(chunk.samples)
        self._wide = self._wide and chunk.wide
        several = chunk.samples.ndim == 2
        return self._resampled(self._mixer.add(chunk.samples) if several else chunk.samples)

    def finish(self) -> Samples:
        """What was kept back; a second time there is nothing."""
        if self._finished:
            return _NONE
        self._finished = True
        return self._resampled(self._mixer.rest(), last=True)

    def notices(self) -> list[str]:
        """What is to be said of the stream, each once, since the last time."""
        found, self._notices = self._notices, []
        return found

    def _resampled(self, mono: Samples, *, last: bool = False) -> Samples:
        quiet = self._level.hear(mono, last=last)
        if quiet is not None:
            self._notices.append(f"{quiet}; {AS_INT16}" if self._wide else quiet)
        if self._mixer.notice is not None:
            self._notices.append(self._mixer.notice)
            self._mixer.notice = None
        if self._resampler is None:
            return mono
        if not len(mono) and not last:
            return _NONE
        chunk = self._resampler.resample_chunk(mono, last=last)
        return np.ascontiguousarray(chunk, dtype=np.float32)


_NONE: Samples = np.zeros(0, dtype=np.float32)


def _is_filled(samples: Any) -> bool:
    """Whether there is anything in a chunk: an empty one has no type that counts."""
    try:
        return len(samples) > 0
    except TypeError:
        return True  # whatever it is, it will be refused


def _furthest(samples: Samples) -> Samples:
    """Of several channels, in each frame the value that is furthest from 0, or is no number."""
    if samples.ndim == 1:
        return samples
    furthest = np.abs(samples).argmax(axis=1)
    return np.ascontiguousarray(np.take_along_axis(samples, furthest[:, None], axis=1)[:, 0])
