"""Training of a contextual adapter on a frozen model."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from lhotse import CutSet
from torch import Tensor, nn

from ctcbias_fst.errors import ConfigError, ManifestError, ModelError
from ctcbias_fst.models.adapter import ContextualAdapter
from ctcbias_fst.models.checkpoint import load_weights
from ctcbias_fst.models.find import kind_of, load_as_it_is, why_no_adapter
from ctcbias_fst.models.greedy import greedy_tokens
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.package import load_package
from ctcbias_fst.models.scored import tapped
from ctcbias_fst.scoring.counts import Score
from ctcbias_fst.scoring.score import score_utterance
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.training.align import forced_alignment
from ctcbias_fst.training.biasing_lists import (
    ListMaker,
    ordinary_words,
    pad_names,
    wanted_rows,
)
from ctcbias_fst.training.data import Batch, SpeechDataset, counts, entities_of, flat, load_cuts
from ctcbias_fst.training.frozen import FrozenModel, FrozenPackage, FrozenTapped
from ctcbias_fst.training.loop import Place, autocast, check_precision, fit
from ctcbias_fst.training.train import ctc_loss, validation_batches
from ctcbias_fst.training.training_config import AdaptConfig
from ctcbias_fst.variants.phone_models import has_phones
from ctcbias_fst.variants.shipped import spelling_variants

_VALIDATION_DISTRACTORS = 100


class _Criterion(nn.Module):
    """The losses of the adapter; the base model is never trained, and no part of this module."""

    def __init__(
        self, base: FrozenModel, adapter: ContextualAdapter, lists: ListMaker, config: AdaptConfig
    ) -> None:
        super().__init__()
        self.base, self.adapter, self.lists, self.config = base, adapter, lists, config

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        device = self.base.device
        output = self.base.hear(batch.features, batch.lengths)
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
        base: FrozenModel,
        pool: Sequence[str],
        spellings: Mapping[str, Sequence[str]],
        place: Place,
    ) -> None:
        self.config, self.base, self.pool = config, base, pool
        self.identity = base.identity
        self.weights = ContextualAdapter(config.adapter, base.shape)
        self.weights.start_from(base.head_weights, base.push)
        lists = ListMaker(
            base.tokenizer,
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
        base, tokenizer = self.base, self.base.tokenizer
        adapter = ContextualAdapter(self.config.adapter, base.shape)
        load_weights(adapter, weights, "average")
        adapter.to(base.device).eval()
        batches = list(validation_batches(path, tokenizer, base.front, self.config))
        names = _validation_names(batches, self.pool)
        keys = adapter.embed(pad_names([row for row in tokenizer.encode_batch(names) if row]))
        use = AttentionConfig()
        plain = biased = Score.zero()
        for batch in batches:
            with autocast(base.device, self.config.precision):
                output = base.hear(batch.features, batch.lengths)
                states = adapter(output, keys, None, use.scale, use.coverage_margin).states
                log_probs = base.token_log_probs(states)
            for text, before, after in zip(
                batch.texts,
                greedy_tokens(output.log_probs, output.lengths),
                greedy_tokens(log_probs, output.lengths),
            ):
                plain += score_utterance(text.split(), _words(tokenizer, before), names)
                biased += score_utterance(text.split(), _words(tokenizer, after), names)
        return {
            "f1": biased.entities.f1,
            "f1_without": plain.entities.f1,
            "word_error_rate": biased.words.rate,
            "word_error_rate_without": plain.words.rate,
        }


def base_of(config: AdaptConfig, device: torch.device) -> FrozenPackage | FrozenTapped:
    """The model that a run trains an adapter on.

    Raises:
        ModelError: there is none whose states can be had, its tokens are phones, or it has no
            layer of the names that are given.
        ConfigError: layers of a model of ours are named.
    """
    if kind_of(config.model) == "ours":
        if config.head or config.taps:
            raise ConfigError("head and taps belong to other families of models: leave them out")
        return FrozenPackage(load_package(config.model, device), device)
    why = why_no_adapter(config.model)
    if why is not None:
        raise _not_adapted(config.model, why)
    model = load_as_it_is(config.model, device, language=config.language)
    if has_phones(model.tokenizer.vocabulary):
        raise _not_adapted(config.model, "its tokens are phones, and an adapter reads spellings")
    return FrozenTapped(tapped(model, head=config.head or None, taps=config.taps))


def _not_adapted(model: Path, why: str) -> ModelError:
    return ModelError(
        f"{model}: no adapter can be trained for it: {why}; lists act on it without one (ctcbias "
        "model info), and models of Hugging Face or torch that write letters can have one "
        "(docs/your-model.md)"
    )


def adapt(
    config: AdaptConfig, run: Path, place: Place | None = None, base: FrozenModel | None = None
) -> Path:
    """Train an adapter, or go on where ``run`` stopped; not one bit of the model changes.

    Args:
        place: by default the CPU.
        base: the model; by default that of ``config.model``.

    Returns:
        the last checkpoint (of the adapter alone).

    Raises:
        ManifestError: the manifests name no entities.
        ModelError, ConfigError: before anything is written; also that ``run`` was begun on
            another model.
    """
    place = Place(torch.device("cpu")) if place is None else place
    check_precision(place.device, config.precision)
    torch.manual_seed(config.seed)
    given = base is not None
    base = base_of(config, place.device) if base is None else base
    cuts = load_cuts(config.train, max_seconds=config.max_seconds, trusted=config.trust_manifests)
    pool = sorted({name for cut in cuts for name in entities_of(cut)})
    if not pool:
        files = ", ".join(map(str, config.train))
        raise ManifestError(
            f"{files}: no supervision has custom['entities']: an adapter learns from the names "
            "in them; prepare the manifest with the names of each utterance"
        )
    seed = config.seed * 1000 + place.rank
    dataset = SpeechDataset(base.tokenizer, base.front, augment=config.augment, seed=seed)
    task = _AdaptTask(config, base, pool, _spellings(config, cuts, pool), place)
    return fit(task, config, cuts, dataset, run=run, place=place, keep=not given)


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


def _words(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    """The words that tokens write, as references have them."""
    return [word.lower() for word in tokenizer.vocabulary.ids_to_words(ids)]


def _validation_names(batches: Sequence[Batch], pool: Sequence[str]) -> list[str]:
    spoken = sorted({name for batch in batches for names in batch.entities for name in names})
    others = [name for name in pool if name not in set(spoken)]
    drawn = random.Random(0).sample(others, min(_VALIDATION_DISTRACTORS, len(others)))
    return spoken + drawn
