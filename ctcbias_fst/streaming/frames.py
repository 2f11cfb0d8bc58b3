"""The frames of a stream that are still needed, by their numbers in the stream."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch

from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.phone_log_probs import blank_rows, seconds_later
from ctcbias_fst.streaming.chunks import Chunk, Kind

_MAX_APART_SECONDS = 1.0
"""By how much phones may come before or after tokens."""

_APART_AT_END_SECONDS = 0.3
"""The same at the end of a stream."""


class FrameBuffer:
    """Rows that are appended at the end and dropped from the front.

    Attributes:
        begin, end: the first row that is kept, and the one behind the last.
    """

    def __init__(self) -> None:
        self._parts: deque[tuple[int, torch.Tensor]] = deque()
        self._none: torch.Tensor | None = None
        self.begin = self.end = 0

    def append(self, rows: torch.Tensor) -> None:
        """Add rows (K, ...) behind the last one."""
        self._none = rows[:0]
        if len(rows):
            self._parts.append((self.end, rows))
            self.end += len(rows)

    def rows(self, begin: int, end: int) -> torch.Tensor:
        """Rows ``[begin, end)`` of those that are kept."""
        parts = [
            rows[max(begin - first, 0) : end - first]
            for first, rows in self._parts
            if first < end and first + len(rows) > begin
        ]
        if not parts:
            assert self._none is not None, "no rows have come yet"
            return self._none
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def cut(self, row: int) -> None:
        """Forget what is from a row on."""
        while self._parts and self._parts[-1][0] >= row:
            self._parts.pop()
        if self._parts and self.end > row:
            first, rows = self._parts.pop()
            self._parts.append((first, rows[: row - first]))
        self.end = max(self.begin, min(self.end, row))

    def drop_before(self, row: int) -> None:
        """Forget what is before a row."""
        self.begin = max(self.begin, min(row, self.end))
        while self._parts and self._parts[0][0] + len(self._parts[0][1]) <= self.begin:
            self._parts.popleft()


@dataclass
class OpenFrames:
    """What a stream has heard since its last commit.

    Attributes:
        frame_seconds: how long a frame is.
        tokens: log-probs (V,) of each frame.
        marks: of each frame `SPEAKS`, `QUIET` or `BLANK`.
        unbiased: log-probs (V,) of each frame without a list; the tokens', where none acted.
        biased: whether a list has acted in any of them: it may be changed on the way.
        phones: log-probs (P,) of each phone frame, if there are any.
        lag, phone_lag: as of :class:`ctcbias_fst.records.LogProbs`.
        phone_seconds: how long a phone frame is.
        begun: whether there have been any frames.
    """

    frame_seconds: float
    tokens: FrameBuffer = field(default_factory=FrameBuffer)
    marks: FrameBuffer = field(default_factory=FrameBuffer)
    unbiased: FrameBuffer = field(default_factory=FrameBuffer)
    biased: bool = False
    phones: FrameBuffer | None = None
    lag: float | None = None
    phone_lag: float | None = None
    phone_seconds: float = 0.0
    begun: bool = False

    def check(self, chunk: Chunk, where: str) -> None:
        """Refuse a chunk that does not go on with what came before.

        Raises:
            LogProbsError: there were phones and are none, or the other way round; their frames
                are others, or lags that are known; or phones do not last as long as tokens.
        """
        if not chunk.has_frames:
            return
        if self.begun and not _goes_on(self.kind, chunk.kind):
            raise LogProbsError(
                f"{where}: its phones, lags and frame lengths are not as in the chunks before: "
                "every chunk of a stream must have the same"
            )
        if chunk.phones is None:
            return
        tokens = (self.tokens.end + len(chunk.tokens)) * self.frame_seconds
        known = 0 if self.phones is None else self.phones.end
        heard = (known + len(chunk.phones)) * chunk.phone_seconds
        if abs(tokens - heard) > _MAX_APART_SECONDS:
            raise LogProbsError(
                f"{where}: with it the log-probs last {tokens:.2f} s, those of phones {heard:.2f} "
                "s: pass those of the same audio"
            )

    def append(self, chunk: Chunk) -> None:
        """Add a chunk that was checked."""
        if not self.begun and chunk.has_frames:
            self.begun = True
            self.phones = None if chunk.phones is None else FrameBuffer()
            self.phone_seconds = chunk.phone_seconds
        self.lag = chunk.lag if self.lag is None else self.lag
        self.phone_lag = chunk.phone_lag if self.phone_lag is None else self.phone_lag
        self.tokens.append(chunk.tokens)
        self.marks.append(chunk.marks)
        self.unbiased.append(chunk.unbiased)
        self.biased = self.biased or chunk.biased
        if self.phones is not None and chunk.phones is not None:
            self.phones.append(chunk.phones)

    def even_phones(self) -> str | None:
        """Make phones at the end of a stream last as long as tokens; returns what is to be told.

        What is a little longer or shorter stays as it is.
        """
        if self.phones is None:
            return None
        end = self._phone_frames(self.tokens.end)
        lacking = end - self.phones.end
        if abs(lacking) * self.phone_seconds <= _APART_AT_END_SECONDS:
            return None
        seconds = abs(lacking) * self.phone_seconds
        if lacking < 0:
            self.phones.cut(end)
            return f"at its end: {seconds:.2f} s of phones behind the last token are left out"
        like = self.phones.rows(self.phones.end - 1, self.phones.end)
        self.phones.append(blank_rows(lacking, like, 0))
        return f"at its end: {seconds:.2f} s have no phones, and are taken for silence"

    @property
    def kind(self) -> Kind:
        """What streams of one batch have in common."""
        return (self.phones is None, self.lag, self.phone_lag, self.phone_seconds)

    def drop_before(self, frame: int, phone_frame: int) -> None:
        """Forget what is before a frame and a phone frame."""
        self.tokens.drop_before(frame)
        self.marks.drop_before(frame)
        self.unbiased.drop_before(frame)
        if self.phones is not None:
            self.phones.drop_before(phone_frame)

    def has_phones_until(self, frame: int) -> bool:
        """Whether the phone frames that come with so many frames are there, if there are any."""
        return self.phones is None or self.phones.end >= self._phone_frames(frame)

    def phone_cut(self, frame: int, limit: int) -> int:
        """The phone frame that is cut before where the tokens are cut before ``frame``.

        Where phones are written later than tokens are, they are cut as much later; but never
        behind those that come with ``limit`` frames.
        """
        if not self.phone_seconds:
            return 0
        later = seconds_later(self.phone_lag, self.lag)
        at = round((frame * self.frame_seconds + later) / self.phone_seconds)
        return min(max(at, 0), self._phone_frames(limit))

    def _phone_frames(self, frames: int) -> int:
        """How many phone frames come with so many frames."""
        return round(frames * self.frame_seconds / self.phone_seconds)


def _goes_on(kind: Kind, other: Kind) -> bool:
    """Whether a chunk of a kind can follow another; lags may become known, or be left out."""
    (lacks, *lags, seconds), (other_lacks, *others, other_seconds) = kind, other
    known = [pair for pair in zip(lags, others) if None not in pair]
    same = all(lag == other for lag, other in known)
    return lacks == other_lacks and seconds == other_seconds and same
