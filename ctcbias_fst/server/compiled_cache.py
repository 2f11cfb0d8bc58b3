"""Lists that are compiled, as many as a bound of memory has room for."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import Lock
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.rescore.word_pronunciations import WordPronunciations
from ctcbias_fst.text.vocabulary import Vocabulary

_SHARED = (
    type,
    ModuleType,
    FunctionType,
    torch.nn.Module,
    torch.device,
    torch.dtype,
    Vocabulary,
    WordPronunciations,
)
"""What lists have in common is none of theirs."""


_LOOKED_AT = 5000
"""Things of one that holds many."""


class CompiledCache:
    """Compiled lists by key: what was not used longest makes room. Threads may share it.

    Args:
        most_bytes: that the lists hold in sum, about; a list that is larger than that is not kept.
        count: is told, whenever a list is wanted, whether it was there.
    """

    def __init__(self, most_bytes: int, count: Callable[[bool], None] = lambda hit: None) -> None:
        self._most, self._count = most_bytes, count
        self._lists: OrderedDict[Hashable, tuple[CompiledEntities, int]] = OrderedDict()
        self._lock = Lock()
        self._bytes = 0

    @property
    def held_bytes(self) -> int:
        """How much the lists hold."""
        return self._bytes

    def __len__(self) -> int:
        """How many lists there are."""
        return len(self._lists)

    def find(self, key: Hashable) -> CompiledEntities | None:
        """A list, if it is there."""
        with self._lock:
            found = self._lists.get(key)
            if found is not None:
                self._lists.move_to_end(key)
        self._count(found is not None)
        return None if found is None else found[0]

    def keep(self, key: Hashable, made: CompiledEntities) -> None:
        """Keep a list, if there is room for it, in the place of what was not used longest."""
        size = held_bytes(made)
        with self._lock:
            self._drop(key)
            if size > self._most:
                return
            self._lists[key] = made, size
            self._bytes += size
            while self._bytes > self._most:
                _, (_, other) = self._lists.popitem(last=False)
                self._bytes -= other

    def drop(self, key: Hashable) -> None:
        """Forget a list, if it is there."""
        with self._lock:
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        _, size = self._lists.pop(key, (None, 0))
        self._bytes -= size


def held_bytes(value: object) -> int:
    """About how much memory an object holds with all that it refers to, each thing counted once.

    Of tensors and arrays the numbers count; what all lists share (`_SHARED`) counts nothing. What
    holds many things is judged by some of them: a list of a million names would take seconds.
    """
    seen: set[int] = set()
    left: list[tuple[Any, float]] = [(value, 1.0)]
    total = 0.0
    while left:
        one, times = left.pop()
        if id(one) in seen or isinstance(one, _SHARED):
            continue
        seen.add(id(one))
        if isinstance(one, torch.Tensor):
            total += times * one.numel() * one.element_size()
        elif isinstance(one, np.ndarray):
            total += times * one.nbytes if one.base is None else 0.0
            left += [] if one.base is None else [(one.base, times)]
        else:
            total += times * sys.getsizeof(one, 64)
            parts, more = _some_parts(one)
            left += [(part, times * more) for part in parts]
    return round(total)


def _some_parts(one: object) -> tuple[Iterable[Any], float]:
    """What an object refers to, or some of it, and of how many each stands for."""
    if isinstance(one, (str, bytes, int, float, complex)) or one is None:
        return (), 1.0
    if isinstance(one, dict):
        return _some([*one.keys(), *one.values()])
    if isinstance(one, (list, tuple, set, frozenset)):
        return _some(one if isinstance(one, (list, tuple)) else [*one])
    slots = [getattr(one, name, None) for name in getattr(type(one), "__slots__", ())]
    return [*getattr(one, "__dict__", {}).values(), *slots], 1.0


def _some(parts: Sequence[Any]) -> tuple[Sequence[Any], float]:
    if len(parts) <= _LOOKED_AT:
        return parts, 1.0
    found = parts[:: len(parts) // _LOOKED_AT]
    return found, len(parts) / len(found)
