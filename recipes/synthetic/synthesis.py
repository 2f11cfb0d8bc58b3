"""Runs engines in parallel over planned utterances; resumes; writes clips atomically."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from tqdm import tqdm

from ctcbias_fst.errors import CtcbiasError, ManifestError

from .engines import Engine, Request, Speech, make_engine
from .names import require
from .settings import Audio

__all__ = ["Clip", "Planned", "finish", "read_clips", "read_plan", "synthesise", "write_plan"]


@dataclass(frozen=True)
class Planned:
    """One utterance before it is spoken. ``cuts`` names the CutSet that it will be in."""

    id: str
    cuts: str
    split: str
    domain: str
    engine: str
    voice: Mapping[str, float]
    speed: float
    warp: float
    spoken: str
    text: str
    entities: tuple[str, ...]
    source: str = ""
    ipa: str = ""

    @property
    def digest(self) -> str:
        """Changes whenever another clip would be spoken."""
        spoken = [self.engine, dict(self.voice), self.speed, self.warp, self.spoken, self.source]
        return hashlib.sha256(json.dumps(spoken, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def request(self) -> Request:
        return Request(
            self.spoken, self.text, self.voice, self.speed, self.warp, self.source, self.ipa
        )


@dataclass(frozen=True)
class Clip:
    """What became of a planned utterance: a file (relative to the output folder) and its phones."""

    id: str
    digest: str
    path: str
    num_samples: int
    phones: str
    rms: float = field(default=0.0)


def write_plan(path: Path, plan: Iterable[Planned]) -> None:
    """Write a plan as JSON lines, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with temporary.open("w", encoding="utf-8") as stream:
        for planned in plan:
            stream.write(json.dumps(asdict(planned), ensure_ascii=False) + "\n")
    temporary.replace(path)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as stream:
        for number, line in enumerate(stream, 1):
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                if stream.read(1):  # the last line of an interrupted run may be cut off
                    raise ManifestError(f"{path}:{number}: not JSON: {error}") from error


def read_plan(path: Path) -> list[Planned]:
    """Read what :func:`write_plan` wrote.

    Raises:
        ManifestError: there is no such plan.
    """
    if not path.is_file():
        raise ManifestError(f"{path} is missing: run the stage `texts` first")
    return [Planned(**{**row, "entities": tuple(row["entities"])}) for row in _rows(path)]


def read_clips(path: Path) -> dict[str, Clip]:
    """The clips that are done, by id (the last word on each id counts)."""
    return {row["id"]: Clip(**row) for row in _rows(path)} if path.is_file() else {}


def finish(speech: Speech, warp: float, audio: Audio) -> Any:
    """Resample to ``audio.rate`` (warped), trim silence at both ends, and scale to ``audio.peak``.

    Raises:
        ValueError: the clip is silent, not finite, or too long or short for its phones.
    """
    samples = np.asarray(speech.samples, np.float32)
    if not samples.size or not np.isfinite(samples).all():
        raise ValueError("empty or not finite")
    rate = speech.rate * warp
    if abs(rate - audio.rate) > 1:
        samples = require("soxr", "soxr").resample(samples, rate, audio.rate)
    peak = float(np.abs(samples).max())
    loud = np.flatnonzero(np.abs(samples) > audio.silence_below * peak)
    margin = int(audio.max_silence * audio.rate)
    samples = samples[max(0, loud[0] - margin) : loud[-1] + margin] if peak > 0 else samples
    count = len([phone for phone in speech.phones.split() if phone != "|"])
    seconds = (loud[-1] - loud[0]) / audio.rate if peak > 0 else 0.0
    if not count:
        raise ValueError("no phones")
    if not audio.min_phone_seconds <= seconds / count <= audio.max_phone_seconds:
        raise ValueError(f"{seconds:.2f} s for {count} phones")
    samples = samples * (audio.peak / peak)
    rms = float(np.sqrt(np.mean(np.square(samples))))
    if rms < audio.min_rms:
        raise ValueError(f"RMS {rms:.5f} at peak {audio.peak}")
    return samples


class _Worker:
    """State of a worker process: its engine (made once) and where clips go."""

    engine: Engine
    out: Path
    audio: Audio


def _start(name: str, work: Path, out: Path, audio: Audio) -> None:
    # One core per process: these are read when the numeric libraries are loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
    _Worker.engine, _Worker.out, _Worker.audio = make_engine(name, work), out, audio


def _speak(planned: Planned) -> Clip | str:
    try:
        speech = _Worker.engine.say(planned.request)
        samples = finish(speech, planned.warp, _Worker.audio)
    except CtcbiasError:
        raise
    except Exception as error:  # a bad utterance must not end a run of hours
        return f"{planned.id}: left out: {error} ({planned.spoken!r})"
    prefix, number = planned.id.rsplit("-", 1)
    relative = Path("audio") / prefix / number[:-3] / f"{planned.id}.flac"
    path = _Worker.out / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    soundfile.write(temporary, samples, _Worker.audio.rate, format="FLAC", subtype="PCM_16")
    temporary.replace(path)
    rms = float(np.sqrt(np.mean(np.square(samples))))
    return Clip(
        planned.id, planned.digest, str(relative), len(samples), speech.phones, round(rms, 4)
    )


def synthesise(
    plan: Sequence[Planned], out: Path, *, done: Path, work: Path, audio: Audio, jobs: int
) -> tuple[int, list[str]]:
    """Speak what is not yet spoken of a plan (all of one engine).

    Args:
        plan: utterances of one engine.
        out: output folder; clips go to ``out/audio``.
        done: JSON lines of the clips that are finished; appended to.
        work: folder for voices.
        audio: limits of a clip.
        jobs: processes.

    Returns:
        How many clips were made, and the reports of utterances left out.
    """
    finished = read_clips(done)
    todo = [
        planned
        for planned in plan
        if planned.id not in finished
        or finished[planned.id].digest != planned.digest
        or not (out / finished[planned.id].path).is_file()
    ]
    if not todo:
        return 0, []
    make_engine(todo[0].engine, work)  # a missing package is reported here, once
    done.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    arguments = (todo[0].engine, work, out, audio)
    made, problems = 0, []
    with (
        done.open("a", encoding="utf-8") as stream,
        context.Pool(jobs, _start, arguments) as pool,
        tqdm(total=len(plan), initial=len(plan) - len(todo), desc=done.stem, unit="clip",
             mininterval=5.0, file=sys.stderr) as bar,
    ):  # fmt: skip
        for result in pool.imap_unordered(_speak, todo, chunksize=4):
            bar.update()
            if isinstance(result, str):
                problems.append(result)
                continue
            stream.write(json.dumps(asdict(result)) + "\n")
            stream.flush()
            made += 1
    return made, problems
