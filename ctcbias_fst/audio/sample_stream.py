"""Samples as they come: of any type and rate, made mono float32 of one rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr

from ctcbias_fst.audio.blocks import check_rate, check_values
from ctcbias_fst.audio.samples import Samples, mono_samples
from ctcbias_fst.errors import AudioError


class SampleStream:
    """Makes samples of one rate of chunks; where these are cut makes no difference.

    Args:
        target: the rate of what comes out, in Hz.
        rate: of what goes in; the same by default.
        name: for messages.

    Raises:
        AudioError: ``rate`` is none.
    """

    def __init__(self, target: int, rate: Any = None, name: str = "stream") -> None:
        self.target, self.name = target, name
        self.rate = target if rate is None else check_rate(rate, name)
        self._resampler: Any = None
        if self.rate != target:
            self._resampler = soxr.ResampleStream(self.rate, target, 1, dtype="float32")
        self._taken = 0
        self._finished = False

    @property
    def seconds(self) -> float:
        """How much has come in."""
        return self._taken / self.rate

    def accept(self, samples: Any, rate: Any = None) -> Samples:
        """Take a chunk: what `read` makes of it, at the rate of the target."""
        return self.take(self.read(samples, rate))

    def read(self, samples: Any, rate: Any = None) -> Samples:
        """Look at the next chunk, without taking it.

        Args:
            samples: of any size, 0 too; see :func:`ctcbias_fst.audio.samples.mono_samples`.
            rate: of them, if the caller says it each time; it may not change.

        Returns:
            mono float32 ``(samples,)`` of their own rate.

        Raises:
            AudioError: they are no samples, or of another rate than those before.
        """
        if rate is not None and check_rate(rate, self.name) != self.rate:
            raise AudioError(
                f"{self.name}: {rate} Hz after {self.seconds:.2f} s of {self.rate} Hz: a stream "
                "has one rate; open another one"
            )
        place = f"{self.name}, chunk at {self.seconds:.2f} s"
        mono = mono_samples(samples, place) if _is_filled(samples) else _NONE
        check_values(mono, self.rate, place)
        return mono

    def take(self, mono: Samples) -> Samples:
        """Take what `read` gave; returns what can be told by now at the rate of the target."""
        self._taken += len(mono)
        if self._resampler is None:
            return mono
        return self._resampled(mono) if len(mono) else _NONE

    def finish(self) -> Samples:
        """What was kept back for resampling; a second time there is nothing."""
        if self._resampler is None or self._finished:
            return _NONE
        self._finished = True
        return self._resampled(_NONE, last=True)

    def _resampled(self, mono: Samples, *, last: bool = False) -> Samples:
        chunk = self._resampler.resample_chunk(mono, last=last)
        return np.ascontiguousarray(chunk, dtype=np.float32)


_NONE: Samples = np.zeros(0, dtype=np.float32)


def _is_filled(samples: Any) -> bool:
    """Whether there is anything in a chunk: an empty one has no type that counts."""
    try:
        return len(samples) > 0
    except TypeError:
        return True  # whatever it is, it will be refused
