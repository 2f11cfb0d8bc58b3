"""Quiet speech in long audio is raised, and nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import ctcbias_fst
from ctcbias_fst.audio.audio import read_audio
from ctcbias_fst.models.even import louder, raised_where_spoken, raises
from ctcbias_fst.models.features import LogMel

CLIPS = Path(ctcbias_fst.__file__).parent / "pretrained/clips"
RATE = 16000


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    rows = (CLIPS / "clips.jsonl").read_text("utf-8").splitlines()
    return [read_audio(CLIPS / json.loads(row)["path"], RATE).samples for row in rows]


def _features(*parts: np.ndarray) -> Tensor:
    samples = np.concatenate(parts).astype(np.float32)
    features, _ = LogMel()([torch.from_numpy(samples)])
    return features[0]


def _added(*parts: np.ndarray) -> Tensor:
    """Decibels by which each frame is raised: all its filters by as much."""
    features = _features(*parts)
    decibels = raises(features)
    added = (louder(features, decibels) - features) * (10 / math.log(10))
    assert torch.allclose(added, decibels.float()[:, None].expand_as(added), atol=1e-3)
    return decibels


def test_speech_as_loud_as_other_speech_stays(speech: list[np.ndarray]) -> None:
    silence = np.zeros(RATE // 2)
    features = _features(*(part for one in speech for part in (silence, one)))
    assert not raises(features).any()


@settings(max_examples=20, deadline=None)
@given(gain=st.floats(-32, -24), gap=st.floats(0.1, 3.0), which=st.integers(0, 4))
def test_a_quiet_sentence_is_raised(
    speech: list[np.ndarray], gain: float, gap: float, which: int
) -> None:
    silence = np.zeros(round(RATE * gap))
    quiet = 10 ** (gain / 20) * speech[which]
    before, after = speech[which - 1], speech[(which + 1) % 5]
    added = _added(before, silence, quiet, silence, after)
    first = round(100 * (len(before) + len(silence)) / RATE)
    last = first + round(100 * len(quiet) / RATE)
    middle = added[first + 30 : last - 30]
    assert float((middle > 10).double().mean()) > 0.7
    assert float(added.max()) <= 40.01
    assert float(added[: round(100 * len(before) / RATE) - 130].max()) == 0.0


@pytest.mark.parametrize("decibels", [-20, -30, -40])
def test_steady_noise_stays(speech: list[np.ndarray], decibels: float) -> None:
    noise = np.random.default_rng(0).standard_normal(5 * RATE) * 10 ** (decibels / 20) / 10
    silence = np.zeros(RATE // 2)
    assert float(_added(speech[0], silence, noise, silence, speech[1], noise).max()) == 0.0


@pytest.mark.parametrize("frames", [1, 3, 600, 1000])
@pytest.mark.parametrize("value", [-16.0, 0.0, 5.0])
def test_what_has_no_levels_stays(frames: int, value: float) -> None:
    features = torch.full((frames, 80), value)
    assert not raises(features).any()


def test_only_what_is_clear_speech_then_is_raised() -> None:
    decibels = torch.zeros(100, dtype=torch.float64)
    decibels[10:28], decibels[50:61], decibels[80:90] = 20.0, 30.0, 25.0
    decibels[28:36] = 30.0  # noise beside it, which is raised by more
    phones = torch.full((25, 3), math.log(0.05))
    phones[:, 0] = math.log(0.9)
    phones[3:7] = torch.tensor([0.02, 0.96, 0.02]).log()  # clear
    phones[7:9] = torch.tensor([0.2, 0.3, 0.5]).log()
    phones[12:16] = torch.tensor([0.2, 0.3, 0.5]).log()  # not clear; nothing in the third
    kept = raised_where_spoken(decibels, phones, 4)
    assert torch.equal(kept[:28], decibels[:28])
    assert not kept[28:].any()
    assert bool(decibels[50:].any())


def test_a_stretch_is_listened_to_until_its_end() -> None:
    decibels = torch.zeros(40, dtype=torch.float64)
    decibels[28:33] = 20.0
    phones = torch.full((10, 3), math.log(0.02))
    phones[:, 0] = math.log(0.96)
    phones[8] = torch.tensor([0.02, 0.96, 0.02]).log()
    assert torch.equal(raised_where_spoken(decibels, phones, 4), decibels)
