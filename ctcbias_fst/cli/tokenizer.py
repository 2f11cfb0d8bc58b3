"""``ctcbias tokenizer``: train a SentencePiece model."""

from __future__ import annotations

from pathlib import Path

import click

from ctcbias_fst.cli import options


@click.command()
@click.argument("texts", nargs=-1, required=True, type=options.FILE)
@click.option("--size", default=500, type=click.IntRange(3, 100_000), help="Pieces.")
@options.writes_file("--out", required=True, help="Where the model file goes.")
def tokenizer(texts: tuple[Path, ...], size: int, out: Path) -> None:
    """Train the subwords of a new model on TEXTS, one sentence per line."""
    from ctcbias_fst.text.train_tokenizer import train_tokenizer  # noqa: PLC0415

    count = train_tokenizer(texts, out, size)
    click.echo(f"{out}: {size} pieces from {count} sentences")
