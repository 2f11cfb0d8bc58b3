"""``ctcbias train``: train the CTC model."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--config", required=True, type=click.Path(path_type=Path), help="TOML: a TrainConfig."
)
@click.option("--run", required=True, type=click.Path(path_type=Path), help="Run directory.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Where relative paths of the configuration start [the configuration's folder].",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option(
    "--processes",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help="Data-parallel processes on this machine; with --device cuda one per GPU.",
)
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a key (repeatable)."
)
def train(
    config: Path,
    run: Path,
    data: Path | None,
    device: str,
    processes: int,
    settings: tuple[str, ...],
) -> None:
    """Train a model, or go on where RUN stopped.

    Checkpoints, TensorBoard events and the log go to the run directory. On several machines
    start this command with torchrun instead of --processes.
    """
    from ctcbias_fst.acoustic.launch import launch_training  # noqa: PLC0415

    last = launch_training(
        config, run, device=device, processes=processes, settings=settings, data=data
    )
    click.echo(f"{last}: training is complete")
