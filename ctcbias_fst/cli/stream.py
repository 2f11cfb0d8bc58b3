"""``ctcbias stream``: words as they are said."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctcbias_fst.cli import options, phones
from ctcbias_fst.cli.opening import opened

if TYPE_CHECKING:
    from ctcbias_fst.audio.samples import Samples
    from ctcbias_fst.audio_streams import AudioStream
    from ctcbias_fst.streaming.updates import Update

_RATE = 16000


@click.command()
@click.argument("audio", required=False, type=options.FILE)
@click.option("--mic", is_flag=True, help="Listen to the microphone until Ctrl-C.")
@options.MODEL
@options.LANGUAGE
@options.ADAPTER
@options.LEXICON
@phones.with_phones
@options.reads_file("--entities", help="List of names to listen for (docs/entity-lists.md).")
@options.PARTS
@options.LM
@options.with_settings
@options.DEVICE
@click.option(
    "--rate",
    type=click.IntRange(2000, 768_000),
    help="Of raw samples, and of the microphone, in Hz [16000].",
)
@click.option(
    "--encoding",
    type=click.Choice(["s16le", "s32le", "u8", "f32le"]),
    help="Of raw samples [s16le].",
)
@click.option("--channels", type=click.IntRange(1, 32), help="Of raw samples [1].")
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
    lexicon: Path | str | None,
    listening: phones.PhonesOptions,
    entities: Path | None,
    settings: options.SettingsOptions,
    device: str,
    rate: int | None,
    encoding: str | None,
    channels: int | None,
    chunk: float,
    style: str,
) -> None:
    """Write what is said while it is said: of the microphone, of raw samples on standard input, or
    of an AUDIO file as if it came now.

    On a terminal what may still change is dim. Elsewhere only what is sure is written, an
    utterance a line.
    """
    from ctcbias_fst.audio.live import Microphone, file_chunks, pcm_chunks  # noqa: PLC0415
    from ctcbias_fst.cli.stream_out import StreamJson, StreamText  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError, CtcbiasError  # noqa: PLC0415
    from ctcbias_fst.models.find import load_for_streams  # noqa: PLC0415

    audio = None if audio == options.STDIN else audio
    if mic and audio is not None:
        raise ConfigError("pass either AUDIO or --mic")
    if (encoding or channels) and (mic or audio is not None):
        raise ConfigError("--encoding and --channels are of raw samples on standard input")
    if rate and audio is not None:
        raise ConfigError("--rate is of raw samples and the microphone; a file says its own")
    recognizer, names = opened(
        load_for_streams,
        model,
        settings,
        listening,
        entities,
        device=device,
        language=language,
        adapter=adapter,
        lexicon=lexicon,
    )
    microphone = Microphone(rate or _RATE, chunk) if mic else None
    name = "standard input"
    if microphone is not None:
        name, chunks = "microphone", microphone.chunks()
    elif audio is not None:
        rate = recognizer.model.sampling_rate
        name, chunks = str(audio), file_chunks(audio, rate, chunk)
    else:
        pipe = sys.stdin.buffer
        chunks = pcm_chunks(pipe, rate or _RATE, chunk, encoding or "s16le", channels or 1)
    heard = recognizer.stream(names, sampling_rate=rate or _RATE, channels=channels, name=name)
    told = StreamJson(sys.stdout) if style == "json" else StreamText(sys.stdout)
    if mic:
        click.echo("listening; Ctrl-C ends", err=True)
    rest = () if microphone is None else microphone.rest()
    try:
        stopped = _told(heard, chunks, rest, told.show)
    finally:
        told.end()
    if isinstance(stopped, CtcbiasError):
        raise stopped
    if stopped is not None and not mic:
        raise click.exceptions.Exit(130)


def _told(
    stream: AudioStream,
    chunks: Generator[Samples],
    rest: Iterable[Samples],
    show: Callable[[Update], None],
) -> BaseException | None:
    """Show what is said in chunks, and what is left of it when these end; returns why they did.

    What was said before an error, or Ctrl-C, is not lost. The microphone is closed before what it
    heard and nobody took is taken: it would go on for ever otherwise.
    """
    from ctcbias_fst.errors import CtcbiasError  # noqa: PLC0415

    stopped: BaseException | None = None
    with closing(chunks):
        try:
            for samples in chunks:
                show(stream.accept(samples))
        except (KeyboardInterrupt, CtcbiasError) as error:
            stopped = error
    try:
        for samples in rest:
            show(stream.accept(samples))
    except (KeyboardInterrupt, CtcbiasError) as error:
        stopped = error
    finally:
        show(stream.finish())
    return stopped
