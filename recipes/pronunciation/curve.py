#!/usr/bin/env python3
"""Entity F1 and word error rate against the number of spelling variants of each name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

# Run as a script, Python would look for modules of the package in this folder.
sys.path[0] = str(Path(__file__).resolve().parents[2])

import click  # noqa: E402

from ctcbias_fst.errors import CtcbiasError  # noqa: E402
from ctcbias_fst.pictures import new_figure, save_figure  # noqa: E402

if TYPE_CHECKING:
    from ctcbias_fst.settings import PipelineConfig
    from ctcbias_fst.studies.dev_sets import Source

__all__ = ["SIZES", "Point", "curve", "draw"]

SIZES = (0, 1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Point:
    """What so many variants do to one set.

    Attributes:
        variants: of each name.
        f1, wer: shares; F1 is 0 or NaN for a set in which no name is spoken.
    """

    variants: int
    f1: float
    wer: float


def curve(source: Source, config: PipelineConfig, sizes: Sequence[int] = SIZES) -> list[Point]:
    """Decode a set with each number of variants."""
    from ctcbias_fst.scoring.score import rates, score_transcripts, total  # noqa: PLC0415

    points = []
    for size in sizes:
        trial = replace(config, spellings=replace(config.spellings, number=size))
        texts = source.transcribe(trial)
        found = rates(total(score_transcripts(source.references, texts, source.entities)))
        points.append(Point(size, found["F1"], found["WER"]))
    return points


def draw(curves: Sequence[tuple[str, Sequence[Point]]], path: Path) -> None:
    """Draw the curves of several sets.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    figure = new_figure(8, 3.2)
    left, right = figure.subplots(1, 2)
    sizes = [str(point.variants) for point in curves[0][1]]
    for name, points in curves:
        if any(point.f1 > 0 for point in points):
            left.plot(sizes, [100 * point.f1 for point in points], marker="o", label=name)
        right.plot(sizes, [100 * point.wer for point in points], marker="o", label=name)
    for axes, what in ((left, "entity F1, %"), (right, "word error rate, %")):
        axes.set_xlabel("spelling variants of each name")
        axes.set_ylabel(what)
        axes.grid(alpha=0.3)
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    save_figure(figure, path)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--model", type=click.Path(path_type=Path), help="Model directory.")
@click.option("--out", type=click.Path(path_type=Path), help="Draw the curves here (SVG, PNG).")
@click.option("--parts", default="boost,g2g", show_default=True, help="Parts that act.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A setting.")
@click.option("--name", "names", multiple=True, help="Of each set of the study, in order.")
def main(  # noqa: PLR0917  (its options)
    study: Path,
    model: Path | None,
    out: Path | None,
    parts: str,
    overrides: tuple[str, ...],
    names: tuple[str, ...],
) -> None:
    """Decode the sets of STUDY (as for `ctcbias tune`) with 0, 1, 2, … variants of each name.

    The other settings are the model's own, but for --set.
    """
    from ctcbias_fst.cli.options import SettingsOptions, TokensOptions  # noqa: PLC0415
    from ctcbias_fst.config import load_config  # noqa: PLC0415
    from ctcbias_fst.models.embedded import AcousticModel  # noqa: PLC0415
    from ctcbias_fst.studies.dev_sets import open_sources  # noqa: PLC0415
    from ctcbias_fst.studies.tuning import TuneConfig  # noqa: PLC0415

    try:
        sets = load_config(TuneConfig, study)
        config = SettingsOptions(overrides=overrides, parts=parts).load(model)
        speech = any(one.cuts is not None for one in sets.sets)
        sources = open_sources(
            sets.sets,
            study.parent,
            AcousticModel.load(model) if speech else None,
            TokensOptions(model).load(),
        )
        curves = []
        for place, source in enumerate(sources):
            name = names[place] if place < len(names) else f"set {place + 1}"
            curves.append((name, curve(source, config)))
            for point in curves[-1][1]:
                click.echo(
                    f"{name:12s} {point.variants:3d} variants  F1 {point.f1:6.1%}  "
                    f"WER {point.wer:6.2%}"
                )
        if out is not None:
            draw(curves, out)
    except CtcbiasError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
