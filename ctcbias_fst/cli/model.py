"""``ctcbias model``: what a model is."""

from __future__ import annotations

from pathlib import Path

import click

from ctcbias_fst.cli import options


@click.group()
def model() -> None:
    """Look at models."""


@model.command()
@click.argument("path", required=False, type=options.FILE)
@options.LANGUAGE
@options.ADAPTER
@options.LEXICON
@options.format_of("Lines, or one JSON object.", "text", "json")
def info(
    path: Path | None,
    language: str | None,
    adapter: Path | None,
    lexicon: Path | str | None,
    style: str,
) -> None:
    """Say what the model at PATH is, and which parts can act with it [the one in the package].

    PATH is what --model of other commands takes: a model folder, an ONNX file, or a name on the
    Hugging Face hub.
    """
    from dataclasses import asdict  # noqa: PLC0415

    from ctcbias_fst.errors import ModelError  # noqa: PLC0415
    from ctcbias_fst.model_info import model_info  # noqa: PLC0415
    from ctcbias_fst.text.printable import json_text, one_line  # noqa: PLC0415

    found = model_info(path, language=language, adapter=adapter, lexicon=lexicon)
    if style == "json":
        click.echo(json_text(asdict(found), indent=2))
    else:
        for line in found.lines():
            click.echo(one_line(line))
    if found.fault is not None:
        raise ModelError(f"the model is read but does not work: {found.fault}")
