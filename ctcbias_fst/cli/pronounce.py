"""``ctcbias pronounce``: how names sound."""

from __future__ import annotations

import click

from ctcbias_fst.cli.options import Number, refuse


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "-n", "count", default=5, show_default=True, type=click.IntRange(1, 1000), help="Most."
)
@click.option(
    "--max-cost",
    default=4.0,
    show_default=True,
    type=Number(0, 1000),
    help="Leave out what is less likely than the best by more than this (natural log).",
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A table, or one JSON object per name.",
)
def pronounce(names: tuple[str, ...], count: int, max_cost: float, output_format: str) -> None:
    """Show how each NAME may sound, with costs and where they come from.

    Phones are ARPAbet without stress. Write initials in capitals. A name that cannot be
    pronounced is reported, the others are shown, and the exit status is 1.
    """
    from ctcbias_fst.variants.shipped import load_pronouncer  # noqa: PLC0415
    from ctcbias_fst.variants.variants_report import pronunciations_report  # noqa: PLC0415

    pronouncer = load_pronouncer(n=count, max_cost=max_cost)
    faults: list[str] = []
    for line in pronunciations_report(pronouncer, names, output_format == "json", faults.append):
        click.echo(line)
    refuse(faults)
