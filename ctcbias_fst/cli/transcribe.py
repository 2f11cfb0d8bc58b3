"""``ctcbias transcribe``: audio files to text."""

from __future__ import annotations

import time
import traceback
from pathlib import Path

import click

from ctcbias_fst.cli.options import LM_OPTION, PARTS_OPTION, load_settings, settings_options

FORMATS = ("text", "json", "ctm", "srt", "vtt")
_ENDINGS = {"text": "txt", "json": "jsonl"}


@click.command()
@click.argument("audio", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="Model directory [the model inside the package].",
)
@click.option(
    "--entities",
    type=click.Path(path_type=Path),
    help="List of names to listen for, one per line (docs/entity-lists.md).",
)
@PARTS_OPTION
@LM_OPTION
@settings_options
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option(
    "--format",
    "style",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="How transcripts are written.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write here instead of standard output."
)
@click.option(
    "--out-dir",
    type=click.Path(path_type=Path),
    help="Write a file for each recording into this folder, named after it.",
)
@click.option("--timing", is_flag=True, help="Report start-up time and speed on standard error.")
def transcribe(
    audio: tuple[Path, ...],
    model: Path | None,
    entities: Path | None,
    parts: str | None,
    lm: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    device: str,
    style: str,
    out: Path | None,
    out_dir: Path | None,
    timing: bool,
) -> None:
    """Transcribe AUDIO files of any rate and channel count.

    libsndfile reads them, or PyAV or ffmpeg where it is installed. A file that cannot be used is
    reported, the others are transcribed, and the exit status is 1.
    """
    begin = time.perf_counter()
    from ctcbias_fst.acoustic.audio import longest_seconds  # noqa: PLC0415
    from ctcbias_fst.files import atomic_path  # noqa: PLC0415
    from ctcbias_fst.output import format_transcripts  # noqa: PLC0415
    from ctcbias_fst.pipeline import Failure, Recognizer  # noqa: PLC0415
    from ctcbias_fst.text.entities import read_entities  # noqa: PLC0415

    targets = _targets(audio, style, out, out_dir)
    settings = load_settings(config, overrides, parts=parts, lm=lm, model=model)
    listed = None if entities is None else read_entities(entities)
    recognizer = Recognizer.from_pretrained(model, device=device, config=settings)
    names = None
    if listed is not None:
        names = recognizer.compile(listed, longest_seconds(audio), warn=False)
        for line in names.entities.report():
            click.echo(f"Warning: {line}", err=True)
    ready = time.perf_counter()
    done = []
    failures = 0
    for item in recognizer.transcribe_files(audio, names):
        if isinstance(item, Failure):
            failures += 1
            click.echo(f"Error: {item.error}", err=True)
            if click.get_current_context().find_root().params.get("debug"):
                traceback.print_exception(type(item.error), item.error, item.error.__traceback__)
            continue
        if item.warning:
            click.echo(f"Warning: {item.id}: {item.warning}", err=True)
        done.append(item)
    if targets:
        for item in done:
            with atomic_path(targets[item.id]) as temporary:
                temporary.write_text(format_transcripts([item], style), encoding="utf-8")
    elif out is None:
        click.echo(format_transcripts(done, style), nl=False)
    else:
        with atomic_path(out) as temporary:
            temporary.write_text(format_transcripts(done, style), encoding="utf-8")
    if timing:
        _report(begin, ready, recognizer.audio_seconds)
    if failures:
        raise click.exceptions.Exit(1)


def _targets(
    audio: tuple[Path, ...], style: str, out: Path | None, out_dir: Path | None
) -> dict[str, Path]:
    """Where the transcript of each recording goes, if they go apart; looked at before the work."""
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415
    from ctcbias_fst.output import SUBTITLES  # noqa: PLC0415

    if out_dir is None:
        if style in SUBTITLES and len(audio) > 1:
            raise ConfigError(
                f"--format {style} has the times of one recording, and there are {len(audio)}: "
                "pass --out-dir FOLDER, which gets a file for each"
            )
        return {}
    if out is not None:
        raise ConfigError("pass either --out or --out-dir")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"{out_dir}: cannot be a folder for transcripts: {error.strerror}"
        ) from None
    targets: dict[str, Path] = {}
    owners: dict[Path, Path] = {}
    for path in audio:
        target = out_dir / f"{path.stem}.{_ENDINGS.get(style, style)}"
        if owners.setdefault(target, path) != path:
            raise ConfigError(
                f"{owners[target]} and {path} would both be written to {target}: rename one, or "
                "transcribe them into two folders"
            )
        targets[str(path)] = target
    return targets


def _report(begin: float, ready: float, audio_seconds: float) -> None:
    spent = time.perf_counter() - ready
    click.echo(
        f"start-up {ready - begin:.2f} s; {audio_seconds:.1f} s of audio in {spent:.2f} s: "
        f"{audio_seconds / spent:.0f} x real time",
        err=True,
    )
