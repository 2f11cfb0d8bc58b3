"""Options that divide a corpus among workers, and what is done with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ctcbias_fst.cli.options import Number, gathers

if TYPE_CHECKING:
    from ctcbias_fst.corpus.backends import Backend
    from ctcbias_fst.corpus.shard_decoder import Plan
    from ctcbias_fst.corpus.sharded_job import Outcome, Share, Workers

AUTO = "auto"
_THREADS = "OMP_NUM_THREADS"


class _Index(click.ParamType):  # type: ignore[type-arg]
    """A number, or ``auto``."""

    name = "integer|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it, or say what is wrong."""
        return value if value == AUTO else click.INT.convert(value, param, ctx)


@dataclass(frozen=True)
class WorkersOptions:
    """The options that say who decodes the shards of a corpus."""

    jobs: int | None = None
    shard_index: int | str | None = None
    shard_count: int | None = None
    shard_seconds: float | None = None
    ray: str | None = None

    @property
    def given(self) -> bool:
        """Whether there is any."""
        return self != WorkersOptions()

    @property
    def elsewhere(self) -> bool:
        """Whether other processes decode, and not this one."""
        return self.ray is not None or (self.jobs or 1) > 1

    @property
    def share(self) -> Share:
        """Which shards are ours.

        Raises:
            ConfigError: there is no such one, or the environment does not say it.
        """
        from ctcbias_fst.corpus.sharded_job import Share  # noqa: PLC0415
        from ctcbias_fst.errors import ConfigError  # noqa: PLC0415

        if self.shard_index == AUTO:
            if self.shard_count is not None:
                raise ConfigError(
                    "--shard-index auto reads the count, too: leave out --shard-count"
                )
            return Share(*_of_environment())
        if (self.shard_index is None) != (self.shard_count is None):
            raise ConfigError("--shard-index and --shard-count belong together")
        if self.shard_index is None or self.shard_count is None:
            return Share()
        return Share(int(self.shard_index), self.shard_count)

    def device_here(self, device: str) -> str:
        """Where this process computes: where others do, it only looks at the settings.

        Raises:
            ConfigError: there is no such device, here or for the processes that are started here.
        """
        from ctcbias_fst.devices import checked_device  # noqa: PLC0415

        if not self.given:
            return device
        if self.ray is None:
            checked_device(device)
        return "cpu" if self.elsewhere else devices(device, 1)[0]

    def workers(
        self, plan: Plan, backend: Backend | None, device: str, report: Callable[[str], None]
    ) -> Workers:
        """What decodes shards.

        Args:
            plan: how other processes make their decoder.
            backend: of this process; None if others decode.
            device: where they compute.
            report: told about names without effect.
        """
        if self.ray is not None:
            from ctcbias_fst.corpus.ray_actors import in_ray  # noqa: PLC0415

            return in_ray(plan, self.ray, self.jobs, device, report)
        if backend is None:
            from ctcbias_fst.corpus.processes import in_processes  # noqa: PLC0415

            return in_processes(plan, devices(device, self.jobs or 1), report)
        from ctcbias_fst.corpus.sharded_job import in_this_process  # noqa: PLC0415

        return in_this_process(plan.with_backend(backend), report)


with_workers = gathers(
    "workers",
    WorkersOptions,
    click.option(
        "--jobs",
        type=click.IntRange(1, 1024),
        help="Decode shards in so many processes, of OMP_NUM_THREADS threads [1] each; the "
        "results are the same for any number.",
    ),
    click.option(
        "--shard-index",
        type=_Index(),
        help="Decode every COUNT-th shard from this one on (0 is the first), others do the rest; "
        "auto: as RANK and WORLD_SIZE, or SLURM_ARRAY_TASK_ID and _COUNT, say.",
    ),
    click.option(
        "--shard-count", type=click.IntRange(1, 1_000_000), help="How many divide the shards."
    ),
    click.option(
        "--shard-seconds",
        type=Number(1, 1_000_000),
        help="Audio of a shard [a 64th of it all, 2 to 10 minutes; a shard of lhotse Shar is one].",
    ),
    click.option(
        "--ray",
        metavar="ADDRESS",
        help="Decode shards in actors of this Ray cluster (auto; local starts one), --jobs many "
        "[one for each CPU or GPU].",
    ),
)


def devices(device: str, jobs: int) -> list[str]:
    """Where each of several processes computes: ``cuda`` stands for all GPUs, in turn.

    With ``torchrun`` the first is that of LOCAL_RANK.
    """
    if device != "cuda":
        return [device] * jobs
    import torch  # noqa: PLC0415

    count = max(1, torch.cuda.device_count())
    first = int(os.environ.get("LOCAL_RANK", "0")) * jobs
    return [f"cuda:{(first + number) % count}" for number in range(jobs)]


def threads() -> int:
    """That each process computes with: a fixed number, so that results do not depend on it."""
    told = os.environ.get(_THREADS, "")
    return int(told) if told.isdecimal() and int(told) else 1


def tell(outcome: Outcome, out: object) -> None:
    """Tell what became of a job, or of our share of it; ends with 1 if anything was left out."""
    speed = ""
    if outcome.decoded:
        speed = f"; real-time factor {outcome.took / outcome.decoded:.3f}"
    if outcome.done is None:
        click.echo(
            f"{out}: our share is done{speed}; shards that others have not done yet: "
            f"{outcome.missing}. Who does the last one writes {out}, and so does the same command "
            "without --shard-index",
            err=True,
        )
        skipped = outcome.skipped
    else:
        click.echo(f"{outcome.done.told}{speed}", err=True)
        skipped = outcome.done.skipped
    if skipped:
        raise click.exceptions.Exit(1)


def _of_environment() -> tuple[int, int]:
    """The index and the count that ``torchrun`` or an array job of SLURM says."""
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415

    told = os.environ
    try:
        if "WORLD_SIZE" in told:
            return int(told["RANK"]), int(told["WORLD_SIZE"])
        first, step = (int(told.get(f"SLURM_ARRAY_TASK_{name}", "0")) for name in ("MIN", "STEP"))
        index = (int(told["SLURM_ARRAY_TASK_ID"]) - first) // max(1, step)
        return index, int(told["SLURM_ARRAY_TASK_COUNT"])
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"--shard-index auto: the environment has neither RANK and WORLD_SIZE nor "
            f"SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT ({error}): pass --shard-index and "
            "--shard-count"
        ) from error
