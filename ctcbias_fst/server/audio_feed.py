"""What a client has sent and the model has not heard yet, in its order."""

from __future__ import annotations

from asyncio import Event
from collections import deque
from typing import Any, NamedTuple

import numpy as np

from ctcbias_fst.audio.samples import Samples

_MOST_SECONDS = 30.0
"""When so much audio waits, no more is read."""

_MOST_ITEMS = 1000
"""When so much of anything waits, no more is read."""

_AT_ONCE_SECONDS = 1.0
"""So much audio is heard at once: a file that is sent as fast as can be holds up nobody else."""


class Audio(NamedTuple):
    """Samples that follow each other.

    Attributes:
        samples: ``(samples,)`` or ``(samples, channels)``.
        seconds: how long they are.
        messages: how many of the client's end here.
    """

    samples: Samples
    seconds: float
    messages: int = 1


class AudioFeed:
    """Samples, and whatever else is asked for between them, from one that puts to one that takes.

    Audio that waits is joined: what is slow hears more at a time, and the queue does not grow.
    """

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._seconds = 0.0
        self._put, self._taken = Event(), Event()

    async def put(self, item: Any) -> None:
        """Add samples, an :class:`Audio`, or anything else; waits while there is no room."""
        while self._seconds >= _MOST_SECONDS or len(self._items) >= _MOST_ITEMS:
            self._taken.clear()
            await self._taken.wait()
        self._items.append(item)
        self._seconds += item.seconds if isinstance(item, Audio) else 0.0
        self._put.set()

    async def next(self) -> Any:
        """The next: all audio that waits, up to some seconds, or what was put otherwise."""
        while not self._items:
            self._put.clear()
            await self._put.wait()
        item = self._items.popleft()
        if isinstance(item, Audio):
            item = self._joined(item)
            self._seconds = max(0.0, self._seconds - item.seconds)
        self._taken.set()
        return item

    def _joined(self, first: Audio) -> Audio:
        if first.seconds > _AT_ONCE_SECONDS:
            head, rest = _cut(first, _AT_ONCE_SECONDS)
            self._items.appendleft(rest)
            return head
        parts, seconds = [first], first.seconds
        while self._items and isinstance(self._items[0], Audio):
            seconds += self._items[0].seconds
            if seconds > _AT_ONCE_SECONDS:
                break
            parts.append(self._items.popleft())
        return Audio(
            np.concatenate([part.samples for part in parts]),
            sum(part.seconds for part in parts),
            sum(part.messages for part in parts),
        )


def _cut(audio: Audio, seconds: float) -> tuple[Audio, Audio]:
    """The first seconds, and the rest, with which the message ends."""
    at = round(len(audio.samples) * seconds / audio.seconds)
    rest = Audio(audio.samples[at:], audio.seconds - seconds, audio.messages)
    return Audio(audio.samples[:at], seconds, 0), rest
