"""Streams through a model that hears whole recordings: each frame is scored once, in a window of
the audio around it.

What is known as buffered streaming: a model with full context has no states to go on from, so what
lies before and behind a frame is encoded again with it. Windows are counted from the beginning of
the stream, and those that are scored together are as long as each other, so that none is padded:
chunks of any size give the same scores, but for what a model computes otherwise in a larger batch
(rounding).
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
from ctcbias_fst.errors import CtcbiasError, ModelError
from ctcbias_fst.models.heard_streams import Heard, HeardStream
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.outcomes import (
    BATCH_SECONDS,
    Patience,
    bad_scores,
    batches,
    failure,
    of_each,
)
from ctcbias_fst.phone_log_probs import PhoneLogProbs, blank_rows
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.vocabulary import Vocabulary

_SHORTEST_SECONDS = 0.1
"""A shorter window, the last one of a stream, has silence behind it."""

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
    from frame ``offset`` on; of a short one some frames may be lacking."""

    offset: int
    first: int
    last: int | None
    samples: Samples
    lacking: int = 0


Scores = Callable[
    [Sequence[Recording], Sequence[ListedNames | None]], Sequence[LogProbs | CtcbiasError]
]
"""Makes log-probs of recordings, with the list of each."""


class WindowedStream(HeardStream):
    """What is kept of a stream: the audio that the next windows need."""


class StreamWindows:
    """Scores streams, many at a time.

    Args:
        score: makes log-probs of recordings, with the list of each: of each a batch of one, or why
            there are none; threads may share it.
        vocabulary: of the model.
        frame_seconds: of the model.
        sampling_rate: of the model.
        config: what is heard at once.
        phone_seconds: how long a frame of the phones is that come with the log-probs; None if none
            do, or others than :data:`ctcbias_fst.text.phones.PHONES`.
    """

    def __init__(
        self,
        score: Scores,
        vocabulary: Vocabulary,
        frame_seconds: float,
        sampling_rate: int,
        config: WindowConfig = WindowConfig(),
        *,
        phone_seconds: float | None = None,
    ) -> None:
        self._score, self._vocabulary = score, vocabulary
        self.frame_seconds, self.sampling_rate, self.config = frame_seconds, sampling_rate, config
        self._patience = Patience()
        self._none = _no_frames(vocabulary, frame_seconds, phone_seconds)
        """Of no frames, otherwise like what the model gives as far as that is known."""
        self._listens = phone_seconds is not None
        self._left, self._step, self._right = (
            max(least, round(seconds / frame_seconds))
            for least, seconds in ((0, config.left), (1, config.step), (1, config.right))
        )

    def open(self, name: str, names: ListedNames | None = None) -> WindowedStream:
        """A stream; see :meth:`ctcbias_fst.models.heard_streams.HearsStreams.open`."""
        return WindowedStream(name, names)

    @property
    def latest_seconds(self) -> float:
        """How long after it was said a frame is scored, at most, when audio comes at once."""
        return (self._step + self._right) * self.frame_seconds

    @property
    def first_seconds(self) -> float:
        """How much of a stream is scored first."""
        return self._step * self.frame_seconds

    def score(
        self, streams: Sequence[WindowedStream], chunks: Sequence[Samples], *, last: bool = False
    ) -> list[Heard]:
        """Take what has come, and score what can be.

        A window that the model fails on is taken for silence, and told: no other costs it.

        Args:
            streams: each once; their `frames` and `phone_frames` say what was decoded before.
            chunks: samples at the model's rate, of each.
            last: whether the streams end here.

        Returns:
            what was heard of each.

        Raises:
            ModelError: the model has failed on all that it was given so far; what came is kept,
                and after ten seconds taken for silence.
        """
        waiting = max([0.0, *map(self._waiting_seconds, streams)])
        for stream, chunk in zip(streams, chunks):
            stream.drop_before(self._at(max(0, stream.frames - self._left)))
            stream.add(chunk)
        todo = [(one, window) for one in streams for window in self._windows(one, last)]
        scored = self._scored(todo)
        self._patience.see(scored, waiting, last=last)
        parts: dict[int, list[LogProbs]] = {id(stream): [] for stream in streams}
        warnings: dict[int, list[str]] = {id(stream): [] for stream in streams}
        phones = {id(stream): stream.phone_frames for stream in streams}
        for (stream, window), found in zip(todo, scored):
            key = id(stream)
            if isinstance(found, LogProbs):
                heard = self._taken(window, found, phones[key])
            else:
                heard = self._silence(window, phones[key])
                seconds = int(heard.lengths[0]) * self.frame_seconds
                warnings[key].append(f"{found}: {seconds:.2f} s are taken for silence")
            parts[key].append(heard)
            phones[key] += 0 if heard.phones is None else int(heard.phones.lengths[0])
        return [
            Heard(self._joined(stream, parts[id(stream)]), tuple(warnings[id(stream)]))
            for stream in streams
        ]

    def _waiting_seconds(self, stream: WindowedStream) -> float:
        """Audio that could have been scored before."""
        ready = self._at(stream.frames + self._step + self._right)
        return (stream.end - ready) / self.sampling_rate

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
            last = offset + -(-len(samples) // self._at(1))
            samples = np.pad(samples, (0, least - len(samples)))
            return _Window(offset, first, last, samples, last - first)
        return _Window(offset, first, last, samples)

    def _at(self, frame: int) -> int:
        """The first sample of a frame."""
        return round(frame * self.frame_seconds * self.sampling_rate)

    def _scored(
        self, todo: Sequence[tuple[WindowedStream, _Window]]
    ) -> list[LogProbs | CtcbiasError]:
        """The log-probs of windows, each a batch of one; or why there are none."""
        scored: dict[int, LogProbs | CtcbiasError] = {}
        lengths = [len(window.samples) for _, window in todo]
        for batch in batches(lengths, BATCH_SECONDS * self.sampling_rate, alike=True):
            found = of_each(self._at_once, [todo[i] for i in batch], self._failure)
            scored.update(zip(batch, found))
        good = [one for one in scored.values() if isinstance(one, LogProbs)]
        if good:
            phones = good[0].phones
            none = None if phones is None else phones.slices([(0, 0, 0)])
            self._none = good[0].slices([(0, 0, 0)], none)
        return [scored[i] for i in range(len(todo))]

    def _at_once(
        self, todo: Sequence[tuple[WindowedStream, _Window]]
    ) -> list[LogProbs | CtcbiasError]:
        """The log-probs of a batch."""
        recordings = [
            Recording(self._place(*one), one[1].samples, self.sampling_rate) for one in todo
        ]
        found = self._score(recordings, [stream.names for stream, _ in todo])
        return [
            self._failure(one, heard)
            if isinstance(heard, CtcbiasError)
            else self._checked(*one, heard)
            for one, heard in zip(todo, found)
        ]

    def _failure(self, one: tuple[WindowedStream, _Window], error: Exception) -> CtcbiasError:
        return failure(one[0].name, self._place(*one), error)

    def _place(self, stream: WindowedStream, window: _Window) -> str:
        return f"{stream.name} from {window.first * self.frame_seconds:.2f} s on"

    def _checked(
        self, stream: WindowedStream, window: _Window, found: LogProbs
    ) -> LogProbs | CtcbiasError:
        """The log-probs of a window, if all that count are there."""
        where = self._place(stream, window)
        rows = int(found.lengths[0])
        if window.last is not None and rows < window.last - window.offset - window.lacking:
            return ModelError(f"{where}: the model gave {rows} frames, which is too few")
        known = 0
        if found.phones is not None:
            known = round(window.first * self.frame_seconds / found.phones.frame_seconds)
        # What is only heard beside the frames that count may be what the model fails on.
        counts = replace(self._taken(window, found, known), ids=(where,))
        return bad_scores(counts, phones=self._listens) or found

    def _taken(self, window: _Window, found: LogProbs, phones: int) -> LogProbs:
        """The frames of a window that count, behind so many phone frames."""
        begin = window.first - window.offset
        end = int(found.lengths[0])
        if window.last is not None:
            end = min(end, window.last - window.offset)
        beside = self._phones(window, found.phones, phones)
        return found.slices([(0, begin, max(begin, end))], beside)

    def _silence(self, window: _Window, phones: int) -> LogProbs:
        """What stands in the place of a window that the model failed on."""
        like = self._none
        frames = -(-len(window.samples) // self._at(1)) - (window.first - window.offset)
        if window.last is not None:
            frames = window.last - window.first
        silent = replace(
            like,
            log_probs=blank_rows(frames, like.log_probs, self._vocabulary.blank_id)[None],
            lengths=torch.tensor([frames]),
            unbiased=None,
            phones=None,
        )
        if like.phones is None:
            return silent
        until = (window.first + frames) * self.frame_seconds
        count = max(0, round(until / like.phones.frame_seconds) - phones)
        beside = replace(
            like.phones,
            log_probs=blank_rows(count, like.phones.log_probs, 0)[None],
            lengths=torch.tensor([count]),
        )
        return replace(silent, phones=beside)

    def _phones(
        self, window: _Window, found: PhoneLogProbs | None, known: int
    ) -> PhoneLogProbs | None:
        """Those of the same time, in frames of their own."""
        if found is None:
            return None
        offset = round(window.offset * self.frame_seconds / found.frame_seconds)
        end = int(found.lengths[0])
        if window.last is not None:
            end = min(end, round(window.last * self.frame_seconds / found.frame_seconds) - offset)
        begin = min(end, max(0, known - offset))
        return found.slices([(0, begin, end)])

    def _joined(self, stream: WindowedStream, parts: Sequence[LogProbs]) -> LogProbs:
        """Frames of one stream that follow each other."""
        if not parts:
            return replace(self._none, ids=(stream.name,), unbiased=None)
        first = parts[0]
        phones = [part.phones for part in parts if part.phones is not None]
        unbiased = [part.log_probs if part.unbiased is None else part.unbiased for part in parts]
        biased = any(part.unbiased is not None for part in parts)
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
            unbiased=_behind(unbiased) if biased else None,
        )


def _no_frames(
    vocabulary: Vocabulary, frame_seconds: float, phone_seconds: float | None
) -> LogProbs:
    """Log-probs of no frames, with phones if these have frames."""
    none, phones = torch.zeros(1, dtype=torch.int64), None
    if phone_seconds is not None:
        phones = PhoneLogProbs(torch.zeros(1, 0, 1 + len(PHONES)), none, phone_seconds)
    return LogProbs(
        torch.zeros(1, 0, vocabulary.size), none, frame_seconds, ("",), vocabulary, phones
    )


def _behind(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Arrays (1, T, ...) one behind the other."""
    return torch.cat(list(parts), dim=1)


def _total(lengths: Iterable[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(lengths)).sum(dim=0)
