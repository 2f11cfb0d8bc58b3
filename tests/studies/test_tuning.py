"""Tuning: the value of a trial, ranges of any key, resumed studies, the file that comes out."""

from __future__ import annotations

import dataclasses
import fcntl
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.config import load_config, to_mapping, write_config
from ctcbias_fst.errors import ConfigError, CtcbiasWarning, ManifestError
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.evidence import EvidenceConfig
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.settings import PipelineConfig, settings_of
from ctcbias_fst.studies.dev_sets import DevSet, SavedSource
from ctcbias_fst.studies.tuning import Measures, Objective, Range, TuneConfig, parse_range, tune
from ctcbias_fst.text.entities import EntityList, entities_from_names
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

RECIPE = Path(__file__).parents[2] / "recipes" / "synthetic"
NAMES = entities_from_names(["metformin", "kesha"])
REFERENCES = {"a": "she takes metformin", "b": "in the morning", "c": "every day"}


class Scripted:
    """A set on which a boost from 1 on finds the name, and one from 2 on does harm."""

    references: Mapping[str, str] = REFERENCES
    entities: EntityList = NAMES

    def __init__(self) -> None:
        self.seen: list[PipelineConfig] = []

    def transcribe(self, config: PipelineConfig, listed: bool = True) -> dict[str, str]:
        self.seen.append(config)
        beta = config.decode.boost.beta if listed and "boost" in config.parts else 0.0
        return {
            "a": "she takes metformin" if beta >= 1 else "she takes met for men",
            "b": "kesha the morning" if beta >= 2 else "in the morning",
            "c": "every day",
        }


def _with_beta(beta: float) -> PipelineConfig:
    # The log-probs are few and vague: nothing is left out of what they say.
    everything = EvidenceConfig(max_entropy=1.0)
    boost = BoostConfig(beta=beta, bonus=0.0)
    return PipelineConfig(decode=DecodeConfig(boost=boost, evidence=everything))


def _study(**changes: object) -> TuneConfig:
    one = DevSet(entities=Path("names.txt"), cuts=Path("cuts.jsonl"))
    study = TuneConfig(sets=(one,), search=("decode.boost.beta=0.0:3.0",), trials=6, wer_weight=0.0)
    return dataclasses.replace(study, **changes)  # type: ignore[arg-type]


def test_measures_and_value() -> None:
    source = Scripted()
    objective = Objective([source], _study(penalty=2.0), _with_beta(1.5))
    assert source.seen[0].parts == ("lm", "rescore")
    plain, good, harm = (objective.measures(_with_beta(beta))[0] for beta in (0.0, 1.5, 2.5))
    assert (plain.f1, good.f1, harm.f1) == (0.0, 1.0, 2 / 3)
    assert plain == objective.plain[0]
    # b and c have no name: five words, one of them a false alarm at last.
    assert (good.free_words, good.free_wer, good.changed) == (5, 0.0, 0.0)
    assert (harm.free_wer, harm.changed) == (0.2, 0.2)
    assert objective.value([good]) == 1.0
    over = (0.2 - 0.001) + (0.2 - 0.002)
    assert objective.value([harm]) == pytest.approx(2 / 3 - 2.0 * over)


def test_a_list_is_compared_with_the_same_parts_without_it() -> None:
    """What a language model mends is neither a change nor a gain of the list."""

    class Mended(Scripted):
        def transcribe(self, config: PipelineConfig, listed: bool = True) -> dict[str, str]:
            texts = super().transcribe(config, listed)
            return texts if "lm" in config.parts else {**texts, "c": "ever a day"}

    source = Mended()
    base = dataclasses.replace(_with_beta(1.5), parts=("lm", "boost"))
    objective = Objective([source], _study(), base)
    assert source.seen[0].parts == ("lm",)
    (found,) = objective.measures(base)
    assert (found.free_wer, found.free_plain_wer, found.changed) == (0.0, 0.0, 0.0)
    # only the configuration of this trial is decoded anew, unless what needs no list changed
    assert len(source.seen) == 2
    (found,) = objective.measures(dataclasses.replace(base, parts=("boost",)))
    assert (found.free_wer, found.free_plain_wer, found.changed) == (0.4, 0.4, 0.0)
    assert [config.parts for config in source.seen[2:]] == [(), ("boost",)]


def test_word_errors_count() -> None:
    objective = Objective([Scripted()], _study(wer_weight=0.5), _with_beta(0.0))
    plain, good = (objective.measures(_with_beta(beta)) for beta in (0.0, 1.5))
    assert plain[0].wer == pytest.approx(3 / 8)
    assert objective.value(plain) == pytest.approx(-0.5 * 3 / 8)
    assert objective.value(good) == 1.0


def test_sets_without_names_count_by_their_words() -> None:
    silent = Scripted()
    silent.references = {"b": REFERENCES["b"]}
    study = _study(penalty=1.0)
    study = dataclasses.replace(study, sets=study.sets * 2)
    measures = Objective([Scripted(), silent], study, _with_beta(0.0)).measures(_with_beta(2.5))
    assert measures[0].f1 == 2 / 3
    assert np.isnan(measures[1].f1)  # nothing to find, though there is a false alarm
    assert [one.free_words for one in measures] == [5, 3]
    over = 5 * (0.2 - 0.001 + 0.2 - 0.002) + 3 * (1 / 3 - 0.001 + 1 / 3 - 0.002)
    value = Objective([Scripted(), silent], study, _with_beta(0.0)).value(measures)
    assert value == pytest.approx(2 / 3 - over / 8)


def test_a_set_may_tolerate_more_changes() -> None:
    study = _study(penalty=1.0)
    lenient = (dataclasses.replace(study.sets[0], changed_tolerance=0.15),)
    objective = Objective([Scripted()], dataclasses.replace(study, sets=lenient), _with_beta(0.0))
    value = objective.value(objective.measures(_with_beta(2.5)))
    assert value == pytest.approx(2 / 3 - (0.2 - 0.001 + 0.2 - 0.15))


def test_nothing_to_tune_on() -> None:
    silent = Scripted()
    silent.references = {"b": REFERENCES["b"]}
    objective = Objective([silent], _study(), _with_beta(0.0))
    with pytest.raises(ManifestError, match="nothing to tune on"):
        objective.value([Measures(float("nan"), 0.1, 3, 0.1, 0.0)])


def test_the_best_is_found_written_and_read(tmp_path: Path) -> None:
    told: list[str] = []
    tuned = tune(_study(trials=12), _with_beta(0.0), [Scripted()], tmp_path / "j", told.append)
    assert 1 <= tuned.config.decode.boost.beta < 2
    assert (tuned.value, tuned.base_value, tuned.trials) == (1.0, 0.0, 12)
    assert len(told) == 12
    write_config(tuned.config, tmp_path / "best.toml")
    assert load_config(PipelineConfig, tmp_path / "best.toml") == tuned.config


def test_a_stopped_study_goes_on(tmp_path: Path) -> None:
    first, second = Scripted(), Scripted()
    tune(_study(trials=3), _with_beta(0.5), [first], tmp_path / "j")
    tuned = tune(_study(trials=5), _with_beta(0.5), [second], tmp_path / "j")
    assert tuned.trials == 5
    # Once without biasing, two trials, and the best one again.
    assert len(second.seen) == 4
    assert first.seen[1].decode.boost.beta == 0.5
    drawn = {config.decode.boost.beta for config in first.seen[1:4] + second.seen[1:3]}
    assert len(drawn) == 5
    with pytest.raises(ConfigError, match="belongs to a study with other sets"):
        tune(_study(seed=1), _with_beta(0.5), [Scripted()], tmp_path / "j")


def test_what_a_killed_process_leaves_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Optuna's lock file, and half a line; a killed process has no lock of ours any more."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    journal = tmp_path / "j"
    tune(_study(trials=2), _with_beta(0.5), [Scripted()], journal)
    (tmp_path / "j.lock").symlink_to(journal)
    with journal.open("a") as stream:
        stream.write('{"op_code":5,"worker_id":"x","tri')
    assert tune(_study(trials=4), _with_beta(0.5), [Scripted()], journal).trials == 4
    assert not waited
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_waiting_for_another_process_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctcbias_fst.studies.journal._PATIENCE", 0.1)
    journal = tmp_path / "j"
    journal.touch()
    told: list[str] = []
    with journal.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        def tell(message: str) -> None:
            told.append(message)
            fcntl.flock(other, fcntl.LOCK_UN)

        tune(_study(trials=1), _with_beta(0.5), [Scripted()], journal, tell)
    assert told[0] == f"{journal}: another process holds it; waiting"
    assert told[1].startswith("trial 1: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("names\nof a list\n", "j: no journal of ctcbias tune; name another file"),
        ('{"op_code":0,"worker_id":"x"}\n', "j: damaged .* delete it to begin anew"),
        ('{"op_code":0,"wor\n{"op_code":1}\n', "j: damaged .* delete it to begin anew"),
    ],
)
def test_other_files_are_no_journals(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "j").write_text(content)
    with pytest.raises(ConfigError, match=message):
        tune(_study(), _with_beta(0.5), [Scripted()], tmp_path / "j")
    assert (tmp_path / "j").read_text().startswith(content)


def test_the_start_is_tried_again_if_that_trial_was_interrupted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Interrupted(Scripted):
        def transcribe(self, config: PipelineConfig, listed: bool = True) -> dict[str, str]:
            if self.seen:
                raise KeyboardInterrupt
            return super().transcribe(config, listed)

    with pytest.raises(KeyboardInterrupt):
        tune(_study(trials=3), _with_beta(1.2), [Interrupted()], tmp_path / "j")
    assert capfd.readouterr().err == ""
    source = Scripted()
    tuned = tune(_study(trials=3), _with_beta(1.2), [source], tmp_path / "j")
    assert source.seen[1].decode.boost.beta == 1.2
    assert tuned.base_value == 1.0


def test_two_processes_share_a_study(tmp_path: Path) -> None:
    class Other(Scripted):
        """While its second trial is under way, another process does three."""

        def transcribe(self, config: PipelineConfig, listed: bool = True) -> dict[str, str]:
            if len(self.seen) == 2:
                tune(_study(trials=4), _with_beta(0.5), [inner], tmp_path / "j")
            return super().transcribe(config, listed)

    inner, outer = Scripted(), Other()
    tuned = tune(_study(trials=4), _with_beta(0.5), [outer], tmp_path / "j")
    # Both decode once without a list, and the best one again at the end.
    assert len(inner.seen) - 2 == 3
    assert len(outer.seen) - 2 == 2
    assert tuned.trials == 5
    drawn = [config.decode.boost.beta for config in inner.seen[1:-1] + outer.seen[1:-1]]
    assert len(set(drawn)) == 5


def test_the_start_must_be_within_the_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="decode.boost.beta is 4.0 to start with"):
        tune(_study(), _with_beta(4.0), [Scripted()], tmp_path / "j")


def test_settings_that_do_not_go_together_are_told_and_passed_over(tmp_path: Path) -> None:
    ranges = ("decode.search_beam=11,20", "decode.boost.max_reward=10.0,11.5")
    base = _with_beta(1.2)
    base = dataclasses.replace(base, decode=dataclasses.replace(base.decode, search_beam=20.0))
    told: list[str] = []
    scripted = Scripted()
    tuned = tune(_study(search=ranges, trials=12), base, [scripted], tmp_path / "j", told.append)
    assert tuned.value == 1.0
    assert sum("max_reward must be below search_beam" in line for line in told) >= 1
    seen = [one.decode for one in scripted.seen]
    assert all(one.boost.max_reward < one.search_beam for one in seen)


def test_what_is_never_better_is_never_chosen(tmp_path: Path) -> None:
    study = _study(search=("segmentations=1:9",), trials=3)
    tuned = tune(study, _with_beta(1.2), [Scripted()], tmp_path / "j")
    assert tuned.value == tuned.base_value == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("decode.boost.alpha=0.5:1.0", Range("decode.boost.alpha", low=0.5, high=1.0)),
        ("decode.boost.top_k=5:20", Range("decode.boost.top_k", low=5, high=20)),
        (
            "decode.search_beam=11:20:log",
            Range("decode.search_beam", low=11.0, high=20.0, log=True),
        ),
        (
            "spoken_forms=true,false",
            Range("spoken_forms", choices=(True, False)),
        ),
        ("adapter.scale=0:2", Range("adapter.scale", low=0.0, high=2.0)),
    ],
)
def test_ranges(text: str, expected: Range) -> None:
    found = parse_range(text, PipelineConfig())
    assert found == expected
    assert type(found.low) is type(expected.low)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("decode.boost.alpha", "expected key=low:high"),
        ("decode.boost.alhpa=0:1", "unknown key decode.boost.alhpa"),
        ("decode.boost.alpha=1", "expected low:high"),
        ("decode.boost.alpha=1:0.5", "the lower one first"),
        ("decode.boost.alpha=0.5:1.5", "alpha must lie between 0 and 1"),
        ("decode.boost.alpha=0.5:1.0:lin", "expected low:high"),
        ("decode.boost.top_k=0.5:3", "must be int"),
        ("spoken_forms=false:true", "expected two numbers"),
    ],
)
def test_ranges_that_are_none(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_range(text, PipelineConfig())


@given(beta=st.floats(0, 1e6, allow_nan=False), parts=st.sampled_from([(), ("boost",)]))
def test_configurations_survive_toml(
    beta: float, parts: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = dataclasses.replace(_with_beta(beta), parts=parts)
    path = tmp_path_factory.mktemp("toml") / "c.toml"
    write_config(config, path)
    assert to_mapping(load_config(PipelineConfig, path)) == to_mapping(config)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Log-probs in which the second token of a name is beaten by another."""
    frames = np.full((4, 5), -9.0)
    frames[range(4), [1, 0, 4, 0]] = -0.01
    frames[2, 2] = -2.0
    plain = np.full((3, 5), -9.0)
    plain[range(3), [3, 0, 3]] = -0.01
    arrays = {"name": frames, "free": plain}
    path = tmp_path / "saved.npz"
    normal = {k: v - np.log(np.exp(v).sum(1, keepdims=True)) for k, v in arrays.items()}
    arrays = {k: v.astype(np.float32) for k, v in normal.items()}
    np.savez(path, **arrays, frame_seconds=np.float64(0.04))
    return path


@pytest.mark.parametrize("per_utterance", [False, True])
def test_saved_log_probs(saved: Path, tmp_path: Path, per_utterance: bool) -> None:
    vocabulary = Vocabulary.from_tokens(["<blk>", "\u2581ke", "sha", "\u2581and", "sa"])
    names = entities_from_names(["Kesha"])
    lists: EntityList | dict[str, EntityList] = names
    if per_utterance:
        lists = {"name": names, "free": entities_from_names([])}
    source = SavedSource(
        saved, FewestPiecesTokenizer(vocabulary), lists, {"name": "kesha", "free": "and and"}
    )
    assert source.transcribe(PipelineConfig(parts=())) == {"name": "kesa", "free": "and and"}
    tuned = tune(_study(trials=8), _with_beta(0.0), [source], tmp_path / "j")
    assert tuned.measures[0].f1 == 1.0
    assert tuned.measures[0].changed == 0.0
    assert source.transcribe(tuned.config)["name"] == "Kesha"


def test_an_assumed_length_of_frames_is_told_once(saved: Path, tmp_path: Path) -> None:
    with np.load(saved) as content:
        np.savez(tmp_path / "bare.npz", **{k: content[k] for k in ("name", "free")})
    vocabulary = Vocabulary.from_tokens(["<blk>", "\u2581ke", "sha", "\u2581and", "sa"])
    with pytest.warns(CtcbiasWarning, match="does not say how long a frame is"):
        source = SavedSource(
            tmp_path / "bare.npz", FewestPiecesTokenizer(vocabulary), entities_from_names([]), {}
        )
    assert source.transcribe(PipelineConfig(parts=()))["name"] == "kesa"


def test_an_utterance_without_a_list(saved: Path) -> None:
    vocabulary = Vocabulary.from_tokens(["<blk>", "\u2581ke", "sha", "\u2581and", "sa"])
    lists = {"name": entities_from_names(["Kesha"])}
    source = SavedSource(saved, FewestPiecesTokenizer(vocabulary), lists, {})
    with pytest.raises(ManifestError, match="'free' has no list of names"):
        source.transcribe(PipelineConfig())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DevSet(entities=Path("x")), "either cuts or log_probs"),
        (lambda: DevSet(entities=Path("x"), log_probs=Path("y")), "needs references"),
        (lambda: _study(sets=()), "must be a set"),
        (lambda: _study(search=()), "must be a key"),
        (lambda: _study(trials=0), "at least 1"),
    ],
)
def test_studies_that_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_the_study_of_the_embedded_model_can_begin() -> None:
    study = load_config(TuneConfig, RECIPE / "tune.toml")
    start = to_mapping(load_config(PipelineConfig, settings_of()))
    for text in study.search:
        searched = parse_range(text, PipelineConfig())
        value: Any = start
        for name in searched.key.split("."):
            value = value[name]
        assert searched.holds(value), searched.key


def test_sets_in_which_names_are_always_spoken_are_decoded_once_without_a_list() -> None:
    source = Scripted()
    source.references = {"a": REFERENCES["a"]}
    base = dataclasses.replace(_with_beta(1.5), parts=("lm", "boost"))
    objective = Objective([source], _study(), base)
    for parts in (("lm", "boost"), ("boost",), ("boost", "rescore")):
        objective.measures(dataclasses.replace(base, parts=parts))
    without = [config.parts for config in source.seen if "boost" not in config.parts]
    assert without == [("lm",)]
