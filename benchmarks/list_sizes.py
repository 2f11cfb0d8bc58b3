"""A chart of F1 against the size of the list, out of the tables of docs/results.md.

python benchmarks/list_sizes.py docs/results.md docs/list-sizes.svg
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ctcbias_fst.pictures import new_figure, save_figure

SIZES = (100, 1_000, 20_000)
TABLES = ("Drugs and diseases", "People and places")
LEFT_OUT = "k2 topology"
"""It has no names."""

Lines = dict[str, list[tuple[int, float]]]


def read(page: str, title: str) -> Lines:
    """F1 of each decoder by the size of the list, where it was measured."""
    table = page[page.index(f"| {title} | weight |") :].partition("\n\n")[0]
    lines: Lines = {}
    for row in table.splitlines()[2:]:
        name, _, _, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        found = [(size, re.match(r"[\d.]+", cell)) for size, cell in zip(SIZES, cells, strict=True)]
        if not name.startswith(LEFT_OUT):
            lines[name] = [(size, float(f1[0])) for size, f1 in found if f1]
    return lines


def draw(page: str, path: Path) -> None:
    """Two charts beside each other, one for each table."""
    figure = new_figure(9.5, 4.2)
    for axes, title in zip(figure.subplots(1, 2, sharey=True), TABLES):
        for name, points in read(page, title).items():
            ours = name.startswith("ctcbias_fst")
            style = (
                {"linewidth": 2.6, "zorder": 3} if ours else {"linewidth": 1.2, "linestyle": "--"}
            )
            axes.plot(*zip(*points), label=name, marker="o", markersize=4, **style)
        axes.set_xscale("log")
        axes.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
        axes.minorticks_off()
        axes.set_title(title, fontsize=11)
        axes.set_xlabel("names in the list that nobody says")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("F1 of names, %")
    figure.legend(
        *figure.axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=8
    )
    save_figure(figure, path)


if __name__ == "__main__":
    draw(Path(sys.argv[1]).read_text(encoding="utf-8"), Path(sys.argv[2]))
