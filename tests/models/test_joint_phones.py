"""Two phone listeners as one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import ctcbias_fst
from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.models.embedded_phones import EmbeddedPhones
from ctcbias_fst.models.joint_phones import JointPhones, mixed
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.recognizer_inputs import heard_phones

CLIP = Path(ctcbias_fst.__file__).parent / "pretrained/clips/medical-2.flac"


def heard(
    ids: Sequence[int], frame: float, sure: float = 0.9, lag: float | None = None
) -> PhoneLogProbs:
    """One utterance in which these of five phones are the best ones."""
    table = torch.full((1, len(ids), 5), (1 - sure) / 4)
    table[0, torch.arange(len(ids)), torch.tensor(ids, dtype=torch.int64)] = sure
    return PhoneLogProbs(table.log(), torch.tensor([len(ids)]), frame, lag)


def best(phones: PhoneLogProbs) -> list[int]:
    return phones.log_probs[0].argmax(-1).tolist()


def test_what_either_hears_is_heard() -> None:
    one, two = heard([0, 1, 0, 0, 3], 0.04), heard([0, 1, 0, 2, 3], 0.04, sure=0.98)
    found = mixed(one, two, 0.5)
    assert best(found) == [0, 1, 0, 2, 3]
    expected = torch.log((one.log_probs.exp() + two.log_probs.exp()) / 2)
    torch.testing.assert_close(found.log_probs, expected)
    assert found.frame_seconds == 0.04


def test_shorter_frames_of_the_second_keep_their_phones() -> None:
    one, two = heard([0, 0, 0, 0], 0.04, sure=0.6), heard([0, 1, 0, 0, 2, 0, 0, 0], 0.02)
    assert best(mixed(one, two, 0.6)) == [1, 0, 2, 0]
    slow = heard([1, 0, 2], 0.08)
    assert best(mixed(heard([0] * 6, 0.04, sure=0.6), slow, 0.6)) == [1, 1, 0, 0, 2, 2]


def test_a_second_that_is_later_is_moved() -> None:
    one, two = heard([0, 0, 0, 0, 0], 0.04, 0.6, lag=0.1), heard([0, 0, 0, 3, 0], 0.04, lag=0.18)
    found = mixed(one, two, 0.6)
    assert best(found) == [0, 3, 0, 0, 0] and found.lag == 0.1


@pytest.mark.parametrize("lags", [(None, 0.18), (0.18, None), (None, None)])
def test_nobody_is_moved_if_it_is_not_known_by_how_much(
    lags: tuple[float | None, float | None],
) -> None:
    one, two = heard([0, 0, 0, 0, 0], 0.04, 0.6, lags[0]), heard([0, 0, 0, 3, 0], 0.04, lag=lags[1])
    found = mixed(one, two, 0.6)
    assert best(found) == [0, 0, 0, 3, 0] and found.lag == lags[0]


@given(
    st.lists(st.integers(0, 4), max_size=30),
    st.lists(st.integers(0, 4), max_size=60),
    st.sampled_from([0.01, 0.02, 0.03, 0.04, 0.08]),
    st.floats(0.05, 0.95),
)
def test_frames_are_mixtures_of_what_is_said_at_the_time(
    first: list[int], second: list[int], own: float, weight: float
) -> None:
    one, two = heard(first, 0.04), heard(second, own, 0.8)
    found = mixed(one, two, weight)
    assert found.lengths.tolist() == [len(first)]
    torch.testing.assert_close(found.log_probs.exp().sum(-1), torch.ones(1, len(first)))
    for t in range(len(first)):
        begin, end, numbers = t * 0.04, (t + 1) * 0.04, range(len(second))
        inside = [j for j in numbers if begin < (j + 0.5) * own < end]
        middle = (begin + end) / 2
        around = [j for j in numbers if j * own - 1e-9 <= middle <= (j + 1) * own + 1e-9]
        over = not inside and end >= len(second) * own
        options = [one.log_probs[0, t]] if over else []
        options += [
            torch.log((1 - weight) * one.log_probs[0, t].exp() + weight * two.log_probs[0, j].exp())
            for j in {*inside, *around}
        ]
        assert any(torch.allclose(found.log_probs[0, t], each, atol=1e-5) for each in options)
        if any(second[j] for j in inside):  # what is heard there is not drowned by blanks
            spoken = {second[j] for j in inside if second[j]}
            say = found.log_probs[0, t].exp() - (1 - weight) * one.log_probs[0, t].exp()
            assert int(say.argmax()) in spoken


def test_the_same_twice_is_once() -> None:
    listener = EmbeddedPhones.load()
    twice = JointPhones(listener, listener, 0.3)
    recording = Recording(
        "a", np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32), 16000
    )
    once = listener.phone_log_probs([recording])
    torch.testing.assert_close(
        twice.phone_log_probs([recording]).log_probs, once.log_probs, atol=1e-4, rtol=1e-4
    )
    found = Recognizer.from_pretrained(phones=twice).transcribe(CLIP, entities=["Imiglucerase"])
    assert "Imiglucerase" in found.best.text
    for weight in (0.0, 1.0, math.nan, "0.3", None, True):
        with pytest.raises(ConfigError, match="weight must be above 0 and below 1"):
            JointPhones(listener, listener, weight)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="second must be a phone listener, found 'embedded'"):
        JointPhones(listener, "embedded")  # type: ignore[arg-type]


class Loudness:
    """A listener that hears how loud audio is, as likely a phone as that."""

    family, frame_seconds = "loudness", 0.04

    def __init__(self, rate: int) -> None:
        self.sampling_rate = rate
        self.heard: list[float] = []

    def phone_log_probs(self, recordings: Sequence[Recording]) -> PhoneLogProbs:
        assert {one.sampling_rate for one in recordings} == {self.sampling_rate}
        self.heard += [float(np.abs(one.samples).max()) for one in recordings]
        return PhoneLogProbs(torch.zeros(len(recordings), 5, 40), [5] * len(recordings), 0.04)


def test_quiet_windows_are_no_louder_for_who_hears_another_rate() -> None:
    """Else phones of a stream, which is heard in windows, would not be those of the recording."""
    wave = (0.002 * np.sin(np.arange(16000) / 20)).astype(np.float32)
    windows = [Recording("loud", 200 * wave, 16000), Recording("quiet", wave, 16000)]
    for rate in (8000, 16000):
        beside, second = Loudness(rate), Loudness(rate)
        heard_phones(beside, windows, torch.device("cpu"))
        JointPhones(Loudness(16000), second).phone_log_probs(windows)
        for one in (beside, second):
            assert one.heard == pytest.approx([0.4, 0.002], rel=0.05)
