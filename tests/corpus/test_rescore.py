"""Settings that act on saved lattices, and those that cannot."""

from __future__ import annotations

import pytest

from ctcbias_fst.config import load_config, parse_overrides
from ctcbias_fst.corpus.rescore import without_effect
from ctcbias_fst.pipeline import PipelineConfig


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
        ("decode.lm.first_pass.on=true", False),
        ("rescore.nbest=3", False),
        ("spoken_forms=false", False),
    ],
)
def test_settings_that_cannot_act(setting: str, acts: bool) -> None:
    saved = load_config(PipelineConfig, {"parts": ["boost", "lm", "boost-class"]})
    base = {"parts": ["boost", "lm", "boost-class"]}
    wanted = load_config(PipelineConfig, {**base, **parse_overrides([setting])})
    assert without_effect(wanted, saved) == ([] if acts else [setting.partition("=")[0]])
