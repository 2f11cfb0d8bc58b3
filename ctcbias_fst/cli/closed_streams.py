"""Standard streams that were closed before the program began (``<&-``, ``>&-``)."""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

_NAMES = ("stdin", "stdout", "stderr")
_CALLED = {"stdin": "standard input", "stdout": "standard output"}


class _Closed(io.RawIOBase):
    """What says that a stream is closed when it is read or written."""

    def __init__(self, name: str) -> None:
        self._name = name

    def readable(self) -> bool:
        """It can be tried."""
        return True

    def writable(self) -> bool:
        """It can be tried."""
        return True

    def readinto(self, _: Any) -> NoReturn:
        """Refuse."""
        raise OSError(errno.EBADF, f"{self._name} is closed")

    def write(self, _: Any) -> NoReturn:
        """Refuse."""
        raise OSError(errno.EBADF, f"{self._name} is closed")


class _ClosedText(io.TextIOBase):
    """The same for text."""

    encoding = "utf-8"
    errors = "strict"

    def __init__(self, name: str) -> None:
        self.buffer = _Closed(name)

    def read(self, _: Any = -1) -> str:
        """Refuse."""
        return str(self.buffer.read(1))

    def readline(self, _: Any = -1) -> str:  # type: ignore[override]
        """Refuse."""
        return self.read()

    def write(self, _: str) -> int:
        """Refuse."""
        self.buffer.write(b"")


def stand_in() -> None:
    """Put something in the place of standard streams that are closed.

    Their numbers are taken, so that no file gets them, which would then hold what is said. Who
    reads or writes one gets an OSError that tells; nobody hears a standard error that is closed.
    """
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is not None:
            continue
        if not _is_open(number):
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
        if name == "stderr":
            sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        else:
            setattr(sys, name, _ClosedText(_CALLED[name]))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
