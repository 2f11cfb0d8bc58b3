"""``ctcbias variants``: how else names may be spelt."""

from __future__ import annotations

import click


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("-n", "count", default=20, show_default=True, type=click.IntRange(0), help="Most.")
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

    A recogniser that writes one of them will be taken to have heard the name.
    """
    from ctcbias_fst.sound.package import load_variants  # noqa: PLC0415
    from ctcbias_fst.sound.report import variants_report  # noqa: PLC0415

    for line in variants_report(load_variants(), names, count, output_format == "json"):
        click.echo(line)
