"""Actors of a Ray cluster that decode shards; one that dies costs the work on its shard only."""

from __future__ import annotations

import functools
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ctcbias_fst.corpus.backends import Utterance
from ctcbias_fst.corpus.shard_decoder import Plan, Result
from ctcbias_fst.corpus.sharded_job import (
    DEATHS,
    Progress,
    Workers,
    check_none_given_up,
    died,
)
from ctcbias_fst.corpus.shards import Shard
from ctcbias_fst.cut_sets import one_line
from ctcbias_fst.errors import ConfigError, MissingDependencyError


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
            wanted = min(there if actors is None else actors, len(shards))
            remote = ray.remote(num_cpus=1, num_gpus=int(kind == "GPU"))(_Actor)
            make = functools.partial(remote.remote, plan, Path.cwd(), device)
            team = [make() for _ in range(wanted)]
            for line in ray.get(team[0].told.remote()):
                report(line)
            given = (shards, worked)
            yield from _results(ray, team, make, work=given, progress=progress, report=report)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except ray.exceptions.RayActorError as error:  # as where the package is not installed
            last = str(error).strip().splitlines()[-1]
            raise ConfigError(f"--ray {address}: {one_line(error)}: {last}") from error
        finally:
            ray.shutdown()

    return work


def _results(
    ray: Any,
    team: Sequence[Any],
    make: Callable[[], Any],
    *,
    work: tuple[Sequence[Shard], bool],
    progress: Progress,
    report: Callable[[str], None],
) -> Iterator[tuple[Shard, Result]]:
    """Shards as they are done, each by the actor that is free first."""
    shards, worked = work
    waiting, deaths = deque(shards), Counter[int]()
    given_up: list[Shard] = []
    at: dict[Any, tuple[Any, Shard]] = {}
    free = list(team)
    while waiting or at:
        while waiting and free:
            actor, shard = free.pop(), waiting.popleft()
            at[actor.decode.remote(shard.utterances, worked)] = actor, shard
        (done,), _ = ray.wait(list(at))
        actor, shard = at.pop(done)
        try:
            result = ray.get(done)
        except ray.exceptions.RayActorError as error:
            free.append(make())
            deaths[shard.number] += 1
            again = deaths[shard.number] < DEATHS
            report(died(one_line(error), shard, again))
            (waiting.appendleft if again else given_up.append)(shard)
            continue
        free.append(actor)
        worked = worked or result.worked
        progress(shard.seconds)
        yield shard, result
    check_none_given_up(given_up)


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
