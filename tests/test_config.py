"""Configurations: what is read, and what is refused with which words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from ctcbias_fst.config import (
    difference,
    load_config,
    merge,
    parse_overrides,
    to_mapping,
    tomllib,
    write_changes,
)
from ctcbias_fst.errors import ConfigError, CtcbiasWarning
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.lm_config import LmConfig
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.settings import PipelineConfig, changed, settings_of
from ctcbias_fst.training.training_config import TrainConfig


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)
    span: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate must not be negative, found {self.rate}")


@dataclass(frozen=True)
class Outer:
    name: str
    kind: Literal["a", "b"] = "a"
    path: Path | None = None
    inner: Inner = field(default_factory=Inner)


def test_reads_every_kind_of_value(tmp_path: Path) -> None:
    path = tmp_path / "outer.toml"
    path.write_text('name = "x"\npath = "p/q"\n[inner]\nrate = 2\nsizes = [3]\nspan = [1, 2.5]\n')
    outer = load_config(Outer, path)
    assert outer == Outer("x", "a", Path("p/q"), Inner(2.0, (3,), (1.0, 2.5)))
    assert isinstance(outer.inner.rate, float)


def test_mapping_is_the_inverse() -> None:
    outer = Outer("x", "b", Path("p"), Inner(1.0, (4, 5)))
    assert load_config(Outer, to_mapping(outer)) == outer
    assert "path" not in to_mapping(Outer("x"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name = 'x'\nnam = 1", r"unknown key nam, did you mean name\? known are: inner, kind"),
        ("name = 'x'\n[inner]\nrat = 1", r"unknown key inner.rat, did you mean inner.rate\?"),
        ("name = 'x'\nsize = 1", r"unknown key size, did you mean inner.sizes\?"),
        ("name = 'x'\nqqq = 1", "unknown key qqq; known are: inner"),
        ("name = 'x'\n[inner]\nrate = nan", "inner.rate must be a number that is finite .* nan"),
        ("name = 'x'\n[inner]\nrate = -inf", "inner.rate must be a number that is finite"),
        ("name = 'x'\n[inner]\nrate = 1e300", "not absurdly large, found 1e.300"),
        ("name = 'x'\n[inner]\nsizes = [1, 2147483648]", r"sizes\[1\] must be at most 2147483647"),
        ("name = 'x'\n[inner]\nsizes = [" + "1" * 5000 + "]", "not a TOML file"),
        ("name = " + "[" * 5000, "not a TOML file: nested too deeply"),
        ("name = 1" + "0" * 4000, "name must be str, found 10*…"),
        ("name = 'x'\npath = \"a\\u0000\"", "must be a path"),
        ("kind = 'a'", "key name is missing"),
        ("name = 3", "name must be str, found 3"),
        ("name = 'x'\nkind = 'c'", "kind must be one of 'a', 'b', found 'c'"),
        ("name = 'x'\n[inner]\nsizes = [1, 'y']", r"inner.sizes\[1\] must be int"),
        ("name = 'x'\n[inner]\nsizes = 1", "inner.sizes must be a list"),
        ("name = 'x'\n[inner]\nspan = [1.0]", "inner.span must be a list of 2"),
        ("name = 'x'\n[inner]\nrate = true", "inner.rate must be float, found True"),
        ("name = 'x'\n[inner]\nrate = -1.0", "inner: rate must not be negative"),
        ("name = 'x'\ninner = 3", "inner must be a table"),
        ("name = ", "not a TOML file"),
    ],
)
def test_refuses(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(Outer, path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load_config(Outer, tmp_path / "none.toml")


def test_overrides_nest_and_merge() -> None:
    changes = parse_overrides(["inner.rate=0.25", "name=plain text", "inner.sizes=[7]"])
    assert changes == {"inner": {"rate": 0.25, "sizes": [7]}, "name": "plain text"}
    assert merge({"inner": {"rate": 1, "span": [0, 1]}}, changes)["inner"] == {
        "rate": 0.25,
        "span": [0, 1],
        "sizes": [7],
    }


@pytest.mark.parametrize("setting", ["rate", "=3"])
def test_override_without_key_or_value(setting: str) -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_overrides([setting])


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 100_000])
def test_override_with_a_value_that_cannot_be(value: str) -> None:
    with pytest.raises(ConfigError, match="no value that a setting can have") as caught:
        parse_overrides([f"rate={value}"])
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "setting",
    [
        "decode.boost.beta=NaN",
        "decode.search_beam=Infinity",
        "decode.lm.word_bonus=-Infinity",
        "rescore.search_beam=1e-296",
        "segmentations=0",
        "segmentations=1000000",
        "spellings.number=1000000",
        "decode.nbest=1000000000",
        "decode.max_active=9223372036854775808",
        "decode.max_active=2147483647",
        "rescore.max_active=2147483647",
        "rescore.nbest=2147483647",
        "adapter.scale=1e400",
    ],
)
def test_settings_that_no_machine_can_follow(setting: str) -> None:
    with pytest.raises(ConfigError, match=setting.partition("=")[0].rpartition(".")[2]):
        load_config(PipelineConfig, parse_overrides([setting]))


def test_numbers_that_are_none_are_refused_in_python_too() -> None:
    with pytest.raises(ValueError, match="bonus must be a finite number, found nan"):
        BoostConfig(bonus=math.nan)
    with pytest.raises(ValueError, match="search_beam must be positive and finite"):
        DecodeConfig(search_beam=math.inf)
    with pytest.raises(ValueError, match="word_bonus must be a finite number"):
        LmConfig(word_bonus=math.inf)


def test_override_through_a_value() -> None:
    with pytest.raises(ConfigError, match="already set"):
        parse_overrides(["a=1", "a.b=2"])


@pytest.mark.parametrize("name", ["train", "train_real", "train_chunks"])
def test_the_recipes_training_configurations_are_valid(name: str) -> None:
    config = load_config(TrainConfig, Path(f"recipes/synthetic/{name}.toml"))
    assert config.encoder.layers >= 14
    assert config.encoder.subword_taps == (6, 12)


FORMER = """
[decode]
modified_topology = false

[decode.boost]
min_log_prob = -12.0
include_blank = true

[decode.lm.first_pass]
on = false
order = 2
"""
"""Of a file that a former version wrote."""


def test_settings_of_former_versions_that_change_nothing() -> None:
    found = load_config(PipelineConfig, tomllib.loads(FORMER))
    assert found == PipelineConfig()


@pytest.mark.parametrize(
    ("line", "other", "key"),
    [
        ("modified_topology = false", "modified_topology = true", "decode.modified_topology"),
        ("on = false", "on = true", "decode.lm.first_pass"),
        ("include_blank = true", "include_blank = false", "decode.boost.include_blank"),
    ],
)
def test_settings_of_former_versions_that_are_gone(line: str, other: str, key: str) -> None:
    table = tomllib.loads(FORMER.replace(line, other))
    with pytest.raises(ConfigError, match=f"{key} is no setting any more: leave it out"):
        load_config(PipelineConfig, table)


def test_settings_of_former_versions_that_have_another_name() -> None:
    former = {"shortlist": {"heard": 7, "decoded": 8}, "adapter": {"caution": 0.2}}
    with pytest.warns(CtcbiasWarning) as caught:
        found = load_config(PipelineConfig, former)
    assert (found.shortlist.n_by_subword, found.shortlist.n_by_phone) == (7, 8)
    assert found.adapter.coverage_margin == 0.2
    told = " ".join(str(one.message) for one in caught)
    for now in ("shortlist.heard is now shortlist.n_by_subword", "adapter.coverage_margin"):
        assert now in told
    with pytest.warns(CtcbiasWarning, match="n_by_phone"):
        found = changed({"shortlist": {"n_by_phone": 1}}, {"shortlist.decoded": 2})
    assert found.shortlist.n_by_phone == 2


def test_changes_with_dotted_keys_leave_the_others() -> None:
    base = {"decode": {"search_beam": 21.0}}
    found = changed(base, {"decode.nbest": 3, "decode.boost.beta": 0.7, "decode.boost.bonus": 0.5})
    decode = found.decode
    assert (decode.search_beam, decode.nbest) == (21.0, 3)
    assert (decode.boost.beta, decode.boost.bonus) == (0.7, 0.5)


def test_a_change_wins_over_the_former_name_in_a_models_file(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text(
        "[shortlist]\ndecoded_above = 300\n[adapter]\ncaution = 0.1\n", encoding="utf-8"
    )
    with pytest.warns(
        CtcbiasWarning, match="is now (shortlist.shorten_above|adapter.coverage_margin)"
    ):
        base = settings_of(tmp_path)
    found = changed(base, {"shortlist.shorten_above": 5})
    assert (found.shortlist.shorten_above, found.adapter.coverage_margin) == (5, 0.1)


def test_a_difference_laid_over_what_it_differs_from() -> None:
    """...is the configuration again; of equal ones there is none."""
    usual = Outer("x", inner=Inner(sizes=(3,)))
    config = Outer("x", "b", inner=Inner(rate=2.0, sizes=(3,), span=(1.0, 2.0)))
    own = difference(config, usual)
    assert own == {"kind": "b", "inner": {"rate": 2.0, "span": [1.0, 2.0]}}
    assert load_config(Outer, merge(to_mapping(usual), own)) == config
    assert difference(config, config) == {}


def test_changes_are_written_with_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "changes.toml"
    write_changes({"name": "y", "inner": {"rate": 2.0}}, path, "two lines\nof comment")
    assert path.read_text() == '# two lines\n# of comment\nname = "y"\n\n[inner]\nrate = 2.0\n'
    assert load_config(Outer, path) == Outer("y", inner=Inner(2.0))
