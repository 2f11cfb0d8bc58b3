"""What a stream tells after each chunk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from ctcbias_fst.records import Word
from ctcbias_fst.search.hypothesis_words import unspaced_between
from ctcbias_fst.streaming.endpoints import Rule
from ctcbias_fst.text.text_files import quoted


class Endpoint(NamedTuple):
    """Where an utterance of a stream has ended.

    Attributes:
        seconds: from the beginning of the stream until it was found.
        rule: which of :class:`ctcbias_fst.search.stream_config.EndpointConfig`.
        text_end: how much of :attr:`Update.committed` belongs to it and what was before.
    """

    seconds: float
    rule: Rule
    text_end: int


@dataclass(frozen=True)
class Update:
    """What is known of a stream.

    Attributes:
        committed: the text from the beginning of the stream on that will not change any more.
        tentative: the text behind it, which may.
        words: those that were committed since the update before, with their times in the stream.
        tentative_words: those of ``tentative``.
        endpoints: the utterances that ended since the update before.
        warnings: what went wrong on the way, since the update before.
        seconds: how much of the stream was looked at.
    """

    committed: str
    tentative: str
    words: tuple[Word, ...] = ()
    tentative_words: tuple[Word, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    def followed_by(self, later: Update) -> Update:
        """This one and the next of the same stream as one."""
        return replace(
            later,
            words=self.words + later.words,
            endpoints=self.endpoints + later.endpoints,
            warnings=self.warnings + later.warnings,
        )

    def __repr__(self) -> str:
        return (
            f"<Update at {self.seconds:g} s: {quoted(self.committed[-60:], 80)} and "
            f"{quoted(self.tentative, 80)}>"
        )


def later(word: Word, seconds: float) -> Word:
    """A word so many seconds later."""
    return replace(word, start=round(word.start + seconds, 6), end=round(word.end + seconds, 6))


def behind(text: str, words: Iterable[Word]) -> tuple[Word, ...]:
    """Words as they stand behind a text: the first one glued to it, if neither has spaces."""
    several = list(words)
    if several and text and unspaced_between(text, several[0].word):
        several[0] = replace(several[0], glued=True)
    return tuple(several)


def joined(text: str, words: Iterable[Word]) -> str:
    """A text with words behind it."""
    written = "".join([word.word if word.glued else f" {word.word}" for word in words])
    return text + written if text else written.lstrip(" ")
