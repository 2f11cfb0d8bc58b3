"""Work of many clients done together: all of it, once, in order, each with what is its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst.server.batches import Batches, ClosedError, FullError

SECONDS = 60


@contextmanager
def working(run: Any, **options: Any) -> Iterator[Batches[Any, Any]]:
    usual = {"cost": float, "most": 4, "most_cost": 10.0, "wait": 0.0, "waiting": 100}
    batches: Batches[Any, Any] = Batches(run, **{**usual, **options})
    try:
        yield batches
    finally:
        assert batches.close(SECONDS)


class Held:
    """Work that waits until it may go on; keeps what it was given."""

    def __init__(self) -> None:
        self.go, self.begun = Event(), Event()
        self.seen: list[list[Any]] = []

    def __call__(self, items: Sequence[Any]) -> list[Any]:
        self.begun.set()
        assert self.go.wait(SECONDS)
        self.seen.append(list(items))
        return [("done", item) for item in items]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 15), max_size=30), st.integers(1, 3), st.integers(1, 5))
def test_each_item_gets_its_result_in_batches_that_are_not_too_large(
    costs: list[int], workers: int, most: int
) -> None:
    seen: list[list[tuple[int, int]]] = []

    def run(items: Sequence[tuple[int, int]]) -> list[Any]:
        seen.append(list(items))
        return [-number for number, _ in items]

    options = {"cost": lambda item: float(item[1]), "workers": workers, "most": most}
    with working(run, **options) as batches:
        found = [batches.submit((number, cost)) for number, cost in enumerate(costs)]
        assert [one.result(SECONDS) for one in found] == [-i for i in range(len(costs))]
    assert sorted(item for batch in seen for item in batch) == list(enumerate(costs))
    for batch in seen:
        assert len(batch) <= most
        assert len(batch) == 1 or sum(cost for _, cost in batch) <= 10
        assert batch == sorted(batch)


def test_what_waits_while_a_batch_is_in_work_is_the_next_batch() -> None:
    held = Held()
    with working(held) as batches:
        first = batches.submit(1)
        assert held.begun.wait(SECONDS)
        others = [batches.submit(2) for _ in range(3)]
        assert (batches.waiting, batches.waiting_cost) == (3, 6)
        held.go.set()
        assert [one.result(SECONDS) for one in (first, *others)] == [("done", 1)] + 3 * [
            ("done", 2)
        ]
    assert held.seen == [[1], [2, 2, 2]]
    assert (batches.waiting, batches.waiting_cost) == (0, 0)


def test_the_first_waits_for_others_until_the_batch_is_full() -> None:
    held = Held()
    held.go.set()
    with working(held, wait=SECONDS, most=3) as batches:
        found = [batches.submit(1) for _ in range(3)]
        assert [one.result(SECONDS / 2) for one in found] == [("done", 1)] * 3
    assert held.seen == [[1, 1, 1]]


def test_no_more_waits_than_may_cost_but_one_alone() -> None:
    held = Held()
    with working(held, waiting=9, waiting_cost=5) as batches:
        batches.submit(0)
        assert held.begun.wait(SECONDS)
        long = batches.submit(7)
        with pytest.raises(FullError):
            batches.submit(1)
        assert long.cancel()
        batches.submit(2)
        batches.submit(3)
        with pytest.raises(FullError):
            batches.submit(1)
        held.go.set()


def test_no_more_wait_than_may_and_whoever_is_gone_makes_room() -> None:
    held = Held()
    with working(held, waiting=2) as batches:
        batches.submit(0)
        assert held.begun.wait(SECONDS)
        one, other = batches.submit(1), batches.submit(2)
        with pytest.raises(FullError):
            batches.submit(3)
        assert one.cancel()
        last = batches.submit(4)
        held.go.set()
        assert (other.result(SECONDS), last.result(SECONDS)) == (("done", 2), ("done", 4))
    assert held.seen == [[0], [2, 4]]


def test_what_nobody_waits_for_is_not_done() -> None:
    held = Held()
    with working(held) as batches:
        batches.submit(0)
        assert held.begun.wait(SECONDS)
        gone, other = batches.submit(1), batches.submit(2)
        assert gone.cancel()
        held.go.set()
        assert other.result(SECONDS) == ("done", 2)
    assert held.seen == [[0], [2]]


def test_what_fails_is_told_and_the_next_batch_goes_on() -> None:
    def run(items: Sequence[int]) -> list[Any]:
        if 7 in items:
            raise ValueError("all of them")
        return [KeyError(item) if item == 5 else item for item in items]

    with working(run, most=1) as batches:
        found = [batches.submit(item) for item in (1, 5, 7, 2)]
        errors = [type(one.exception(SECONDS)) for one in found]
        assert errors == [type(None), KeyError, ValueError, type(None)]
    with working(run, wait=SECONDS, most=2) as batches:
        both = [batches.submit(item) for item in (7, 2)]
        assert [type(one.exception(SECONDS)) for one in both] == [ValueError] * 2


def test_at_the_end_what_was_taken_is_done_and_nothing_more_is_taken() -> None:
    held = Held()
    batches: Batches[int, Any] = Batches(
        held, cost=float, most=1, most_cost=1.0, wait=SECONDS, waiting=9
    )
    found: list[Future[Any]] = [batches.submit(item) for item in range(3)]
    assert held.begun.wait(SECONDS)
    assert not batches.close(0.0)
    with pytest.raises(ClosedError):
        batches.submit(4)
    Thread(target=held.go.set).start()
    assert batches.close(SECONDS)
    assert [one.result(0) for one in found] == [("done", item) for item in range(3)]
