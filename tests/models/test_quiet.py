"""Pauses of audio: background is one, speech is none, however loud either is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst.models.quiet import hop_of, quiet_pauses
from ctcbias_fst.pauses import Pause

Array = npt.NDArray[np.float32]


def said(seconds: float, rate: int, decibels: float, random: np.random.Generator) -> Array:
    """Noise with syllables: it goes up and down by 12 dB four times a second."""
    count = round(seconds * rate)
    syllables = 6.0 * np.sin(2 * np.pi * 4.0 * np.arange(count) / rate)
    level = 10 ** ((decibels + syllables) / 20)
    found: Array = (0.1 * level * random.normal(size=count)).astype(np.float32)
    return found


def mixed(
    parts: list[tuple[float, float, float]], rate: int, floor: float, seed: int
) -> tuple[Array, list[tuple[int, int]]]:
    """Speech of some seconds and decibels with pauses behind it, over steady noise; and where the
    speech is."""
    random = np.random.default_rng(seed)
    waves: list[Array] = []
    spans = []
    at = 0
    for seconds, decibels, pause in parts:
        wave = said(seconds, rate, decibels, random)
        silence = np.zeros(round(pause * rate), np.float32)
        spans.append((at, at + len(wave)))
        waves += [wave, silence]
        at += len(wave) + len(silence)
    noise = 0.1 * 10 ** (floor / 20) * random.normal(size=at)
    return (np.concatenate(waves) + noise).astype(np.float32), spans


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.floats(0.3, 5.0), st.floats(-22.0, 0.0), st.floats(0.0, 2.5)),
        min_size=2,
        max_size=12,
    ),
    st.sampled_from([8000, 11025, 16000]),
    st.sampled_from([-300.0, -70.0, -45.0]),
    st.integers(0, 99),
)
def test_no_speech_is_in_a_pause_and_long_ones_are_found(
    parts: list[tuple[float, float, float]], rate: int, floor: float, seed: int
) -> None:
    samples, spans = mixed(parts, rate, floor, seed)
    hop = hop_of(rate)
    pauses = quiet_pauses(samples, rate)
    edges = [edge for pause in pauses for edge in (pause.begin, pause.end)]
    assert edges == sorted(edges)
    quiet = np.zeros(len(samples), dtype=bool)
    for pause in pauses:
        assert pause.end * hop <= len(samples)
        assert pause.length >= 24
        quiet[pause.begin * hop : pause.end * hop] = True
    for begin, end in spans:
        assert not quiet[begin + hop : end - hop].any()
    behind = [*(begin for begin, _ in spans[1:]), len(samples)]
    for (_, end), begin in zip(spans, behind):
        if begin - end >= 0.4 * rate:
            assert quiet[end + 2 * hop : begin - 2 * hop].all()


@pytest.mark.parametrize("rate", [8000, 16000])
def test_steady_noise_and_nothing_have_no_pauses(rate: int) -> None:
    random = np.random.default_rng(0)
    assert quiet_pauses(random.normal(0, 0.1, 40 * rate).astype(np.float32), rate) == []
    for few in (0, 1, 79, 200):
        assert quiet_pauses(np.zeros(few, np.float32), rate) == []
    half = np.concatenate([np.zeros(rate), random.normal(0, 0.1, rate)]).astype(np.float32)
    assert quiet_pauses(half, rate) == [Pause(0, pytest.approx(100, abs=1))]  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [0.0, 1e-6])
def test_digital_silence_is_a_pause_however_far_from_speech(value: float) -> None:
    silence = np.full(60 * 16000, value, np.float32)
    assert quiet_pauses(silence, 16000) == [Pause(0, 6000)]
    speech, _ = mixed([(3.0, 0.0, 0.0)], 16000, -300.0, 0)
    (pause,) = quiet_pauses(np.concatenate([speech, silence]), 16000)
    assert pause.end == 6300
    assert pause.begin == pytest.approx(300, abs=3)


def test_an_offset_and_hum_hide_no_pause() -> None:
    samples, spans = mixed([(3.0, 0.0, 1.0), (3.0, 0.0, 0.0)], 16000, -70.0, 0)
    seconds = np.arange(len(samples)) / 16000
    hum = 0.02 * np.sin(2 * np.pi * 50.0 * seconds) + 0.2
    (pause,) = quiet_pauses((samples + hum).astype(np.float32), 16000)
    assert pause.begin == pytest.approx(spans[0][1] / 160, abs=2)
    assert pause.end == pytest.approx(spans[1][0] / 160, abs=2)


def test_blocks_in_which_levels_are_taken_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, _ = mixed([(2.0, 0.0, 0.5), (1.3, -10.0, 0.7), (3.0, 0.0, 0.0)], 16000, -50.0, 1)
    expected = quiet_pauses(samples, 16000)
    assert len(expected) == 2
    for block in (1, 7, 100):
        monkeypatch.setattr("ctcbias_fst.models.quiet._AT_ONCE", block)
        assert quiet_pauses(samples, 16000) == expected
