"""``ctcbias compare``: two transcripts of the same speech, changes highlighted."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ctcbias_fst.cli import options


@click.command()
@click.argument("reference", type=options.FILE)
@click.argument("before", type=options.FILE)
@click.argument("after", type=options.FILE)
@options.reads_file("--entities", help="Names: one list for all utterances, or one for each.")
@options.writes_file("-o", "--out", help="Draw it here as well (SVG).")
@click.option(
    "--color/--no-color",
    default=None,
    help="Colours; else brackets and stars [on a terminal: colours].",
)
def compare(
    reference: Path,
    before: Path,
    after: Path,
    entities: Path | None,
    out: Path | None,
    color: bool | None,
) -> None:
    """Show what was said, and what was written BEFORE and AFTER, word by word.

    Wrong words are red, or in brackets; words that became right green, or between stars. Files
    are of any form that `ctcbias score` takes.
    """
    from ctcbias_fst.files import write_text  # noqa: PLC0415
    from ctcbias_fst.scoring.comparison import compare_files, to_lines, to_svg  # noqa: PLC0415

    found = compare_files(reference, before, after, entities)
    colour = sys.stdout.isatty() if color is None else color
    for line in to_lines(found, colour):
        click.echo(line, color=colour)
    if out is not None:
        write_text(out, to_svg(found))
