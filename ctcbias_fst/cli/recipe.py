"""``ctcbias recipe``: a data set from its files to its scores."""

from __future__ import annotations

from pathlib import Path

import click

from ctcbias_fst.cli import options


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name")
@options.writes_folder("--out", required=True, help="Where everything is written.")
@options.reads_file("--source", help="The data set as it is distributed.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    help="prepare, train, adapt, compile, decode, score, or all: those that the recipe's "
    "config.toml names (repeatable) [all].",
)
@options.reads_file(
    "--model",
    help="What decodes and is adapted [OUT/model if it was trained, else the one inside the "
    "package].",
)
@click.option("--parts", help="What biases towards the names [as the recipe says].")
@options.DEVICE
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def recipe(
    name: str,
    out: Path,
    source: Path | None,
    stages: tuple[str, ...],
    model: Path | None,
    parts: str | None,
    device: str,
    arguments: tuple[str, ...],
) -> None:
    """Run the recipe NAME (a folder of recipes/): prepare, compile, decode, score.

    What was made of the same files and settings already is kept. Further ARGUMENTS go to the
    recipe's prepare.py.
    """
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415
    from ctcbias_fst.settings import parse_parts  # noqa: PLC0415
    from ctcbias_fst.studies.recipe import STAGES, Recipe, find_recipe  # noqa: PLC0415

    chosen = Recipe(
        find_recipe(name),
        out,
        source=source,
        model=model,
        parts=None if parts is None else parse_parts(parts),
        device=device,
        arguments=arguments,
        report=click.echo,
    )
    wanted = [stage for stage in stages if stage != "all"]
    if not stages or "all" in stages:
        wanted += chosen.config.stages
    unknown = [stage for stage in wanted if stage not in STAGES]
    if unknown:
        raise ConfigError(f"unknown stage {unknown[0]!r}; there are: {', '.join(STAGES)}, all")
    chosen.run(wanted)
