"""Nothing that a command reads is written over, and no two of its outputs are the same file.

Options and arguments of the type `FILE` are looked at while they are parsed. What a command reads
or writes besides, it tells with `reads` and `writes` before any work.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click

_META = "ctcbias_fst.places"
_ENDINGS = (".npy", ".lattice.safetensors", ".names.json")
_NAMES = frozenset(
    "settings.toml model.safetensors model.json tokenizer.model adapter.safetensors adapter.json "
    "ctcbias_adapter.safetensors lm.safetensors lm.json".split()
)
"""Of files that are read where a folder is given: of arrays, of lattices, of a model."""

_Key = tuple[int, int] | str


@dataclass(frozen=True)
class _Place:
    """A path, and what the command line calls it."""

    what: str
    path: Path

    @property
    def keys(self) -> tuple[_Key, ...]:
        """What it shares with other names of the same file; nothing, if it is no file."""
        found = _found(self.path)
        try:
            resolved = os.path.realpath(self.path)
        except (OSError, ValueError):  # no file can have this name
            return ()
        if found is None:
            return (resolved,)
        regular = stat.S_ISREG(found.st_mode)
        return (resolved, (found.st_dev, found.st_ino)) if regular else ()

    def __str__(self) -> str:
        return f"{self.what} {self.path}"


@dataclass
class _Places:
    """What is read and written. Folders are listed, each once, where something is replaced."""

    read: dict[_Key, _Place] = field(default_factory=dict)
    folders: list[_Place] = field(default_factory=list)
    written: dict[_Key, _Place] = field(default_factory=dict)
    replaces: bool = False
    """Whether something that is going to be written is there."""

    def add_read(self, place: _Place) -> None:
        for key in place.keys:
            self.read.setdefault(key, place)
            if key in self.written:
                _refuse(self.written[key], place)

    def add_written(self, place: _Place) -> None:
        for key in place.keys:
            if key in self.read:
                _refuse(place, self.read[key])
            other = self.written.setdefault(key, place)
            if other is not place and not _appended(place.path):
                _refuse(place, other)
        if _found(place.path) is not None:
            self.replaces = True
            self.list_folders()

    def add_many(self, places: Iterable[_Place]) -> None:
        """Many files, which are there: they matter where something is going to be replaced."""
        for place in places if self.replaces else ():
            self.add_read(place)

    def list_folders(self) -> None:
        self.add_many(inner for folder in self.folders for inner in _inside(folder))
        if self.replaces:
            self.folders.clear()


def given(path: Path, param: click.Parameter, context: click.Context, *, base: bool) -> None:
    """Take note of what a parameter names.

    Args:
        param: one with a callback names what is written.
        base: whether it is where relative paths start, and nothing that is read itself.

    Raises:
        ConfigError: what is written would take the place of what is read, or written besides.
    """
    argument = isinstance(param, click.Argument)
    place = _Place(param.human_readable_name if argument else param.opts[-1], path)
    places = _places(context)
    if not _is_folder(path):
        (places.add_read if param.callback is None else places.add_written)(place)
    elif param.callback is None and not base:
        places.folders.append(place)
        places.list_folders()


def reads(paths: Iterable[Path | None], what: str) -> None:
    """Tell what is read besides what the command line names, before any work, after `writes`.

    Args:
        paths: files, or folders of them; None stands for none.
        what: they are called in messages, such as "the recording".

    Raises:
        ConfigError: an output would take the place of one.
    """
    context = click.get_current_context(silent=True)
    if context is not None:
        named = (_Place(what, path) for path in paths if path is not None)
        _places(context).add_many(
            inner for one in named for inner in (_inside(one) if _is_folder(one.path) else (one,))
        )


def writes(path: Path, what: str) -> None:
    """Tell what is written besides what the command line names, before any work.

    Args:
        what: it is called in messages, such as "the part file of --out".

    Raises:
        ConfigError: it would take the place of something that is read, or of another output.
    """
    context = click.get_current_context(silent=True)
    if context is not None:
        _places(context).add_written(_Place(what, path))


def _places(context: click.Context) -> _Places:
    found: _Places = context.meta.setdefault(_META, _Places())
    return found


def _inside(folder: _Place) -> Iterator[_Place]:
    """What is read of a folder's files."""
    try:
        entries = sorted(os.scandir(folder.path), key=lambda entry: entry.name)
    except OSError:  # told by what reads it
        return
    for entry in entries:
        if entry.name in _NAMES or entry.name.endswith(_ENDINGS):
            yield _Place(folder.what, Path(entry.path))


def _appended(path: Path) -> bool:
    """Whether this is a name of an open stream, such as ``/dev/stdout``."""
    return str(path.absolute()).startswith(("/dev/", "/proc/"))


def _found(path: Path) -> os.stat_result | None:
    """What is there, if anything is."""
    try:
        return path.stat()
    except (OSError, ValueError):
        return None


def _is_folder(path: Path) -> bool:
    found = _found(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def _refuse(written: _Place, other: _Place) -> None:
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415

    raise ConfigError(f"{written} would take the place of {other}: give another name")
