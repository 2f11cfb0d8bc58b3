"""Streams through a model that hears whole recordings: each frame is scored once, in a window of
the audio around it.

What is known as buffered streaming: a model with full context has no states to go on from, so what
lies before and behind a frame is encoded again with it. Windows are counted from the beginning of
the stream, so that chunks of any size give the same scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.audio.samples import Samples
from ctcbias_fst.bounds import at_most, finite, not_negative, positive
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.vocabulary import Vocabulary

_SHORTEST_SECONDS = 0.1
"""A shorter window, the last one of a stream, has silence behind it."""

_BATCH_SECONDS = 120.0
"""Audio that is scored at once."""

_LEAST_RIGHT = 0.1
"""Seconds: models lose some frames at the end of what they hear."""


@dataclass(frozen=True)
class WindowConfig:
    """What is heard at once of a stream, in seconds.

    Attributes:
        left: audio before the frames that are scored.
        step: of the frames that are scored.
        right: audio behind them, which must have come before.
    """

    left: float = 2.0
    step: float = 0.64
    right: float = 0.64

    def __post_init__(self) -> None:
        finite(self)
        not_negative(self, "left", "right")
        positive(self, "step")
        at_most(self, 60, "left", "step", "right")
        if self.right < _LEAST_RIGHT:
            raise ValueError(f"right must be at least {_LEAST_RIGHT:g}, found {self.right:g}")


class _Window(NamedTuple):
    """Frames ``[first, last)`` of a stream, or all from ``first`` on (None), scored in the audio
    from frame ``offset`` on."""

    offset: int
    first: int
    last: int | None
    samples: Samples


class WindowedStream:
    """What is kept of a stream: the audio that the next windows need.

    Args:
        name: of the stream, for messages.
        names: its list, for the adapter; it may be changed between chunks.
    """

    def __init__(self, name: str, names: ListedNames | None = None) -> None:
        self.name, self.names = name, names
        self.frames = self.phone_frames = 0
        """How many were scored."""
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
        """Forget what no window will need."""
        if sample > self._begin:
            self._samples = self._samples[sample - self._begin :].copy()
            self._begin = sample


class StreamWindows:
    """Scores streams, many at a time.

    Args:
        score: makes log-probs of recordings, with the list of each; threads may share it.
        vocabulary: of the model.
        frame_seconds: of the model.
        sampling_rate: of the model.
        config: what is heard at once.
    """

    def __init__(
        self,
        score: Callable[[Sequence[Recording], Sequence[ListedNames | None]], LogProbs],
        vocabulary: Vocabulary,
        frame_seconds: float,
        sampling_rate: int,
        config: WindowConfig = WindowConfig(),
    ) -> None:
        self._score, self._vocabulary = score, vocabulary
        self.frame_seconds, self.sampling_rate, self.config = frame_seconds, sampling_rate, config
        self._left, self._step, self._right = (
            max(least, round(seconds / frame_seconds))
            for least, seconds in ((0, config.left), (1, config.step), (1, config.right))
        )

    @property
    def latest_seconds(self) -> float:
        """How long after it was said a frame is scored, at most, when audio comes at once."""
        return (self._step + self._right) * self.frame_seconds

    def score(
        self, streams: Sequence[WindowedStream], chunks: Sequence[Samples], *, last: bool = False
    ) -> list[LogProbs]:
        """Take what has come, and score what can be.

        Args:
            streams: each once.
            chunks: samples at the model's rate, of each.
            last: whether the streams end here.

        Returns:
            the log-probs of the next frames of each stream, of one utterance each, maybe of no
            frames.

        Raises:
            CtcbiasError: the model failed; what came is kept, and scored the next time.
        """
        for stream, chunk in zip(streams, chunks):
            stream.add(chunk)
        todo = [(one, window) for one in streams for window in self._windows(one, last)]
        scored = self._scored(todo)
        parts: dict[int, list[LogProbs]] = {id(stream): [] for stream in streams}
        for (stream, window), one in zip(todo, scored):
            parts[id(stream)].append(self._taken(stream, window, one))
        for stream in streams:
            stream.drop_before(self._at(max(0, stream.frames - self._left)))
        return [self._joined(stream, parts[id(stream)]) for stream in streams]

    def _windows(self, stream: WindowedStream, last: bool) -> Iterator[_Window]:
        """The next windows of a stream; what they need of its audio is cut out."""
        first = stream.frames
        while (behind := first + self._step) and stream.end >= self._at(behind + self._right):
            yield self._window(stream, first, behind, self._at(behind + self._right))
            first = behind
        if last and stream.end > self._at(first):
            yield self._window(stream, first, None, stream.end)

    def _window(self, stream: WindowedStream, first: int, last: int | None, end: int) -> _Window:
        offset = max(0, first - self._left)
        samples = stream.cut(self._at(offset), end)
        least = round(_SHORTEST_SECONDS * self.sampling_rate)
        if len(samples) < least:
            last = first + -(-len(samples) // self._at(1))
            samples = np.pad(samples, (0, least - len(samples)))
        return _Window(offset, first, last, samples)

    def _at(self, frame: int) -> int:
        """The first sample of a frame."""
        return round(frame * self.frame_seconds * self.sampling_rate)

    def _scored(self, todo: Sequence[tuple[WindowedStream, _Window]]) -> list[LogProbs]:
        """The log-probs of windows, each a batch of one."""
        scored: dict[int, LogProbs] = {}
        order = sorted(range(len(todo)), key=lambda i: -len(todo[i][1].samples))
        while len(scored) < len(order):
            begin = len(scored)
            longest = len(todo[order[begin]][1].samples)
            room = max(1, int(_BATCH_SECONDS * self.sampling_rate / longest))
            batch = order[begin : begin + room]
            recordings = [
                Recording(
                    f"{stream.name} from {window.offset * self.frame_seconds:.2f} s",
                    window.samples,
                    self.sampling_rate,
                )
                for stream, window in (todo[i] for i in batch)
            ]
            found = self._score(recordings, [todo[i][0].names for i in batch])
            scored |= {i: found.select([row]) for row, i in enumerate(batch)}
        return [scored[i] for i in range(len(todo))]

    def _taken(self, stream: WindowedStream, window: _Window, found: LogProbs) -> LogProbs:
        """The frames of a window that count."""
        begin = window.first - window.offset
        end = int(found.lengths[0]) if window.last is None else window.last - window.offset
        stream.frames = window.offset + end
        phones = self._phones(stream, window, found.phones)
        return found.slices([(0, begin, end)], phones)

    def _phones(
        self, stream: WindowedStream, window: _Window, found: PhoneLogProbs | None
    ) -> PhoneLogProbs | None:
        """Those of the same time, in frames of their own."""
        if found is None:
            return None
        offset = round(window.offset * self.frame_seconds / found.frame_seconds)
        end = int(found.lengths[0])
        if window.last is not None:
            end = min(end, round(window.last * self.frame_seconds / found.frame_seconds) - offset)
        begin = min(end, stream.phone_frames - offset)
        stream.phone_frames = offset + end
        return found.slices([(0, begin, end)])

    def _joined(self, stream: WindowedStream, parts: Sequence[LogProbs]) -> LogProbs:
        """Frames of one stream that follow each other."""
        if not parts:
            empty = torch.zeros(1, 0, self._vocabulary.size)
            none = torch.zeros(1, dtype=torch.int64)
            return LogProbs(empty, none, self.frame_seconds, (stream.name,), self._vocabulary)
        first = parts[0]
        phones = [part.phones for part in parts if part.phones is not None]
        unbiased = [part.unbiased for part in parts if part.unbiased is not None]
        joined = None
        if phones:
            joined = replace(
                phones[0],
                log_probs=_behind(one.log_probs for one in phones),
                lengths=_total(one.lengths for one in phones),
            )
        return replace(
            first,
            log_probs=_behind(part.log_probs for part in parts),
            lengths=_total(part.lengths for part in parts),
            ids=(stream.name,),
            phones=joined,
            unbiased=_behind(unbiased) if unbiased else None,
        )


def _behind(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Arrays (1, T, ...) one behind the other."""
    return torch.cat(list(parts), dim=1)


def _total(lengths: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(lengths)).sum(dim=0)
