"""What a model fails on costs no other recording, unless it fails on everything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import to_recording
from ctcbias_fst.cli import main
from ctcbias_fst.cli.calibrate import _batches, _scored
from ctcbias_fst.errors import LogProbsError, ModelError
from ctcbias_fst.models.first_failures import FirstFailures
from ctcbias_fst.records import Failure, Transcript
from tests.models.test_scored import TOKENS, Array, _silent, noise

LOUD = 0.75

ODD: dict[str, Callable[[Array], Any]] = {
    "no frames": lambda scores: scores[:0],
    "fewer frames": lambda scores: scores[:-40],
    "another shape": lambda scores: scores[0],
    "other columns": lambda scores: scores[:, 1:],
    "None": lambda scores: None,
    "whole numbers": lambda scores: scores.astype(np.int64),
    "NaN": lambda scores: scores * np.nan,
}


def odd_of_loud(change: Callable[[Array], Any]) -> Callable[[Array], Any]:
    """Hears nothing, and gives something odd for what has a loud sample."""
    return lambda wave: change(_silent(wave)) if (wave >= LOUD).any() else _silent(wave)


def recognizer_of(function: Callable[[Any], Any], **options: Any) -> Recognizer:
    options = {"sampling_rate": 8000, "frame_seconds": 0.02, "phones": None, **options}
    return Recognizer(function, tokens=TOKENS, **options)


def recordings(*loud: bool) -> list[dict[str, Any]]:
    """Samples of two seconds, with a loud one where that is asked for."""
    waves = [np.clip(noise(2.0, seed=i), -0.5, 0.5) for i in range(len(loud))]
    for wave, is_loud in zip(waves, loud):
        wave[8000] = LOUD if is_loud else 0.0
    return [{"array": wave, "sampling_rate": 8000} for wave in waves]


@pytest.mark.parametrize("batches", [False, True])
@pytest.mark.parametrize("odd", ODD)
def test_what_is_odd_of_one_recording_costs_that_one(odd: str, batches: bool) -> None:
    one = odd_of_loud(ODD[odd])

    def several(waves: list[Array]) -> list[Any]:
        return [one(wave) for wave in waves]

    recognizer = recognizer_of(several if batches else one, batches=batches)
    first, second, third = recognizer.transcribe_files(recordings(False, True, False))
    assert isinstance(first, Transcript) and isinstance(third, Transcript)
    assert isinstance(second, Failure)
    said = str(second.error)
    assert said.startswith("recording 2: ") and said.count("recording 2: ") == 1
    assert "\n" not in said
    with pytest.raises((ModelError, LogProbsError), match=r"\bsamples\b"):
        recognizer.transcribe(recordings(True)[0]["array"], sampling_rate=8000)


@pytest.mark.parametrize("odd", ODD)
def test_a_model_that_fails_on_everything_stops_the_job(odd: str) -> None:
    seen: list[int] = []

    def always(wave: Array) -> Any:
        seen.append(len(wave))
        return ODD[odd](_silent(wave))

    told = r"\Arecording 3: .*; the model failed on the first 3 recordings and on noise, so no more"
    with pytest.raises(ModelError, match=told):
        list(recognizer_of(always).transcribe_files(recordings(*[False] * 50)))
    assert max(seen) == 80000 and len(seen) < 80


def test_the_first_recordings_may_all_be_odd() -> None:
    recognizer = recognizer_of(odd_of_loud(ODD["no frames"]))
    found = list(recognizer.transcribe_files(recordings(*[True] * 6, False, True)))
    assert [isinstance(one, Transcript) for one in found] == [False] * 6 + [True, False]


def test_too_few_recordings_tell_nothing_of_the_model() -> None:
    recognizer = recognizer_of(lambda wave: None)
    found = list(recognizer.transcribe_files(recordings(False, False)))
    assert all(isinstance(one, Failure) for one in found)


def test_what_worked_once_is_to_blame_for_nothing() -> None:
    """Nor is what fails on noise of a second alone; noise is tried once."""
    asked: list[bool] = []

    def fails(answer: bool) -> Callable[[], bool]:
        return lambda: asked.append(answer) or answer

    worked = FirstFailures(fails(True))
    worked.passed()
    for failures in (worked, FirstFailures(fails(True), worked=True), FirstFailures(fails(False))):
        for _ in range(10):
            failures.add(ValueError("no"))
    assert asked == [False]
    nobody = FirstFailures(None)
    with pytest.raises(ValueError, match="^no 2$"):
        for number in range(10):
            nobody.add(ValueError(f"no {number}"))

    def patient(wave: Array) -> Any:
        return _silent(wave) if len(wave) > 5 * 8000 else None

    found = list(recognizer_of(patient).transcribe_files(recordings(*[False] * 4)))
    assert all(isinstance(one, Failure) for one in found)


ORDER = (True, False, False, True, False, False)


def test_calibrate_leaves_out_what_cannot_be_scored(capsys: pytest.CaptureFixture[str]) -> None:
    """And takes as much of the rest in its place."""
    recognizer = recognizer_of(odd_of_loud(ODD["NaN"]))
    items = [to_recording(one, 8000, name=str(i)) for i, one in enumerate(recordings(*ORDER))]
    lost: list[float] = []
    batches = _batches(((one, one.seconds) for one in items), 6.0 / 60, lost)
    failures = FirstFailures(lambda: True)
    found = [one.ids for one in _scored(recognizer.log_probs, batches, lost, failures)]
    assert [name for ids in found for name in ids] == ["1", "2", "4"]
    assert capsys.readouterr().err.count("Warning: left out: ") == 2


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


def onnx_that_takes(folder: Path, frames: int) -> Path:
    """A model with a table of so many positions, in a folder."""
    tiny_onnx = pytest.importorskip("tiny_onnx")
    folder.mkdir()
    tiny_onnx.make_raw_model(folder / "model.onnx", len(tiny_onnx.LETTERS), places=frames)
    tiny_onnx.write_tokens(folder / "tokens.txt", tiny_onnx.LETTERS)
    return folder


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Of 2, 12 and 2 seconds without a pause."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number, seconds in enumerate((2, 12, 2)):
        soundfile.write(folder / f"{number}.wav", 0.1 * noise(seconds, 16000), 16000)
    return folder


LONGER = ("--no-phones", "--set", "pieces.longest_seconds=20")


def test_an_onnx_model_that_fails_on_one_file(tmp_path: Path, clips: Path) -> None:
    """From the command line: the others are transcribed, and a job is done but for that one."""
    model = onnx_that_takes(tmp_path / "model", 400)
    found = run("transcribe", clips, "--model", model, *LONGER)
    assert found.exit_code == 1
    assert len(found.stdout.splitlines()) == 2
    (line,) = [line for line in found.stderr.splitlines() if "Error" in line]
    assert line.startswith("Error: 1: ")
    assert "model.onnx: cannot be run by onnxruntime" in line
    out = tmp_path / "out.jsonl"
    found = run("decode", "--cuts", clips, "--model", model, "--out", out, *LONGER)
    assert found.exit_code == 1
    assert [json.loads(row)["id"] for row in out.read_text().splitlines()] == ["0", "2"]
    assert f"Warning: 1 is left out: {model}/model.onnx: cannot be run" in found.stderr
    assert not out.with_name("out.jsonl.part").exists()
