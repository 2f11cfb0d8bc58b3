"""Training of the CTC model: what the loop of :mod:`ctcbias_fst.training.loop` trains."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from lhotse import CutSet
from torch import Tensor, nn

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.files import sha256_of
from ctcbias_fst.models.acoustic_model import CtcModel, ModelOutput
from ctcbias_fst.models.checkpoint import load_weights, read_tensors
from ctcbias_fst.models.greedy import greedy_tokens
from ctcbias_fst.models.masks import padding_mask
from ctcbias_fst.models.model_config import Chunks, ModelConfig
from ctcbias_fst.scoring.counts import ErrorCounts
from ctcbias_fst.scoring.score import score_utterance
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.tokens import SentencePieceTokenizer, Tokenizer
from ctcbias_fst.training.data import (
    Batch,
    Front,
    SpeechDataset,
    batches_of_epoch,
    feature_statistics,
    load_cuts,
    loader,
)
from ctcbias_fst.training.loop import Place, autocast, check_precision, fit
from ctcbias_fst.training.training_config import ChunkConfig, LossConfig, RunConfig, TrainConfig


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


def consistency_loss(log_probs: Tensor, lengths: Tensor, target_lengths: Tensor) -> Tensor:
    """How far two views of the same utterances are heard otherwise, per target token.

    Args:
        log_probs: ``(2 * batch, frame, token)``: all utterances, and all of them again.
        lengths: frames ``(2 * batch,)``.
        target_lengths: ``(2 * batch,)``.
    """
    first, second = log_probs.chunk(2)
    apart = F.kl_div(first, second.detach(), log_target=True, reduction="none").sum(dim=2)
    apart = apart + F.kl_div(second, first.detach(), log_target=True, reduction="none").sum(dim=2)
    inside = padding_mask(lengths[: len(first)], log_probs.shape[1], log_probs.device)
    targets = target_lengths[: len(first)].clamp_min(1).to(log_probs.device)
    mean: Tensor = (0.5 * (apart * inside).sum(dim=1) / targets).mean()
    return mean


class _Criterion(nn.Module):
    def __init__(self, model: CtcModel, weights: LossConfig, chunks: ChunkConfig) -> None:
        super().__init__()
        self.model = model
        self.loss_weights = weights
        self.chunks = chunks

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        device = self.model.feature_mean.device
        features = self.model.normalise(batch.features.to(device), batch.lengths)
        chunks = draw_chunks(self.chunks)
        output = self.model(features, batch.lengths, chunks)
        losses = ctc_losses(output, batch)
        taps = {f"tap{i}": tap for i, tap in enumerate(losses.taps, start=1)}
        total = losses.total(self.loss_weights)
        figures = {"final": losses.final, "phone": losses.phone, **taps}
        if self.loss_weights.consistency:
            figures["consistency"] = consistency_loss(
                output.log_probs, output.lengths, batch.token_lengths
            )
            total = total + self.loss_weights.consistency * figures["consistency"]
        return {"total": total, **figures}


def draw_chunks(config: ChunkConfig) -> Chunks | None:
    """What the frames of a batch see, by torch's random numbers; ``None``: everything."""
    if float(torch.rand(())) >= config.probability:
        return None
    size, left = (
        values[int(torch.randint(len(values), ()))] for values in (config.sizes, config.left)
    )
    return Chunks(size, left)


class _TrainTask:
    def __init__(self, config: TrainConfig, model: CtcModel, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.weights = model
        self.identity = {"tokenizer": sha256_of(config.tokenizer)}
        self.criterion = _Criterion(model, config.loss, config.chunks)

    def initialise(self, cuts: CutSet) -> None:
        model = self.weights
        if self.config.initial is not None:
            load_weights(model, read_tensors(self.config.initial), str(self.config.initial))
            return
        mean, deviation = feature_statistics(cuts, model.config)
        model.feature_mean.copy_(mean)
        model.feature_scale.copy_(1.0 / deviation)

    def validate(self, weights: Mapping[str, Tensor], path: Path) -> dict[str, float]:
        model = CtcModel(copy.copy(self.weights.config))
        load_weights(model, weights, "average")
        figures = validate(model.to(self.device), path, self.config, self.device)
        if self.config.chunks.probability:
            chunks = _usual(self.config.chunks)
            streamed = validate(model, path, self.config, self.device, chunks)
            figures.update({f"{name}_in_chunks": value for name, value in streamed.items()})
        return figures


def train(config: TrainConfig, run: Path, place: Place) -> Path:
    """Train a model, or go on where ``run`` stopped.

    Returns:
        the last checkpoint.

    Raises:
        ManifestError, ConfigError, ModelError: before anything is written.
    """
    check_precision(place.device, config.precision)
    torch.manual_seed(config.seed)
    tokenizer = SentencePieceTokenizer(config.tokenizer)
    made = model_config(config, tokenizer)
    cuts = load_cuts(config.train, max_seconds=config.max_seconds, trusted=config.trust_manifests)
    model = CtcModel(made)
    for size in made.chunks:
        model.check_chunks(Chunks(size, made.left))
    if config.compile:
        _compile_blocks(model)
    dataset = SpeechDataset(
        tokenizer,
        Front.of(made),
        augment=config.augment,
        seed=config.seed * 1000 + place.rank,
        views=2 if config.loss.consistency else 1,
    )
    task = _TrainTask(config, model, place.device)
    return fit(task, config, cuts, dataset, run=run, place=place)


def model_config(config: TrainConfig, tokenizer: SentencePieceTokenizer) -> ModelConfig:
    """Of the model that a run makes."""
    trained = config.chunks.probability > 0
    return ModelConfig(
        encoder=config.encoder,
        tokens=tokenizer.vocabulary.size,
        phones=PHONES,
        chunks=tuple(sorted(set(config.chunks.sizes))) if trained else (),
        left=max(config.chunks.left) if trained else 0,
    )


def _usual(config: ChunkConfig) -> Chunks:
    """The chunks for validation: of the middle size, with most of the past."""
    return Chunks(sorted(config.sizes)[(len(config.sizes) - 1) // 2], max(config.left))


def _compile_blocks(model: CtcModel) -> None:
    for block in model.blocks:
        if not hasattr(block, "compile"):
            raise ConfigError(f"compile = true needs torch >= 2.2, this is {torch.__version__}")
        block.compile(dynamic=True)


@torch.inference_mode()
def validate(
    model: CtcModel,
    path: Path,
    config: TrainConfig,
    device: torch.device,
    chunks: Chunks | None = None,
) -> dict[str, float]:
    """Greedy word error rate and phone error rate, and the final head's loss per token.

    ``chunks``: what a frame sees; ``None``: everything.
    """
    tokenizer = SentencePieceTokenizer(config.tokenizer)
    model.eval()
    words = phones = ErrorCounts.zero()
    loss = 0.0
    utterances = 0
    for batch in validation_batches(path, tokenizer, Front.of(model.config), config):
        with autocast(device, config.precision):
            features = model.normalise(batch.features.to(device), batch.lengths)
            output = model(features, batch.lengths, chunks)
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
    path: Path, tokenizer: Tokenizer, front: Front, config: RunConfig
) -> Iterable[Batch]:
    """All utterances of a CutSet, as they are, in order of duration."""
    batches = batches_of_epoch(
        load_cuts([path], max_seconds=1000.0, trusted=config.trust_manifests),
        batch_seconds=config.batch_seconds,
        epoch=0,
        seed=0,
        shuffle=False,
    )
    return loader(SpeechDataset(tokenizer, front), batches, config.workers)
