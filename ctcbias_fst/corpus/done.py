"""Jobs that are done: the same job, given again, has nothing to do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ctcbias_fst import __version__
from ctcbias_fst.corpus.backends import Utterance
from ctcbias_fst.files import digest_of, sha256_of, stamp, write_text


@dataclass(frozen=True)
class Done:
    """What a job told at its end.

    Attributes:
        told: in a line.
        skipped: how many utterances were left out.
    """

    told: str
    skipped: int


def job_of(settings: Any, utterances: Sequence[Utterance], files: Iterable[Path]) -> str:
    """A digest that tells a job from others.

    Args:
        settings: all that the results depend on besides.
        utterances: what is decoded.
        files: where they are, whose sizes and times tell whether they are as they were.
    """
    known = [stamp(path) for path in sorted(set(files))]
    places = [(one.id, one.seconds, one.place) for one in utterances]
    return digest_of([__version__, settings, places, known])


def done_before(out: Path, job: str) -> Done | None:
    """What a job told, if it is done and its results are as it wrote them."""
    record = _read(out)
    if record is None or record.job != job:
        return None
    try:
        return record.done if record.sha256 == sha256_of(out) else None
    except OSError:
        return None


def what_goes(out: Path, job: str) -> str:
    """What is told of results that a job takes the place of, where `done_before` knows none; empty
    if there are no such results."""
    record = _read(out)
    if record is None or not out.exists():
        return ""
    if record.job == job:
        return f"{out}: was changed, and is replaced"
    return f"{out}: is of another job (other settings, lists or recordings), and is replaced"


@dataclass(frozen=True)
class _Record:
    job: str
    sha256: str
    done: Done


def _read(out: Path) -> _Record | None:
    try:
        record = json.loads(_record(out).read_text(encoding="utf-8"))
        done = Done(str(record["told"]), int(record["skipped"]))
        return _Record(record["job"], record["sha256"], done)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None  # there is none, or half of one


def mark_done(out: Path, job: str, done: Done) -> None:
    """Keep a record beside the results, in a hidden file.

    Raises:
        OSError: it cannot be written.
    """
    record = {"job": job, "sha256": sha256_of(out), "told": done.told, "skipped": done.skipped}
    write_text(_record(out), json.dumps(record) + "\n")


def _record(out: Path) -> Path:
    return out.with_name(f".{out.name}.done")
