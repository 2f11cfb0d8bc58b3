"""Folders of results that keep a record of them, so that nothing else is replaced."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.files import atomic_path, fingerprint, naming
from ctcbias_fst.text.text_files import quoted

RECORD = ".ctcbias-written.jsonl"
"""Of a folder: the name and the SHA-256 of each file that was written there."""

_SHOWN = 3


class WrittenFolder:
    """A folder in which files are replaced only where they are as they were written before.

    Args:
        folder: may be missing.
        paths: what is going to be written in it.
        overwrite: whether anything may be replaced.

    Raises:
        ConfigError: one of them is there, and is no result of before, or has been changed since.
    """

    def __init__(self, folder: Path, paths: Iterable[Path], overwrite: bool = False) -> None:
        self._folder = folder
        self._known: dict[str, set[str]] = {}
        try:
            lines = (folder / RECORD).read_bytes().splitlines()
        except OSError:
            lines = []
        for line in lines:
            try:
                # Half of a line may stand in front of a record.
                row = json.loads(line[max(line.rfind(b'{"file": '), 0) :])
                self._known.setdefault(str(row["file"]), set()).add(str(row["sha256"]))
            except (ValueError, TypeError, KeyError, RecursionError):  # half of a line, say
                continue
        others = [path for path in paths if path.exists() and not self._is_ours(path)]
        if others and not overwrite:
            shown = ", ".join(quoted(str(path))[1:-1] for path in others[:_SHOWN])
            more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
            raise ConfigError(
                f"{shown}{more}: would be replaced, and was not written by this program, or was "
                "changed since: give another folder, or say --overwrite"
            )

    def write(self, path: Path, text: str) -> None:
        """Write a file of the folder, and keep a record of it.

        Raises:
            OSError: it cannot be written.
        """
        content = text.encode("utf-8")
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
            # Before it takes its place: a job that is stopped in between may be given again.
            self._record(self._name(path), hashlib.sha256(content).hexdigest())

    def _record(self, name: str, digest: str) -> None:
        known = self._known.setdefault(name, set())
        if digest in known:
            return
        record = self._folder / RECORD
        line = json.dumps({"file": name, "sha256": digest}).encode("ascii") + b"\n"
        with naming(record), record.open("a+b") as stream:
            if stream.seek(0, os.SEEK_END):
                stream.seek(-1, os.SEEK_END)
                if stream.read() != b"\n":  # half of a line, of a run that was killed
                    line = b"\n" + line
            stream.write(line)
        known.add(digest)

    def _is_ours(self, path: Path) -> bool:
        digests = self._known.get(self._name(path), set())
        return path.is_file() and bool(digests & set(fingerprint(path) if digests else ()))

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()
