"""Tuning the numbers of a configuration on development data.

A trial is a configuration of :class:`ctcbias_fst.settings.PipelineConfig` whose searched keys have
other values; every key that the pipeline knows can be searched, whatever stage it belongs to.
Its value is

.. math:: \\overline{F_1} - v\\,\\overline{W}
    - p\\,\\overline{\\max(0, \\Delta W - w) + \\max(0, C - c)}

with means over the sets: entity F1, where names are spoken at all, and the word error rate W; how
far the same configuration without a list is surpassed by its word error rate, and the share of
words that the list changed, both on utterances in which no name of it is spoken, sets weighted by
the words of these; v is ``wer_weight``, p ``penalty``, w ``wer_tolerance`` and c
``changed_tolerance``.

Trials are kept in a journal, so that a stopped study goes on.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import kaldialign
import numpy as np

from ctcbias_fst.bounds import at_least_one
from ctcbias_fst.config import load_config, merge, parse_overrides, to_mapping
from ctcbias_fst.errors import ConfigError, ManifestError, MissingDependencyError
from ctcbias_fst.files import naming
from ctcbias_fst.scoring.score import rates, score_transcripts, total
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.studies.dev_sets import DevSet, Source
from ctcbias_fst.studies.journal import JournalLock, check_journal, naming_journal

_WITHOUT_LIST = ("lm", "rescore")
"""The parts that act where there is no list, too."""


@dataclass(frozen=True)
class TuneConfig:
    """What is tuned, and on what.

    Attributes:
        sets: the development data.
        search: ``key=low:high``, ``key=low:high:log`` or ``key=this,that`` each; see
            :class:`Range`.
        trials: how many configurations are tried in all.
        seed: of the sampler.
        wer_weight: what a word error rate of one costs.
        penalty: what a share of one costs above the tolerances.
        wer_tolerance: how much the word error rate may rise where no name is spoken.
        changed_tolerance: how many of the words there may change, if the set does not say it.
    """

    sets: tuple[DevSet, ...]
    search: tuple[str, ...]
    trials: int = 100
    seed: int = 0
    wer_weight: float = 0.5
    penalty: float = 10.0
    wer_tolerance: float = 0.001
    changed_tolerance: float = 0.002

    def __post_init__(self) -> None:
        if not self.sets:
            raise ValueError("there must be a set")
        if not self.search:
            raise ValueError("there must be a key to search")
        at_least_one(self, "trials")


@dataclass(frozen=True)
class Range:
    """The values of one key.

    Attributes:
        key: dotted, such as ``decode.boost.alpha``.
        choices: the values, if they are listed; else
        low, high: the bounds, both included; whole numbers for a key that is one.
        log: whether to search evenly in the logarithm.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a value is among those that are searched."""
        return value in self.choices if self.choices else self.low <= value <= self.high

    def suggest(self, trial: Any) -> Any:
        """Draw a value for a trial of optuna."""
        if self.choices:
            return trial.suggest_categorical(self.key, list(self.choices))
        draw = trial.suggest_int if isinstance(self.low, int) else trial.suggest_float
        return draw(self.key, self.low, self.high, log=self.log)


def parse_range(text: str, base: PipelineConfig) -> Range:
    """Read ``key=low:high``, ``key=low:high:log`` or ``key=this,that``.

    Args:
        base: tells which keys there are, and their types.

    Raises:
        ConfigError: there is no such key, a value is not of its type, or low is above high.
    """
    key, equals, values = text.partition("=")
    if not (key and equals and values):
        raise ConfigError(
            f"{text!r}: expected key=low:high, for example decode.boost.alpha=0.5:1.0"
        )
    listed = "," in values
    parts = values.split("," if listed else ":")
    if not listed and (len(parts) not in (2, 3) or parts[2:] not in ([], ["log"])):
        raise ConfigError(f"{text!r}: expected low:high, low:high:log, or values with commas")
    found = []
    for part in parts if listed else parts[:2]:
        table = merge(to_mapping(base), parse_overrides([f"{key}={part}"]))
        found.append(_at(to_mapping(load_config(PipelineConfig, table)), key))
    if listed:
        return Range(key, choices=tuple(found))
    low, high = found
    if isinstance(low, bool) or not isinstance(low, (int, float)) or not low < high:
        raise ConfigError(f"{text!r}: expected two numbers, the lower one first")
    return Range(key, low=low, high=high, log=len(parts) == 3)


@dataclass(frozen=True)
class Measures:
    """What a configuration does to one set; shares, NaN where there is nothing to divide by.

    Attributes:
        f1, wer: of the whole set; no F1 where no name is spoken.
        free_words: how many words the utterances have in which no name is spoken.
        free_wer: the word error rate of these.
        changed: the share of these that are others than without the list.
        free_plain_wer: the word error rate of these without the list.
    """

    f1: float
    wer: float
    free_words: int
    free_wer: float
    changed: float
    free_plain_wer: float = 0.0


def measure(source: Source, texts: Mapping[str, str], plain: Mapping[str, str]) -> Measures:
    """Compare transcripts of a set with the references, and with those without its list."""
    results = score_transcripts(source.references, texts, source.entities)
    whole = rates(total(results))
    # Hits and misses are the names in the reference.
    free = [r for r in results if not r.score.entities.hits + r.score.entities.misses]
    score = total(free)
    changed = words = 0
    for result in free:
        before = plain[result.id].lower().split()
        after = texts[result.id].lower().split()
        changed += kaldialign.edit_distance(before, after)["total"]
        words += len(before)
    apart = {result.id: source.references[result.id] for result in free}
    without = score_transcripts(apart, {name: plain[name] for name in apart})
    return Measures(
        f1=whole["F1"] if len(free) < len(results) else float("nan"),
        wer=whole["WER"],
        free_words=score.words.reference,
        free_wer=rates(score)["WER"],
        changed=changed / words if words else 0.0,
        free_plain_wer=rates(total(without))["WER"] if apart else float("nan"),
    )


class Objective:
    """The value of a configuration on some sets; see the module.

    Args:
        config: tolerances and penalty.
        base: the configuration that is changed.
    """

    def __init__(self, sources: Sequence[Source], config: TuneConfig, base: PipelineConfig) -> None:
        self._sources, self._config = sources, config
        self._plain: tuple[PipelineConfig | None, list[dict[str, str]]] = (None, [])
        self._free = [True] * len(sources)
        unlisted = self._without_lists(base)
        self.plain = [measure(*both, both[1]) for both in zip(sources, unlisted)]
        """The base configuration without any list."""
        self._free = [one.free_words > 0 for one in self.plain]

    def measures(self, config: PipelineConfig) -> list[Measures]:
        """What a configuration does to each set."""
        return [
            measure(source, source.transcribe(config), plain)
            for source, plain in zip(self._sources, self._without_lists(config))
        ]

    def _without_lists(self, config: PipelineConfig) -> list[dict[str, str]]:
        """The transcripts of a configuration without any list; the latest are kept.

        Where every utterance has a name nobody asks for them.
        """
        unlisted = PipelineConfig(
            decode=replace(config.decode, boost=BoostConfig()),
            parts=tuple(part for part in config.parts if part in _WITHOUT_LIST),
            lm=config.lm,
            rescore=config.rescore,
        )
        if self._plain[0] != unlisted:
            found = [
                one.transcribe(unlisted, listed=False) if free else {}
                for one, free in zip(self._sources, self._free)
            ]
            self._plain = (unlisted, found)
        return self._plain[1]

    def value(self, measures: Sequence[Measures]) -> float:
        """The value of a configuration that did this."""
        f1 = [one.f1 for one in measures if not np.isnan(one.f1)]
        if not f1:
            raise ManifestError("no set has a name of its list in a reference: nothing to tune on")
        words = [one.free_words for one in measures]
        over = 0.0
        if sum(words):
            each = [self._over(*both) for both in zip(self._config.sets, measures)]
            over = float(np.average(each, weights=words))
        wer = float(np.mean([one.wer for one in measures]))
        return float(np.mean(f1)) - self._config.wer_weight * wer - self._config.penalty * over

    def _over(self, one: DevSet, measures: Measures) -> float:
        """How far a list did more harm to a set than is tolerated."""
        if not measures.free_words:
            return 0.0
        rise = measures.free_wer - measures.free_plain_wer
        tolerated = self._config.changed_tolerance
        if one.changed_tolerance is not None:
            tolerated = one.changed_tolerance
        over = max(0.0, rise - self._config.wer_tolerance)
        return over + max(0.0, measures.changed - tolerated)


@dataclass(frozen=True)
class Tuned:
    """The outcome.

    Attributes:
        config: the best configuration.
        value: its value.
        base_value: that of the configuration that the study began with.
        measures: what the best one does to each set; ``plain`` what the base does
            without any list.
        trials: how many were tried, those before a resumption included.
    """

    config: PipelineConfig
    value: float
    base_value: float
    measures: list[Measures]
    plain: list[Measures]
    trials: int


def tune(
    config: TuneConfig,
    base: PipelineConfig,
    sources: Sequence[Source],
    journal: Path,
    report: Callable[[str], None] = lambda message: None,
) -> Tuned:
    """Search for the best values; a study that was stopped goes on, and processes can share one.

    The base configuration is tried first, so that the result is never worse.

    Args:
        config: what to search.
        base: all other settings.
        sources: the sets, in the order of ``config.sets``.
        journal: the file that keeps the trials.

    Raises:
        ConfigError: a range is malformed, or the journal is of another study.
        MissingDependencyError: optuna is not installed.
    """
    try:
        import optuna  # noqa: PLC0415  (only this needs it)
        from optuna.storages.journal import JournalFileBackend  # noqa: PLC0415
    except ImportError as error:
        raise MissingDependencyError("tuning needs optuna: pip install optuna") from error
    ranges = [parse_range(text, base) for text in config.search]
    start = {one.key: _at(to_mapping(base), one.key) for one in ranges}
    for one in ranges:
        if not one.holds(start[one.key]):
            raise ConfigError(
                f"{one.key} is {start[one.key]} to start with, outside the range that is searched: "
                "widen the range, or set another value"
            )
    # It warns of a trial that was stopped, with a stack trace.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    check_journal(journal)
    with naming_journal(journal):
        study = optuna.create_study(
            study_name="ctcbias",
            direction="maximize",
            storage=optuna.storages.JournalStorage(
                JournalFileBackend(str(journal), JournalLock(journal, report))
            ),
            load_if_exists=True,
        )
    job = json.dumps(
        [to_mapping(replace(config, trials=1)), to_mapping(base)], sort_keys=True, default=str
    )
    if study.user_attrs.setdefault("job", job) != job:
        raise ConfigError(
            f"{journal}: belongs to a study with other sets, ranges or settings; name another file"
        )
    study.set_user_attr("job", job)
    objective = Objective(sources, config, base)
    complete = (optuna.trial.TrialState.COMPLETE,)
    if not any(one.params == start for one in study.get_trials(states=complete)):
        study.enqueue_trial(start)

    def run(trial: Any) -> float:
        table = to_mapping(base)
        for one in ranges:
            table = merge(table, parse_overrides([f"{one.key}={json.dumps(one.suggest(trial))}"]))
        try:
            changed = load_config(PipelineConfig, table)
        except ConfigError as error:  # each is right by itself, both together are not
            report(f"trial {trial.number + 1}: passed over: {error}")
            raise optuna.TrialPruned from error
        measures = objective.measures(changed)
        value = objective.value(measures)
        trial.set_user_attr("config", json.dumps(table))
        f1 = " ".join(f"{one.f1:.3f}" for one in measures)
        report(f"trial {trial.number + 1}: {value:.4f} (F1 {f1})")
        return value

    done = study.get_trials(states=complete)
    with warnings.catch_warnings():
        # Some options are called experimental by some versions.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(
            # What was drawn so far is part of the seed: a resumed study does not draw it again, nor
            # does a second process, which also takes what others are trying now for a failure.
            seed=config.seed + len(study.trials),
            multivariate=True,
            constant_liar=True,
        )
    if len(done) < config.trials:
        enough = optuna.study.MaxTrialsCallback(config.trials, states=complete)
        with naming(journal):
            study.optimize(run, n_trials=config.trials - len(done), callbacks=[enough])
    done = study.get_trials(states=complete)
    best = load_config(PipelineConfig, json.loads(study.best_trial.user_attrs["config"]))
    return Tuned(
        config=best,
        value=study.best_value,
        base_value=next(float(one.value or 0.0) for one in done if one.params == start),
        measures=objective.measures(best),
        plain=objective.plain,
        trials=len(done),
    )


def _at(table: Mapping[str, Any], key: str) -> Any:
    value: Any = table
    for name in key.split("."):
        value = value[name]
    return value
