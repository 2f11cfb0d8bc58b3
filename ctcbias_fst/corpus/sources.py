"""What a user may name where recordings are wanted: files, folders of them, and lists of paths.

The lists are Kaldi's ``wav.scp`` and NeMo's manifests (JSON lines with ``audio_filepath``).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ctcbias_fst.audio.audio import AudioPart
from ctcbias_fst.errors import ManifestError, warn_caller
from ctcbias_fst.text.manifests import seconds_of_row, utterance_id
from ctcbias_fst.text.text_files import json_object, quoted, read_lines
from ctcbias_fst.written import RECORD

AUDIO_SUFFIXES = frozenset(
    ".3gp .aac .ac3 .aif .aifc .aiff .amr .ape .au .caf .flac .m4a .m4b .mka .mkv .mov .mp2 .mp3 "
    ".mp4 .nist .oga .ogg .opus .snd .sph .w64 .wav .wave .webm .wma .wv".split()
)
"""Of files that are taken from a folder."""

_LOG_PROBS = (".npz", ".npy", ".safetensors")
_MANIFESTS = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".manifest")
_SHOWN = 3


@dataclass(frozen=True)
class _Found:
    """A recording and the ids that it may have, the shortest first."""

    part: AudioPart
    ids: tuple[str, ...]


def path_of(recording: Path | AudioPart) -> Path:
    """The file of what `recordings_of` gives."""
    return recording if isinstance(recording, Path) else recording.path


def recordings_of(paths: Iterable[Path], *, trusted: bool = False) -> list[Path | AudioPart]:
    """The recordings that files, folders and lists of paths stand for, in their order.

    Args:
        paths: what is neither a folder nor a list is taken for a recording.
        trusted: whether commands in a ``wav.scp`` may be run.

    Returns:
        Of files their paths; recordings of folders and lists have ids. No two are the same.

    Warns:
        CtcbiasWarning: of what is named twice, which is taken once, of what is left out of a
            folder, and of ids that are not names of files.

    Raises:
        ManifestError: a folder has no recording, a list is malformed or names a command and is
            not trusted, two recordings have the same id, or it is something else that is known.
    """
    items: list[Path | list[_Found]] = []
    times = Counter(paths)
    for path, count in times.items():
        if count > 1:
            warn_caller(f"{path}: named {count} times, taken once")
        found = _expanded(path, trusted)
        if found is None:
            _refuse_other_kinds(path)
        items.append(path if found is None else found)
    parts = iter(_distinct([one for item in items if isinstance(item, list) for one in item]))
    recordings: list[Path | AudioPart] = []
    for item in items:
        recordings += [item] if isinstance(item, Path) else [next(parts) for _ in item]
    files = {str(item) for item in recordings if isinstance(item, Path)}
    for one in recordings:
        if isinstance(one, AudioPart) and one.id in files:
            raise ManifestError(
                f"{one.id} and the {quoted(one.id)} of a list ({one.path}) would both be called "
                "so: rename one, or take them apart"
            )
    return recordings


def audio_parts(path: Path, *, trusted: bool = False) -> list[AudioPart] | None:
    """The recordings of a folder, a ``wav.scp``, a NeMo manifest, or an audio file; else None.

    Arguments, warnings and errors are those of :func:`recordings_of`.
    """
    if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
        return [AudioPart(path.stem, path)]
    if path.suffix.lower() in _LOG_PROBS and path.is_file():
        raise ManifestError(f"{path}: saved log-probs: give them to --log-probs")
    found = _expanded(path, trusted, any_name=True)
    return None if found is None else _distinct(found)


def _expanded(path: Path, trusted: bool, any_name: bool = False) -> list[_Found] | None:
    if path.is_dir():
        return _of_folder(path)
    if path.name.lower().endswith("scp"):
        return _of_scp(path, trusted)
    if (any_name or path.name.lower().endswith(_MANIFESTS)) and path.is_file():
        return _of_nemo(path)
    return None


def _refuse_other_kinds(path: Path) -> None:
    if path.suffix.lower() in _LOG_PROBS and path.is_file():
        raise ManifestError(
            f"{path}: saved log-probs, not audio: give them to ctcbias decode --log-probs"
        )
    if path.name.lower().endswith(_MANIFESTS) and path.is_file():
        raise ManifestError(
            f"{path}: no NeMo manifest (JSON lines with 'audio_filepath'); a manifest of lhotse "
            "cuts goes to ctcbias decode --cuts"
        )


def _of_folder(folder: Path) -> list[_Found]:
    """The audio files below a folder, sorted by their paths."""
    taken: list[Path] = []
    others: list[Path] = []
    irregular: list[Path] = []
    for inside in sorted(_files_in(folder), key=lambda one: one.parts):
        if inside.name == RECORD:
            continue
        known = inside.suffix.lower() in AUDIO_SUFFIXES and not inside.name.startswith(".")
        if not known:
            others.append(inside)
        elif _is_irregular(folder / inside):
            irregular.append(inside)
        else:
            taken.append(inside)
    if not taken:
        remedy = "; it has a wav.scp: give that" if (folder / "wav.scp").is_file() else ""
        raise ManifestError(
            f"{folder}: has no audio files, which end with {', '.join(sorted(AUDIO_SUFFIXES))}"
            f"{remedy}"
        )
    for left_out, why in (
        (others, "their names are not those of audio files"),
        (irregular, "they are no regular files (folders, pipes, sockets, devices)"),
    ):
        if left_out:
            shown = ", ".join(quoted(str(one)) for one in left_out[:_SHOWN])
            more = f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
            warn_caller(f"{folder}: left out, as {why}: {shown}{more}")
    return [
        _Found(
            AudioPart(inside.stem, folder / inside),
            (inside.stem, inside.with_suffix("").as_posix(), inside.as_posix()),
        )
        for inside in taken
    ]


def _is_irregular(path: Path) -> bool:
    """Whether there is something that is no file; a link to nothing is told when it is read."""
    return path.exists() and not path.is_file()


def _files_in(folder: Path) -> Iterator[Path]:
    """Paths in a folder; of links to folders, which may lead in a circle, those themselves."""

    def fail(error: OSError) -> None:
        raise ManifestError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for place, folders, files in os.walk(folder, onerror=fail):
        here = Path(place)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in (*files, *links):
            yield (here / name).relative_to(folder)


def _of_scp(path: Path, trusted: bool) -> list[_Found]:
    """Lines of an id and a path, or of an id and a command whose output is the audio."""
    found = []
    for number, line in enumerate(read_lines(path, ManifestError), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        utterance, *rest = line.split(maxsplit=1)
        source = rest[0].strip() if rest else ""
        if not source or source == "|":
            raise ManifestError(f"{where}: an id without a path: {quoted(line)}")
        if source.endswith("|"):
            if not trusted:
                raise ManifestError(
                    f"{where}: {quoted(utterance)} would run a command: {quoted(source)}; if you "
                    "trust this file, say --trust-manifest"
                )
            part = AudioPart(utterance, Path(f"command of {utterance}"), command=source[:-1])
        else:
            part = AudioPart(utterance, _resolved(source, path))
        found.append((number, part))
    if (path.parent / "segments").is_file():
        warn_caller(
            f"{path}: the file 'segments' beside it is not read: recordings are taken whole"
        )
    return _each_once(found, path)


def _of_nemo(path: Path) -> list[_Found] | None:
    """Rows of a NeMo manifest; None if it is something else."""
    lines = read_lines(path, ManifestError)
    first = next((line for line in lines if line.strip()), "")
    try:
        keys = json.loads(first)
    except (ValueError, RecursionError):
        return None
    if not isinstance(keys, dict) or "audio_filepath" not in keys:
        return None
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            row = json_object(line, path, number, ManifestError)
            found.append((number, _nemo_row(row, path, f"{path}, line {number}")))
    return _each_once(found, path, remedy="give each row an 'id'")


def _nemo_row(row: dict[str, Any], path: Path, where: str) -> AudioPart:
    source = row.get("audio_filepath")
    if not isinstance(source, str) or not source or "\0" in source:
        raise ManifestError(f"{where}: 'audio_filepath' must be one path, not {quoted(source)}")
    start, seconds = (
        seconds_of_row(row, key, where, ManifestError) if row.get(key) is not None else 0.0
        for key in ("offset", "duration")
    )
    if start < 0:
        raise ManifestError(f"{where}: 'offset' must be 0 or more, not {start:g}")
    name = utterance_id(row, where, ManifestError)
    return AudioPart(name, _resolved(source, path), start, seconds if seconds > 0 else None)


def _resolved(source: str, listed_in: Path) -> Path:
    """A path of a list: from the list's folder, or else from where we are."""
    beside = listed_in.parent / source
    return beside if beside.exists() or not Path(source).exists() else Path(source)


def _each_once(
    rows: Sequence[tuple[int, AudioPart]], path: Path, remedy: str = "ids must differ"
) -> list[_Found]:
    lines: dict[str, int] = {}
    for number, part in rows:
        if part.id in lines:
            raise ManifestError(
                f"{path}, line {number}: {quoted(part.id)} was given in line {lines[part.id]} "
                f"already: {remedy}"
            )
        lines[part.id] = number
    if not rows:
        raise ManifestError(f"{path}: names no recordings")
    return [_Found(part, (part.id,)) for _, part in rows]


def _distinct(found: Sequence[_Found]) -> list[AudioPart]:
    """Give each recording the first of its ids that no other one has, and tell the longer ones."""
    levels = [0] * len(found)
    while True:
        ids = [one.ids[level] for one, level in zip(found, levels)]
        counts = Counter(ids)
        twice = [i for i, name in enumerate(ids) if counts[name] > 1]
        if not twice:
            break
        raised = [i for i in twice if levels[i] + 1 < len(found[i].ids)]
        if not raised:
            one, other = [found[i].part.path for i in twice if ids[i] == ids[twice[0]]][:2]
            raise ManifestError(
                f"{one} and {other} would both be called {quoted(ids[twice[0]])}: rename one, or "
                "take them apart"
            )
        for i in raised:
            levels[i] += 1
    longer = [name for name, level in zip(ids, levels) if level]
    if longer:
        shown = ", ".join(quoted(name) for name in longer[:_SHOWN])
        more = f" and {len(longer) - _SHOWN} more" if len(longer) > _SHOWN else ""
        warn_caller(f"files of the same name get ids with their folders: {shown}{more}")
    return [replace(one.part, id=name) for one, name in zip(found, ids)]
