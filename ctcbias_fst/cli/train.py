"""``ctcbias train``: train the CTC model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctcbias_fst.cli.run_options import run_options, start_run


@click.command()
@run_options
def train(config: Path, run: Path, **options: Any) -> None:
    """Train a model, or go on where RUN stopped.

    Checkpoints, TensorBoard events and the log go to the run directory. On several machines
    start this command with torchrun instead of --processes.
    """
    start_run("TrainConfig", config, run, **options)
