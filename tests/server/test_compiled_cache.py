"""Compiled lists within a bound of memory."""

from __future__ import annotations

import asyncio
import sys
from threading import Event, Semaphore
from typing import Any

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.compiled_cache import CompiledCache, held_bytes
from ctcbias_fst.server.config import ServerConfig
from ctcbias_fst.server.service import Service
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.wanted import UnwantedError, require_wanted, while_wanted


def listed(names: int) -> CompiledEntities:
    """A list that holds some 1.2 kB for each of its names."""
    made = tuple(Entity(f"{'x' * 500}{i}", f"{'y' * 500}{i}") for i in range(names))
    return CompiledEntities(EntityList(made), None)


@given(
    wanted=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 8)), max_size=30),
    most=st.integers(0, 20),
)
def test_what_was_used_last_is_kept_within_the_bound(
    wanted: list[tuple[int, int]], most: int
) -> None:
    bound = most * 1200
    told: list[bool] = []
    cache = CompiledCache(bound, told.append)
    latest: dict[int, CompiledEntities] = {}  # the longest unused first
    for key, names in wanted:
        found = cache.find(key)
        assert (found is not None) == told[-1] == (key in latest)
        if found is None:
            made = listed(names)
            cache.keep(key, made)
            if held_bytes(made) <= bound:
                latest[key] = made
        else:
            assert found is latest[key]
            latest[key] = latest.pop(key)
        while sum(map(held_bytes, latest.values())) > bound:
            latest.pop(next(iter(latest)))
        assert cache.held_bytes == sum(map(held_bytes, latest.values()))
        assert len(cache) == len(latest)


def test_a_list_that_is_dropped_makes_room() -> None:
    cache = CompiledCache(1_000_000)
    cache.keep("a", listed(3))
    cache.keep("a", listed(4))
    assert (len(cache), cache.held_bytes) == (1, held_bytes(listed(4)))
    cache.drop("a")
    cache.drop("a")
    assert (len(cache), cache.held_bytes, cache.find("a")) == (0, 0, None)


def test_what_lists_share_counts_for_none(recognizer: Recognizer) -> None:
    names = [f"ba{one}du{other}" for one in "bdfgklmnprst" for other in "bdfgklmnprst"]
    none = held_bytes(recognizer.compile([]))
    assert none < 100_000
    assert 300 * len(names) < held_bytes(recognizer.compile(names)) - none < 20_000 * len(names)


def test_a_long_list_is_judged_by_some_of_its_names() -> None:
    few, many = listed(4000), listed(40_000)
    assert held_bytes(many) == pytest.approx(10 * held_bytes(few), rel=0.02)
    held = [few, {name.name: name for name in many.entities}, set(range(10**6, 10**6 + 10_000))]
    every = sum(sys.getsizeof(part) for name in many.entities for part in (name, *name[:2]))
    numbers = 10_000 * sys.getsizeof(10**6)
    tables = sum(map(sys.getsizeof, held[1:]))
    assert held_bytes(held) == pytest.approx(held_bytes(few) + every + numbers + tables, rel=0.05)


def test_there_is_room_for_a_list_as_long_as_any(recognizer: Recognizer) -> None:
    """Otherwise each request that names it compiles it anew."""
    syllables = [one + other for one in "bdfgklmnprst" for other in ("a", "en", "il", "or")]
    words = [one + other for one in syllables for other in syllables]
    names = [
        " ".join(words[(place * step) % len(words)] for step in (1, 7, 11, 13)) + f" {words[i]}"
        for i in range(13)
        for place in range(len(words))
    ]
    config = ServerConfig()
    compiled = recognizer.compile(names, warn=False)
    assert compiled.shortlists is not None and len(compiled.entities) == len(names)
    a_name = held_bytes(compiled) / len(names)
    assert a_name * config.max_list_names < 1e6 * config.cache_megabytes


def test_who_wants_a_list_in_the_making_waits_for_it(recognizer: Recognizer) -> None:
    """It is made once, whoever goes away meanwhile, and holds up nothing else."""

    async def work() -> None:
        service = Service(recognizer, ServerConfig(), "ctcbias")
        begun, go = Event(), Event()
        made: list[CompiledEntities] = []

        def make() -> CompiledEntities:
            begun.set()
            assert go.wait(60)
            made.append(listed(1))
            return made[-1]

        waiting = [asyncio.create_task(service.compiled("key", make, 1)) for _ in range(20)]
        await asyncio.to_thread(begun.wait, 60)
        waiting[0].cancel()
        assert await service.aside(lambda: 5) == 5
        go.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert len(made) == 1 and all(one is made[0] for one in found[1:])
        assert await service.compiled("key", make, 1) is made[0] and len(made) == 1
        await service.close(1.0)

    asyncio.run(work())


def test_a_list_that_cannot_be_made_is_tried_again(recognizer: Recognizer) -> None:
    async def work() -> None:
        service = Service(recognizer, ServerConfig(), "ctcbias")
        tried: list[Any] = []

        def make() -> CompiledEntities:
            tried.append(None)
            raise RuntimeError("no")

        for count in (1, 2):
            with pytest.raises(RuntimeError, match="no"):
                await service.compiled("key", make, 1)
            assert len(tried) == count
        await service.close(1.0)

    asyncio.run(work())


def test_a_list_that_nobody_wants_any_more_is_given_up(recognizer: Recognizer) -> None:
    """Who wants it a moment later has it made anew; a short one waits for no long one."""

    async def work() -> None:
        service = Service(recognizer, ServerConfig(), "ctcbias")
        begun, ended = Semaphore(0), Semaphore(0)
        go = Event()

        def make() -> CompiledEntities:
            begun.release()
            try:
                while not go.wait(0.01):
                    require_wanted()
            finally:
                ended.release()
            return listed(1)

        several = [asyncio.create_task(service.compiled(key, make, 20_000)) for key in "aab"]
        for _ in "ab":
            await asyncio.to_thread(begun.acquire)
        short = asyncio.create_task(service.compiled("short", lambda: listed(2), 2))
        assert len(await short) == 2
        several[2].cancel()
        await asyncio.to_thread(ended.acquire)
        several[0].cancel()
        await asyncio.sleep(0)
        again = asyncio.create_task(service.compiled("b", make, 20_000))
        await asyncio.to_thread(begun.acquire)
        go.set()
        assert len(await several[1]) == len(await again) == 1
        await service.close(1.0)

    asyncio.run(work())


def test_a_list_that_takes_too_long_is_told(recognizer: Recognizer) -> None:
    async def work() -> None:
        service = Service(recognizer, ServerConfig(request_seconds=0.05), "ctcbias")
        ended = Event()

        def make() -> CompiledEntities:
            try:
                while True:
                    require_wanted()
            finally:
                ended.set()

        with pytest.raises(ApiError, match=r"5 names took longer than 0.05 s") as told:
            await service.compiled("key", make, 5)
        assert told.value.status == 503
        assert await asyncio.to_thread(ended.wait, 60)
        await service.close(1.0)

    asyncio.run(work())


def test_names_are_not_pronounced_for_nobody(recognizer: Recognizer) -> None:
    asked: list[None] = []

    def wanted() -> bool:
        asked.append(None)
        return len(asked) < 10

    names = [f"zarvo{one}{other}" for one in "bdfgklmnprst" for other in "bdfgklmnprst"] * 5
    names = [f"{name}{'aeiou'[place // 144]}" for place, name in enumerate(names)]
    with pytest.raises(UnwantedError), while_wanted(wanted):
        recognizer.compile(names, warn=False)
    assert len(asked) == 10
    with while_wanted(lambda: True):
        assert len(recognizer.compile(names[:3], warn=False)) == 3
