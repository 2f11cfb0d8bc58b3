"""``ctcbias transcribe``: audio files to text."""

from __future__ import annotations

import time
import traceback
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctcbias_fst.cli import options, phones
from ctcbias_fst.cli.opening import opened
from ctcbias_fst.cli.places import reads, writes
from ctcbias_fst.text.printable import one_line

if TYPE_CHECKING:
    from ctcbias_fst.audio.audio import AudioPart

FORMATS = ("text", "json", "ctm", "srt", "vtt")
_ENDINGS = {"text": "txt", "json": "jsonl"}


@click.command()
@click.argument("audio", nargs=-1, required=True, type=options.FILE)
@options.MODEL
@options.LANGUAGE
@options.ADAPTER
@options.LEXICON
@phones.with_phones
@options.reads_file(
    "--entities", help="List of names to listen for, one per line (docs/entity-lists.md)."
)
@options.PARTS
@options.LM
@options.NBEST
@options.with_settings
@options.DEVICE
@options.format_of("How transcripts are written.", *FORMATS)
@options.writes_file(
    "--out", help="Write here instead of standard output; OUT.part until all is done."
)
@options.writes_folder(
    "--out-dir", help="Write a file for each recording into this folder, named after it."
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="With --out-dir: replace files that this program did not write, too.",
)
@options.TRUST_MANIFEST
@click.option("--timing", is_flag=True, help="Report start-up time and speed on standard error.")
def transcribe(
    audio: tuple[Path, ...],
    model: Path | None,
    language: str | None,
    adapter: Path | None,
    lexicon: Path | str | None,
    listening: phones.PhonesOptions,
    entities: Path | None,
    settings: options.SettingsOptions,
    device: str,
    style: str,
    out: Path | None,
    out_dir: Path | None,
    overwrite: bool,
    trust_manifest: bool,
    timing: bool,
) -> None:
    """Transcribe AUDIO: files of any rate and channel count, folders of them, lists of paths.

    libsndfile reads them, or PyAV or ffmpeg where it is installed. Lists are Kaldi's wav.scp and
    NeMo's manifests. A file that cannot be used is reported, the others are transcribed, and the
    exit status is 1.
    """
    begin = time.perf_counter()
    from ctcbias_fst.audio.audio import AudioPart, longest_seconds  # noqa: PLC0415
    from ctcbias_fst.cli.transcripts_out import TranscriptsOut  # noqa: PLC0415
    from ctcbias_fst.corpus.sources import path_of, recordings_of  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415
    from ctcbias_fst.models.find import load_model  # noqa: PLC0415
    from ctcbias_fst.output import notes  # noqa: PLC0415
    from ctcbias_fst.records import Failure  # noqa: PLC0415
    from ctcbias_fst.written import WrittenFolder  # noqa: PLC0415

    recordings = recordings_of(audio, trusted=trust_manifest)
    paths = {one.id: str(one.path) for one in recordings if isinstance(one, AudioPart)}
    files = {id_: path for id_, path in paths.items() if [*paths.values()].count(path) == 1}
    targets = _targets(recordings, style, out, out_dir)
    folder = None if out_dir is None else WrittenFolder(out_dir, targets.values(), overwrite)
    reads(map(path_of, recordings), "the recording")
    if settings.nbest is not None and style != "json":
        raise ConfigError("--nbest goes with --format json: other formats have the best one only")
    recognizer, names = opened(
        load_model,
        model,
        settings,
        listening,
        entities,
        device=device,
        language=language,
        adapter=adapter,
        lexicon=lexicon,
        longest=partial(longest_seconds, recordings),
    )
    ready = time.perf_counter()
    failures = 0
    written = TranscriptsOut(style, paths, len(recordings), out, folder, targets)
    with written:
        for item in recognizer.transcribe_files(recordings, names):
            written.passed()
            if isinstance(item, Failure):
                failures += 1
                click.echo(f"Error: {one_line(str(item.error))}", err=True)
                if click.get_current_context().find_root().params.get("debug"):
                    cause = item.error
                    traceback.print_exception(type(cause), cause, cause.__traceback__)
                continue
            for line in notes(item, files.get(item.id)):
                options.warn(line)
            written.write(item)
    spent = time.perf_counter() - ready
    phones.tell_phones(recognizer.phones, recognizer.phone_seconds, spent)
    if timing:
        _report(begin, ready, recognizer.audio_seconds)
    if failures:
        raise click.exceptions.Exit(1)


def _targets(
    audio: Sequence[Path | AudioPart], style: str, out: Path | None, out_dir: Path | None
) -> dict[str, Path]:
    """Where the transcript of each recording goes, if they go apart; looked at before the work."""
    from ctcbias_fst.audio.audio import AudioPart  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415
    from ctcbias_fst.files import check_output, file_name, shortened  # noqa: PLC0415
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
    targets: dict[str, Path] = {}
    owners: dict[Path, Path] = {}
    for one in audio:
        ending = f".{_ENDINGS.get(style, style)}"
        if isinstance(one, AudioPart):
            *folders, last = one.id.split("/")
            name = "/".join([*(file_name(part, "") for part in folders), file_name(last, ending)])
            path = one.path
        else:
            path, name = one, shortened(one.stem, ending)
            if name != one.stem + ending:
                options.warn(f"{path}: too long a name; it is written to {out_dir / name}")
        target = out_dir / name
        if owners.setdefault(target, path) != path:
            raise ConfigError(
                f"{owners[target]} and {path} would both be written to {target}: rename one, or "
                "transcribe them into two folders"
            )
        check_output(target)
        writes(target, "the transcript")
        targets[one.id if isinstance(one, AudioPart) else str(one)] = target
    return targets


def _report(begin: float, ready: float, audio_seconds: float) -> None:
    spent = time.perf_counter() - ready
    click.echo(
        f"start-up {ready - begin:.2f} s; {audio_seconds:.1f} s of audio in {spent:.2f} s: "
        f"{audio_seconds / spent:.0f} x real time",
        err=True,
    )
