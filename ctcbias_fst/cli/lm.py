"""``ctcbias lm``: train, prune, convert and judge n-gram language models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctcbias_fst.bounds import LARGEST
from ctcbias_fst.cli import options

if TYPE_CHECKING:
    from ctcbias_fst.ngram.ngram_lm import LanguageModel

PRECISION = click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "byte"]),
    default="float16",
    help="Of the numbers in a .safetensors.",
)


def _lm_file(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    from ctcbias_fst.ngram.ngram_lm import check_name  # noqa: PLC0415

    options.output_file(context, option, path)
    if path is not None:
        check_name(path)
    return path


OUT = click.option(
    "--out",
    type=options.FILE,
    required=True,
    callback=_lm_file,
    help="The model: NAME.safetensors, .arpa or .arpa.gz.",
)


@click.group()
def lm() -> None:
    """Train, prune, convert and judge n-gram language models."""


@lm.command()
@click.argument("texts", nargs=-1, required=True, type=options.FILE)
@OUT
@click.option("--order", type=click.IntRange(1, 9), default=3, help="Longest n.")
@click.option(
    "--min-count",
    type=click.IntRange(1, LARGEST),
    default=2,
    help="Words seen less often are unknown words.",
)
@click.option(
    "--max-words",
    type=click.IntRange(0, LARGEST),
    default=0,
    help="Only so many words, the most frequent; 0 for all.",
)
@click.option(
    "--prune",
    "threshold",
    type=options.Number(0, 100),
    default=0.0,
    help="Leave out n-grams that lower the entropy by less (nats), such as 1e-7.",
)
@click.option(
    "--unit",
    type=click.Choice(["word", "token"]),
    default="word",
    help="N-grams of words, or of the tokens of an acoustic model.",
)
@click.option("--raw", is_flag=True, help="Take the text as it is: no lower case, no cleaning.")
@PRECISION
@options.with_tokens
def train(
    texts: tuple[Path, ...],
    out: Path,
    order: int,
    min_count: int,
    max_words: int,
    threshold: float,
    unit: str,
    raw: bool,
    precision: str,
    named: options.TokensOptions,
) -> None:
    """Train a model on TEXTS, one sentence per line (.gz allowed)."""
    from ctcbias_fst.ngram.ngram_lm import save_lm  # noqa: PLC0415
    from ctcbias_fst.ngram.train import (  # noqa: PLC0415
        TrainLmConfig,
        read_sentences,
        train_lm,
    )

    known = None
    if unit == "token":
        known = named.load()
    config = TrainLmConfig(order, min_count, max_words, threshold)
    found = train_lm(read_sentences(texts, known, clean=not raw), config, unit)  # type: ignore[arg-type]
    save_lm(out, found, precision)  # type: ignore[arg-type]
    click.echo(f"{out}: {_summary(found)}")


@lm.command()
@click.argument("model", type=options.FILE)
@OUT
@click.option(
    "--threshold",
    type=options.Number(0, 100),
    required=True,
    help="Leave out n-grams that lower the entropy by less (nats), such as 1e-7.",
)
@PRECISION
def prune(model: Path, out: Path, threshold: float, precision: str) -> None:
    """Make a MODEL smaller by what hardly matters."""
    from ctcbias_fst.ngram.ngram_lm import load_lm, save_lm  # noqa: PLC0415
    from ctcbias_fst.ngram.train import prune_lm  # noqa: PLC0415

    before = load_lm(model)
    after = prune_lm(before, threshold)
    save_lm(out, after, precision)  # type: ignore[arg-type]
    click.echo(f"{model}: {_summary(before)}")
    click.echo(f"{out}: {_summary(after)}")


@lm.command()
@click.argument("model", type=options.FILE)
@OUT
@PRECISION
def convert(model: Path, out: Path, precision: str) -> None:
    """Write a MODEL in another form (ARPA is slow to read)."""
    from ctcbias_fst.ngram.ngram_lm import load_lm, save_lm  # noqa: PLC0415

    found = load_lm(model)
    save_lm(out, found, precision)  # type: ignore[arg-type]
    click.echo(f"{out}: {_summary(found)}")


@lm.command()
@click.argument("lm_file", metavar="MODEL", type=options.FILE)
@click.argument("texts", nargs=-1, type=options.FILE)
@click.option("--raw", is_flag=True, help="Take the text as it is: no lower case, no cleaning.")
@options.with_tokens
def info(
    lm_file: Path,
    texts: tuple[Path, ...],
    raw: bool,
    named: options.TokensOptions,
) -> None:
    """Show a MODEL's size, and its perplexity on TEXTS (one sentence per line)."""
    from ctcbias_fst.ngram.ngram_lm import load_lm, perplexity  # noqa: PLC0415
    from ctcbias_fst.ngram.train import read_sentences  # noqa: PLC0415

    found = load_lm(lm_file)
    click.echo(f"{lm_file}: {_summary(found)}")
    known = None
    if found.unit == "token" and texts:
        known = named.load()
    for text in texts:
        sentences = read_sentences([text], known, clean=not raw)
        of = perplexity(found, sentences, fold_case=known is None and not raw)
        click.echo(
            f"{text}: perplexity {of.with_unknown:.1f} ({of.without_unknown:.1f} without unknown "
            f"{found.unit}s), {of.words:,} {found.unit}s, {of.unknown_rate:.2%} unknown"
        )


@lm.command()
@click.argument("lm_file", metavar="LM", type=options.FILE)
@options.writes_folder("--model", required=True, help="Model directory.")
def attach(lm_file: Path, model: Path) -> None:
    """Make LM (.safetensors) the language model of a model directory."""
    from ctcbias_fst.models.package import save_lm  # noqa: PLC0415

    save_lm(model, lm_file)
    click.echo(f"{model}: has the language model {lm_file.name} now")


def _summary(model: LanguageModel) -> str:
    counts = [len(order.symbol) for order in model.ngram.orders]
    listed = ", ".join(f"{count:,} {n}-grams" for n, count in enumerate(counts, start=1))
    return f"{listed} of {model.unit}s"
