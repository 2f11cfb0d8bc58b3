"""Settings of the search that fit a model, found without labels.

From speech that nobody transcribed two tests are made (:mod:`ctcbias_fst.studies.pseudo_names`): a
list of names that are said, beside decoys, and the decoys alone. The value of settings is

.. math:: F_1 - v\\,W - p\\,\\max(0, C - c)

with F1 and the word error rate W of the first test against the model's own transcripts, in which
the names stand, and the share C of words that the decoys alone change; v is ``wer_weight``, p
``penalty``, c ``tolerance``. Settings that keep to the tolerance win over those that do not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import kaldialign
import numpy as np

from ctcbias_fst.bounds import at_least_one, not_negative, positive
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.config import flat, load_config, merge, parse_overrides, to_mapping
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import ConfigError, MissingDependencyError
from ctcbias_fst.records import LogProbs
from ctcbias_fst.scoring.score import rates, score_transcripts, total
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.studies.pseudo_names import PseudoNames, pseudo_names
from ctcbias_fst.studies.tuning import Range, parse_range

SEARCH = (
    "decode.boost.bonus=-9.0:1.0",
    "decode.boost.beta=0.5:1.8",
    "decode.boost.alpha=0.3:0.95",
    "decode.boost.free=0.0:2.0",
    "decode.boost.max_gain=3.0:9.0",
    "decode.boost.max_gap=6.0:13.0",
    "decode.boost.first_max_gap=4.0:10.0",
    "decode.boost.max_lack=2.0:6.0",
)
"""The price of a name, what its tokens are given, and how far behind they may be."""


@dataclass(frozen=True)
class CalibrateConfig:
    """How settings are looked for.

    Attributes:
        search: ranges, as :func:`ctcbias_fst.studies.tuning.parse_range` reads them.
        trials: settings that are tried, at most.
        seconds: after which no further ones are tried.
        names, decoys: see :func:`ctcbias_fst.studies.pseudo_names.pseudo_names`.
        wer_weight: what a word error rate of one costs.
        penalty: what a share of one costs above the tolerance.
        tolerance: the share of words that decoys may change.
        seed: of names and sampler.
    """

    search: tuple[str, ...] = SEARCH
    trials: int = 60
    seconds: float = 120.0
    names: int = 150
    decoys: int = 850
    wer_weight: float = 0.5
    penalty: float = 10.0
    tolerance: float = 0.001
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.search:
            raise ValueError("there must be a key to search")
        at_least_one(self, "trials", "names", "decoys")
        positive(self, "seconds")
        not_negative(self, "wer_weight", "penalty", "tolerance")


@dataclass(frozen=True)
class Fit:
    """What settings do.

    Attributes:
        f1: of the names that are said.
        wer: against the model's own transcripts, with these names in them.
        changed: the share of words that decoys alone change.
        value: see the module.
    """

    f1: float
    wer: float
    changed: float
    value: float


@dataclass(frozen=True)
class Calibrated:
    """The outcome.

    Attributes:
        config: the best settings.
        fit, before: what they do, and what those did that it began with.
        trials: how many were tried.
        study: on what.
    """

    config: PipelineConfig
    fit: Fit
    before: Fit
    trials: int
    study: PseudoNames


@dataclass
class _Test:
    """Decodes the speech again and again; lists are compiled once."""

    decoder: Callable[[PipelineConfig], Decoder]
    batches: Sequence[LogProbs]
    compiled: dict[int, CompiledEntities] = field(default_factory=dict)

    def texts(self, config: PipelineConfig, names: tuple[str, ...] = ()) -> dict[str, str]:
        """The text of every utterance with a list of names, or without one."""
        decoder = self.decoder(config)
        listed = None
        if names:
            if id(names) not in self.compiled:
                self.compiled[id(names)] = decoder.compile(list(names), warn=False)
            listed = self.compiled[id(names)]
        return {
            transcript.id: transcript.best.text
            for batch in self.batches
            for transcript in decoder.decode_batch(batch, [listed] * batch.size)
        }


class _Objective:
    def __init__(self, test: _Test, study: PseudoNames, plain: Mapping[str, str]) -> None:
        self._test, self._study, self._plain = test, study, plain
        self._both = study.names + study.decoys

    def fit(self, config: PipelineConfig, wanted: CalibrateConfig) -> Fit:
        """What settings do."""
        found = self._test.texts(config, self._both)
        listed = self._test.compiled[id(self._both)].entities
        score = rates(total(score_transcripts(self._study.references, found, listed)))
        changed = 0
        for name, text in self._test.texts(config, self._study.decoys).items():
            before = self._plain[name].lower().split()
            changed += kaldialign.edit_distance(before, text.lower().split())["total"]
        share = changed / self._study.words
        f1 = 0.0 if np.isnan(score["F1"]) else score["F1"]
        value = f1 - wanted.wer_weight * score["WER"]
        value -= wanted.penalty * max(0.0, share - wanted.tolerance)
        return Fit(f1, score["WER"], share, value)


def calibrate(
    decoder: Callable[[PipelineConfig], Decoder],
    batches: Iterable[LogProbs],
    base: PipelineConfig,
    config: CalibrateConfig = CalibrateConfig(),
    *,
    decoys: Sequence[str] | None = None,
    report: Callable[[str], None] = lambda message: None,
) -> Calibrated:
    """Find settings that fit a model; those that it begins with are tried first.

    Args:
        decoder: makes a decoder of the model's tokens with other settings.
        batches: what the model makes of speech without a list of names: some ten minutes.
        base: the settings that are changed. The part ``adapter``, which acts in the model, is
            left as it is.
        config: how they are looked for.
        decoys: names that nobody says; by default words of the lexicon inside the package.
        report: is told of every trial.

    Raises:
        InputError: there is too little speech.
        ConfigError: a range is malformed, or does not hold the value that it begins with; or the
            part ``boost`` is off.
        MissingDependencyError: optuna is not installed.
    """
    if "boost" not in base.parts:
        raise ConfigError("the part boost is switched off: there is nothing to calibrate")
    ranges = [parse_range(text, base) for text in config.search]
    test = _Test(decoder, list(batches))
    plain = test.texts(base)
    study = pseudo_names(
        plain,
        names=config.names,
        decoys=config.decoys if decoys is None else decoys,
        seed=config.seed,
    )
    objective = _Objective(test, study, plain)
    begin = time.perf_counter()
    tried: list[tuple[PipelineConfig, Fit]] = []
    for chosen, tell in _trials(ranges, base, config):
        fit = objective.fit(chosen, config)
        tell(fit.value)
        tried.append((chosen, fit))
        report(
            f"trial {len(tried)}: {fit.value:.4f} (F1 {fit.f1:.3f}, decoys change "
            f"{fit.changed:.2%} of words)"
        )
        if len(tried) == config.trials or time.perf_counter() - begin > config.seconds:
            break
    # Of those that keep to the tolerance; if none does, of those that come nearest to it.
    best, fit = max(
        tried, key=lambda both: (-max(both[1].changed, config.tolerance), both[1].value)
    )
    return Calibrated(best, fit, tried[0][1], len(tried), study)


def _trials(
    ranges: Sequence[Range], base: PipelineConfig, config: CalibrateConfig
) -> Iterable[tuple[PipelineConfig, Callable[[float], Any]]]:
    """Settings to try, one after another, and whom to tell their values; ``base`` first."""
    try:
        import optuna  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise MissingDependencyError(
            "calibrating needs optuna: pip install 'ctcbias_fst[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=config.seed, n_startup_trials=15),
    )
    table = to_mapping(base)
    known = flat(table)
    start = {one.key: known[one.key] for one in ranges}
    if all(one.holds(start[one.key]) for one in ranges):
        study.enqueue_trial(start)
    else:
        yield base, lambda value: None
    while True:
        trial = study.ask()
        own = table
        for one in ranges:
            own = merge(own, parse_overrides([f"{one.key}={one.suggest(trial)!r}"]))
        try:
            chosen = load_config(PipelineConfig, own)
        except ConfigError:  # each is right by itself, both together are not
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            continue
        yield chosen, partial(study.tell, trial)
