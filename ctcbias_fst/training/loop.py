"""The training loop, whatever is trained: optimiser, checkpoints, logs, resuming, ranks."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch
from lhotse import CutSet
from torch import Tensor, nn

from ctcbias_fst.errors import ConfigError, ModelError
from ctcbias_fst.models.checkpoint import (
    Progress,
    average_weights,
    checkpoint_path,
    checkpoints,
    load_optimiser,
    load_progress,
    load_weights,
    read_tensors,
    save_checkpoint,
)
from ctcbias_fst.training.data import Batch, SpeechDataset, batches_of_epoch, loader
from ctcbias_fst.training.optimiser import build_optimiser, rate_factor
from ctcbias_fst.training.resumption import check_resumption, keep_config, origin_of
from ctcbias_fst.training.training_config import RunConfig

log = logging.getLogger(__name__)
_MAX_BAD_STEPS = 50


class Task(Protocol):
    """What a run trains.

    Attributes:
        weights: the module that is optimised, saved and averaged.
        criterion: a module that maps a :class:`Batch` to named losses, each a mean; the one
            called ``total`` is minimised. It contains ``weights``.
        identity: what the weights belong to, see
            :func:`ctcbias_fst.training.resumption.origin_of`.
    """

    @property
    def identity(self) -> Mapping[str, Any]: ...

    @property
    def weights(self) -> nn.Module: ...

    @property
    def criterion(self) -> nn.Module: ...

    def initialise(self, cuts: CutSet) -> None:
        """Set what the data decides, before the first step of a new run."""

    def validate(self, weights: Mapping[str, Tensor], path: Path) -> dict[str, float]:
        """Named figures of (averaged) weights on a CutSet."""


@dataclass(frozen=True)
class Place:
    """Where this process runs: its device, and its rank among ``world_size`` processes."""

    device: torch.device
    rank: int = 0
    world_size: int = 1


def fit(
    task: Task,
    config: RunConfig,
    cuts: CutSet,
    dataset: SpeechDataset,
    *,
    run: Path,
    place: Place,
    keep: bool = True,
) -> Path:
    """Train until ``config.steps``, resuming from the newest checkpoint of ``run``.

    Args:
        task: what is trained.
        config: how.
        cuts, dataset: on what.
        run: the folder.
        place: where.
        keep: whether to keep the configuration there, too, for export.

    Returns:
        the last checkpoint.

    Raises:
        ModelError: a checkpoint does not fit, or is of another model, or the training diverges.
        ConfigError: the run is of another kind or architecture.
    """
    origin = origin_of(config, task.identity, cuts, place.world_size)
    found = checkpoints(run)
    if found:
        check_resumption(run, found[-1], origin, quiet=place.rank > 0)
    if keep and place.rank == 0:
        keep_config(run, config)
    products = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    optimiser = build_optimiser(task.weights, config.optimiser, products)
    progress = _resume(task, optimiser, cuts, run, place.device)
    criterion = task.criterion
    if place.world_size > 1:
        criterion = nn.parallel.DistributedDataParallel(criterion, broadcast_buffers=False)
    if place.rank == 0:
        parameters = sum(p.numel() for p in task.weights.parameters())
        length = _length(sum(cut.duration for cut in cuts))
        log.info("%.2f M parameters, %d cuts, %s", parameters / 1e6, len(cuts), length)
    stepper = _Stepper(task, criterion, optimiser, config, place)
    meter = _Meter()
    with _events(run, place.rank) as note, _interruptions() as interrupted:
        for batch, after in _stream(config, cuts, dataset, progress, place):
            if interrupted():
                raise KeyboardInterrupt
            if progress.step >= config.steps:
                break
            losses = stepper.step(batch, progress.step)
            progress = replace(after, step=progress.step + 1)
            meter.add(losses, batch.seconds)
            if progress.step % config.log_every == 0:
                meter.report(progress, note)
                meter = _Meter()
            if place.rank == 0 and _due(progress.step, config.save_every, config):
                save_checkpoint(run, task.weights, optimiser, progress, origin, keep=config.keep)
                if config.validation and _due(progress.step, config.validate_every, config):
                    _validate(task, config, run, progress, note)
    return checkpoint_path(run, progress.step)


@contextmanager
def _interruptions() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether Ctrl-C was pressed.

    Python drops the exception where it comes while an object is deleted, as the iterator of a
    loader that ends its workers.
    """
    seen = []
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        if callable(before):
            before(number, frame)

    mine = threading.current_thread() is threading.main_thread() and callable(before)
    if mine:
        signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(seen)
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)


def _due(step: int, every: int, config: RunConfig) -> bool:
    return step % every == 0 or step == config.steps


def _resume(
    task: Task,
    optimiser: torch.optim.Optimizer,
    cuts: CutSet,
    run: Path,
    device: torch.device,
) -> Progress:
    found = checkpoints(run)
    if not found:
        task.initialise(cuts)
        task.criterion.to(device)
        return Progress()
    progress = load_progress(found[-1])
    load_weights(task.weights, read_tensors(found[-1] / "model.safetensors"), str(found[-1]))
    task.criterion.to(device)
    load_optimiser(found[-1], optimiser)
    log.info("resuming from %s", found[-1])
    return progress


@dataclass
class _Stepper:
    """One optimiser step, guarded against gradients that are not finite."""

    task: Task
    criterion: nn.Module
    optimiser: torch.optim.Optimizer
    config: RunConfig
    place: Place
    bad_steps: int = 0

    def __post_init__(self) -> None:
        self.scaler = _scaler(self.config.precision)

    def step(self, batch: Batch, step: int) -> dict[str, float]:
        """Update the weights once; return the losses, the gradient's norm and the rate."""
        settings = self.config.optimiser
        factor = rate_factor(step, self.config.steps, settings)
        for group in self.optimiser.param_groups:
            group["lr"] = group["peak"] * factor
        # what a step draws (dropped branches, chunks) is the same in a resumed run
        torch.manual_seed((self.config.seed * 1000 + self.place.rank) * 10_000_000 + step)
        self.criterion.train()
        with autocast(self.place.device, self.config.precision):
            losses = self.criterion(batch)
        self.scaler.scale(losses["total"]).backward()
        self.scaler.unscale_(self.optimiser)
        norm = float(
            nn.utils.clip_grad_norm_(self.task.weights.parameters(), settings.gradient_norm)
        )
        if math.isfinite(norm):
            self.scaler.step(self.optimiser)
            self.bad_steps = 0
        else:
            self._skip(step, norm)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        return {**values, "gradient_norm": norm, "rate_factor": factor}

    def _skip(self, step: int, norm: float) -> None:
        self.bad_steps += 1
        log.warning("step %d: gradient norm %s, step skipped", step, norm)
        if self.bad_steps > _MAX_BAD_STEPS and not self.scaler.is_enabled():
            raise ModelError(
                f"training diverged at step {step}: {self.bad_steps} steps in a row without a "
                "finite gradient; lower optimiser.peak and matrix_peak"
            )


def autocast(device: torch.device, precision: str) -> Any:
    """The context in which matrix products run in ``precision``."""
    if precision == "float32":
        return nullcontext()
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype)


def check_precision(device: torch.device, precision: str) -> None:
    """Refuse a precision that the device lacks.

    Raises:
        ConfigError: float16 on a CPU.
    """
    if device.type == "cpu" and precision == "float16":
        raise ConfigError("precision float16 needs a GPU; on a CPU use bfloat16 or float32")


def _scaler(precision: str) -> Any:
    enabled = precision == "float16"
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler(enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)


def _stream(
    config: RunConfig, cuts: CutSet, dataset: SpeechDataset, progress: Progress, place: Place
) -> Iterator[tuple[Batch, Progress]]:
    """Batches without end, each with the progress that holds after it (its step aside)."""
    while True:
        batches = batches_of_epoch(
            cuts,
            batch_seconds=config.batch_seconds,
            epoch=progress.epoch,
            seed=config.seed,
            join=config.join,
            rank=place.rank,
            world_size=place.world_size,
        )
        rest = batches[progress.batches :]
        for count, batch in enumerate(loader(dataset, rest, config.workers), start=1):
            yield batch, replace(progress, batches=progress.batches + count)
        progress = replace(progress, epoch=progress.epoch + 1, batches=0)


_Note = Callable[[str, float, int], None]
"""Keeps a figure of this name at this step."""


@contextmanager
def _events(run: Path, rank: int) -> Iterator[_Note]:
    """Yield what keeps figures for TensorBoard: on the first of all ranks, where it is there."""
    writer = None
    if rank == 0:
        try:
            from tensorboard.summary import Writer  # noqa: PLC0415

            writer = Writer(str(run / "events"))
        except ImportError:
            log.warning("tensorboard is not installed: nothing is logged to %s", run / "events")
    try:
        yield (lambda name, value, step: None) if writer is None else writer.add_scalar
    finally:
        if writer is not None:
            writer.close()


class _Meter:
    """Running means between two log lines."""

    def __init__(self) -> None:
        self.losses: list[Mapping[str, float]] = []
        self.seconds = 0.0
        self.start = time.perf_counter()

    def add(self, losses: Mapping[str, float], seconds: float) -> None:
        """Count a step's figures and its seconds of speech."""
        self.losses.append(losses)
        self.seconds += seconds

    def report(self, progress: Progress, note: _Note) -> None:
        """Log the means."""
        means = {
            name: sum(one[name] for one in self.losses) / len(self.losses)
            for name in self.losses[-1]
        }
        means["times_real_time"] = self.seconds / (time.perf_counter() - self.start)
        for name, value in means.items():
            note(f"train/{name}", value, progress.step)
        figures = "  ".join(f"{name} {value:.3f}" for name, value in means.items())
        log.info("step %d epoch %d  %s", progress.step, progress.epoch, figures)


def _validate(task: Task, config: RunConfig, run: Path, progress: Progress, note: _Note) -> None:
    weights = average_weights(checkpoints(run)[-config.average :])
    for path in config.validation:
        rates = task.validate(weights, path)
        name = path.name.split(".")[0]
        for key, value in rates.items():
            note(f"{name}/{key}", value, progress.step)
        figures = "  ".join(f"{key} {value:.4f}" for key, value in rates.items())
        log.info("step %d %s: %s", progress.step, name, figures)


def _length(seconds: float) -> str:
    """How much audio that is, for people."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"
