"""Word times: from the frames at which tokens are written to when words sound.

A CTC model writes a token in a frame or two, somewhere near its sound, and nothing in between.
Where that is depends on the model: one that sees the whole utterance may write all tokens a quarter
of a second late, and the very first at once, before anything is said.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ctcbias_fst.bounds import not_negative
from ctcbias_fst.phone_log_probs import seconds_later
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word

_BEFORE_SECONDS = 0.4
_ALONE_SECONDS = 0.2
_PIECE_SECONDS = 0.7
"""What is written at once (``TimesConfig.burst``), with nothing for 0.4 s before it and nothing for
0.2 to 0.7 s behind it, is the first of a piece of audio, written before its sound: it belongs to
what comes next."""


@dataclass(frozen=True)
class TimesConfig:
    """Where words are placed.

    Attributes:
        lag: seconds by which tokens are written after their sounds; by default as is known of the
            model, otherwise none.
        widen: seconds by which a word begins before its first token and ends behind its last one,
            at most; never beyond the middle between two words.
        burst: seconds in which a model writes what it writes before its sound, at the beginning of
            a piece of audio; 0 of one that does not.
    """

    lag: float | None = None
    widen: float = 0.08
    burst: float = 0.16

    def __post_init__(self) -> None:
        not_negative(self, "widen", "burst")
        if self.lag is not None:
            not_negative(self, "lag")

    def lag_of(self, known: float | None) -> float:
        """The lag to count with, where that of the model is known, or is not."""
        return next((lag for lag in (self.lag, known) if lag is not None), 0.0)


def written_frames(log_probs: LogProbs) -> list[list[int]]:
    """The frames of each utterance whose best token is not blank, or that of a phone head's frame
    for the same sound, ascending."""
    values, phones = log_probs.log_probs, log_probs.phones
    writes = torch.tensor([bool(text) for text in log_probs.vocabulary.surfaces])
    marks = []
    for row, length in enumerate(log_probs.lengths.tolist()):
        mask = writes[values[row, :length].argmax(dim=-1).cpu()]
        if phones is not None:
            said = phones.log_probs[row, : int(phones.lengths[row])].argmax(dim=-1) != 0
            frame = log_probs.frame_seconds
            later = seconds_later(phones.lag, log_probs.lag) / frame
            mask = mask | _while(said.cpu(), phones.frame_seconds / frame, later, length)
        marks.append(mask.nonzero().flatten().tolist())
    return marks


def _while(marked: torch.Tensor, ratio: float, later: float, length: int) -> torch.Tensor:
    """Which of ``length`` frames some marked frame, ``ratio`` times as long and so many frames
    later, is a part of."""
    at = marked.nonzero().flatten().double()
    # Rounded as multiples may be a little above or below whole numbers.
    first = (at * ratio - later).mul(1e6).round().div(1e6).floor().long().clamp(min=0)
    behind = ((at + 1) * ratio - later).mul(1e6).round().div(1e6).ceil().long().clamp(min=0)
    change = torch.zeros(length + 1, dtype=torch.int64)
    one = torch.ones_like(first)
    change.index_add_(0, first.clamp(max=length), one)
    change.index_add_(0, behind.clamp(max=length), -one)
    return change.cumsum(0)[:length] > 0


def place_words(
    transcripts: Sequence[Transcript], log_probs: LogProbs, config: TimesConfig
) -> list[Transcript]:
    """Move the words of transcripts, whose times are those of their tokens, to where they sound.

    Words keep their order and do not overlap.

    Args:
        transcripts: of the utterances of ``log_probs``, in their order.
        log_probs: with the model's ``lag``.
        config: see :class:`TimesConfig`.
    """
    lag = config.lag_of(log_probs.lag)
    frame = log_probs.frame_seconds
    rows = zip(transcripts, log_probs.lengths.tolist(), written_frames(log_probs))
    return [
        with_placed_words(
            transcript, marks, length, frame, lag=lag, widen=config.widen, burst=config.burst
        )
        for transcript, length, marks in rows
    ]


def with_placed_words(
    transcript: Transcript,
    marks: Sequence[int],
    length: int,
    frame_seconds: float,
    *,
    lag: float,
    widen: float,
    burst: float,
) -> Transcript:
    """One transcript with its words where they sound.

    Args:
        transcript: with the times of tokens.
        marks: the frames at which the model writes something, ascending; see `written_frames`.
        length: of the utterance, in frames.
        frame_seconds: of the model.
        lag: seconds by which it writes tokens after their sounds.
        widen, burst: see :class:`TimesConfig`.
    """
    place = _Placing(marks, length * frame_seconds, frame_seconds, lag, widen, burst)
    nbest = tuple(place.hypothesis(hypothesis) for hypothesis in transcript.nbest)
    return replace(
        transcript,
        best=nbest[0] if nbest else place.hypothesis(transcript.best),
        nbest=nbest,
        left_out=place.words(transcript.left_out),
    )


@dataclass(frozen=True)
class _Placing:
    """Places the words of one utterance; ``marks`` are frames, the rest seconds."""

    marks: Sequence[int]
    seconds: float
    frame: float
    lag: float
    widen: float
    burst: float

    def hypothesis(self, hypothesis: Hypothesis) -> Hypothesis:
        return replace(hypothesis, words=self.words(hypothesis.words))

    def words(self, words: Sequence[Word]) -> tuple[Word, ...]:
        starts = [self._start(word) for word in words]
        ends = [max(word.end, start + self.frame) for word, start in zip(words, starts)]
        starts = [start - self.lag for start in starts]
        ends = [end - self.lag for end in ends]
        begins, stops = [], []
        for at, (start, end) in enumerate(zip(starts, ends)):
            room = start - ends[at - 1] if at else 2 * self.widen
            begins.append(start - min(self.widen, max(room, 0.0) / 2))
            room = starts[at + 1] - end if at + 1 < len(words) else 2 * self.widen
            stops.append(end + min(self.widen, max(room, 0.0) / 2))
        placed = []
        before = 0.0
        for word, begin, stop in zip(words, begins, stops):
            start = min(max(begin, before), self.seconds)
            before = min(max(stop, start), self.seconds)
            placed.append(replace(word, start=round(start, 6), end=round(before, 6)))
        return tuple(placed)

    def _start(self, word: Word) -> float:
        """When the word's first token would be written if it were beside its sound."""
        first = last = round(word.start / self.frame)
        at = bisect_left(self.marks, first)
        after = bisect_right(self.marks, first)
        while at > 0 and self.marks[at - 1] == first - 1:
            at, first = at - 1, first - 1
        while after < len(self.marks) and self.marks[after] == last + 1:
            after, last = after + 1, last + 1
        if after == len(self.marks):
            return word.start
        quiet = (self.marks[after] - last) * self.frame
        isolated = at == 0 or (first - self.marks[at - 1]) * self.frame >= _BEFORE_SECONDS
        ahead = quiet >= _ALONE_SECONDS and (first == 0 or quiet <= _PIECE_SECONDS)
        if not isolated or not ahead or (last + 1 - first) * self.frame > self.burst:
            return word.start
        return max(word.start, (self.marks[after] - 1) * self.frame)
