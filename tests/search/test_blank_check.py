"""Whether a wrong blank is told, and a right one never."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

import ctcbias_fst
from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import to_recording
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search.blank_check import BlankCheck
from ctcbias_fst.search.stack import stack
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.vocabulary import Vocabulary

TOKENS = ["<pad>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
COLUMNS = len(TOKENS)
CLIPS = Path(ctcbias_fst.__file__).parent / "pretrained" / "clips"


def spoken(frames: int, blanks: float, seed: int = 0) -> npt.NDArray[np.float64]:
    """Scores whose best columns are letters and separators, and so many blanks."""
    random = np.random.default_rng(seed)
    best = random.integers(1, COLUMNS - 1, frames)
    best[random.random(frames) < blanks] = 0
    scores = np.full((frames, COLUMNS), -9.0)
    scores[np.arange(frames), best] = 0.0
    return scores


def told(scores: npt.NDArray[np.float64], blank: int, step: int = 70) -> list[str]:
    """What is said of them, that many frames at a time."""
    return told_of(Vocabulary.from_tokens(TOKENS, blank=blank, separator="|"), scores, step)


def told_of(vocabulary: Vocabulary, scores: npt.NDArray[np.float64], step: int) -> list[str]:
    values = torch.from_numpy(scores).float().log_softmax(-1)
    check = BlankCheck(vocabulary)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for part in values.split(step):
            check.look_at(stack([part, part[:3]], ("a", "b"), vocabulary, 0.04))
    return [str(one.message) for one in caught]


@pytest.mark.parametrize("step", [70, 5000])
def test_a_blank_that_is_never_best_is_told_once(step: int) -> None:
    (only,) = told(spoken(2000, 0.2), COLUMNS - 1, step)
    assert only.startswith(f'the blank, column {COLUMNS - 1} ("\'"), is the best one in 0 of ')
    assert only.endswith(
        "that of a model is in many: say which is the blank (--blank), and give the tokens in the "
        "order of the columns"
    )


def test_no_blank_of_a_model_is_told() -> None:
    """Nor where there is little speech, silence alone, or a model that knows nothing."""
    assert told(spoken(2000, 0.2), 0) == []
    assert told(spoken(4000, 0.01), 0) == []
    assert told(spoken(200, 0.2), COLUMNS - 1) == []
    unsure = spoken(4000, 0.0)
    unsure[:, 0] = -3.0  # never best, and yet likely
    assert told(unsure, 0) == []
    pauses = np.full((4000, COLUMNS), -9.0)
    pauses[:, 1] = 0.0  # the separator
    assert told(pauses, 0) == []
    assert told(np.zeros((4000, COLUMNS)), COLUMNS - 1) == []
    hum = np.full((4000, COLUMNS), -9.0)
    hum[:, 5:9] = np.eye(4)[np.arange(4000) % 4]  # a few tokens, again and again
    assert told(hum, 0) == []


def test_a_phone_model_may_have_silence_instead() -> None:
    tokens = ["<blk>", *PHONES, "SIL"]
    scores = np.full((4000, len(tokens)), -9.0)
    best = np.random.default_rng(0).integers(1, len(tokens), 4000)
    scores[np.arange(4000), best] = 0.0
    assert told_of(Vocabulary.from_tokens(tokens, boundary="none"), scores, 100) == []


def test_the_blank_of_the_model_inside_the_package() -> None:
    """On its clips, for as long as it is looked at; another column is told."""
    recognizer = Recognizer.from_pretrained()
    vocabulary = recognizer.model.tokenizer.vocabulary
    clips = [to_recording(path, 16000) for path in sorted(CLIPS.glob("*.flac"))]
    heard: LogProbs = recognizer.log_probs(clips)
    check, other = BlankCheck(vocabulary), BlankCheck(vocabulary)
    swapped = heard.log_probs.clone()
    swapped[..., [vocabulary.blank_id, 400]] = swapped[..., [400, vocabulary.blank_id]]
    turned = LogProbs(swapped, heard.lengths, heard.frame_seconds, heard.ids, vocabulary)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(20):
            check.look_at(heard)
    with pytest.warns(ctcbias_fst.CtcbiasWarning, match="say which is the blank"):
        other.look_at(turned)
