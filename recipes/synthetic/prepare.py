#!/usr/bin/env python3
"""Make a synthetic speech corpus from packages alone; see README.md beside this file."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Run as a script, Python would look for `names` in this folder before the package of that name.
sys.path[0] = str(HERE.parents[1])

import click  # noqa: E402

from ctcbias_fst.errors import CtcbiasError  # noqa: E402

STAGES = ("texts", "fast", "noise", "held", "kokoro", "manifests", "lists", "lm", "real")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Output folder.")
@click.option("--extra", type=click.Path(path_type=Path), help="Folder of ready-made speech.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(1), help="Processes.")
@click.option(
    "--stage",
    "stages",
    multiple=True,
    type=click.Choice(STAGES),
    help="Only these stages (repeatable); all by default, in the order listed.",
)
@click.option(
    "--config",
    default=HERE / "config.toml",
    show_default="config.toml of the recipe",
    type=click.Path(path_type=Path),
    help="Numbers of the recipe.",
)
def main(out: Path, extra: Path | None, jobs: int, stages: tuple[str, ...], config: Path) -> None:
    """Prepare lhotse manifests of synthetic speech.

    texts: plan every utterance. fast: speak with hibari, flite and festival, take --extra
    over. noise: noises and rooms for augmentation. held: dev and test sets. kokoro: the
    slow training speech. manifests: lhotse CutSets. lists: entity lists with distractors. lm: the
    word trigram of the embedded model. real: real recordings that come in packages.
    Whatever is done already is kept.
    """
    from recipes.synthetic.pipeline import run  # noqa: PLC0415  (--help stays fast)

    try:
        run(out, extra, jobs, stages or STAGES, config)
    except CtcbiasError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
