"""``ctcbias train`` and ``ctcbias adapt``: train a CTC model, or an adapter on a frozen one."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from ctcbias_fst.cli import options

_OPTIONS = (
    options.reads_file("--config", required=True, help="TOML file; docs/training.md has its keys."),
    options.writes_folder("--run", required=True, help="Run directory."),
    click.option(
        "--data",
        type=options.BASE,
        help="Where relative paths of the configuration start [the configuration's folder].",
    ),
    options.DEVICE,
    click.option(
        "--processes",
        default=1,
        type=click.IntRange(1, 1024),
        help="Data-parallel processes on this machine; with --device cuda one per GPU.",
    ),
    click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help="Override a key of the configuration (repeatable).",
    ),
)


@click.command()
@partial(options.with_options, options=_OPTIONS)
def train(**given: Any) -> None:
    """Train a model, or go on where RUN stopped.

    Checkpoints, TensorBoard events and the log go to the run directory. On several machines
    start this command with torchrun instead of --processes.
    """
    _start_run("TrainConfig", **given)


@click.command()
@options.reads_file(
    "--model",
    help="Model: a folder of ours or of Hugging Face; short for the key model [as --config says].",
)
@partial(options.with_options, options=_OPTIONS)
def adapt(model: Path | None, settings: tuple[str, ...], **given: Any) -> None:
    """Teach a model to attend to lists of names, or go on where RUN stopped.

    The model itself stays as it is. `ctcbias export` then adds the adapter to the model's
    directory.
    """
    if model is not None:
        named = model.absolute() if model.exists() else model  # or else a name on the hub
        settings = (*settings, f"model={json.dumps(str(named))}")
    _start_run("AdaptConfig", settings=settings, **given)


def _start_run(kind: str, config: Path, run: Path, **given: Any) -> None:
    """Start or resume a run of the configuration class named ``kind``, and say when it is done."""
    from ctcbias_fst.training import training_config as configurations  # noqa: PLC0415
    from ctcbias_fst.training.launch import launch  # noqa: PLC0415

    last = launch(getattr(configurations, kind), config, run, **given)
    click.echo(f"{last}: training is complete")
