"""What an update of a stream has that is new, utterance by utterance."""

from __future__ import annotations

from typing import NamedTuple

from ctcbias_fst.records import Word
from ctcbias_fst.streaming.updates import Endpoint, Update, joined


class Part(NamedTuple):
    """New text up to the end of an utterance, or of what is known.

    Attributes:
        text: what follows the text before it, with the space between, if there is one.
        words: of it.
        endpoint: where the utterance has ended, if it has.
    """

    text: str
    words: tuple[Word, ...]
    endpoint: Endpoint | None


def parts_of(update: Update, told: int) -> list[Part]:
    """New text in parts; what follows the last endpoint is the last part, if there is any.

    Args:
        update: of a stream.
        told: how long its text was with the update before.
    """
    parts: list[Part] = []
    words = list(update.words)
    at = told
    for endpoint in update.endpoints:
        text = update.committed[at : endpoint.text_end]
        own = _words_of(words, update.committed[max(0, at - 1) : at], len(text))
        del words[: len(own)]
        parts.append(Part(text, own, endpoint))
        at = endpoint.text_end
    if len(update.committed) > at or words:
        parts.append(Part(update.committed[at:], tuple(words), None))
    return parts


def _words_of(words: list[Word], before: str, length: int) -> tuple[Word, ...]:
    """The first words, as far as a text of that length goes that stands behind ``before``."""
    count = 0
    while count < len(words) and len(joined(before, words[: count + 1])) <= len(before) + length:
        count += 1
    return tuple(words[:count])
