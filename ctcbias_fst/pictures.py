"""What all pictures share: matplotlib, which is optional, and files that come out the same."""

from __future__ import annotations

import io
import re
import warnings
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from ctcbias_fst.errors import MissingDependencyError, warn_caller
from ctcbias_fst.files import atomic_path
from ctcbias_fst.text.printable import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Besides control characters, XML 1.0 has no way to write these.
_NOT_IN_XML = re.compile("[\ufffe\uffff]")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that needs no display.

    Args:
        width, height: inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError("pictures need matplotlib: pip install matplotlib") from error
    return Figure(figsize=(width, height), layout="constrained")


def svg_of(figure: Figure) -> str:
    """The figure as an SVG element; the same figure gives the same text, which stays text."""
    import matplotlib  # noqa: PLC0415

    buffer = io.StringIO()
    with (
        matplotlib.rc_context({"svg.hashsalt": "ctcbias", "svg.fonttype": "none"}),
        warnings.catch_warnings(),
    ):
        # The text stays text, and whoever shows it has a font for it.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    return svg[svg.index("<svg") :]


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure, as SVG if the name ends so, else as matplotlib takes the ending."""
    with atomic_path(path) as temporary:
        if path.suffix.lower() == ".svg":
            temporary.write_text(svg_of(figure), encoding="utf-8")
            return
        with warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", r"Glyph \d+ .* missing from")
            figure.savefig(temporary, dpi=110)
    missing = 0
    for one in caught:
        if "missing from" in str(one.message):
            missing += 1
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        warn_caller(
            f"{path}: the font lacks some of the characters; a picture in SVG or HTML has them"
        )


def xml_text(text: str) -> str:
    """Escape text for SVG or HTML, on one line; what XML cannot hold becomes U+FFFD."""
    return escape(_NOT_IN_XML.sub("\ufffd", one_line(text)))


def figure_text(text: str) -> str:
    """Text as a figure takes it: on one line, and dollars are dollars, not formulas."""
    return _NOT_IN_XML.sub("\ufffd", one_line(text)).replace("$", r"\$")
