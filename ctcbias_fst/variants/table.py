"""The table of letters and phones: reading it, and the transducers that it makes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctcbias_fst.errors import InputError
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.text_files import read_lines

SILENT = "-"
"""Stands in the table for no phone."""


@dataclass(frozen=True)
class Row:
    """Letters that may stand for phones.

    Attributes:
        letters: at least one.
        phones: none for silent letters.
        cost: -log p(phones | letters), at least 0.
    """

    letters: str
    phones: tuple[str, ...]
    cost: float


def read_table(path: str | Path) -> Sequence[Row]:
    """Read lines ``letters<TAB>phones<TAB>cost``; further columns are for people.

    Raises:
        InputError: the file is missing, a line is no row, a row is given twice, or no row is
            there at all.
    """
    rows: dict[tuple[str, tuple[str, ...]], Row] = {}
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        row = _row(line, f"{path}, line {number}")
        if (row.letters, row.phones) in rows:
            raise InputError(f"{path}, line {number}: the same letters and phones stand above")
        rows[row.letters, row.phones] = row
    if not rows:
        raise InputError(f"{path}: has no row; write letters, phones and cost, tab-separated")
    return tuple(rows.values())


def _row(line: str, where: str) -> Row:
    columns = line.split("\t")
    if len(columns) < 3:
        raise InputError(
            f"{where}: {len(columns)} of the columns letters, phones, cost (tabs between them)"
        )
    letters, spoken, number = columns[:3]
    if not letters or not all("a" <= letter <= "z" for letter in letters):
        raise InputError(f"{where}: letters must be a to z, not {letters!r}")
    phones = () if spoken == SILENT else tuple(spoken.split())
    unknown = [phone for phone in phones if phone not in PHONES]
    if unknown or (not phones and spoken != SILENT):
        raise InputError(
            f"{where}: {(unknown or [spoken])[0]!r} is no phone; write ARPAbet without stress, "
            f"or {SILENT} for silent letters"
        )
    try:
        cost = float(number)
    except ValueError:
        cost = math.nan
    if not (cost >= 0 and math.isfinite(cost)):
        raise InputError(f"{where}: the cost must be a number of at least 0, not {number!r}")
    return Row(letters, phones, cost)
