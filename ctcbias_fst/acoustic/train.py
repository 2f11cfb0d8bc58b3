"""Training of the CTC model: one command on a CPU, a GPU or several."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from kaldialign import edit_distance
from lhotse import CutSet
from torch import Tensor, nn

from ctcbias_fst.acoustic.checkpoint import (
    Progress,
    average_weights,
    checkpoints,
    load_optimiser,
    load_progress,
    load_weights,
    read_tensors,
    save_checkpoint,
)
from ctcbias_fst.acoustic.config import LossConfig, ModelConfig, TrainConfig
from ctcbias_fst.acoustic.data import (
    Batch,
    SpeechDataset,
    batches_of_epoch,
    feature_statistics,
    load_cuts,
    loader,
)
from ctcbias_fst.acoustic.greedy import greedy_tokens
from ctcbias_fst.acoustic.model import CtcModel, ModelOutput
from ctcbias_fst.acoustic.optimiser import build_optimiser, rate_factor
from ctcbias_fst.errors import ConfigError, ModelError
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.tokens import SentencePieceTokenizer

__all__ = ["Losses", "ctc_losses", "train", "validate"]

log = logging.getLogger(__name__)
_MOST_BAD_STEPS = 50


@dataclass(frozen=True)
class Losses:
    """CTC losses of a batch: mean over utterances of nats per target token."""

    final: Tensor
    taps: tuple[Tensor, ...]
    phone: Tensor

    def total(self, weights: LossConfig) -> Tensor:
        """The weighted sum that is minimised."""
        total = weights.final * self.final + weights.phone * self.phone
        for tap in self.taps:
            total = total + weights.subword_tap * tap
        return total


def ctc_losses(output: ModelOutput, batch: Batch) -> Losses:
    """Losses of every head; utterances too short for their targets count as zero."""

    def subword(log_probs: Tensor) -> Tensor:
        return _ctc(log_probs, output.lengths, batch.tokens, batch.token_lengths)

    return Losses(
        final=subword(output.log_probs),
        taps=tuple(subword(log_probs) for log_probs in output.tap_log_probs),
        phone=_ctc(output.phone_log_probs, output.lengths, batch.phones, batch.phone_lengths),
    )


def _ctc(log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    known = target_lengths > 0
    if not bool(known.any()):
        return log_probs.sum() * 0.0
    device = log_probs.device
    if not bool(known.all()):
        log_probs, lengths = log_probs[known.to(device)], lengths[known]
        target_lengths = target_lengths[known]
    return F.ctc_loss(
        log_probs.transpose(0, 1),
        targets.to(device),
        lengths.to(device),
        target_lengths.to(device),
        blank=0,
        zero_infinity=True,
    )


class _Writer(Protocol):
    def add_scalar(self, tag: str, value: float, step: int) -> None: ...

    def close(self) -> None: ...


class _NoWriter:
    def add_scalar(self, tag: str, value: float, step: int) -> None:
        pass

    def close(self) -> None:
        pass


def _writer(run: Path, rank: int) -> _Writer:
    if rank:
        return _NoWriter()
    try:
        from tensorboard.summary import Writer  # noqa: PLC0415
    except ImportError:
        log.warning("tensorboard is not installed: nothing is logged to %s", run / "events")
        return _NoWriter()
    writer: _Writer = Writer(str(run / "events"))
    return writer


def train(
    config: TrainConfig, run: Path, *, device: torch.device, rank: int = 0, world_size: int = 1
) -> Path:
    """Train until ``config.steps``, resuming from the newest checkpoint of ``run``.

    Args:
        run: directory for checkpoints, logs and TensorBoard events.
        device: where the model lives.
        rank, world_size: this process among those of a DistributedDataParallel run, whose
            process group the caller has made.

    Returns:
        the last checkpoint.

    Raises:
        ManifestError, ConfigError, ModelError: before anything is written.
    """
    _check_precision(device, config.precision)
    torch.manual_seed(config.seed)
    tokenizer = SentencePieceTokenizer(config.tokenizer)
    model_config = ModelConfig(
        encoder=config.encoder, tokens=tokenizer.vocabulary.size, phones=PHONES
    )
    cuts = load_cuts(config.train, max_seconds=config.max_seconds)
    model = CtcModel(model_config)
    optimiser = build_optimiser(
        model, config.optimiser, torch.bfloat16 if config.precision == "bfloat16" else torch.float32
    )
    progress = Progress()
    found = checkpoints(run)
    if found:
        progress = load_progress(found[-1])
        load_weights(model, read_tensors(found[-1] / "model.safetensors"), str(found[-1]))
    elif config.initial is not None:
        load_weights(model, read_tensors(config.initial), str(config.initial))
    else:
        mels, rate = config.encoder.mels, model_config.sampling_rate
        mean, deviation = feature_statistics(cuts, mels=mels, sampling_rate=rate)
        model.feature_mean.copy_(mean)
        model.feature_scale.copy_(1.0 / deviation)
    model.to(device)
    if found:
        load_optimiser(found[-1], optimiser)
        log.info("resuming from %s", found[-1])
    if config.compile:
        _compile_blocks(model)
    wrapped: nn.Module = model
    if world_size > 1:
        wrapped = nn.parallel.DistributedDataParallel(model, broadcast_buffers=False)
    scaler = _scaler(config.precision)
    dataset = SpeechDataset(
        tokenizer,
        PHONES,
        mels=config.encoder.mels,
        sampling_rate=model_config.sampling_rate,
        augment=config.augment,
        seed=config.seed * 1000 + rank,
    )
    if rank == 0:
        parameters = sum(p.numel() for p in model.parameters())
        hours = sum(cut.duration for cut in cuts) / 3600
        log.info("%.2f M parameters, %d cuts, %.1f h", parameters / 1e6, len(cuts), hours)
    meter = _Meter()
    bad_steps = 0
    with closing(_writer(run, rank)) as writer:
        for batch, after in _stream(config, cuts, dataset, progress, rank, world_size):
            if progress.step >= config.steps:
                break
            factor = rate_factor(progress.step, config.steps, config.optimiser)
            for group in optimiser.param_groups:
                group["lr"] = group["peak"] * factor
            model.train()
            with autocast(device, config.precision):
                features = model.normalise(batch.features.to(device), batch.lengths)
                output = wrapped(features, batch.lengths)
            losses = ctc_losses(output, batch)
            scaler.scale(losses.total(config.loss)).backward()
            scaler.unscale_(optimiser)
            norm = nn.utils.clip_grad_norm_(model.parameters(), config.optimiser.gradient_norm)
            if math.isfinite(float(norm)):
                scaler.step(optimiser)
                bad_steps = 0
            else:
                bad_steps += 1
                log.warning("step %d: gradient norm %s, step skipped", progress.step, float(norm))
                if bad_steps > _MOST_BAD_STEPS and not scaler.is_enabled():
                    raise ModelError(
                        f"training diverged at step {progress.step}: {bad_steps} steps in a row "
                        "without a finite gradient; lower optimiser.peak and matrix_peak"
                    )
            scaler.update()
            optimiser.zero_grad(set_to_none=True)
            progress = replace(after, step=progress.step + 1)
            meter.add(losses, float(batch.lengths.sum()) / 100.0, float(norm))
            if progress.step % config.log_every == 0:
                meter.report(progress, factor, writer)
            if rank == 0 and (
                progress.step % config.save_every == 0 or progress.step == config.steps
            ):
                save_checkpoint(run, model, optimiser, progress, keep=config.keep)
                if config.validation and (
                    progress.step % config.validate_every == 0 or progress.step == config.steps
                ):
                    _validate_average(config, model_config, run, device, progress, writer)
    last: Path = checkpoints(run)[-1]
    return last


def autocast(device: torch.device, precision: str) -> Any:
    """The context in which matrix products run in ``precision``."""
    if precision == "float32":
        return nullcontext()
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    return torch.autocast(device.type, dtype=dtype)


def _check_precision(device: torch.device, precision: str) -> None:
    if device.type == "cpu" and precision == "float16":
        raise ConfigError("precision float16 needs a GPU; on a CPU use bfloat16 or float32")


def _scaler(precision: str) -> Any:
    enabled = precision == "float16"
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler(enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)


def _compile_blocks(model: CtcModel) -> None:
    for block in model.blocks:
        if not hasattr(block, "compile"):
            raise ConfigError(f"compile = true needs torch >= 2.2, this is {torch.__version__}")
        block.compile(dynamic=True)


def _stream(
    config: TrainConfig,
    cuts: CutSet,
    dataset: SpeechDataset,
    progress: Progress,
    rank: int,
    world_size: int,
) -> Iterator[tuple[Batch, Progress]]:
    """Batches without end, each with the progress that holds after it (its step aside)."""
    while True:
        batches = batches_of_epoch(
            cuts,
            batch_seconds=config.batch_seconds,
            epoch=progress.epoch,
            seed=config.seed,
            rank=rank,
            world_size=world_size,
        )
        rest = batches[progress.batches :]
        for count, batch in enumerate(loader(dataset, rest, config.workers), start=1):
            yield batch, replace(progress, batches=progress.batches + count)
        progress = replace(progress, epoch=progress.epoch + 1, batches=0)


class _Meter:
    """Running means between two log lines."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.sums: dict[str, float] = {}
        self.steps = 0
        self.seconds = 0.0
        self.start = time.perf_counter()

    def add(self, losses: Losses, seconds: float, norm: float) -> None:
        values = {"final": losses.final, "phone": losses.phone}
        values.update({f"tap{i}": tap for i, tap in enumerate(losses.taps, start=1)})
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        self.sums["gradient_norm"] = self.sums.get("gradient_norm", 0.0) + norm
        self.steps += 1
        self.seconds += seconds

    def report(self, progress: Progress, factor: float, writer: _Writer) -> None:
        means = {name: value / self.steps for name, value in self.sums.items()}
        speed = self.seconds / (time.perf_counter() - self.start)
        for name, value in means.items():
            writer.add_scalar(f"train/{name}", value, progress.step)
        writer.add_scalar("train/rate_factor", factor, progress.step)
        writer.add_scalar("train/times_real_time", speed, progress.step)
        log.info(
            "step %d epoch %d rate %.2f  %s  %.0f x real time",
            progress.step,
            progress.epoch,
            factor,
            "  ".join(f"{name} {value:.3f}" for name, value in means.items()),
            speed,
        )
        self.reset()


def _validate_average(
    config: TrainConfig,
    model_config: ModelConfig,
    run: Path,
    device: torch.device,
    progress: Progress,
    writer: _Writer,
) -> None:
    model = CtcModel(model_config)
    load_weights(model, average_weights(checkpoints(run)[-config.average :]), str(run))
    model.to(device)
    for path in config.validation:
        rates = validate(model, path, config, device)
        name = path.name.split(".")[0]
        for key, value in rates.items():
            writer.add_scalar(f"{name}/{key}", value, progress.step)
        log.info(
            "step %d %s: %s",
            progress.step,
            name,
            "  ".join(f"{key} {value:.4f}" for key, value in rates.items()),
        )


@torch.inference_mode()
def validate(
    model: CtcModel, path: Path, config: TrainConfig, device: torch.device
) -> dict[str, float]:
    """Greedy word error rate and phone error rate, and the final head's loss per token."""
    tokenizer = SentencePieceTokenizer(config.tokenizer)
    cuts = load_cuts([path], max_seconds=1000.0)
    dataset = SpeechDataset(
        tokenizer,
        model.config.phones,
        mels=model.config.encoder.mels,
        sampling_rate=model.config.sampling_rate,
    )
    batches = batches_of_epoch(
        cuts, batch_seconds=config.batch_seconds, epoch=0, seed=0, shuffle=False
    )
    model.eval()
    word_errors = words = phone_errors = phones = 0
    loss = 0.0
    for batch in loader(dataset, batches, config.workers):
        with autocast(device, config.precision):
            features = model.normalise(batch.features.to(device), batch.lengths)
            output = model(features, batch.lengths)
        loss += float(ctc_losses(output, batch).final) * len(batch.texts)
        for ids, text in zip(greedy_tokens(output.log_probs, output.lengths), batch.texts):
            reference = text.split()
            spoken = tokenizer.vocabulary.ids_to_words(ids)
            word_errors += edit_distance(reference, spoken)["total"]
            words += len(reference)
        heard = greedy_tokens(output.phone_log_probs, output.lengths)
        for ids, targets in zip(heard, batch.phones.split(batch.phone_lengths.tolist())):
            if len(targets):
                phone_errors += edit_distance(targets.tolist(), ids)["total"]
                phones += len(targets)
    return {
        "loss": loss / len(cuts),
        "word_error_rate": word_errors / max(1, words),
        "phone_error_rate": phone_errors / max(1, phones),
    }
