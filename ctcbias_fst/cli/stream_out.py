"""How ``ctcbias stream`` writes what is said."""

from __future__ import annotations

import shutil
import unicodedata
from typing import TextIO

from ctcbias_fst.cli import options
from ctcbias_fst.streaming.update_records import update_record
from ctcbias_fst.streaming.updates import Update
from ctcbias_fst.text.printable import json_text, one_line

_LINE = 100
"""Columns of a terminal that does not say how many it has."""

_LEAST_LEFT = 20
"""Columns that a tentative text has at least; the line is ended before."""

_KEEP_CURSOR, _BACK_AND_CLEAR = "\0337", "\0338\033[J"
_DIM, _USUAL = "\033[2m", "\033[0m"


class StreamText:
    """Writes committed text for good, an utterance a line, and on a terminal behind it, dim, what
    may still change.

    Args:
        out: where to.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._terminal = out.isatty()
        self._shown = self._column = 0
        self._dimmed = False

    def show(self, update: Update) -> None:
        """Write what is new."""
        self._erase()
        for warning in update.warnings:
            options.warn(warning)
        for endpoint in update.endpoints:
            self._write(update.committed[self._shown : endpoint.text_end])
            self._shown = max(self._shown, endpoint.text_end)
            self._break()
        self._write(update.committed[self._shown :])
        self._shown = len(update.committed)
        if self._terminal and update.tentative:
            self._dim(update.tentative)
        self._out.flush()

    def end(self) -> None:
        """End the last line."""
        self._erase()
        self._break()
        self._out.flush()

    def _write(self, text: str) -> None:
        text = one_line(text)
        if self._terminal and self._column and self._column + _columns(text) > _width():
            self._break()
        if not self._column:
            text = text.lstrip(" ")
        self._out.write(text)
        self._column += _columns(text)

    def _break(self) -> None:
        if self._column:
            self._out.write("\n")
            self._column = 0

    def _dim(self, text: str) -> None:
        """Write what is erased again; never more than fits in the line."""
        if self._column > _width() - _LEAST_LEFT:
            self._break()
        between = " " if self._column else ""
        text = between + one_line(text)
        room = _width() - self._column - 1
        shown = text
        while _columns(shown) > room:
            shown = f"{shown[:-2]}…" if shown.endswith("…") else f"{shown[:-1]}…"
        self._out.write(f"{_KEEP_CURSOR}{_DIM}{shown}{_USUAL}")
        self._dimmed = True

    def _erase(self) -> None:
        if self._dimmed:
            self._out.write(_BACK_AND_CLEAR)
            self._dimmed = False


class StreamJson:
    """Writes an object a line for every update that has something new.

    Args:
        out: where to.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._committed = 0
        self._tentative = ""

    def show(self, update: Update) -> None:
        """Write what is new."""
        new = update.committed[self._committed :]
        if new or update.endpoints or update.warnings or update.tentative != self._tentative:
            self._out.write(json_text(update_record(update, new.strip(" "))) + "\n")
            self._out.flush()
        self._committed, self._tentative = len(update.committed), update.tentative

    def end(self) -> None:
        """Nothing is left to be written."""


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in text
    )


def _width() -> int:
    return shutil.get_terminal_size((_LINE, 24)).columns
