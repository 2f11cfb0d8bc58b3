"""An ablation as a table, as CSV, and as a page with plots."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ctcbias_fst.pictures import figure_text, new_figure, svg_of, xml_text
from ctcbias_fst.scoring.score import Interval, bootstrap, rates, score_transcripts, total
from ctcbias_fst.studies.ablation import AblateConfig, Cell
from ctcbias_fst.studies.ablation_summary import percent
from ctcbias_fst.text.printable import one_line

_RATES = ("precision", "recall", "F1", "WER", "B-WER", "U-WER")
_COLUMNS = (*_RATES[:3], "gain", *_RATES[3:], "free WER", "x RT")
_STYLE = (
    "body{font:15px sans-serif;color:#222;max-width:75em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:.5em 0 2em}td,th{padding:.2em .7em;text-align:right;"
    "border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}"
    "small{color:#666}svg{max-width:100%;height:auto}"
)
_COLOURS = ("#2b5c8a", "#b3002d", "#3d8f5f", "#a06a00")


@dataclass(frozen=True)
class Figures:
    """The scores of a cell.

    Attributes:
        cell: what was scored.
        rates: by name, shares; see :func:`ctcbias_fst.scoring.score.rates`.
        intervals: their 95 % confidence intervals.
        free_wer: word error rate where no name is spoken; NaN without such speech.
        gain: F1 minus that of the row which this one is over; NaN without one.
        decoding, speed: audio time divided by the decoder's time, and by all time.
    """

    cell: Cell
    rates: dict[str, float]
    intervals: dict[str, Interval]
    free_wer: float
    gain: float
    decoding: float
    speed: float


def score_cells(config: AblateConfig, cells: Sequence[Cell]) -> list[Figures]:
    """Score every cell against its references and its list."""
    over = {row.name: row.over for row in config.rows}
    f1: dict[tuple[str, str, str], float] = {}
    figures = []
    for cell in cells:
        results = score_transcripts(cell.references, cell.texts, cell.entities)
        whole = rates(total(results))
        f1[cell.set, cell.list, cell.row] = whole["F1"]
        free = math.nan
        if cell.free_references:
            apart = score_transcripts(cell.free_references, cell.free, cell.entities)
            free = rates(total(apart))["WER"]
        base = f1.get((cell.set, cell.list, over[cell.row]), math.nan)
        figures.append(
            Figures(
                cell=cell,
                rates=whole,
                intervals=bootstrap(results, config.replications),
                free_wer=free,
                gain=whole["F1"] - base,
                decoding=cell.audio_seconds / max(cell.decoder_seconds, 1e-9),
                speed=cell.audio_seconds / max(cell.decoder_seconds + cell.encoder_seconds, 1e-9),
            )
        )
    return figures


def to_table(figures: Sequence[Figures]) -> str:
    """Text for people: one block per set and list; rates in percent."""
    blocks = []
    for (name, listed), rows in _blocks(figures):
        width = max(len(row.cell.row) for row in rows)
        head = one_line(f"{name}, list {listed}")
        lines = [head, " " * width + "".join(f"{column:>10}" for column in _COLUMNS)]
        for row in rows:
            cells = _cells(row, lambda one, rate: percent(one.rates[rate]))
            lines.append(
                one_line(row.cell.row).ljust(width) + "".join(f"{cell:>10}" for cell in cells)
            )
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def to_csv(figures: Sequence[Figures]) -> str:
    """One line per cell: rates as shares with their intervals, times in seconds."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(
        ["set", "list", "row"]
        + [f"{rate}{end}" for rate in _RATES for end in ("", "_low", "_high")]
        + ["gain", "free_WER", "audio_seconds", "encoder_seconds", "decoder_seconds"]
    )
    for one in figures:
        values: list[float] = []
        for rate in _RATES:
            values += [one.rates[rate], one.intervals[rate].low, one.intervals[rate].high]
        cell = one.cell
        values += [one.gain, one.free_wer]
        values += [cell.audio_seconds, cell.encoder_seconds, cell.decoder_seconds]
        shown = ["" if math.isnan(value) else f"{value:.5f}" for value in values]
        writer.writerow([*map(one_line, (cell.set, cell.list, cell.row)), *shown])
    return buffer.getvalue()


def to_page(figures: Sequence[Figures], title: str, command: str) -> str:
    """A page that needs no other file: tables with intervals, and plots.

    Args:
        command: what makes the page again.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    tables = "".join(
        f"<h2>{xml_text(name)}, list {xml_text(listed)}</h2>{_table(rows)}"
        for (name, listed), rows in _blocks(figures)
    )
    return (
        "<!DOCTYPE html><html lang=en><meta charset=utf-8>"
        f"<title>{xml_text(title)}</title><style>{_STYLE}</style><h1>{xml_text(title)}</h1>"
        "<p>Rates in percent, with 95 % confidence intervals (bootstrap over utterances). "
        "<i>Gain</i>: F1 against the row named. <i>Free WER</i>: where no name is spoken. "
        "<i>x RT</i>: seconds of audio per second, encoder included.</p>"
        f"<p>Made by <code>{xml_text(command)}</code></p>{_plots(figures)}{tables}</html>\n"
    )


def _blocks(figures: Sequence[Figures]) -> Iterator[tuple[tuple[str, str], list[Figures]]]:
    blocks: dict[tuple[str, str], list[Figures]] = {}
    for one in figures:
        blocks.setdefault((one.cell.set, one.cell.list), []).append(one)
    yield from blocks.items()


def _table(rows: Sequence[Figures]) -> str:
    lines = ["".join(f"<th>{name}</th>" for name in ("row", *_COLUMNS))]
    for row in rows:
        cells = [xml_text(row.cell.row), *_cells(row, _with_interval)]
        lines.append("".join(f"<td>{cell}</td>" for cell in cells))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _cells(row: Figures, shown: Callable[[Figures, str], str]) -> list[str]:
    """What `_COLUMNS` has of a row."""
    rates = [shown(row, rate) for rate in _RATES]
    return [
        *rates[:3],
        _signed(row.gain),
        *rates[3:],
        percent(row.free_wer),
        f"{row.speed:.0f}",
    ]


def _with_interval(row: Figures, rate: str) -> str:
    interval = row.intervals[rate]
    if math.isnan(row.rates[rate]):
        return "-"
    low, high = percent(interval.low), percent(interval.high)
    return f"{percent(row.rates[rate])}<br><small>{low} to {high}</small>"


def _plots(figures: Sequence[Figures]) -> str:
    """For every list, F1 of each row with its interval, the sets side by side."""
    lists = list(dict.fromkeys(one.cell.list for one in figures))
    sets = list(dict.fromkeys(one.cell.set for one in figures))
    rows = list(dict.fromkeys(one.cell.row for one in figures))
    figure = new_figure(4.2 * len(lists) + 2, 0.42 * len(rows) + 1.4)
    axes = figure.subplots(1, len(lists), sharey=True, sharex=True, squeeze=False)[0]
    for panel, listed in zip(axes, lists):
        for i, name in enumerate(sets):
            found = {
                one.cell.row: one
                for one in figures
                if (one.cell.set, one.cell.list) == (name, listed)
            }
            shown = [row for row in rows if row in found and not math.isnan(found[row].rates["F1"])]
            values = [100 * found[row].rates["F1"] for row in shown]
            ends = [found[row].intervals["F1"] for row in shown]
            errors = (
                [v - 100 * end.low for v, end in zip(values, ends)],
                [100 * end.high - v for v, end in zip(values, ends)],
            )
            places = [rows.index(row) + 0.16 * (i - (len(sets) - 1) / 2) for row in shown]
            panel.errorbar(
                values,
                places,
                xerr=errors,
                fmt="o",
                markersize=5,
                color=_COLOURS[i % len(_COLOURS)],
                label=figure_text(name),
            )
        panel.set_title(f"list {figure_text(listed)}", fontsize=10)
        panel.set_xlabel("F1 of the names, percent", fontsize=9)
        panel.grid(axis="x", color="#ddd")
    axes[0].set_yticks(range(len(rows)), [*map(figure_text, rows)], fontsize=9)
    axes[0].invert_yaxis()
    axes[0].legend(fontsize=9, loc="lower left")
    return svg_of(figure)


def _signed(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:+.1f}"
