"""How a stream stands: the frames that are open, and what is known of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import torch

from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.records import PieceContext, Word
from ctcbias_fst.search.stream_config import StreamConfig
from ctcbias_fst.search.times import TimesConfig
from ctcbias_fst.streaming.chunks import BLANK, SPEAKS
from ctcbias_fst.streaming.endpoints import Endpointer, Rule
from ctcbias_fst.streaming.first_pass import Found
from ctcbias_fst.streaming.frames import OpenFrames
from ctcbias_fst.streaming.updates import Endpoint, Update, behind, joined, later

_REMEMBERED = 16
"""Words before what is open: as many as a language model may look back."""

_BEFORE_WORDS_SECONDS = 0.16
"""Of a silence that are kept: where words begin, phones are heard before tokens are written."""


class StreamState:
    """A stream, for what advances it. What is *open* is what came since the last commit.

    Args:
        config: see :class:`StreamConfig`.
        frame_seconds: of the model.
        names: the list of names, or None.
        name: of the stream, for messages.
        first_step: seconds until the first decision.
        times: where words are placed.

    Attributes:
        frames: what is open, and what was not looked at yet.
        step: frames between decisions.
        searched: how many frames of the stream were looked at.
        found: what the first pass found in what is open.
        text: what is committed.
        ending: whether nothing more comes.
        finished: whether all is committed.
    """

    def __init__(
        self,
        config: StreamConfig,
        frame_seconds: float,
        names: CompiledEntities | None,
        name: str,
        *,
        first_step: float,
        times: TimesConfig,
    ) -> None:
        self.config, self.frame_seconds = config, frame_seconds
        self.names, self.name = names, name
        self.frames = OpenFrames(frame_seconds)
        self.step = max(1, round(config.step / frame_seconds))
        self._first_step = min(self.step, max(1, round(first_step / frame_seconds)))
        self._times = times
        self.searched = 0
        self.found: Found | None = None
        self.text = ""
        self.ending = self.finished = False
        self._endpointer = Endpointer(config.endpoints, frame_seconds)
        self._said: deque[Word] = deque(maxlen=_REMEMBERED)
        self._tentative: tuple[Word, ...] = ()
        self._end = 0.0
        self._words: list[Word] = []
        self._endpoints: list[Endpoint] = []
        self._warnings: list[str] = []

    @property
    def begin(self) -> int:
        """The first frame that is open."""
        return self.frames.tokens.begin

    @property
    def end(self) -> int:
        """The frame behind the last one that has come."""
        return self.frames.tokens.end

    @property
    def endpoint(self) -> Rule | None:
        """The rule by which an utterance ends here, if it does."""
        return self._endpointer.rule

    @property
    def ready(self) -> bool:
        """Whether the frames of the next step are there, with their phones."""
        after = self._after_step
        return self.end >= after and self.frames.has_phones_until(after)

    @property
    def _after_step(self) -> int:
        """The frame behind the next step."""
        return self.searched + (self.step if self.searched else self._first_step)

    def advance(self) -> None:
        """Look at the frames of the next step."""
        after = self._after_step
        self._endpointer.hear(self.frames.marks.rows(self.searched, after))
        self.searched = after

    def marks(self, begin: int) -> torch.Tensor:
        """What the frames from one on are, as far as they were looked at."""
        return self.frames.marks.rows(begin, self.searched)

    @property
    def is_blank(self) -> bool:
        """Whether nothing but sure blank is open."""
        return bool((self.marks(self.begin) == BLANK).all())

    @property
    def has_news(self) -> bool:
        """Whether the last step has anything but sure blank."""
        return bool((self.marks(max(self.begin, self.searched - self.step)) != BLANK).any())

    @property
    def news_pending(self) -> bool:
        """Whether one of the steps that are still to be looked at has anything but sure blank."""
        steps = (self.end - self.searched) // self.step
        if not steps or not self.ready:
            return False
        marks = self.frames.marks.rows(self.searched, self.searched + steps * self.step)
        return bool((marks != BLANK).any())

    @property
    def lag(self) -> float:
        """Seconds by which tokens are written after their sounds."""
        return self._times.lag_of(self.frames.lag)

    @property
    def quiet(self) -> int:
        """How many frames at the end of what is open say nothing."""
        speaks = (self.marks(self.begin) == SPEAKS).nonzero().flatten()
        return self.searched - self.begin - (int(speaks[-1]) + 1 if len(speaks) else 0)

    @property
    def is_quiet(self) -> bool:
        """Whether all that is open says nothing."""
        return self.quiet == self.searched - self.begin

    @property
    def at_pause(self) -> bool:
        """Whether what is open ends with a pause."""
        if self.is_blank:
            return True
        waits = self.is_quiet or self.found is None or self.found.names_open
        return self.seconds(self.quiet) >= (self.config.name_pause if waits else self.config.pause)

    @property
    def is_full(self) -> bool:
        """Whether too much is open."""
        return self.seconds(self.searched - self.begin) >= self.config.max_window

    @property
    def is_due(self) -> bool:
        """Whether a settled word has waited long enough, or too much is open."""
        if self.found is None or not self.found.gaps:
            return self.is_full
        since = self.searched - self.begin - self.found.gaps[0].begin
        return self.is_full or self.seconds(since) >= self.config.wait

    @property
    def whole_cut(self) -> int:
        """Where to cut when all is committed: in the middle of the silence that it ends with."""
        if self.ending:
            return self.end
        return self.searched - (min(self.quiet, self._kept) if self.is_quiet else self.quiet // 2)

    @property
    def _kept(self) -> int:
        """Frames of a silence that are kept, as a word may have begun in them."""
        return 0 if self.ending else round(_BEFORE_WORDS_SECONDS / self.frame_seconds)

    def open_phones(self, end: int) -> torch.Tensor:
        """The phone log-probs of what is open before a frame, if there are any."""
        phones = self.frames.phones
        if phones is None:
            return torch.zeros(0)
        return phones.rows(phones.begin, self._phone_cut(end))

    def _phone_cut(self, frame: int) -> int:
        if self.ending and self.frames.phones is not None:
            return self.frames.phones.end
        return self.frames.phone_cut(frame, self.searched)

    def seconds(self, frames: int) -> float:
        """How long so many frames are."""
        return frames * self.frame_seconds

    def finish_frames(self) -> None:
        """Look at all that is left."""
        told = self.frames.even_phones()
        if told is not None:
            self.warn(told)
        self.ending = True
        self.searched = self.end
        self._tentative = ()

    def skip_blank(self) -> None:
        """Leave out what is open and surely blank, but for what may be heard before a word."""
        self._tentative = ()
        self._drop(max(self.begin, self.searched - self._kept))

    def commit(self, words: Sequence[Word], cut: int, warning: str | None) -> None:
        """Commit words, and leave out what is before a frame.

        Args:
            words: with their times from the first open frame on.
            cut: the frame.
            warning: of their transcript.
        """
        self._tentative = ()
        begin = self.seconds(self.begin)
        committed = behind(self.text, self._in_stream(words))
        self.text = joined(self.text, committed)
        self._words += committed
        self._said += committed
        self._end = committed[-1].end if committed else self._end
        self._endpointer.said(bool(words))
        if warning:
            self.warn(f"from {begin:.2f} s: {warning}")
        self._drop(cut)

    def _drop(self, cut: int) -> None:
        if self.found is not None:
            self.found = self.found.after(cut - self.begin)
        self.frames.drop_before(cut, self._phone_cut(cut))

    def context(self) -> PieceContext:
        """What is around what is committed next."""
        return PieceContext(tuple(self._said), goes_on=not self.ending)

    def warn(self, warning: str) -> None:
        """Tell something with the next update."""
        self._warnings.append(f"stream {self.name}, {warning}")

    def end_utterance(self, rule: Rule) -> None:
        """Tell of an endpoint with the next update."""
        self._endpoints.append(Endpoint(self.seconds(self.searched), rule, len(self.text)))
        self._endpointer.reset()
        self._said.clear()

    def show(self, words: Sequence[Word], over: Sequence[float]) -> None:
        """Take what is open to say something; times are from the first open frame on.

        Args:
            words: of it.
            over: of each, when its tokens are over: before nobody knows that it is.
        """
        said = self._in_stream(words)
        if said and self.seconds(self.searched - self.begin) - over[-1] < self.config.hold:
            said = said[:-1]
        if self.found is not None and self.found.name is not None:
            name = self.seconds(self.found.name)
            said = [word for word, end in zip(said, over) if end <= name]
        self._tentative = tuple(said)

    def _in_stream(self, words: Sequence[Word]) -> list[Word]:
        """Words with their times in the stream, none before the end of what is committed."""
        begin = self.seconds(self.begin)
        moved = [later(word, begin) for word in words]
        end = self._end
        return [replace(w, start=max(w.start, end), end=max(w.end, end)) for w in moved]

    def update(self) -> Update:
        """What is known, and what is new since the last time."""
        tentative = behind(self.text, self._tentative)
        whole = joined(self.text, tentative)
        shown = Update(
            committed=self.text,
            tentative=whole[len(self.text) :].strip(" "),
            words=tuple(self._words),
            tentative_words=tentative,
            endpoints=tuple(self._endpoints),
            warnings=tuple(self._warnings),
            seconds=self.seconds(self.end if self.finished else self.searched),
        )
        self._words, self._endpoints, self._warnings = [], [], []
        return shown
