"""Streams through a model that keeps states: each goes on from where it was, step by step.

Steps are counted from the beginning of the stream, so that chunks of any size give the same scores.
Phones, if somebody beside the model hears them, are heard in windows (`stream_windows.py`), and
tokens wait for theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ctcbias_fst.audio.samples import Samples
from ctcbias_fst.errors import CtcbiasError, ModelError
from ctcbias_fst.models.heard_streams import Heard, HeardStream
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.plug import Step, Stepped, Steps
from ctcbias_fst.models.stepping import groups, samples_of
from ctcbias_fst.models.stream_windows import StreamWindows, WindowedStream
from ctcbias_fst.phone_log_probs import PhoneLogProbs, blank_rows
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.vocabulary import Vocabulary

_NO_SAMPLES = torch.zeros(0).numpy()


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
        names: its list, which no model that keeps states reads.
        beside: the same stream, for who hears phones.
    """

    def __init__(
        self, name: str, names: ListedNames | None, beside: WindowedStream | None = None
    ) -> None:
        super().__init__(name, names)
        self.beside = beside
        self.number = 0
        self.states: Any = None
        self.tokens, self.phones = _Rows(), _Rows()
        self.failed = self.heard_all = False
        self.warnings: list[str] = []


class StreamSteps:
    """Scores streams, many at a time; see :class:`ctcbias_fst.models.heard_streams.HearsStreams`.

    Args:
        steps: of the model.
        vocabulary: of the model.
        frame_seconds: of the model.
        sampling_rate: of the model.
        phones: hears the phones, in log-probs whose tokens do not count; None where none are
            needed.
    """

    def __init__(
        self,
        steps: Steps,
        vocabulary: Vocabulary,
        frame_seconds: float,
        sampling_rate: int,
        phones: StreamWindows | None = None,
    ) -> None:
        self._steps, self._vocabulary, self._phones = steps, vocabulary, phones
        self.frame_seconds, self.sampling_rate = frame_seconds, sampling_rate
        self._has_worked = False
        self._like: PhoneLogProbs | None = None

    @property
    def latest_seconds(self) -> float:
        """How long after it was said a frame is scored, at most, when audio comes at once."""
        phones = 0.0 if self._phones is None else self._phones.latest_seconds
        return max(self._steps.latest_seconds, phones)

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
            ModelError: the model has failed on all that it was given so far; what came is kept.
        """
        for stream, chunk in zip(streams, chunks):
            stream.tokens.drop_before(stream.frames)
            stream.phones.drop_before(stream.phone_frames)
            stream.add(chunk)
            if stream.beside is not None:
                stream.beside.add(chunk)
        while todo := [one for one in streams if self._is_ready(one, last)]:
            for rows in groups(range(len(todo))):
                self._advance([todo[i] for i in rows], last)
        if self._phones is not None:
            self._listen(self._phones, [one for one in streams if not one.heard_all], last)
        return [self._heard(stream, last) for stream in streams]

    def _is_ready(self, stream: SteppedStream, last: bool) -> bool:
        """Whether a stream can take its next step."""
        if last:
            first = self._steps.frames(stream.number)[0]
            return not stream.failed and first < self._steps.count(stream.end)
        return stream.end >= self._steps.samples(stream.number)[1]

    def _advance(self, streams: Sequence[SteppedStream], last: bool) -> None:
        """Take the next step of each."""
        for stream, found in zip(streams, self._scored(streams)):
            first, end = self._steps.frames(stream.number)
            if isinstance(found, Stepped):
                self._has_worked = True
                rows, stream.states = found
            elif self._has_worked:
                seconds = (end - first) * self.frame_seconds
                stream.warnings.append(f"{found}: {seconds:.2f} s are taken for silence")
                like = torch.zeros(1, self._vocabulary.size)
                rows = blank_rows(end - first, like, self._vocabulary.blank_id)
            elif last:
                stream.warnings.append(f"{found}: nothing was heard")
                stream.failed = True
                continue
            else:
                raise ModelError(str(found)) from found
            stream.tokens.add(rows)
            stream.number += 1
            stream.drop_before(min(stream.end, self._steps.samples(stream.number)[0]))

    def _scored(self, streams: Sequence[SteppedStream]) -> list[Stepped | CtcbiasError]:
        """What comes of a step of each; of each alone, if something goes wrong with all."""
        todo = [
            Step(one.number, samples_of(self._steps, *self._kept(one)), one.states)
            for one in streams
        ]
        try:
            return list(map(self._checked, streams, self._steps.score(todo)))
        except CtcbiasError as error:
            if len(streams) == 1:
                return [error]
        return [alone for one in streams for alone in self._scored([one])]

    def _kept(self, stream: SteppedStream) -> tuple[Samples, int, int]:
        """The audio that is kept of a stream, its next step, and where the audio begins."""
        begin = min(stream.end, self._steps.samples(stream.number)[0])
        return stream.cut(begin, stream.end), stream.number, begin

    def _checked(self, stream: SteppedStream, found: Stepped) -> Stepped | CtcbiasError:
        if bool(found.scores.isnan().any()) or bool((found.scores == torch.inf).any()):
            begin = self._steps.frames(stream.number)[0] * self.frame_seconds
            return ModelError(
                f"{stream.name} from {begin:.2f} s on: the model gave scores that are not finite"
            )
        return found

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
                stream.phones.add(one.log_probs[0, : int(one.lengths[0])])
                self._like = one

    def _heard(self, stream: SteppedStream, last: bool) -> Heard:
        """The frames of a stream behind those that were decoded, with their phones."""
        end = stream.tokens.end
        if last:
            end = min(end, self._steps.count(stream.end))
        phones = None
        if self._phones is not None and self._like is not None:
            end, phones = self._with_phones(stream, end, self._like, last)
        elif self._phones is not None:
            end = 0
        tokens = torch.zeros(0, self._vocabulary.size)
        if end > stream.frames:
            tokens = stream.tokens.until(end)
        warnings, stream.warnings = tuple(stream.warnings), []
        return Heard(
            LogProbs(
                tokens[None],
                torch.tensor([len(tokens)]),
                self.frame_seconds,
                (stream.name,),
                self._vocabulary,
                phones,
            ),
            warnings,
        )

    def _with_phones(
        self, stream: SteppedStream, end: int, like: PhoneLogProbs, last: bool
    ) -> tuple[int, PhoneLogProbs]:
        """The frames that can be decoded, as their phones are there, and these. At the end phones
        of silence stand where tokens are scored behind the audio."""
        known = stream.phones.end
        rows = stream.phones.until(known) if known else like.log_probs[0, :0]
        if last:
            lacking = round(end * self.frame_seconds / like.frame_seconds) - known
            rows = torch.cat((rows, blank_rows(max(0, lacking), rows, 0)))
        else:
            end = min(end, int(round(known * like.frame_seconds / self.frame_seconds, 6)))
        return end, replace(like, log_probs=rows[None], lengths=torch.tensor([len(rows)]))
