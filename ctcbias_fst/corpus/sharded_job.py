"""Decoding whole corpora shard by shard, by one or many workers: the same results from all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ctcbias_fst import __version__
from ctcbias_fst.corpus.backends import Utterance
from ctcbias_fst.corpus.done import Done, done_before, mark_done
from ctcbias_fst.corpus.shard_decoder import Result, ShardDecoder
from ctcbias_fst.corpus.shards import Shard, ShardResults, cut_shards, shards_folder
from ctcbias_fst.corpus.transcript_files import Write, write_records
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.files import digest_of, naming, sole_writer
from ctcbias_fst.text.text_files import counted

_SHARDS = 64
_SHORTEST, _LONGEST = 120.0, 600.0
Progress = Callable[[float], None]
"""Told how many seconds of audio were decoded; fewer than none, where they are done again."""


def usual_shard_seconds(utterances: Sequence[Utterance]) -> float:
    """Of audio in a shard: the corpus has enough of them for many workers, but no tiny ones."""
    total = sum(utterance.seconds for utterance in utterances)
    return min(max(total / _SHARDS, _SHORTEST), _LONGEST)


@dataclass(frozen=True)
class Share:
    """Which of the shards are decoded here: one of ``count``, from ``index`` on."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"shard index {self.index} of {self.count}: it must be 0 or more and less than "
                "the count"
            )

    def has(self, shard: Shard) -> bool:
        """Whether a shard is ours."""
        return shard.number % self.count == self.index


WHOLE = Share()

Workers = Callable[[Sequence[Shard], bool, Progress], Iterator[tuple[Shard, Result]]]
"""Decode shards, in whatever order; are told whether any was decoded before."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        done: what is told of all of it, once all is there.
        missing: how many shards are not there yet.
        decoded: how many seconds of audio were decoded now.
        skipped: how many utterances were left out of those that were decoded now.
        took: how many seconds that took.
    """

    done: Done | None
    missing: int
    decoded: float
    skipped: int
    took: float


def in_this_process(decoder: ShardDecoder, report: Callable[[str], None]) -> Workers:
    """Decode shards one after the other."""

    def work(
        shards: Sequence[Shard], worked: bool, progress: Progress
    ) -> Iterator[tuple[Shard, Result]]:
        for line in decoder.told:
            report(line)
        for shard in shards:
            result = decoder.decode(shard.utterances, worked, progress)
            worked = worked or result.worked
            yield shard, result

    return work


def decode_shards(
    utterances: Sequence[Utterance],
    workers: Workers,
    out: Path,
    *,
    settings: Any,
    job: str,
    share: Share = WHOLE,
    shard_seconds: float | None = None,
    write: Write = write_records,
    report: Callable[[str], None] = lambda message: None,
) -> Outcome:
    """Decode our share of a corpus, and write its transcripts to ``out`` if all shards are there.

    Results of shards are kept in ``out.shards``, those of other processes and machines as well,
    until somebody joins them. What was left out is told in ``out.errors.jsonl``.

    Args:
        utterances: distinct ids.
        settings: all that the results depend on; a folder of other settings is refused.
        job: a digest of it all, see :func:`ctcbias_fst.corpus.done.job_of`.
        share: which shards are decoded here.
        shard_seconds: of audio in a shard, if it is not one of Shar; see `usual_shard_seconds`.
        write: writes the records to a file; by default a JSON object for each.
        report: told about names without effect and utterances that are left out.

    Raises:
        ConfigError: another process decodes the same share.
        ManifestError: every utterance was left out, or the folder is of another job.
        ModelError: the model fails on everything
            (:class:`ctcbias_fst.models.first_failures.FirstFailures`).
    """
    shards = cut_shards(utterances, shard_seconds or usual_shard_seconds(utterances))
    places = [[(u.id, u.seconds, u.place) for u in shard.utterances] for shard in shards]
    folder = shards_folder(out)
    results = ShardResults(folder, shards, digest_of([__version__, settings, places]))
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    lock = folder / f"{share.index}-of-{share.count}.lock"
    begin = time.perf_counter()
    with sole_writer(lock, f"{folder}: another process decodes this share of it: let it end"):
        decoded, skipped = _decode_share(shards, workers, results, share, report)
        missing = results.missing()
        done = done_before(out, job) if missing else _join(results, out, write, job)
    if done is not None:
        results.remove()
    return Outcome(done, missing, decoded, skipped, time.perf_counter() - begin)


def _decode_share(
    shards: Sequence[Shard],
    workers: Workers,
    results: ShardResults,
    share: Share,
    report: Callable[[str], None],
) -> tuple[float, int]:
    """Decode those of our shards that are not there; returns seconds and what was left out."""
    before = results.done(report)
    ours = [shard for shard in shards if share.has(shard)]
    todo = [shard for shard in ours if shard.number not in before]
    total = sum(shard.seconds for shard in ours)
    decoded, skipped, warned = 0.0, 0, set[str]()
    with _Bar(total, total - sum(shard.seconds for shard in todo)) as bar:
        for shard, result in workers(todo, bool(before), bar.add) if todo else ():
            results.write(shard, result.rows)
            for line in (*(one for one in result.warned if one not in warned), *result.told):
                report(line)
            warned.update(result.warned)
            decoded += shard.seconds
            skipped += result.skipped
    return decoded, skipped


def _join(results: ShardResults, out: Path, write: Write, job: str) -> Done:
    try:
        joined = results.join(out, write)
    except FileNotFoundError:
        done = done_before(out, job)  # by another, who has finished at the same time
        if done is None:
            raise
        return done
    left = f", {joined.skipped} left out" if joined.skipped else ""
    decoded = counted(joined.decoded, "utterance")
    done = Done(f"{out}: {decoded}{left}, {joined.seconds:.0f} s of audio", joined.skipped)
    mark_done(out, job, done)
    return done


class _Bar:
    """How far a job is: seconds of audio, the time left, and the real-time factor so far."""

    def __init__(self, total: float, before: float) -> None:
        self._bar = tqdm(
            total=round(total),
            initial=round(before),
            unit="s",
            desc="decode",
            disable=None,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} s of audio "
            "[{elapsed}<{remaining}{postfix}]",
        )
        self._begin, self._decoded = time.perf_counter(), 0.0

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def add(self, seconds: float) -> None:
        """Count seconds of audio; see `Progress`."""
        self._decoded += seconds
        if self._decoded > 0:
            factor = (time.perf_counter() - self._begin) / self._decoded
            self._bar.set_postfix_str(f"real-time factor {factor:.3f}", refresh=False)
        self._bar.update(seconds)
