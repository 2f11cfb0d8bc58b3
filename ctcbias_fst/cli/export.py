"""``ctcbias export``: make a model directory of a training run."""

from __future__ import annotations

from pathlib import Path

import click

from ctcbias_fst.cli import options


@click.command()
@options.reads_file("--run", required=True, help="Run directory.")
@options.writes_folder("--out", required=True, help="Model directory.")
@click.option(
    "--average",
    type=click.IntRange(1, 10_000),
    help="Newest checkpoints to average [run's own number].",
)
@click.option(
    "--initial-share",
    type=options.Number(0.0, 1.0),
    default=0.0,
    help="Share of the weights that the run began with.",
)
def export(run: Path, out: Path, average: int | None, initial_share: float) -> None:
    """Average the newest checkpoints of RUN into a model directory (float16).

    A run of train makes the directory, a run of adapt adds its adapter to it. The adapter of a
    model of Hugging Face is a file, ctcbias_adapter.safetensors, which any folder may have.
    """
    from ctcbias_fst.training.export import export_run  # noqa: PLC0415

    count = export_run(run, out, average, initial_share)
    click.echo(f"{out}: mean of {count} checkpoints")
