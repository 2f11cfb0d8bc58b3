"""What is told of many utterances for the same reason, told once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LEFT_OUT = " is left out: "
_NUMBER = re.compile(r"\d+(\.\d+)?")
_NAMES = 10


@contextmanager
def once_each(tell: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Report what it is given, but of utterances that are left out for one reason the first, and
    at the end how many others and which.

    Args:
        tell: writes one line.

    Yields:
        what takes the lines.
    """
    from ctcbias_fst.text.text_files import first_few  # noqa: PLC0415

    names: dict[str, list[str]] = {}

    def report(line: str) -> None:
        name, found, reason = line.partition(_LEFT_OUT)
        same = names.setdefault(_NUMBER.sub("#", reason.replace(name, "#")), []) if found else []
        same.append(name)
        if len(same) == 1:
            tell(line)

    try:
        yield report
    finally:
        for first, *others in names.values():
            if len(others) == 1:
                tell(f"{others[0]} is left out for the same reason as {first}")
            elif others:
                tell(
                    f"{len(others)} others are left out for the same reason as {first}: "
                    f"{first_few(others, _NAMES)}"
                )
