"""Blocks of samples: the wanted part of them, checked, averaged, at one rate."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from ctcbias_fst.audio.levels import cancelled_by, of_one_channel
from ctcbias_fst.errors import AudioError
from ctcbias_fst.wanted import require_wanted

SHORTEST_SECONDS = 0.025
"""One analysis window: less audio has no frame."""

LONGEST_SECONDS = 24 * 3600.0
"""More in one piece is no recording of speech."""

LOWEST_RATE, HIGHEST_RATE = 2000, 768_000
"""Sampling rates between telephones and studios, with room on both sides."""

LOUDEST = 16.0
"""Full scale is 1: float samples may go over it, but not by more than 24 dB."""

BLOCK = 1 << 18
"""Samples that are decoded at once, all channels together."""

_SLACK_SECONDS = 0.1
"""Encoders pad, so that counts of compressed audio may be off by a few of its frames."""

Samples = npt.NDArray[np.float32]


class Outcome(NamedTuple):
    """What a decoder has to say at the end.

    Attributes:
        notice: what is missing, if anything is.
        damage: what is broken, if another decoder may find more behind it.
        recoverable: another decoder may find more.
    """

    notice: str | None
    damage: str = ""
    recoverable: bool = False


class Part:
    """Takes the wanted part of blocks as they come."""

    def __init__(self, name: str, start: float, seconds: float | None) -> None:
        self.name, self.start, self.seconds = name, start, seconds
        self.heard = 0.0
        self.rate = 0
        self._taken = 0.0

    def skip(self, seconds: float) -> None:
        """What comes begins here."""
        self.heard = seconds

    def add(self, block: Samples, rate: int) -> bool:
        """Take samples ``(frame, channel)``; returns whether more are wanted."""
        require_wanted()
        if rate != self.rate:
            self._change(check_rate(rate, self.name))
            self.rate = rate
        begin = self.heard
        self.heard += len(block) / rate
        first = max(0, min(len(block), round((self.start - begin) * rate)))
        last = len(block)
        if self.seconds is not None:
            last = max(first, min(last, round((self.start + self.seconds - begin) * rate)))
        self._taken += (last - first) / rate
        if self._taken > LONGEST_SECONDS:
            raise AudioError(
                f"{self.name}: longer than {LONGEST_SECONDS / 3600:.0f} hours; cut it into pieces"
            )
        self._keep(block[first:last], begin + first / rate)
        return self.seconds is None or self.heard < self.start + self.seconds

    def _change(self, rate: int) -> None:
        """From now on samples have another rate."""
        raise NotImplementedError

    def _keep(self, block: Samples, begin: float) -> None:
        raise NotImplementedError


class Mono(Part):
    """Averages channels and converts the rate.

    Attributes:
        notice: what is to be said of the channels, if anything is.
    """

    def __init__(
        self,
        target: int,
        name: str,
        start: float = 0.0,
        seconds: float | None = None,
        channels: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name, start, seconds)
        self._target = target
        self._channels = None if channels is None else list(channels)
        self._resampler: Any = None
        self._pieces: list[Samples] = []
        self._energies = np.zeros(0)
        self._energy = 0.0
        self.notice: str | None = None

    def _keep(self, block: Samples, begin: float) -> None:
        mono = self._averaged(block)
        check_values(mono, self.rate, self.name, begin)
        self._pieces.append(self._resampled(mono, False))

    def _averaged(self, block: Samples) -> Samples:
        if self._channels is not None:
            missing = [channel for channel in self._channels if channel >= block.shape[1]]
            if missing:
                raise AudioError(f"{self.name}: has no channel {missing[0]}, only {block.shape[1]}")
            block = block[:, self._channels]
        with np.errstate(over="ignore", invalid="ignore"):  # absurd samples are told afterwards
            mono = np.ascontiguousarray(block.mean(axis=1, dtype=np.float32))
            if block.shape[1] > 1:
                own = np.square(block, dtype=np.float64).sum(axis=0)
                more = max(0, len(own) - len(self._energies))  # streams in a row may differ
                self._energies = np.pad(self._energies, (0, more))
                self._energies[: len(own)] += own
                self._energy += float(np.square(mono, dtype=np.float64).sum())
        return mono

    def alone(self) -> Callable[[], Mono] | None:
        """What reads one channel, if the mean of all is about nothing."""
        best = cancelled_by(self._energy, self._energies.tolist())
        if best is None:
            return None
        channel = best if self._channels is None else self._channels[best]

        def one() -> Mono:
            mono = Mono(self._target, self.name, self.start, self.seconds, [channel])
            mono.notice = of_one_channel(channel)
            return mono

        return one

    def _change(self, rate: int) -> None:
        self._flush()
        if rate != self._target:
            self._resampler = soxr.ResampleStream(rate, self._target, 1, dtype="float32")

    def _flush(self) -> None:
        if self._resampler is not None:
            self._pieces.append(self._resampled(np.empty(0, np.float32), True))
            self._resampler = None

    def _resampled(self, mono: Samples, last: bool) -> Samples:
        if self._resampler is None:
            return mono
        # soxr takes more time and memory the longer a chunk is.
        step = max(1, self.rate)
        parts = [
            self._resampler.resample_chunk(mono[i : i + step], last=False)
            for i in range(0, len(mono), step)
        ]
        if last:
            parts.append(self._resampler.resample_chunk(mono[:0], last=True))
        return np.concatenate(parts) if parts else mono

    def finish(self, notice: str | None) -> Samples:
        """All samples.

        Raises:
            AudioError: they are too few.
        """
        self._flush()
        samples = np.concatenate(self._pieces) if self._pieces else np.empty(0, np.float32)
        name = self.name if notice is None else f"{self.name}: {notice}"
        return check_samples(samples, self._target, name)


class Channels(Part):
    """Keeps every channel at its rate."""

    def __init__(self, name: str, start: float, seconds: float | None) -> None:
        super().__init__(name, start, seconds)
        self._pieces: list[Samples] = []

    def _keep(self, block: Samples, begin: float) -> None:
        self._pieces.append(block.T.copy())

    def _change(self, rate: int) -> None:
        if self.rate:
            raise AudioError(f"{self.name}: its rate changes from {self.rate} to {rate} Hz")

    def finish(self, notice: str | None) -> Samples:
        """All samples ``(channel, sample)``.

        Raises:
            AudioError: there are none.
        """
        if not self._pieces:
            raise AudioError(f"{self.name}: {notice or 'there is nothing in it'}")
        return np.concatenate(self._pieces, axis=1)


def check_rate(rate: Any, name: str) -> int:
    """A sampling rate that speech can have.

    Raises:
        AudioError: it is no whole number, or out of bounds.
    """
    try:
        if isinstance(rate, bool) or int(rate) != rate:
            raise ValueError
        whole = int(rate)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        remedy = "; give a number, not a string" if isinstance(rate, str) else ""
        raise AudioError(
            f"{name}: a sampling rate of {rate!r} is no whole number of Hz{remedy}"
        ) from None
    if not LOWEST_RATE <= whole <= HIGHEST_RATE:
        raise AudioError(
            f"{name}: a sampling rate of {whole} Hz cannot be right; it must be from "
            f"{LOWEST_RATE} to {HIGHEST_RATE} Hz"
        )
    return whole


def check_samples(samples: Samples, sampling_rate: int, name: str) -> Samples:
    """Refuse samples that no model can use.

    Raises:
        AudioError: not one-dimensional, too short, not finite, or far over full scale.
    """
    if samples.ndim != 1:
        raise AudioError(f"{name}: samples must be mono, found shape {samples.shape}")
    if len(samples) < SHORTEST_SECONDS * sampling_rate:
        raise AudioError(
            f"{name}: {len(samples)} samples are less than {1000 * SHORTEST_SECONDS:.0f} ms: "
            "too short to hold speech"
        )
    check_values(samples, sampling_rate, name)
    return samples


def check_values(samples: Samples, rate: int, name: str, begin: float = 0.0) -> None:
    """Refuse samples that are not finite, or far over full scale.

    Args:
        samples: ``(samples,)``.
        rate: in Hz.
        name: for messages.
        begin: seconds before the first of them.

    Raises:
        AudioError: there are such; the message says where.
    """
    wrong = ~(np.abs(samples) <= LOUDEST)  # NaN is in no order
    if not wrong.any():
        return
    first = int(np.argmax(wrong))
    place = f"sample {round(begin * rate) + first} ({begin + first / rate:.3f} s)"
    value = float(samples[first])
    if np.isfinite(value):
        raise AudioError(
            f"{name}: {place} is {value:g}, far over full scale, which is 1 for float samples; "
            "divide them by the full scale of the integers that they were, or repair them"
        )
    raise AudioError(
        f"{name}: {place} is {value}; repair the recording, every sample must be a number"
    )


def shortfall(heard: float, declared: float | None, slack: float = _SLACK_SECONDS) -> str | None:
    """What to say where less is there than a header declares, in seconds."""
    if declared is None or heard >= declared - slack:
        return None
    return f"truncated: {heard:.2f} of {declared:.2f} s are there"


def joined_notes(*notes: str | None) -> str | None:
    """What is to be said, in one line; None if nothing is."""
    return "; ".join(note for note in notes if note) or None


def reason_of(error: Exception) -> str:
    """What a library says, without the file's name, which our messages begin with."""
    said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return clean(str(said)) or type(error).__name__


def clean(text: str) -> str:
    """A library's message in one line, without addresses and names of files."""
    line = (text.strip().splitlines() or [""])[0]
    line = re.sub(r"^Error : |^\[[^]]* @ 0x[0-9a-f]+\] |^file:.*?: (?=[A-Z])", "", line)
    return line.strip().rstrip(".")[:200]
