"""What ``ctcbias train`` and ``ctcbias adapt`` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ctcbias_fst.cli.options import BASE, FILE, output_folder

__all__ = ["run_options", "start_run"]

Function = TypeVar("Function", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--config",
        required=True,
        type=FILE,
        help="TOML file; docs/training.md has its keys.",
    ),
    click.option("--run", required=True, type=FILE, callback=output_folder, help="Run directory."),
    click.option(
        "--data",
        type=BASE,
        help="Where relative paths of the configuration start [the configuration's folder].",
    ),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
    click.option(
        "--processes",
        default=1,
        show_default=True,
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


def run_options(command: Function) -> Function:
    """Give a command the options of a training run."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def start_run(kind: str, config: Path, run: Path, **options: Any) -> None:
    """Start or resume a run of the configuration class named ``kind``, and say when it is done."""
    from ctcbias_fst.training import training_config as configurations  # noqa: PLC0415
    from ctcbias_fst.training.launch import launch  # noqa: PLC0415

    last = launch(getattr(configurations, kind), config, run, **options)
    click.echo(f"{last}: training is complete")
