"""One reason of many utterances is told once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from ctcbias_fst.cli import main
from ctcbias_fst.cli.repeated import once_each

TOKENS = ["<blank>", "|", *"abcdefghijklmnopqrstuvwxyz'"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.txt"
    path.write_text("\n".join(TOKENS), encoding="utf-8")
    return path


def even(frames: int, columns: int = len(TOKENS)) -> np.ndarray:
    return np.full((frames, columns), -np.log(columns), np.float32)


def test_a_reason_is_told_once_with_the_others_behind() -> None:
    told: list[str] = []
    with once_each(told.append) as report:
        report("a.npz: names without effect")
        for number in range(14):
            report(f"u{number} is left out: a.npz, u{number}, frame {number}: NaN")
        report("x is left out: too long")
        report("y is left out: too long")
        report("z is left out: too short")
    assert told == [
        "a.npz: names without effect",
        "u0 is left out: a.npz, u0, frame 0: NaN",
        "x is left out: too long",
        "z is left out: too short",
        "13 others are left out for the same reason as u0: u1, u2, u3, u4, u5, u6, u7, u8, u9, u10 "
        "(and 3 more)",
        "y is left out for the same reason as x",
    ]


def test_what_is_left_out_is_told_where_the_job_fails() -> None:
    told: list[str] = []
    with pytest.raises(KeyError), once_each(told.append) as report:
        report("x is left out: too long")
        report("y is left out: too long")
        raise KeyError
    assert told[1:] == ["y is left out for the same reason as x"]


def test_decode_tells_a_reason_once(tokens: Path, tmp_path: Path) -> None:
    arrays = {f"bad{number}": even(9, 5) for number in range(30)}
    np.savez(tmp_path / "a.npz", good=even(9), frame_seconds=0.04, **arrays)
    out = tmp_path / "out.jsonl"
    found = run("decode", "--log-probs", tmp_path / "a.npz", "--tokens", tokens, "--out", out)
    assert found.exit_code == 1
    told = [line for line in found.stderr.splitlines() if "left out" in line]
    assert told[0].startswith("Warning: bad0 is left out: ")
    assert told[1].startswith("Warning: 29 others are left out for the same reason as bad0: bad1, ")
    assert len(told) == 3  # the last is the sum


def test_a_padded_batch_is_told_before_anything_else(tokens: Path, tmp_path: Path) -> None:
    """And not what its few frames mean for names."""
    np.save(tmp_path / "a.npy", np.stack([even(10)] * 3))
    (tmp_path / "names.txt").write_text("ergonomics\nphotography\n", encoding="utf-8")
    job = ("--log-probs", tmp_path / "a.npy", "--tokens", tokens, "--frame-seconds", "0.04")
    job = (*job, "--entities", tmp_path / "names.txt", "--out", tmp_path / "out.jsonl")
    found = run("decode", *job)
    assert found.exit_code == 1
    (only,) = found.stderr.splitlines()
    assert only.startswith("Error: ") and "save each utterance of a batch by itself" in only


def test_warnings_call_a_recording_as_errors_do(tmp_path: Path) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.001, 16000).astype(np.float32)
    soundfile.write(folder / "quiet.wav", noise, 16000)
    (folder / "empty.wav").touch()
    found = run("transcribe", folder)
    assert f"Error: {folder}/empty.wav: the file is empty" in found.stderr
    assert f"Warning: {folder}/quiet.wav: very quiet" in found.stderr
