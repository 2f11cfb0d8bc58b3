"""What streams of audio need of a model, however it hears them.

A model either hears windows of audio again and again (`stream_windows.py`), or goes on from states
that it keeps (`stream_steps.py`). Both take samples as they come, and give log-probs of frames that
are scored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from ctcbias_fst.audio.samples import Samples
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.records import LogProbs


class Heard(NamedTuple):
    """What was heard of a stream.

    Attributes:
        log_probs: of its next frames, of one utterance, maybe of no frames.
        warnings: what the model failed on.
    """

    log_probs: LogProbs
    warnings: tuple[str, ...]


class HeardStream:
    """Audio of a stream that is still needed.

    Args:
        name: of the stream, for messages.
        names: its list, for the adapter; it may be changed between chunks.

    Attributes:
        frames, phone_frames: how many were scored and decoded: who decodes them says so.
    """

    def __init__(self, name: str, names: ListedNames | None = None) -> None:
        self.name, self.names = name, names
        self.frames = self.phone_frames = 0
        self._samples: Samples = np.zeros(0, dtype=np.float32)
        self._begin = 0

    def add(self, samples: Samples) -> None:
        """Take samples at the model's rate."""
        if len(samples):
            self._samples = np.concatenate((self._samples, samples))

    @property
    def end(self) -> int:
        """How many samples have come."""
        return self._begin + len(self._samples)

    def cut(self, begin: int, end: int) -> Samples:
        """Samples ``[begin, end)`` of the stream."""
        return self._samples[begin - self._begin : end - self._begin]

    def drop_before(self, sample: int) -> None:
        """Forget what is not needed any more."""
        if sample > self._begin:
            self._samples = self._samples[sample - self._begin :].copy()
            self._begin = sample


S = TypeVar("S", bound=HeardStream)


class HearsStreams(Protocol[S]):
    """Scores streams, many at a time.

    Attributes:
        sampling_rate: of the samples that it takes.
        latest_seconds: how long after it was said a frame is scored, at most, when audio comes at
            once.
        first_seconds: how much of a stream is scored first.
    """

    @property
    def sampling_rate(self) -> int: ...
    @property
    def latest_seconds(self) -> float: ...
    @property
    def first_seconds(self) -> float: ...

    def open(self, name: str, names: ListedNames | None = None) -> S:
        """A stream that nothing was heard of yet.

        Args:
            name: of it, for messages.
            names: its list, for the adapter.
        """

    def score(
        self, streams: Sequence[S], chunks: Sequence[Samples], *, last: bool = False
    ) -> list[Heard]:
        """Take what has come, and score what can be.

        Args:
            streams: each once; their `frames` and `phone_frames` say what was decoded before.
            chunks: samples at the model's rate, of each.
            last: whether the streams end here.

        Returns:
            what was heard of each: the frames behind those that were decoded.

        Raises:
            ModelError: the model has failed on all that it was given so far; what came is kept,
                and after ten seconds taken for silence.
        """
