"""``ctcbias figures``: what each part of a model was found to do."""

from __future__ import annotations

from pathlib import Path

import click

from ctcbias_fst.cli import options


@click.command()
@options.MODEL
@click.option("--list", "lists", multiple=True, help="Show this list only (repeatable).")
def figures(model: Path | None, lists: tuple[str, ...]) -> None:
    """Show what a model, and each part on top of it, did on test speech.

    The figures are those of `ablation.csv` in the model's directory, which `ctcbias ablate` made:
    F1 of the names, word error rate, and the word error rate of speech without any name ("free").
    """
    from ctcbias_fst.models.package import DEFAULT  # noqa: PLC0415
    from ctcbias_fst.studies.ablation_summary import read_summary, to_summary  # noqa: PLC0415

    click.echo(to_summary(read_summary((model or DEFAULT) / "ablation.csv"), lists))
