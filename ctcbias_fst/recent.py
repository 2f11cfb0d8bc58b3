"""What was used lately, by key: for results that take long to find and are asked for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """A bounded mapping: what was not asked for longest makes room. Threads may share it.

    Whoever needs what was put in must hold on to it: another thread may have pushed it out.

    Args:
        most: entries, at most.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError(f"most must be at least 1, not {most}")
        self._most = most
        self._entries: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._entries)

    def __reduce__(self) -> tuple[type[Recent[Key, Value]], tuple[int]]:
        """A copy, in another process or in this one, begins empty."""
        return type(self), (self._most,)

    def get(self, key: Key) -> Value | None:
        """Return the value of a key, or None."""
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def put(self, key: Key, value: Value) -> Value:
        """Keep a value, which must not be None, and return it."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._most:
                self._entries.popitem(last=False)
        return value
