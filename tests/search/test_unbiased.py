"""Where no name is written, a list has no part in the log-probs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import VOCABULARIES, batch

from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word
from ctcbias_fst.search import unbiased
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.unbiased import unbiased_elsewhere
from ctcbias_fst.settings import PipelineConfig
from tests.tiny_models import speechlike

VOCABULARY = VOCABULARIES[0]


def _heard(tokens: list[int], probability: float = 0.9) -> np.ndarray:
    array = np.full((len(tokens), VOCABULARY.size), (1 - probability) / (VOCABULARY.size - 1))
    array[np.arange(len(tokens)), tokens] = probability
    return np.log(array).astype(np.float32)


def _biased(biased: list[np.ndarray], plain: list[np.ndarray]) -> LogProbs:
    """Frames of 0.1 s."""
    unbiased = batch(plain, VOCABULARY).log_probs
    return replace(batch(biased, VOCABULARY), unbiased=unbiased, frame_seconds=0.1)


def _transcript(*words: Word) -> Transcript:
    return Transcript("utt", Hypothesis(words, -1.0, ()))


def test_the_frames_of_names_and_beside_them_stay() -> None:
    biased = _biased([_heard([1] * 10)] * 3, [_heard([2] * 10)] * 3)
    name, other = Word("Keisha", 0.4, 0.6, 1.0, entity=True), Word("said", 0.4, 0.6, 1.0)
    mixed, again = unbiased_elsewhere(
        biased, [_transcript(name), _transcript(other), _transcript()], 0.2
    )
    assert again == [0, 1, 2]
    best = mixed.log_probs.argmax(dim=-1).tolist()
    assert best[0] == [2, 2, 1, 1, 1, 1, 1, 1, 2, 2]
    assert best[1] == best[2] == [2] * 10
    # Nothing more is to be done, and nothing was changed for the caller.
    assert (
        unbiased_elsewhere(mixed, [_transcript(name), _transcript(), _transcript()], 0.2)[1] == []
    )
    assert biased.log_probs.argmax(dim=-1).unique().tolist() == [1]


@pytest.mark.parametrize(
    ("plain", "again"),
    [
        (_heard([1] * 10), []),
        (_heard([1] * 10, 0.85), []),
        (_heard([1] * 10, 0.75), [0]),  # a probability changes by more than 0.1
        (_heard([1] * 9 + [0]), [0]),
    ],
)
def test_small_changes_are_not_decoded_again(plain: np.ndarray, again: list[int]) -> None:
    biased = _biased([_heard([1] * 10)], [plain])
    mixed, found = unbiased_elsewhere(biased, [_transcript()], 0.2)
    assert found == again
    assert again or mixed is biased


def test_padding_is_no_reason_to_decode_again() -> None:
    padded = np.concatenate([_heard([1] * 4), _heard([0] * 2)])
    biased = _biased([_heard([1] * 6), padded], [_heard([1] * 6), _heard([1] * 6)])
    short = replace(biased, lengths=torch.tensor([6, 4]))
    assert unbiased_elsewhere(short, [_transcript()] * 2, 0.2) == (short, [])


def test_log_probs_without_a_list_are_left_alone() -> None:
    log_probs = batch([_heard([1] * 4)], VOCABULARY)
    assert unbiased_elsewhere(log_probs, [_transcript()], 0.2) == (log_probs, [])


def test_unbiased_log_probs_of_other_frames_are_refused() -> None:
    log_probs = batch([_heard([1] * 4)], VOCABULARY)
    with pytest.raises(LogProbsError, match=r"unbiased log-probs have the shape \(1, 3, 5\)"):
        replace(log_probs, unbiased=log_probs.log_probs[:, :3])
    assert _biased([_heard([1])], [_heard([2])]).select([0]).unbiased is not None


@given(st.lists(st.integers(0, 3), min_size=1, max_size=4, unique=True))
def test_rows_are_decoded_as_in_the_whole_batch(rows: list[int]) -> None:
    rng = np.random.default_rng(0)
    arrays = [
        torch.from_numpy(rng.normal(0, 3, (frames, VOCABULARY.size))).log_softmax(-1).numpy()
        for frames in (5, 9, 3, 7)
    ]
    log_probs = batch(arrays, VOCABULARY)
    heard: list[tuple[int, list[int]]] = []

    def listener(whole: LogProbs, _: object, __: object, rows: Sequence[int], ___: object) -> None:
        heard.append((whole.size, [*rows]))

    decoder = LatticeDecoder(VOCABULARY, listener=listener)
    whole = decoder.decode(log_probs)
    for row, found in zip(rows, decoder.decode(log_probs, None, rows)):
        assert found.id == whole[row].id
        assert found.best.token_ids == whole[row].best.token_ids
        assert found.best.score == pytest.approx(whole[row].best.score, abs=1e-4)
    assert heard == [(4, [0, 1, 2, 3]), (4, rows)]


@pytest.mark.parametrize("names", [["metformin", "New York"], ["o w", "qu on"], ["ho"]])
def test_a_list_of_names_that_are_not_written_changes_nothing(
    random_model: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter that learned nothing changes every word, if it is let."""
    monkeypatch.setattr(unbiased, "_CHANGE", 0.0)
    config = PipelineConfig(parts=("adapter", "boost"), adapter=AttentionConfig(scale=4.0))
    recognizer = Recognizer(AcousticModel.load(random_model), config)
    compiled = recognizer.compile(names)
    changed = 0
    for index, seconds in enumerate((1.0, 2.0, 1.5, 8.0)):
        recording = speechlike(seconds, index)
        expected = recognizer.transcribe(recording, sampling_rate=16000).best.text
        found = recognizer.transcribe(recording, entities=compiled, sampling_rate=16000).best
        if not any(word.entity for word in found.words):
            assert found.text == expected
            changed += 1
    assert changed
