"""``ctcbias adapt``: train a contextual adapter on a frozen model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ctcbias_fst.cli.run_options import run_options, start_run


@click.command()
@run_options
def adapt(config: Path, run: Path, **options: Any) -> None:
    """Teach a model to attend to lists of names, or go on where RUN stopped.

    The model itself stays as it is. `ctcbias export` then adds the adapter to the model's
    directory.
    """
    start_run("AdaptConfig", config, run, **options)
