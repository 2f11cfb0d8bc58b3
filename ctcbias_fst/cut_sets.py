"""Manifests of lhotse's cuts, read with care: they may name commands that lhotse would run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lhotse import CutSet, Recording
from lhotse.audio import AudioSource
from lhotse.cut import Cut
from lhotse.serialization import deserialize_item

from ctcbias_fst.errors import ManifestError
from ctcbias_fst.files import is_stream
from ctcbias_fst.text.text_files import read_json_lines

_PIPE = "pipe:"
"""lhotse hands the rest of a path that begins so to a shell."""

_OPENED = frozenset({"source", "storage_path", "storage_key", "path"})
"""Where manifests have paths."""

_A_FILE_EACH = frozenset({"lilcom_files", "lilcom_url", "numpy_files"})
"""lhotse's storage of arrays in which the key is the name of a file; else it is in an archive."""

_KALDI = "kaldiio"
"""The one that Kaldi reads: a place in an archive, or a table (``.scp``) of such places. One that
ends with ``|`` is a command."""

_PLACE = re.compile(r"(:\d+)?(\[[^\]]*\])?$")
"""What follows the name of an archive: an offset, and a range of rows and columns."""


def read_cut_set(path: Path, *, trusted: bool = False) -> list[Cut]:
    """Read a manifest of cuts, or of recordings, each of which becomes a cut.

    Args:
        path: JSONL, JSON or YAML, as lhotse writes them; a ``.gz`` is unpacked.
        trusted: whether commands in it may be run.

    Raises:
        ManifestError: it is missing, malformed, or names a command and is not trusted.
    """
    if path.is_dir():
        raise ManifestError(f"{path}: is a folder; give a manifest of lhotse cuts")
    if is_stream(path):
        raise ManifestError(
            f"{path}: is a pipe, a device or an open stream, and a manifest is read more than "
            "once, by the ending of its name: save it as a file"
        )
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    cuts = []
    try:
        for where, item in _items(path):
            if isinstance(item, Recording):
                cuts.append(item.to_cut())
            elif isinstance(item, Cut):
                cuts.append(item)
            else:
                raise ManifestError(f"{where}: a {type(item).__name__}, not a cut")
    except ManifestError:
        raise
    except Exception as error:  # lhotse raises many types on a malformed manifest
        raise ManifestError(
            f"{path}: not a readable manifest of cuts: {one_line(error)}; lhotse writes them as "
            "JSONL, JSON or YAML (a Kaldi wav.scp is one if its name ends with scp)"
        ) from error
    if not trusted:
        refuse_commands(cuts, path)
    return cuts


def _items(path: Path) -> Iterator[tuple[str, Any]]:
    """What a manifest has, and where."""
    name = path.name.lower()
    if not name.endswith((".jsonl", ".jsonl.gz")):
        for item in CutSet.from_file(path):
            yield str(path), item
        return
    for number, row in read_json_lines(path, ManifestError):
        where = f"{path}, line {number}"
        try:
            yield where, deserialize_item(row)
        except Exception as error:  # lhotse raises many types on a malformed row
            raise ManifestError(
                f"{where}: not a readable manifest of cuts: {one_line(error)}"
            ) from error


def refuse_commands(items: Iterable[Any], path: Path) -> None:
    """Refuse cuts or recordings whose audio, or other data, is the output of a command.

    Raises:
        ManifestError: there is one.
    """
    tables: set[str] = set()
    for item in items:
        command = _command(item, tables)
        if command is not None:
            raise ManifestError(
                f"{path}: {getattr(item, 'id', None)!r} would run a command: {command[:100]!r}; "
                "if you trust this file, say --trust-manifest (ctcbias decode) or trust_manifests "
                "= true (training)"
            )


def named_files(items: Iterable[Any]) -> Iterator[Path]:
    """The files of audio and arrays that cuts or recordings name; of archives, each once."""
    archives: set[str] = set()
    tables: set[str] = set()
    for item in items:
        for _, value in _parts(item):
            if isinstance(value, AudioSource) and value.type == "file":
                yield Path(value.source)
            elif isinstance(getattr(value, "storage_key", None), str):  # bytes are the array itself
                path = getattr(value, "storage_path", None)
                if path is None:
                    continue
                if value.storage_type in _A_FILE_EACH:
                    yield Path(str(path)) / value.storage_key
                    continue
                places = (_PLACE.sub("", place) for place in _kaldi_places(value, tables))
                for archive in (str(path), *places):
                    if archive not in archives:
                        archives.add(archive)
                        yield Path(archive)


def _kaldi_places(value: Any, tables: set[str]) -> Iterator[str]:
    """What Kaldi would open for an array, if it is Kaldi's; all that a table names at once.

    Args:
        value: anything in a manifest.
        tables: those that were read before; one more is added.
    """
    path = getattr(value, "storage_path", None)
    if getattr(value, "storage_type", None) != _KALDI or not path:
        return
    if not str(path).endswith(".scp"):
        yield str(path)
    elif str(path) not in tables:
        tables.add(str(path))
        if Path(path).is_file():  # what cannot be read is told when it is
            for line in Path(path).read_bytes().splitlines():
                _, *place = line.split(maxsplit=1) or [b""]
                yield from (os.fsdecode(one.strip()) for one in place)


def _command(item: Any, tables: set[str]) -> str | None:
    """The first command in a manifest's object, wherever it is (sources, arrays, transforms)."""
    for key, value in _parts(item):
        for place in _kaldi_places(value, tables):
            if place.endswith("|"):
                return place
        if isinstance(value, str):
            if key in _OPENED and value.startswith(_PIPE):
                return value
        elif isinstance(value, AudioSource):
            if value.type == "command":
                return str(value.source)
        elif isinstance(value, dict) and value.get("type") == "command" and "source" in value:
            return str(value["source"])
    return None


def _parts(item: Any) -> Iterator[tuple[str, Any]]:
    """An object of a manifest and all that is in it, with the names that it has there."""
    waiting: list[tuple[str, Any]] = [("", item)]
    while waiting:
        key, value = waiting.pop()
        yield key, value
        if isinstance(value, AudioSource):
            waiting.append(("source", value.source))
        elif isinstance(value, dict):
            waiting.extend((str(name), inner) for name, inner in value.items())
        elif isinstance(value, (list, tuple)):
            waiting.extend((key, inner) for inner in value)
        elif type(value).__module__.startswith("lhotse."):
            waiting.extend(vars(value).items())


def one_line(error: Exception) -> str:
    """What an error of another library says, in short."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
