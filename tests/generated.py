"""Generated inputs: how many there are, how long one may take, and how files are spoilt."""

from __future__ import annotations

import faulthandler
import functools
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

TIMES = float(os.environ.get("GENERATED", "1"))
"""So many times as many inputs as `make slow` has (`make fuzz`)."""

COUNTS: Counter[str] = Counter()
"""How many inputs of each kind there were; conftest.py prints it."""

_HANGS = 1800.0
"""Seconds, however busy the machine is: whatever works on one input for so long never ends."""


def many(kind: str, inputs: int) -> Callable[[Any], Any]:
    """Let a test, which `hypothesis.given` has inputs for, have many, and count them.

    A native crash, and what hangs, ends all tests, with the line at which it happened.

    Args:
        kind: what is generated.
        inputs: with `make slow`.
    """

    def decorate(test: Any) -> Any:
        inner = test.hypothesis.inner_test

        @functools.wraps(inner)
        def counted(*args: Any, **kwargs: Any) -> None:
            COUNTS[kind] += 1
            faulthandler.dump_traceback_later(_HANGS, exit=True, file=sys.__stderr__)
            try:
                inner(*args, **kwargs)
            finally:
                faulthandler.cancel_dump_traceback_later()

        test.hypothesis.inner_test = counted
        chosen = settings(
            max_examples=max(1, round(inputs * TIMES)),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        return pytest.mark.slow(pytest.mark.fuzz(chosen(test)))

    return decorate


NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_NUMBERS = (
    b"0;1;-1;3;7;99;255;256;65536;2147483647;2147483648;4294967296;9223372036854775808;-2147483649;"
    b'1e9;1e38;1e39;1e400;-1e400;1e-320;NaN;nan;inf;-inf;Infinity;-Infinity;null;true;[];{};"x";'
    b"'x';0.5;1.0;-0.0;1_000;0x10;[1, 2];[[1]];[1, \"x\"];--1;"
)
NUMBERS = st.sampled_from([*_NUMBERS.split(b";"), b"1" * 5000, b"[" * 3000])

Edit = tuple[str, float, int, bytes, bytes]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["number", "number", "bytes", "flip", "cut", "line", "twice"]),
        st.floats(0, 1),
        st.integers(0, 20),
        st.binary(max_size=4),
        NUMBERS,
    ),
    min_size=1,
    max_size=3,
)


def spoil(data: bytes, edits: list[Edit]) -> bytes:
    """A file with bytes cut out, doubled, changed, or put in, and numbers that are others.

    Places are shares of the file; most are near its beginning, where headers are.
    """
    for kind, share, size, put, number in edits:
        at = min(int(share**3 * len(data)), len(data))
        if kind == "number":
            places = list(NUMBER.finditer(data))
            if places:
                place = places[min(int(share * len(places)), len(places) - 1)]
                data = data[: place.start()] + number + data[place.end() :]
        elif kind == "line":
            lines = data.split(b"\n")
            row = min(int(share * len(lines)), len(lines) - 1)
            lines[row : row + 1] = lines[row : row + 1] * (size % 3)
            data = b"\n".join(lines)
        elif kind == "cut":
            data = data[: int(share * len(data))]
        elif kind == "flip":
            data = data[:at] + put[:1] + data[at + 1 :]
        else:
            held = put if kind == "bytes" else data[at : at + size] * 2
            data = data[:at] + held + data[at + size :]
    return data
