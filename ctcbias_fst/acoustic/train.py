"""Training of the CTC model: what the loop of :mod:`ctcbias_fst.acoustic.loop` trains."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from lhotse import CutSet
from torch import Tensor, nn

from ctcbias_fst.acoustic.checkpoint import load_weights, read_tensors
from ctcbias_fst.acoustic.config import LossConfig, ModelConfig, RunConfig, TrainConfig
from ctcbias_fst.acoustic.data import (
    Batch,
    SpeechDataset,
    batches_of_epoch,
    feature_statistics,
    load_cuts,
    loader,
)
from ctcbias_fst.acoustic.greedy import greedy_tokens
from ctcbias_fst.acoustic.loop import Place, autocast, check_precision, fit
from ctcbias_fst.acoustic.model import CtcModel, ModelOutput
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.scoring.counts import ErrorCounts
from ctcbias_fst.scoring.score import score_utterance
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.tokens import SentencePieceTokenizer

__all__ = ["Losses", "ctc_loss", "ctc_losses", "train", "validate", "validation_batches"]


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
        return ctc_loss(log_probs, output.lengths, batch.tokens, batch.token_lengths)

    return Losses(
        final=subword(output.log_probs),
        taps=tuple(subword(log_probs) for log_probs in output.tap_log_probs),
        phone=ctc_loss(output.phone_log_probs, output.lengths, batch.phones, batch.phone_lengths),
    )


def ctc_loss(log_probs: Tensor, lengths: Tensor, targets: Tensor, target_lengths: Tensor) -> Tensor:
    """CTC loss per target token, mean over the utterances that have targets.

    Args:
        log_probs: ``(batch, frame, token)``, blank 0.
        lengths: frames ``(batch,)``.
        targets: of all utterances, one after another.
        target_lengths: ``(batch,)``; 0 leaves an utterance out.
    """
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


class _Criterion(nn.Module):
    def __init__(self, model: CtcModel, weights: LossConfig) -> None:
        super().__init__()
        self.model = model
        self.loss_weights = weights

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        device = self.model.feature_mean.device
        features = self.model.normalise(batch.features.to(device), batch.lengths)
        losses = ctc_losses(self.model(features, batch.lengths), batch)
        taps = {f"tap{i}": tap for i, tap in enumerate(losses.taps, start=1)}
        total = losses.total(self.loss_weights)
        return {"total": total, "final": losses.final, "phone": losses.phone, **taps}


class _TrainTask:
    def __init__(self, config: TrainConfig, model: CtcModel, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.weights = model
        self.criterion = _Criterion(model, config.loss)

    def initialise(self, cuts: CutSet) -> None:
        model = self.weights
        if self.config.initial is not None:
            load_weights(model, read_tensors(self.config.initial), str(self.config.initial))
            return
        mean, deviation = feature_statistics(
            cuts,
            mels=model.config.encoder.mels,
            sampling_rate=model.config.sampling_rate,
        )
        model.feature_mean.copy_(mean)
        model.feature_scale.copy_(1.0 / deviation)

    def validate(self, weights: Mapping[str, Tensor], path: Path) -> dict[str, float]:
        model = CtcModel(copy.copy(self.weights.config))
        load_weights(model, weights, "average")
        return validate(model.to(self.device), path, self.config, self.device)


def train(config: TrainConfig, run: Path, place: Place) -> Path:
    """Train a model, or go on where ``run`` stopped.

    Args:
        run: directory for checkpoints, logs and TensorBoard events.

    Returns:
        the last checkpoint.

    Raises:
        ManifestError, ConfigError, ModelError: before anything is written.
    """
    check_precision(place.device, config.precision)
    torch.manual_seed(config.seed)
    tokenizer = SentencePieceTokenizer(config.tokenizer)
    model_config = ModelConfig(
        encoder=config.encoder, tokens=tokenizer.vocabulary.size, phones=PHONES
    )
    cuts = load_cuts(config.train, max_seconds=config.max_seconds, trusted=config.trust_manifests)
    model = CtcModel(model_config)
    if config.compile:
        _compile_blocks(model)
    dataset = SpeechDataset(
        tokenizer,
        PHONES,
        mels=config.encoder.mels,
        sampling_rate=model_config.sampling_rate,
        augment=config.augment,
        seed=config.seed * 1000 + place.rank,
    )
    task = _TrainTask(config, model, place.device)
    return fit(task, config, cuts, dataset, run=run, place=place)


def _compile_blocks(model: CtcModel) -> None:
    for block in model.blocks:
        if not hasattr(block, "compile"):
            raise ConfigError(f"compile = true needs torch >= 2.2, this is {torch.__version__}")
        block.compile(dynamic=True)


@torch.inference_mode()
def validate(
    model: CtcModel, path: Path, config: TrainConfig, device: torch.device
) -> dict[str, float]:
    """Greedy word error rate and phone error rate, and the final head's loss per token."""
    tokenizer = SentencePieceTokenizer(config.tokenizer)
    model.eval()
    words = phones = ErrorCounts.zero()
    loss = 0.0
    utterances = 0
    for batch in validation_batches(path, tokenizer, model.config, config):
        with autocast(device, config.precision):
            features = model.normalise(batch.features.to(device), batch.lengths)
            output = model(features, batch.lengths)
        loss += float(ctc_losses(output, batch).final) * len(batch.texts)
        utterances += len(batch.texts)
        for ids, text in zip(greedy_tokens(output.log_probs, output.lengths), batch.texts):
            heard = tokenizer.vocabulary.ids_to_words(ids)
            words += score_utterance(text.split(), heard).words
        heard_phones = greedy_tokens(output.phone_log_probs, output.lengths)
        for ids, targets in zip(heard_phones, batch.phones.split(batch.phone_lengths.tolist())):
            if len(targets):
                spoken = list(map(str, targets.tolist()))
                phones += score_utterance(spoken, list(map(str, ids))).words
    return {
        "loss": loss / utterances,
        "word_error_rate": words.rate,
        "phone_error_rate": phones.rate,
    }


def validation_batches(
    path: Path, tokenizer: SentencePieceTokenizer, model: ModelConfig, config: RunConfig
) -> Iterable[Batch]:
    """All utterances of a CutSet, as they are, in order of duration."""
    dataset = SpeechDataset(
        tokenizer, model.phones, mels=model.encoder.mels, sampling_rate=model.sampling_rate
    )
    batches = batches_of_epoch(
        load_cuts([path], max_seconds=1000.0, trusted=config.trust_manifests),
        batch_seconds=config.batch_seconds,
        epoch=0,
        seed=0,
        shuffle=False,
    )
    return loader(dataset, batches, config.workers)
