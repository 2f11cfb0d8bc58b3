"""``ctcbias pronounce`` and ``ctcbias variants``: how names sound, how else they may be spelt."""

from __future__ import annotations

import click

from ctcbias_fst.cli import options

_NAMES = click.argument("names", nargs=-1, required=True, metavar="NAME...")
_FORMAT = options.format_of("A table, or one JSON object per name.", "text", "json")


@click.command()
@_NAMES
@click.option("-n", "count", default=5, type=click.IntRange(1, 1000), help="Most.")
@click.option(
    "--max-cost",
    default=4.0,
    type=options.Number(0, 1000),
    help="Leave out what is less likely than the best by more than this (natural log).",
)
@_FORMAT
def pronounce(names: tuple[str, ...], count: int, max_cost: float, style: str) -> None:
    """Show how each NAME may sound, with costs and where they come from.

    Phones are ARPAbet without stress. Write initials in capitals. A name that cannot be
    pronounced is reported, the others are shown, and the exit status is 1.
    """
    from ctcbias_fst.variants.shipped import load_pronouncer  # noqa: PLC0415
    from ctcbias_fst.variants.variants_report import pronunciations_report  # noqa: PLC0415

    pronouncer = load_pronouncer(n=count, max_cost=max_cost)
    faults: list[str] = []
    for line in pronunciations_report(pronouncer, names, style == "json", faults.append):
        click.echo(line)
    options.refuse(faults)


@click.command()
@_NAMES
@click.option("-n", "count", default=20, type=click.IntRange(0, 1000), help="Most.")
@_FORMAT
def variants(names: tuple[str, ...], count: int, style: str) -> None:
    """Show other spellings of each NAME that sound alike, with costs.

    A recogniser that writes one of them will be taken to have heard the name. A name without
    letters is reported, the others are shown, and the exit status is 1.
    """
    from ctcbias_fst.variants.shipped import load_variants  # noqa: PLC0415
    from ctcbias_fst.variants.variants_report import variants_report  # noqa: PLC0415

    faults: list[str] = []
    for line in variants_report(load_variants(), names, count, style == "json", faults.append):
        click.echo(line)
    options.refuse(faults)
