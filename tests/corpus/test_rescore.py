"""Settings that act on saved lattices, and those that cannot."""

from __future__ import annotations

import pytest

from ctcbias_fst.config import load_config, parse_overrides
from ctcbias_fst.corpus.rescore import missing_parts, without_effect
from ctcbias_fst.settings import PipelineConfig


@pytest.mark.parametrize(
    ("setting", "acts"),
    [
        ("lm=other.arpa", True),
        ("decode.nbest=3", True),
        ("decode.output_beam=3", True),
        ("decode.lm.scale=3", True),
        ("decode.evidence.min_log_prob=-3", True),
        ("decode.times.lag=0.1", True),
        ('parts=["boost", "lm"]', True),
        ('parts=["lm"]', False),
        ("decode.boost.beta=3", False),
        ("decode.search_beam=15", False),
        ("decode.lm.lattice_beam=3", False),
        ("rescore.nbest=3", False),
        ("spoken_forms=false", False),
    ],
)
def test_settings_that_cannot_act(setting: str, acts: bool) -> None:
    saved = load_config(PipelineConfig, {"parts": ["boost", "lm", "boost-class"]})
    base = {"parts": ["boost", "lm", "boost-class"]}
    wanted = load_config(PipelineConfig, {**base, **parse_overrides([setting])})
    assert without_effect(wanted, saved) == ([] if acts else [setting.partition("=")[0]])


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        (["adapter", "boost", "lm", "rescore", "lookup"], "rescore and lookup acted"),
        (["boost", "lookup"], "lookup acted"),
        (["adapter", "boost", "lm", "boost-class"], ""),
    ],
)
def test_parts_that_need_the_audio(parts: list[str], told: str) -> None:
    found = missing_parts(load_config(PipelineConfig, {"parts": parts}))
    assert found.startswith(told) and bool(found) == bool(told)
    assert ("what the adapter did is in the lattices" in found) == (
        "adapter" in parts and told != ""
    )
