"""What waits for the model: joined, in order, and bounded."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from ctcbias_fst.server.audio_feed import Audio, AudioFeed

RATE = 100


def audio(begin: float, seconds: float) -> Audio:
    count = round(seconds * RATE)
    first = round(begin * RATE)
    return Audio(np.arange(first, first + count, dtype=np.float32), seconds)


async def drained(feed: AudioFeed, until: object) -> list[Any]:
    found = []
    while not found or found[-1] is not until:
        found.append(await feed.next())
    return found


@pytest.mark.parametrize("size", [0.01, 0.3, 1.7, 9.0, 25.0])
def test_audio_is_joined_and_cut_and_stays_in_order(size: float) -> None:
    async def check() -> None:
        feed, change, end = AudioFeed(), object(), object()
        count = round(25 / size) if size < 25 else 1
        before = [audio(i * size, size) for i in range(count)]
        waits = [asyncio.ensure_future(_put_all(feed, [*before, change, audio(50, 1.0), end]))]
        found = await drained(feed, end)
        at = found.index(change)
        assert [type(one) for one in found] == [Audio] * at + [object, Audio, object]
        joined = np.concatenate([one.samples for one in found[:at]])
        np.testing.assert_array_equal(joined, np.concatenate([one.samples for one in before]))
        assert all(one.seconds <= 1.001 for one in found[:at])
        assert sum(one.messages for one in found[:at]) == count
        assert sum(one.seconds for one in found[:at]) == pytest.approx(count * size)
        await asyncio.gather(*waits)

    asyncio.run(check())


async def _put_all(feed: AudioFeed, items: list[Any]) -> None:
    for item in items:
        await feed.put(item)


@pytest.mark.parametrize(("items", "most"), [([audio(0, 10.0)] * 9, 3), ([object()] * 2000, 1000)])
def test_only_so_much_waits(items: list[Any], most: int) -> None:
    async def check() -> None:
        feed = AudioFeed()
        put = 0

        async def puts() -> None:
            nonlocal put
            for item in items:
                await feed.put(item)
                put += 1

        task = asyncio.ensure_future(puts())
        for _ in range(5 * len(items)):  # as long as it can go on
            await asyncio.sleep(0)
        assert put == most and not task.done()
        taken = 0
        while taken < len(items):
            one = await feed.next()
            taken += one.messages if isinstance(one, Audio) else 1
        await task

    asyncio.run(check())
