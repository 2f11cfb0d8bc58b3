"""No recordings, and recordings of next to nothing: every family answers them alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import AudioError
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.find import load_as_it_is
from ctcbias_fst.models.function import function_model
from ctcbias_fst.models.joint_phones import JointPhones
from ctcbias_fst.models.phone_listener import phone_listener
from ctcbias_fst.models.plug import PhoneListener, SpeechModel
from ctcbias_fst.text.phones import PHONES

TOKENS = ["<blank>", "|", *"abcdefghijklmnopqrstuvwxyz'"]


def silent(tokens: list[str], several: bool = False) -> Callable[[Any], Any]:
    def rows(wave: np.ndarray) -> np.ndarray:
        return np.full((len(wave) // 320, len(tokens)), -np.log(len(tokens)), dtype=np.float32)

    return (lambda waves: list(map(rows, waves))) if several else rows


def embedded(_: Path) -> SpeechModel:
    return AcousticModel.load()


def hugging_face(folder: Path) -> SpeechModel:
    made = pytest.importorskip("tiny_hugging_face").save(folder / "model", "wav2vec2")
    return load_as_it_is(made)


def onnx(folder: Path) -> SpeechModel:
    log_probs = np.full((200, len(TOKENS)), -np.log(len(TOKENS)), dtype=np.float32)
    pytest.importorskip("tiny_onnx").make_known_model(folder, log_probs, TOKENS)
    return load_as_it_is(folder)


def hama(_: Path) -> SpeechModel:
    pytest.importorskip("hama")
    return load_as_it_is("hama")


def function(_: Path) -> SpeechModel:
    return function_model(silent(TOKENS), TOKENS, frame_seconds=0.02)


def function_of_batches(_: Path) -> SpeechModel:
    batches = silent(TOKENS, several=True)
    return function_model(batches, TOKENS, frame_seconds=0.02, batches=True)


FAMILIES = [embedded, hugging_face, onnx, hama, function, function_of_batches]


def recording(samples: int, rate: int = 16000) -> Recording:
    noise = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    return Recording(f"of {samples}", noise, rate)


@pytest.mark.parametrize("make", FAMILIES)
def test_models(make: Callable[[Path], SpeechModel], tmp_path: Path) -> None:
    model = make(tmp_path)
    with pytest.raises(AudioError, match="^no recordings: pass at least one$"):
        model.log_probs([])
    for samples, frames in ((0, 0), (1, 1), (2, 1), (100, 1), (300, 1)):
        found = model.log_probs([recording(samples)])
        assert found.lengths.tolist() == [frames], samples
        assert found.log_probs.shape[2] == model.tokenizer.vocabulary.size
    second = model.log_probs([recording(16000)])
    beside = model.log_probs([recording(0), recording(16000), recording(1)])
    assert beside.lengths.tolist() == [0, int(second.lengths[0]), 1]

    recognizer = Recognizer(model, phones=None)
    assert recognizer.transcribe([]) == recognizer.transcribe_recordings([], []) == []
    assert list(recognizer.transcribe_files([])) == []
    with pytest.raises(AudioError, match="^no recordings: pass at least one$"):
        recognizer.log_probs([])
    found = recognizer.transcribe_recordings([recording(0), recording(1)], [None, None])
    assert [one.best.text for one in found] == ["", ""]
    for samples in (0, 1):
        with pytest.raises(AudioError, match=f"{samples} samples are less than 25 ms"):
            recognizer.transcribe(recording(samples).samples, sampling_rate=16000)


def function_of_phones() -> PhoneListener:
    symbols = ["<blank>", *PHONES]
    return phone_listener(silent(symbols), tokens=symbols, frame_seconds=0.02)


@pytest.mark.parametrize(
    "make",
    [
        lambda: phone_listener("embedded"),
        lambda: phone_listener(AcousticModel.load()),
        function_of_phones,
        lambda: JointPhones(phone_listener("embedded"), function_of_phones()),
        lambda: JointPhones(function_of_phones(), phone_listener("embedded")),
    ],
)
def test_phone_listeners(make: Callable[[], PhoneListener]) -> None:
    listener = make()
    none = listener.phone_log_probs([])
    assert none.log_probs.shape == (0, 0, 1 + len(PHONES))
    assert none.lengths.tolist() == []
    assert none.frame_seconds == listener.frame_seconds
    for samples, frames in ((0, 0), (1, 1), (100, 1)):
        assert listener.phone_log_probs([recording(samples)]).lengths.tolist() == [frames]
