"""``ctcbias variants``: how else names may be spelt."""

from __future__ import annotations

import click

from ctcbias_fst.cli.options import refuse


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "-n", "count", default=20, show_default=True, type=click.IntRange(0, 1000), help="Most."
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A table, or one JSON object per name.",
)
def variants(names: tuple[str, ...], count: int, output_format: str) -> None:
    """Show other spellings of each NAME that sound alike, with costs.

    A recogniser that writes one of them will be taken to have heard the name. A name without
    letters is reported, the others are shown, and the exit status is 1.
    """
    from ctcbias_fst.variants.shipped import load_variants  # noqa: PLC0415
    from ctcbias_fst.variants.variants_report import variants_report  # noqa: PLC0415

    faults: list[str] = []
    for line in variants_report(
        load_variants(), names, count, output_format == "json", faults.append
    ):
        click.echo(line)
    refuse(faults)
