"""The picture of an :class:`~ctcbias_fst.explain.Explanation`: PNG, SVG or a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.explain import Explanation, NameAttention
from ctcbias_fst.files import write_text
from ctcbias_fst.pictures import figure_text, new_figure, save_figure, svg_of, xml_text
from ctcbias_fst.records import Word

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".html")

_ENTITY = "#b3002d"
_PLAIN = "#555555"
_ROW_INCHES = 0.26
_STYLE = (
    "body{font:15px sans-serif;color:#222;max-width:70em;margin:2em auto;padding:0 1em}"
    "svg{max-width:100%;height:auto}table{border-collapse:collapse}"
    "td,th{padding:.15em .8em .15em 0;text-align:left}td.n{text-align:right}"
    f"b{{color:{_ENTITY}}}"
)


def draw_explanation(explanation: Explanation, path: Path, top: int = 15) -> None:
    """Write the picture: log-mel and words above, attention on each name over time below.

    Args:
        path: .png, .svg, or .html for a page with the picture and a table of the names.
        top: names that get a row of their own, those with the most attention; all others
            share one, which shows the most that any of them got.

    Raises:
        ConfigError: the file's ending is none of these.
        MissingDependencyError: matplotlib is not installed.
    """
    check_format(path)
    figure = _figure(explanation, top)
    if path.suffix.lower() != ".html":
        save_figure(figure, path)
        return
    write_text(path, _page(explanation, svg_of(figure)))


def check_format(path: Path) -> None:
    """Refuse a name that does not say in which form a picture is to be written.

    Raises:
        ConfigError: it ends in none of `FORMATS`.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: pictures are written as {', '.join(FORMATS)}")


def _figure(explanation: Explanation, top: int) -> Figure:
    rows = _rows(explanation, top)
    seconds = max(explanation.seconds, 0.1)
    heights = [1.9, _ROW_INCHES * len(rows)]
    figure = new_figure(min(24.0, max(9.0, 2.0 + 1.3 * seconds)), sum(heights) + 1.7)
    spectrum, attention = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": heights})
    figure.suptitle(figure_text(explanation.id), x=0.01, ha="left", fontsize=10, color=_PLAIN)
    spectrum.imshow(
        explanation.log_mel.T,
        origin="lower",
        aspect="auto",
        cmap="Greys",
        extent=(0.0, seconds, 0, explanation.log_mel.shape[1]),
    )
    spectrum.set_ylabel("mel channel", fontsize=9)
    _words(spectrum, explanation.plain, 1.03, _PLAIN)
    _words(spectrum, explanation.biased, 1.16, "black")
    _margin(spectrum, 1.03, "without list", _PLAIN)
    _margin(spectrum, 1.16, "with list", "black")
    image = attention.imshow(
        np.stack([row.weights for row in rows]),
        aspect="auto",
        cmap="magma_r",
        vmin=0.0,
        vmax=1.0,
        interpolation="nearest",
        extent=(0.0, seconds, len(rows) - 0.5, -0.5),
    )
    attention.set_yticks(range(len(rows)), [figure_text(row.name) for row in rows], fontsize=9)
    for label, row in zip(attention.get_yticklabels(), rows):
        if row.written:
            label.set_color(_ENTITY)
            label.set_fontweight("bold")
    attention.set_xlabel("seconds", fontsize=9)
    bar = figure.colorbar(image, ax=attention, fraction=0.02, pad=0.01)
    bar.set_label("attention", fontsize=9)
    return figure


def _rows(explanation: Explanation, top: int) -> list[NameAttention]:
    """The rows of the heat map: names in the order in which they were heard, then the rest."""
    shown = sorted(explanation.names[:top], key=lambda one: int(one.weights.argmax()))
    rest = explanation.names[top:]
    unseen = explanation.listed - len(shown)
    if unseen:
        most = np.max([0 * explanation.none, *(one.weights for one in rest)], axis=0)
        shown.append(NameAttention(f"{unseen} other names (most)", most, False))
    return [*shown, NameAttention("no name", explanation.none, False)]


def _words(axes: Any, words: Sequence[Word], height: float, colour: str) -> None:
    for word in words:
        axes.text(
            word.start,
            height,
            figure_text(word.word),
            transform=axes.get_xaxis_transform(),
            fontsize=9,
            color=_ENTITY if word.entity else colour,
            fontweight="bold" if word.entity else "normal",
            clip_on=False,
        )


def _margin(axes: Any, height: float, text: str, colour: str) -> None:
    axes.text(-0.01, height, text, transform=axes.transAxes, ha="right", fontsize=8, color=colour)


def _page(explanation: Explanation, svg: str) -> str:
    rows = "".join(
        f"<tr><td>{_marked(one.name, one.written)}</td><td class=n>{one.peak:.2f}</td>"
        f"<td class=n>{int(one.weights.argmax()) * explanation.frame_seconds:.2f}</td></tr>"
        for one in explanation.names
    )
    return (
        "<!DOCTYPE html><html lang=en><meta charset=utf-8>"
        f"<title>{xml_text(explanation.id)}</title><style>{_STYLE}</style>"
        f"<h1>{xml_text(Path(explanation.id).name)}</h1>"
        f"<p>Without the list: {_text(explanation.plain)}</p>"
        f"<p>With the list ({explanation.listed} names): {_text(explanation.biased)}</p>"
        f"{svg}"
        "<h2>Attention</h2><table><tr><th>name</th><th>most</th><th>at second</th></tr>"
        f"{rows}</table></html>\n"
    )


def _text(words: Sequence[Word]) -> str:
    return " ".join(_marked(word.word, word.entity) for word in words) or "<i>nothing</i>"


def _marked(text: str, entity: bool) -> str:
    return f"<b>{xml_text(text)}</b>" if entity else xml_text(text)
