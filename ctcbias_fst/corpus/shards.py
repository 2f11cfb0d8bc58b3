"""Shards of a corpus: runs of its utterances, each with a file of results of its own.

The files are in the folder ``OUT.shards`` until all are there; then they are joined to ``OUT``.
A file has a header, which says what it is of, and a JSON object for each utterance.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcbias_fst.corpus.backends import Utterance
from ctcbias_fst.corpus.shar import SharCut
from ctcbias_fst.corpus.transcript_files import Write
from ctcbias_fst.errors import ManifestError
from ctcbias_fst.files import atomic_path, check_output, digest_of, stamp, write_text
from ctcbias_fst.text.printable import json_text


@dataclass(frozen=True)
class Shard:
    """Consecutive utterances of a corpus.

    Attributes:
        number: counted from 0.
        digest: tells these utterances, and their files as they are, from others.
    """

    number: int
    utterances: tuple[Utterance, ...]
    digest: str

    @property
    def seconds(self) -> float:
        """Of audio."""
        return sum(utterance.seconds for utterance in self.utterances)

    def __str__(self) -> str:
        first, last = self.utterances[0].id, self.utterances[-1].id
        return (
            f"shard {self.number} ({first if len(self.utterances) == 1 else f'{first} … {last}'})"
        )


def cut_shards(utterances: Sequence[Utterance], seconds: float) -> list[Shard]:
    """Cut a corpus into shards, whoever decodes them: those of Shar, or of so many seconds.

    An utterance that is longer is a shard.
    """
    groups: list[list[Utterance]] = []
    so_far = 0.0
    for one in utterances:
        last = groups[-1][-1] if groups else None
        if last is None or _home(one) != _home(last):
            full = True
        else:
            full = _home(one) is None and so_far + one.seconds > seconds
        if full:
            groups.append([])
            so_far = 0.0
        groups[-1].append(one)
        so_far += one.seconds
    return [Shard(number, tuple(one), _digest(one)) for number, one in enumerate(groups)]


def _home(utterance: Utterance) -> Path | None:
    return utterance.source.manifest if isinstance(utterance.source, SharCut) else None


def _digest(utterances: Sequence[Utterance]) -> str:
    files = {path for utterance in utterances for path in utterance.files}
    places = [(one.id, one.seconds, one.place) for one in utterances]
    return digest_of([places, [stamp(path) for path in sorted(files)]])


def shards_folder(out: Path) -> Path:
    """Where the results of shards are kept until all are there.

    Raises:
        ConfigError: it cannot be written.
    """
    folder = out.with_name(out.name + ".shards")
    check_output(folder, folder=True)
    return folder


def errors_file(out: Path) -> Path:
    """Where it is said which utterances were left out, and why.

    Raises:
        ConfigError: it cannot be written.
    """
    path = out.with_name(out.name + ".errors.jsonl")
    check_output(path)
    return path


@dataclass(frozen=True)
class Joined:
    """What became of a corpus.

    Attributes:
        decoded: how many utterances.
        skipped: how many were left out.
        seconds: of audio that was decoded.
    """

    decoded: int
    skipped: int
    seconds: float


class ShardResults:
    """The files of results of a job's shards.

    Args:
        folder: may be missing.
        shards: all of the job.
        job: a digest that tells it from others.
    """

    def __init__(self, folder: Path, shards: Sequence[Shard], job: str) -> None:
        self.folder, self._shards, self._job = folder, shards, job
        self._complete: set[int] = set()

    def done(self, report: Callable[[str], None]) -> set[int]:
        """The numbers of the shards that are complete.

        Args:
            report: told about files that are of no use.

        Raises:
            ManifestError: a file is of another job.
        """
        faults: Counter[str] = Counter()
        for shard in self._shards:
            rows = self._rows(shard)
            if isinstance(rows, list):
                self._complete.add(shard.number)
            elif rows is not None:
                faults[rows] += 1
        for fault, count in faults.items():
            report(f"{self.folder}: shards that are decoded again, as {fault}: {count}")
        return set(self._complete)

    def missing(self) -> int:
        """How many shards are not complete, those of others among them."""
        others = (shard for shard in self._shards if shard.number not in self._complete)
        return sum(not isinstance(self._rows(shard), list) for shard in others)

    def write(self, shard: Shard, rows: Sequence[str]) -> None:
        """Keep the results of a shard."""
        assert len(rows) == len(shard.utterances)
        text = "".join(f"{row}\n" for row in rows)
        header = {"job": self._job, "shard": shard.digest, "sha256": _sha256(text)}
        write_text(self._path(shard), f"{json.dumps(header)}\n{text}")
        self._complete.add(shard.number)

    def join(self, out: Path, write: Write) -> Joined:
        """Write the results of all shards to one file, and what was left out to one beside it.

        Raises:
            ManifestError: every utterance was left out.
            FileNotFoundError: a shard is not there any more.
        """
        errors: list[dict[str, Any]] = []
        seconds = 0.0
        for shard in self._shards:
            for utterance, row in zip(shard.utterances, self._read(shard)):
                if "error" in row:
                    errors.append(row)
                else:
                    seconds += utterance.seconds
        _write_errors(errors, errors_file(out))
        total = sum(len(shard.utterances) for shard in self._shards)
        if len(errors) == total:
            raise ManifestError(
                f"none of {total} utterances can be used; the first: {errors[0]['error']}"
            )
        rows = (row for shard in self._shards for row in self._read(shard) if "error" not in row)
        with atomic_path(out) as temporary:
            write(rows, temporary)
        return Joined(total - len(errors), len(errors), seconds)

    def remove(self) -> None:
        """Remove the folder, as far as others let us."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, shard: Shard) -> Path:
        return self.folder / f"{shard.number:06d}.jsonl"

    def _read(self, shard: Shard) -> Iterator[dict[str, Any]]:
        rows = self._rows(shard)
        if not isinstance(rows, list):
            raise FileNotFoundError(2, "No such file or directory", str(self._path(shard)))
        yield from map(json.loads, rows)

    def _rows(self, shard: Shard) -> list[str] | str | None:
        """The objects of a shard; what is wrong with its file; None if there is none.

        Raises:
            ManifestError: it is of another job.
        """
        path = self._path(shard)
        try:
            header, _, text = path.read_bytes().decode("utf-8").partition("\n")
            known = json.loads(header)
            job, digest, sha256 = known["job"], known["shard"], known["sha256"]
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, RecursionError):
            return "they are damaged"
        if job != self._job:
            raise ManifestError(
                f"{self.folder}: belongs to a job with another manifest, model, list, settings, "
                "version or --shard-seconds; finish that one with its own options, or delete the "
                "folder to begin anew"
            )
        if digest != shard.digest:
            return "their recordings have changed"
        rows = text.split("\n")[:-1]
        return (
            rows
            if sha256 == _sha256(text) and len(rows) == len(shard.utterances)
            else "they are damaged"
        )


def _write_errors(errors: Sequence[dict[str, Any]], path: Path) -> None:
    if errors:
        write_text(path, "".join(f"{json_text(error)}\n" for error in errors))
    else:
        path.unlink(missing_ok=True)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
