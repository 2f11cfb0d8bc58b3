"""``ctcbias stream``: words as they are said."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ctcbias_fst.cli import options, phones


@click.command()
@click.argument("audio", required=False, type=options.FILE)
@click.option("--mic", is_flag=True, help="Listen to the microphone until Ctrl-C.")
@options.MODEL
@options.LANGUAGE
@options.ADAPTER
@phones.with_phones
@options.reads_file("--entities", help="List of names to listen for (docs/entity-lists.md).")
@options.PARTS
@options.LM
@options.with_settings
@options.DEVICE
@click.option(
    "--rate",
    type=click.IntRange(2000, 768_000),
    default=16000,
    help="Of raw samples, and of the microphone, in Hz.",
)
@click.option(
    "--encoding",
    type=click.Choice(["s16le", "s32le", "u8", "f32le"]),
    default="s16le",
    help="Of raw samples.",
)
@click.option(
    "--channels", type=click.IntRange(1, 32), default=1, help="Of raw samples; they are averaged."
)
@click.option(
    "--chunk",
    type=options.Number(0.01, 10),
    default=0.16,
    help="Seconds of audio that are taken at a time.",
)
@options.format_of("Text as it is said, or a JSON object for whatever is new.", "text", "json")
def stream(
    audio: Path | None,
    mic: bool,
    model: Path | None,
    language: str | None,
    adapter: Path | None,
    listening: phones.PhonesOptions,
    entities: Path | None,
    settings: options.SettingsOptions,
    device: str,
    rate: int,
    encoding: str,
    channels: int,
    chunk: float,
    style: str,
) -> None:
    """Write what is said while it is said: of the microphone, of raw samples on standard input, or
    of an AUDIO file as if it came now.

    On a terminal what may still change is dim. Elsewhere only what is sure is written, an
    utterance a line.
    """
    from ctcbias_fst.audio.live import (  # noqa: PLC0415
        file_chunks,
        microphone_chunks,
        pcm_chunks,
    )
    from ctcbias_fst.cli.stream_out import StreamJson, StreamText  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415
    from ctcbias_fst.models.find import load_model  # noqa: PLC0415
    from ctcbias_fst.recognizer import Recognizer  # noqa: PLC0415
    from ctcbias_fst.text.entities import read_entities  # noqa: PLC0415

    if mic and audio is not None:
        raise ConfigError("pass either AUDIO or --mic")
    config = settings.load(model)
    listed = None if entities is None else read_entities(entities)
    loaded = load_model(model, device, language=language, adapter=adapter)
    recognizer = Recognizer(loaded, config, phones=listening.listener(language))
    recognizer.decoder.warn_of_idle(settings.parts or "")
    names = None
    if listed is not None:
        names = recognizer.compile(listed, warn=False)
        for line in names.entities.report():
            options.warn(line)
    if mic:
        chunks: Iterator[Any] = microphone_chunks(rate, chunk)
    elif audio not in (None, options.STDIN):
        assert audio is not None
        rate = recognizer.model.sampling_rate
        chunks = file_chunks(audio, rate, chunk)
    else:
        chunks = pcm_chunks(sys.stdin.buffer, rate, chunk, encoding, channels)
    name = "microphone" if mic else "standard input" if audio is None else str(audio)
    opened = recognizer.stream(names, sampling_rate=rate, name=name)
    told = StreamJson(sys.stdout) if style == "json" else StreamText(sys.stdout)
    if mic:
        click.echo("listening; Ctrl-C ends", err=True)
    stopped = False
    try:
        for samples in chunks:
            told.show(opened.accept(samples))
    except KeyboardInterrupt:
        stopped = True
    told.show(opened.finish())
    told.end()
    if stopped and not mic:
        raise click.exceptions.Exit(130)
