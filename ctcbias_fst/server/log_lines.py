"""The log of a server: a line of JSON each, without what clients said or sent."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from traceback import extract_tb
from types import TracebackType
from typing import Any

from ctcbias_fst.errors import CtcbiasError, CtcbiasWarning
from ctcbias_fst.text.printable import json_text

REQUEST = "request"
"""What a record of a request has, as an attribute of this name: its fields."""

_OURS = CtcbiasWarning.__name__


class JsonLines(logging.Formatter):
    """A record as a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Fields of a request as they are; else level, logger, message, and what was raised."""
        fields = getattr(record, REQUEST, None)
        if fields is not None:
            return json_text(fields)
        message = record.getMessage().partition("\n")[0]
        if record.name == "py.warnings" and _OURS in message:
            message = f"a {_OURS}"  # its text may name entries of a list
        told: dict[str, Any] = {
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
        }
        if record.exc_info and record.exc_info[1] is not None:
            told["errors"] = _chain(record.exc_info[1])
        return json_text(told)


def _chain(error: BaseException) -> list[dict[str, Any]]:
    """An error and what it came from; not the text of ours, which may name entries."""
    found: list[dict[str, Any]] = []
    seen: BaseException | None = error
    while seen is not None and len(found) < 10:
        one: dict[str, Any] = {"type": type(seen).__name__, "frames": _frames(seen.__traceback__)}
        if not isinstance(seen, CtcbiasError):
            one["text"] = str(seen)[:500]
        found.append(one)
        seen = seen.__cause__ or seen.__context__
    return found


def _frames(traceback: TracebackType | None) -> list[str]:
    return [
        f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
        for frame in extract_tb(traceback)
    ]


def begin_log() -> None:
    """Log requests and what goes wrong on standard error, warnings of Python among it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]  # what the command line has writes no JSON
    logging.captureWarnings(True)
    logging.getLogger("ctcbias_fst.server").setLevel(logging.INFO)
    # A line for each byte of a form that is wrong; the client is told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
