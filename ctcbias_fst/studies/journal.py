"""The file that keeps the trials of a study: one process at a time writes, damage is one line."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ctcbias_fst.cut_sets import one_line
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.files import naming

_PATIENCE = 2.0
"""Seconds for which a process may write into the journal without another's saying so."""


def check_journal(path: Path) -> None:
    """Refuse a file that is no journal: nothing is to be written into it."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        with path.open("rb") as stream:
            begin = stream.read(80)
    if begin and not begin.startswith(b'{"op_code":'):
        raise ConfigError(f"{path}: no journal of ctcbias tune; name another file")


@contextmanager
def naming_journal(path: Path) -> Iterator[None]:
    """Whatever a damaged journal leads to is one line."""
    try:
        with naming(path):
            yield
    except (ValueError, KeyError, TypeError, IndexError, AssertionError) as error:
        raise ConfigError(
            f"{path}: damaged ({one_line(error)}); delete it to begin anew, or name another file"
        ) from error


class JournalLock:
    """Lets one process at a time write into a journal.

    The system lets the lock go when a process ends, however it ends. Optuna's own, a file, stays
    when one is killed, and others wait for half a minute. Half a line that such a process has left
    is cut off: what is written next would continue it.
    """

    def __init__(self, path: Path, report: Callable[[str], None]) -> None:
        self._path, self._report = path, report
        self._stream: BinaryIO | None = None

    def acquire(self) -> bool:
        """Wait for the lock, and say so if it takes more than a moment."""
        stream = self._path.open("r+b")
        begin, told = time.monotonic(), False
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
                if not told and time.monotonic() - begin > _PATIENCE:
                    told = True
                    self._report(f"{self._path}: another process holds it; waiting")
        content = stream.read()
        if not content.endswith(b"\n"):
            stream.truncate(content.rfind(b"\n") + 1)
        self._stream = stream
        return True

    def release(self) -> None:
        """Let others write."""
        assert self._stream is not None
        self._stream.close()
