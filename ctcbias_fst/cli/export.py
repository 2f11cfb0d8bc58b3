"""``ctcbias export``: make a model directory of a training run."""

from __future__ import annotations

from pathlib import Path

import click

from ctcbias_fst.cli.options import FILE, Number, output_folder


@click.command()
@click.option("--run", required=True, type=FILE, help="Run directory.")
@click.option("--out", required=True, type=FILE, callback=output_folder, help="Model directory.")
@click.option(
    "--average",
    type=click.IntRange(1, 10_000),
    help="Newest checkpoints to average [run's own number].",
)
@click.option(
    "--initial-share",
    type=Number(0.0, 1.0),
    default=0.0,
    show_default=True,
    help="Share of the weights that the run began with.",
)
def export(run: Path, out: Path, average: int | None, initial_share: float) -> None:
    """Average the newest checkpoints of RUN into a model directory (float16).

    A run of train makes the directory, a run of adapt adds its adapter to it.
    """
    from ctcbias_fst.training.export import export_run  # noqa: PLC0415

    count = export_run(run, out, average, initial_share)
    click.echo(f"{out}: mean of {count} checkpoints")
