"""``ctcbias rescore``: saved lattices with other scales, or for other programs."""

from __future__ import annotations

from pathlib import Path

import click

from ctcbias_fst.cli import options

_SHOWN = 5


@click.command()
@click.argument("folder", type=options.FILE)
@options.writes_file("--out", help="Transcripts, a JSON object per utterance.")
@options.reads_file("--lm", help="Language model [the one inside the package].")
@click.option("--no-lm", is_flag=True, help="None at all.")
@options.with_settings
@options.NBEST
@options.writes_folder("--text-dir", help="Write each lattice here as text, with its symbol table.")
@click.option(
    "--text-format",
    type=click.Choice(["kaldi", "openfst"]),
    default="kaldi",
    help="Kaldi's has two costs per arc, OpenFst's their sum.",
)
@options.DEVICE
def rescore(
    folder: Path,
    out: Path | None,
    no_lm: bool,
    settings: options.SettingsOptions,
    text_dir: Path | None,
    text_format: str,
    device: str,
) -> None:
    """Read the lattices in FOLDER (of ctcbias decode --lattice-dir) anew.

    The settings are those that they were decoded with, unless --config or --set say otherwise.
    Those of decode.lm, decode.output_beam, decode.nbest, decode.evidence and decode.times act, and
    the parts lm and boost-class; what the search has boosted stays as it is. Others are told, and
    that the parts rescore and lookup, which need the audio, do not act again.
    Names are spelled as the list of the decoding has them.
    """
    from ctcbias_fst.corpus.rescore import (  # noqa: PLC0415
        missing_parts,
        rescore_corpus,
        without_effect,
    )
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415

    if out is None and text_dir is None:
        raise ConfigError("say --out, --text-dir or both")
    if settings.lm is not None and no_lm:
        raise ConfigError("say either --lm or --no-lm")
    config = settings.load(folder)
    saved = options.SettingsOptions().load(folder)
    dead = without_effect(config, saved)
    if dead:
        more = f" and {len(dead) - _SHOWN} more" if len(dead) > _SHOWN else ""
        options.warn(
            f"{', '.join(dead[:_SHOWN])}{more}: cannot act on saved lattices; decode anew to "
            "change what the search does"
        )
    count = rescore_corpus(
        folder,
        config,
        out,
        use_lm=not no_lm,
        text_dir=text_dir,
        kaldi=text_format == "kaldi",
        device=device,
        report=lambda message: click.echo(message, err=True),
    )
    missing = missing_parts(saved)
    if missing and out is not None:
        options.warn(f"{folder}: {missing}")
    click.echo(f"{folder}: {count} utterances", err=True)
