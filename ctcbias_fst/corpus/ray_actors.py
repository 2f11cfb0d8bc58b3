"""Actors of a Ray cluster that decode shards; one that dies costs the work on its shard only."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ctcbias_fst.corpus.backends import Utterance
from ctcbias_fst.corpus.shard_decoder import Plan, Result
from ctcbias_fst.corpus.shard_queue import DEATHS, ShardQueue
from ctcbias_fst.corpus.sharded_job import Progress, Workers
from ctcbias_fst.corpus.shards import Shard
from ctcbias_fst.cut_sets import one_line
from ctcbias_fst.errors import ConfigError, MissingDependencyError

_PLACE_SECONDS = 60.0
"""When no actor is ready after so long, it is told."""


def in_ray(
    plan: Plan, address: str, actors: int | None, device: str, report: Callable[[str], None]
) -> Workers:
    """Decode shards in actors of Ray, each with a model of its own.

    Args:
        plan: how each makes its decoder; its files must be there on all machines.
        address: of the cluster, as ``ray.init`` takes it; ``local`` starts one on this machine.
        actors: how many; by default as many as there are CPUs, or GPUs if they compute there.
        device: where they compute; each has a GPU for itself.
        report: told about names without effect.

    Raises:
        MissingDependencyError: Ray is not installed.
    """
    try:
        import ray  # noqa: PLC0415  (only this needs it)
    except ImportError as error:
        raise MissingDependencyError(
            f"--ray needs ray ({error}): pip install 'ctcbias_fst[ray]'"
        ) from error

    def work(
        shards: Sequence[Shard], worked: bool, progress: Progress
    ) -> Iterator[tuple[Shard, Result]]:
        kind = "GPU" if device.startswith("cuda") else "CPU"
        try:
            ray.init(address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"--ray {address}: {one_line(error)}") from error
        try:
            there = int(ray.cluster_resources().get(kind, 0))
            if not there:
                raise ConfigError(f"--ray {address}: the cluster has no {kind}")
            if actors is not None and actors > there:
                report(f"--ray {address}: {there} actors, not {actors}: so many {kind}s there are")
            remote = ray.remote(num_cpus=1, num_gpus=int(kind == "GPU"))(_Actor)
            make = functools.partial(remote.remote, plan, Path.cwd(), device)
            team = _Team(ray, make, shards, worked, progress=progress, report=report)
            yield from team.results(min(actors or there, there, len(shards)))
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        finally:
            ray.shutdown()

    return work


class _Team:
    """Actors, and the shards that wait for them. Nothing is given to an actor before it has a
    place in the cluster and its model is loaded."""

    def __init__(
        self,
        ray: Any,
        make: Callable[[], Any],
        shards: Sequence[Shard],
        worked: bool,
        *,
        progress: Progress,
        report: Callable[[str], None],
    ) -> None:
        self._ray, self._make, self._progress, self._report = ray, make, progress, report
        self._queue, self._worked = ShardQueue(shards, report), worked
        self._at: dict[Any, tuple[Any, Shard | None]] = {}
        """What each actor does; no shard: it loads its model."""

    def results(self, actors: int) -> Iterator[tuple[Shard, Result]]:
        """Shards as they are done, each by the actor that is free first.

        Raises:
            ConfigError: actors die again and again.
        """
        for _ in range(actors):
            self._begin()
        patience: float | None = _PLACE_SECONDS
        while self._queue or any(shard is not None for _, shard in self._at.values()):
            ready, _ = self._ray.wait(list(self._at), timeout=patience)
            patience = None
            if not ready:
                self._report(
                    f"no actor was ready within {_PLACE_SECONDS:g} s: others may use the cluster"
                )
                continue
            actor, shard = self._at.pop(ready[0])
            try:
                found = self._ray.get(ready[0])
            except self._ray.exceptions.RayTaskError:
                raise
            except self._ray.exceptions.RayError as error:
                self._replace(shard, error)
                continue
            if shard is None:
                self._queue.hear(found)
            else:
                self._worked = self._worked or found.worked
                self._progress(shard.seconds)
                yield shard, found
            if self._queue:
                shard = self._queue.next()
                self._at[actor.decode.remote(shard.utterances, self._worked)] = actor, shard
        self._queue.check_none_given_up()

    def _begin(self) -> None:
        actor = self._make()
        self._at[actor.told.remote()] = actor, None

    def _replace(self, shard: Shard | None, error: Exception) -> None:
        """Put back the shard of an actor that has died, and start another one."""
        again = self._queue.lost(shard, one_line(error))
        if shard is None and not again:
            last = str(error).strip().splitlines()[-1]  # as where the package is not installed
            raise ConfigError(
                f"{DEATHS} actors died before they could begin: {one_line(error)}: {last}"
            ) from error
        if self._queue:
            self._begin()


class _Actor:
    """A model and its lists, in a process of Ray's; loaded when first used, so that errors come."""

    def __init__(self, plan: Plan, folder: Path, device: str) -> None:
        os.chdir(folder)  # where relative paths start
        self._load = functools.cache(lambda: plan.decoder(device))

    def told(self) -> list[str]:
        """Names without effect."""
        return self._load().told

    def decode(self, utterances: Sequence[Utterance], worked: bool) -> Result:
        """Decode the utterances of a shard."""
        return self._load().decode(utterances, worked)
