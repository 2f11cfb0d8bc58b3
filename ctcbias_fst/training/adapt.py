"""Training of a contextual adapter on a frozen model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from lhotse import CutSet
from torch import Tensor, nn

from ctcbias_fst.errors import ManifestError
from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.adapter import ContextualAdapter
from ctcbias_fst.models.checkpoint import load_weights
from ctcbias_fst.models.greedy import greedy_tokens
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.package import Package, load_package
from ctcbias_fst.scoring.counts import Score
from ctcbias_fst.scoring.score import score_utterance
from ctcbias_fst.training.align import forced_alignment
from ctcbias_fst.training.biasing_lists import (
    ListMaker,
    ordinary_words,
    pad_names,
    wanted_rows,
)
from ctcbias_fst.training.data import Batch, SpeechDataset, counts, entities_of, flat, load_cuts
from ctcbias_fst.training.loop import Place, autocast, check_precision, fit
from ctcbias_fst.training.train import ctc_loss, validation_batches
from ctcbias_fst.training.training_config import AdaptConfig
from ctcbias_fst.variants.shipped import spelling_variants

_VALIDATION_DISTRACTORS = 100


class _Criterion(nn.Module):
    """The losses of the adapter; the base model is never trained."""

    def __init__(
        self, base: CtcModel, adapter: ContextualAdapter, lists: ListMaker, config: AdaptConfig
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.adapter = adapter
        self.lists = lists
        self.config = config

    def train(self, mode: bool = True) -> _Criterion:
        """Set the adapter's mode; the base model stays in evaluation mode."""
        super().train(mode)
        self.base.eval()
        return self

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        device = self.base.feature_mean.device
        with torch.no_grad():
            features = self.base.normalise(batch.features.to(device), batch.lengths)
            output = self.base(features, batch.lengths)
        biasing = self.lists.draw(batch.texts, batch.entities)
        rows = self.lists.tokenizer.encode_batch(biasing.texts)
        targets, target_lengths = flat(rows), counts(rows)
        positions, _ = forced_alignment(output.log_probs, output.lengths, targets, target_lengths)
        keys = self.adapter.embed(biasing.names)
        allowed = biasing.allowed.to(device)[:, keys.entity]
        adapted = self.adapter(output, keys, allowed)
        log_probs = self.base.token_log_probs(adapted.states)
        ctc = ctc_loss(log_probs, output.lengths, targets, target_lengths)
        wanted = wanted_rows(positions, output.lengths, biasing).to(device)
        on_names, elsewhere = wanted > 0, wanted == 0
        found = adapted.glance.gather(2, wanted.clamp_min(0)[:, :, None])[:, :, 0]
        weight = elsewhere + self.config.guide_names * on_names
        guided = -(weight * found.clamp_min(1e-8).log()).sum() / weight.sum().clamp_min(1.0)
        moved = F.kl_div(log_probs, output.log_probs, log_target=True, reduction="none").sum(dim=2)
        moved = (moved * elsewhere).sum() / elsewhere.sum().clamp_min(1)
        found = found[on_names]
        return {
            "total": ctc + self.config.guide * guided + self.config.stay * moved,
            "ctc": ctc,
            "guided": guided,
            "moved": moved,
            "base": ctc_loss(output.log_probs, output.lengths, targets, target_lengths),
            "attention_on_names": found.mean() if len(found) else found.sum(),
        }


class _AdaptTask:
    def __init__(
        self,
        config: AdaptConfig,
        package: Package,
        pool: Sequence[str],
        spellings: Mapping[str, Sequence[str]],
        place: Place,
    ) -> None:
        base = package.model
        self.config = config
        self.package = package
        self.pool = pool
        self.device = place.device
        self.weights = ContextualAdapter(config.adapter, base.config.encoder, base.config.tokens)
        self.weights.start_from(base.subword_head.weight)
        lists = ListMaker(
            package.tokenizer,
            pool,
            count=config.names,
            empty=config.empty,
            ordinary=config.ordinary,
            respell=config.respell,
            spellings=spellings,
            seed=config.seed * 1000 + place.rank,
        )
        self.criterion = _Criterion(base, self.weights, lists, config)

    def initialise(self, cuts: CutSet) -> None:
        """Nothing depends on the data."""

    @torch.inference_mode()
    def validate(self, weights: Mapping[str, Tensor], path: Path) -> dict[str, float]:
        """Entity F1 and word error rate, with the adapter and without, greedily."""
        base, tokenizer = self.package.model, self.package.tokenizer
        adapter = ContextualAdapter(self.config.adapter, base.config.encoder, base.config.tokens)
        load_weights(adapter, weights, "average")
        adapter.to(self.device).eval()
        batches = list(validation_batches(path, tokenizer, base.config, self.config))
        names = _validation_names(batches, self.pool)
        keys = adapter.embed(pad_names([row for row in tokenizer.encode_batch(names) if row]))
        use = AttentionConfig()
        plain = biased = Score.zero()
        for batch in batches:
            with autocast(self.device, self.config.precision):
                features = base.normalise(batch.features.to(self.device), batch.lengths)
                output = base(features, batch.lengths)
                states = adapter(output, keys, None, use.scale, use.coverage_margin).states
                log_probs = base.token_log_probs(states)
            for text, before, after in zip(
                batch.texts,
                greedy_tokens(output.log_probs, output.lengths),
                greedy_tokens(log_probs, output.lengths),
            ):
                words = tokenizer.vocabulary.ids_to_words
                plain += score_utterance(text.split(), words(before), names)
                biased += score_utterance(text.split(), words(after), names)
        return {
            "f1": biased.entities.f1,
            "f1_without": plain.entities.f1,
            "word_error_rate": biased.words.rate,
            "word_error_rate_without": plain.words.rate,
        }


def adapt(config: AdaptConfig, run: Path, place: Place) -> Path:
    """Train an adapter, or go on where ``run`` stopped; not one bit of the model changes.

    Returns:
        the last checkpoint (of the adapter alone).

    Raises:
        ManifestError: the manifests name no entities.
        ModelError, ConfigError: before anything is written.
    """
    check_precision(place.device, config.precision)
    torch.manual_seed(config.seed)
    package = load_package(config.model, place.device)
    cuts = load_cuts(config.train, max_seconds=config.max_seconds, trusted=config.trust_manifests)
    pool = sorted({name for cut in cuts for name in entities_of(cut)})
    if not pool:
        files = ", ".join(map(str, config.train))
        raise ManifestError(
            f"{files}: no supervision has custom['entities']: an adapter learns from the names "
            "in them; prepare the manifest with the names of each utterance"
        )
    seed = config.seed * 1000 + place.rank
    dataset = SpeechDataset(
        package.tokenizer, package.model.config, augment=config.augment, seed=seed
    )
    task = _AdaptTask(config, package, pool, _spellings(config, cuts, pool), place)
    return fit(task, config, cuts, dataset, run=run, place=place)


def _spellings(config: AdaptConfig, cuts: CutSet, pool: Sequence[str]) -> dict[str, list[str]]:
    """Other spellings of everything that may be on a list."""
    if not config.respell:
        return {}
    words = set(pool)
    if config.ordinary:
        words.update(word for cut in cuts for word in ordinary_words(cut.supervisions[0].text))
    ordered = sorted(words)
    found = spelling_variants(ordered, config.spellings)
    return {word: [v.spelling for v in several] for word, several in zip(ordered, found)}


def _validation_names(batches: Sequence[Batch], pool: Sequence[str]) -> list[str]:
    spoken = sorted({name for batch in batches for names in batch.entities for name in names})
    others = [name for name in pool if name not in set(spoken)]
    drawn = random.Random(0).sample(others, min(_VALIDATION_DISTRACTORS, len(others)))
    return spoken + drawn
