"""The figures that an ablation found, in short, from the CSV that it wrote."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from ctcbias_fst.errors import InputError

_RATES = ("F1", "WER", "free_WER")
_NEEDED = ("set", "list", "row", *_RATES)


def read_summary(path: Path) -> list[dict[str, str]]:
    """Read ``ablation.csv`` as ``ctcbias ablate`` writes it: a dict of its columns per cell.

    Raises:
        InputError: the file is missing, or is no such CSV.
    """
    if not path.is_file():
        raise InputError(f"{path}: there are no figures: `ctcbias ablate` makes them")
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            lines = list(reader)
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
        for line in lines if not missing else ():
            for name in _RATES:
                float(line[name] or 0)
    except (csv.Error, ValueError, TypeError) as error:
        raise InputError(f"{path}: no CSV of `ctcbias ablate`: {error}") from error
    if missing or not lines:
        what = f"no column {missing[0]!r}" if missing else "no line"
        raise InputError(f"{path}: no CSV of `ctcbias ablate`: {what}")
    return lines


def to_summary(lines: Sequence[dict[str, str]], lists: Sequence[str] = ()) -> str:
    """Rows of the study down, its sets across: F1 and word error rates in percent.

    Args:
        lists: the lists that are shown; all by default.

    Raises:
        InputError: a list has no figures.
    """
    known = list(dict.fromkeys(line["list"] for line in lines))
    strange = next((name for name in lists if name not in known), None)
    if strange is not None:
        raise InputError(f"there is no list {strange!r}; there are: {'; '.join(known)}")
    return "\n\n".join(
        _block(name, [line for line in lines if line["list"] == name]) for name in lists or known
    )


def _block(listed: str, lines: Sequence[dict[str, str]]) -> str:
    rows = list(dict.fromkeys(line["row"] for line in lines))
    sets = list(dict.fromkeys(line["set"] for line in lines))
    nothing = dict.fromkeys(_RATES, "")
    at = {(row, name): nothing for row in rows for name in sets}
    at.update({(line["row"], line["set"]): line for line in lines})
    margin = max(len(f"list {listed}"), *(len(row) for row in rows))
    free = {name for name in sets if any(at[row, name]["free_WER"] for row in rows)}
    columns = {name: _RATES if name in free else _RATES[:2] for name in sets}
    title = "".join(f"   {name:^{8 * len(columns[name])}}" for name in sets)
    head = "".join(
        "   " + "".join(f"{column.replace('_WER', ''):>8}" for column in columns[name])
        for name in sets
    )
    body = [
        row.ljust(margin)
        + "".join(
            "   " + "".join(f"{_shown(at[row, name][column]):>8}" for column in columns[name])
            for name in sets
        )
        for row in rows
    ]
    first = f"list {listed}".ljust(margin)
    return "\n".join([(first + title).rstrip(), " " * margin + head, *body])


def _shown(share: str) -> str:
    return percent(float(share) if share else math.nan)


def percent(share: float) -> str:
    """A share as tables show it; a dash for none."""
    return "-" if math.isnan(share) else f"{100 * share:.1f}"
