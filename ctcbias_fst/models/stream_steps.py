"""Streams through a model that keeps states: each goes on from where it was, step by step.

Steps are counted from the beginning of the stream, so that chunks of any size give the same scores.
Phones that the model hears come with its tokens. If somebody beside it hears them, they are heard
in windows (`stream_windows.py`), and tokens wait for theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.audio.samples import Samples
from ctcbias_fst.errors import CtcbiasError, ModelError
from ctcbias_fst.models.heard_streams import Heard, HeardStream
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.outcomes import Patience, bad_scores, failure, of_each
from ctcbias_fst.models.plug import Stepped, Steps, TokenListener
from ctcbias_fst.models.stepping import groups, step_of
from ctcbias_fst.models.stream_windows import StreamWindows, WindowedStream
from ctcbias_fst.phone_log_probs import PhoneLogProbs, blank_rows, seconds_later
from ctcbias_fst.records import LogProbs

_NO_SAMPLES: Samples = np.zeros(0, dtype=np.float32)


class _Rows:
    """Rows of a stream that were scored, from the first one that is not decoded on."""

    def __init__(self) -> None:
        self._begin = 0
        self._rows: Tensor | None = None

    @property
    def end(self) -> int:
        """The row behind the last."""
        return self._begin + (0 if self._rows is None else len(self._rows))

    def add(self, rows: Tensor) -> None:
        """Rows behind the last one."""
        self._rows = rows if self._rows is None else torch.cat((self._rows, rows))

    def drop_before(self, row: int) -> None:
        """Forget what was decoded."""
        if self._rows is not None and row > self._begin:
            self._rows = self._rows[row - self._begin :].clone()
            self._begin = row

    def until(self, end: int) -> Tensor:
        """The rows before one."""
        assert self._rows is not None
        return self._rows[: max(0, end - self._begin)]


class SteppedStream(HeardStream):
    """What is kept of a stream: states, the audio of the next step, and what is not decoded yet.

    Args:
        name: of the stream, for messages.
        names: its list, for the adapter.
        beside: the same stream, for who hears phones.
    """

    def __init__(
        self, name: str, names: ListedNames | None, beside: WindowedStream | None = None
    ) -> None:
        super().__init__(name, names)
        self.beside = beside
        self.number = 0
        self.states: Any = None
        self.tokens, self.unbiased, self.phones = _Rows(), _Rows(), _Rows()
        self.attends = self.heard_all = False
        self.like: PhoneLogProbs | None = None
        self.warnings: list[str] = []

    def add(self, samples: Samples) -> None:
        """Take samples at the model's rate, for who hears phones, too."""
        super().add(samples)
        if self.beside is not None:
            self.beside.add(samples)

    def drop_decoded(self) -> None:
        """Forget the rows that were decoded."""
        self.tokens.drop_before(self.frames)
        self.unbiased.drop_before(self.frames)
        self.phones.drop_before(self.phone_frames)

    def take(self, found: Stepped) -> None:
        """Keep what came of its next step."""
        self.states = found.states
        self.attends = self.attends or found.unbiased is not None
        self.tokens.add(found.scores)
        self.unbiased.add(found.scores if found.unbiased is None else found.unbiased)
        if self.beside is None and found.phones is not None:
            self.phones.add(found.phones)
        self.number += 1


class StreamSteps:
    """Scores streams, many at a time; see :class:`ctcbias_fst.models.heard_streams.HearsStreams`.

    Args:
        steps: of the model.
        model: whose they are.
        phones: hears the phones, in log-probs whose tokens do not count; None where none are
            needed, or the model's own are.
    """

    def __init__(
        self,
        steps: Steps,
        model: TokenListener,
        phones: StreamWindows | None = None,
    ) -> None:
        self._steps, self._phones = steps, phones
        self._vocabulary = model.tokenizer.vocabulary
        self.frame_seconds, self.sampling_rate = model.frame_seconds, model.sampling_rate
        self._no_tokens = torch.zeros(0, self._vocabulary.size, device=model.device)
        self._no_phones = torch.zeros(0, steps.phones, device=model.device)
        self._patience = Patience()

    @property
    def latest_seconds(self) -> float:
        """How long after it was said a frame is scored, at most, when audio comes at once."""
        phones = 0.0 if self._phones is None else self._phones.latest_seconds
        return max(self._steps.latest_seconds, phones)

    @property
    def first_seconds(self) -> float:
        """How much of a stream is scored first."""
        ends = (self._steps.frames(number)[1] for number in count())
        first = next(end for end in ends if end) * self.frame_seconds
        return first if self._phones is None else min(first, self._phones.first_seconds)

    def open(self, name: str, names: ListedNames | None = None) -> SteppedStream:
        """A stream; see :meth:`ctcbias_fst.models.heard_streams.HearsStreams.open`."""
        beside = None if self._phones is None else self._phones.open(name, names)
        return SteppedStream(name, names, beside)

    def score(
        self, streams: Sequence[SteppedStream], chunks: Sequence[Samples], *, last: bool = False
    ) -> list[Heard]:
        """Take what has come, and score what can be.

        A step that the model fails on is taken for silence, and told; the next one goes on from
        the states before it.

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
            stream.drop_decoded()
            stream.add(chunk)
        while todo := [one for one in streams if self._is_ready(one, last)]:
            self._advance(todo, waiting, last)
        if self._phones is not None:
            self._listen(self._phones, [one for one in streams if not one.heard_all], last)
        return [self._heard(stream, last) for stream in streams]

    def _is_ready(self, stream: SteppedStream, last: bool) -> bool:
        """Whether a stream can take its next step."""
        if last:
            first = self._steps.frames(stream.number)[0]
            return first < self._steps.count(stream.end)
        return stream.end >= self._steps.samples(stream.number)[1]

    def _waiting_seconds(self, stream: SteppedStream) -> float:
        """Audio that could have been scored before."""
        return (stream.end - self._steps.samples(stream.number)[1]) / self.sampling_rate

    def _advance(self, streams: Sequence[SteppedStream], waiting: float, last: bool) -> None:
        """Take the next step of each; none of those that succeed waits for one that fails."""
        scored = self._scored(streams)
        for stream, found in zip(streams, scored):
            if isinstance(found, Stepped):
                self._take(stream, found)
        self._patience.see(scored, waiting, last=last)
        for stream, found in zip(streams, scored):
            if not isinstance(found, Stepped):
                first, end = self._steps.frames(stream.number)
                seconds = (end - first) * self.frame_seconds
                stream.warnings.append(f"{found}: {seconds:.2f} s are taken for silence")
                self._take(stream, self._silence(end - first, stream.states))

    def _take(self, stream: SteppedStream, found: Stepped) -> None:
        stream.take(found)
        stream.drop_before(min(stream.end, self._steps.samples(stream.number)[0]))

    def _scored(self, streams: Sequence[SteppedStream]) -> list[Stepped | CtcbiasError]:
        """What comes of a step of each, or why nothing does."""
        found: list[Stepped | CtcbiasError] = []
        for rows in groups(range(len(streams))):
            found += of_each(self._at_once, [streams[i] for i in rows], self._failure)
        return found

    def _at_once(self, streams: Sequence[SteppedStream]) -> list[Stepped | CtcbiasError]:
        todo = [
            step_of(self._steps, *self._kept(one))._replace(states=one.states, names=one.names)
            for one in streams
        ]
        return list(map(self._checked, streams, self._steps.score(todo)))

    def _failure(self, stream: SteppedStream, error: Exception) -> CtcbiasError:
        return failure(stream.name, self._place(stream), error)

    def _place(self, stream: SteppedStream) -> str:
        begin = self._steps.frames(stream.number)[0] * self.frame_seconds
        return f"{stream.name} from {begin:.2f} s on"

    def _kept(self, stream: SteppedStream) -> tuple[Samples, int, int]:
        """The audio that is kept of a stream, its next step, and where the audio begins."""
        begin = min(stream.end, self._steps.samples(stream.number)[0])
        return stream.cut(begin, stream.end), stream.number, begin

    def _checked(self, stream: SteppedStream, found: Stepped) -> Stepped | CtcbiasError:
        """What came of a step, if it can be decoded."""
        lengths, where = torch.tensor([len(found.scores)]), self._place(stream)
        first, end = self._steps.frames(stream.number)
        least = min(end, self._steps.count(stream.end)) - first
        if not least <= len(found.scores) <= end - first:
            return ModelError(
                f"{where}: the model gave {len(found.scores)} frames in a step of {end - first}"
            )
        phones = None
        if found.phones is not None:
            phones = PhoneLogProbs(found.phones[None], lengths, self.frame_seconds)
        unbiased = None if found.unbiased is None else found.unbiased[None]
        try:
            heard = LogProbs(
                found.scores[None],
                lengths,
                self.frame_seconds,
                (where,),
                self._vocabulary,
                phones,
                unbiased=unbiased,
            )
        except CtcbiasError as error:
            return self._failure(stream, error)
        return bad_scores(heard, phones=phones is not None) or found

    def _silence(self, frames: int, states: Any) -> Stepped:
        """What stands in the place of a step that the model failed on."""
        tokens = blank_rows(frames, self._no_tokens, self._vocabulary.blank_id)
        phones = blank_rows(frames, self._no_phones, 0) if self._steps.phones else None
        return Stepped(tokens, states, phones)

    def _listen(self, phones: StreamWindows, streams: Sequence[SteppedStream], last: bool) -> None:
        """Hear the phones of what has come."""
        beside = [one.beside for one in streams if one.beside is not None]
        found = phones.score(beside, [_NO_SAMPLES] * len(beside), last=last)
        for stream, own, heard in zip(streams, beside, found):
            own.frames += int(heard.log_probs.lengths[0])
            stream.warnings += heard.warnings
            stream.heard_all = last
            one = heard.log_probs.phones
            if one is not None:
                own.phone_frames += int(one.lengths[0])
                stream.like = one
                if int(one.lengths[0]):
                    stream.phones.add(one.log_probs[0, : int(one.lengths[0])])

    def _heard(self, stream: SteppedStream, last: bool) -> Heard:
        """The frames of a stream behind those that were decoded, with their phones."""
        end = stream.tokens.end
        if last:
            end = min(end, self._steps.count(stream.end))
        phones = None
        if stream.like is not None:
            end, phones = self._with_phones(stream, end, stream.like, last)
        any_heard = end > stream.frames
        tokens = stream.tokens.until(end) if any_heard else self._no_tokens
        lengths, lag = torch.tensor([len(tokens)]), self._steps.lag
        if self._phones is None and self._steps.phones:
            own = stream.phones.until(end) if any_heard else self._no_phones
            phones = PhoneLogProbs(own[None], lengths, self.frame_seconds, lag)
        unbiased = None
        if stream.attends:
            unbiased = (stream.unbiased.until(end) if any_heard else tokens)[None]
        warnings, stream.warnings = tuple(stream.warnings), []
        return Heard(
            LogProbs(
                tokens[None],
                lengths,
                self.frame_seconds,
                (stream.name,),
                self._vocabulary,
                phones=phones,
                unbiased=unbiased,
                lag=lag,
            ),
            warnings,
        )

    def _with_phones(
        self, stream: SteppedStream, end: int, like: PhoneLogProbs, last: bool
    ) -> tuple[int, PhoneLogProbs]:
        """The frames that can be decoded, as their phones are there, and these, none of which come
        earlier. At the end phones of silence stand where tokens are scored behind the audio."""
        known, ratio = stream.phones.end, self.frame_seconds / like.frame_seconds
        if not last:
            end = min(end, int(round(known / ratio, 6)))
        later = max(0.0, seconds_later(like.lag, self._steps.lag)) / like.frame_seconds
        until = min(known, round(end * ratio + later))
        rows = stream.phones.until(until) if known else like.log_probs[0, :0]
        if last:
            lacking = round(end * ratio) - known
            rows = torch.cat((rows, blank_rows(max(0, lacking), rows, 0)))
        return end, replace(like, log_probs=rows[None], lengths=torch.tensor([len(rows)]))
