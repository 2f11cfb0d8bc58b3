"""Work of many clients done together: what waits is taken in batches, by a few threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class FullError(Exception):
    """As much waits as may."""


class ClosedError(Exception):
    """Nothing is taken any more."""


class _Waiting(NamedTuple, Generic[Item, Result]):
    item: Item
    cost: float
    since: float
    result: Future[Result]


class Batches(Generic[Item, Result]):
    """Takes items from any thread, and hands them on in batches.

    A batch begins as soon as a worker is free and the first item has waited for ``wait``, or the
    batch is full. Items whose result nobody wants any more (`Future.cancel`) are left out.

    Args:
        run: makes the results of items, or of some of them errors; what it raises is that of all.
        cost: of an item.
        most: items of a batch.
        most_cost: of a batch, unless one item costs more.
        wait: seconds that the first item waits for others.
        waiting: items that may wait.
        waiting_cost: what they may cost together, unless it is one alone.
        workers: threads.
        name: of these.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        *,
        cost: Callable[[Item], float],
        most: int,
        most_cost: float,
        wait: float,
        waiting: int,
        waiting_cost: float = math.inf,
        workers: int = 1,
        name: str = "batches",
    ) -> None:
        self._run, self._cost = run, cost
        self._most, self._most_cost, self._wait = most, most_cost, wait
        self._room, self._room_cost = waiting, waiting_cost
        self._queue: deque[_Waiting[Item, Result]] = deque()
        self._changed = Condition()
        self._closed = False
        self._threads = [
            Thread(target=self._work, name=f"{name}-{i}", daemon=True) for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, item: Item) -> Future[Result]:
        """Take an item.

        Raises:
            FullError: as much waits as may.
            ClosedError: nothing is taken any more.
        """
        result: Future[Result] = Future()
        cost = self._cost(item)
        with self._changed:
            if self._closed:
                raise ClosedError
            # What nobody wants any more has no place; it is taken out where places are short.
            if not self._has_room(cost):
                self._queue = deque(one for one in self._queue if not one.result.cancelled())
                if not self._has_room(cost):
                    raise FullError
            self._queue.append(_Waiting(item, cost, monotonic(), result))
            self._changed.notify()
        return result

    def _has_room(self, cost: float) -> bool:
        total = cost + sum(one.cost for one in self._queue)
        return not self._queue or (len(self._queue) < self._room and total <= self._room_cost)

    @property
    def waiting(self) -> int:
        """How many items wait that somebody wants."""
        return len(self._wanted())

    @property
    def waiting_cost(self) -> float:
        """What they cost."""
        return sum(one.cost for one in self._wanted())

    def _wanted(self) -> list[_Waiting[Item, Result]]:
        with self._changed:
            return [one for one in self._queue if not one.result.cancelled()]

    def close(self, seconds: float | None = None) -> bool:
        """Take nothing more, and wait until all that was taken is done; returns whether it is."""
        end = None if seconds is None else monotonic() + seconds
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(None if end is None else max(0.0, end - monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while batch := self._next():
            self._do(batch)
            del batch  # or the last one would be kept while nothing comes

    def _next(self) -> list[_Waiting[Item, Result]]:
        """The next batch; none once there will be no more."""
        while True:
            with self._changed:
                while not self._queue:
                    if self._closed:
                        return []
                    self._changed.wait()
                left = self._queue[0].since + self._wait - monotonic()
                if left > 0 and not self._closed and not self._is_full():
                    self._changed.wait(left)
                    continue
                taken = self._taken()
            batch = [one for one in taken if one.result.set_running_or_notify_cancel()]
            if batch:
                return batch

    def _is_full(self) -> bool:
        costs = sum(one.cost for one in self._queue)
        return len(self._queue) >= self._most or costs >= self._most_cost

    def _taken(self) -> list[_Waiting[Item, Result]]:
        batch = [self._queue.popleft()]
        total = batch[0].cost
        while self._queue and len(batch) < self._most:
            total += self._queue[0].cost
            if total > self._most_cost:
                break
            batch.append(self._queue.popleft())
        return batch

    def _do(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        results: Sequence[Result | Exception]
        try:
            results = self._run([one.item for one in batch])
        except Exception as error:
            results = [error] * len(batch)
        for one, result in zip(batch, results):
            if isinstance(result, Exception):
                one.result.set_exception(result)
            else:
                one.result.set_result(result)
