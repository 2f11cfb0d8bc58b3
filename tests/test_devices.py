"""Devices that are not there: one line, before anything is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ctcbias_fst.cli import main
from ctcbias_fst.devices import checked_device
from ctcbias_fst.errors import ConfigError, CtcbiasWarning
from ctcbias_fst.recognizer import Recognizer


def test_devices_that_are_there(device: torch.device) -> None:
    assert checked_device(str(device)) == device
    assert checked_device(device, search=False) == device


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cuda:-1", "meta", "mps", "cuda:99"])
def test_devices_that_are_not(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^device {name}: "):
        checked_device(name)


@pytest.mark.parametrize("name", ["cuda", "cuda:0"])
def test_without_cuda(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=f"^device {name}: torch sees no CUDA device"):
        checked_device(name)


def test_with_a_k2_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr("ctcbias_fst.devices._k2_has_cuda", lambda: False)
    with pytest.raises(ConfigError, match="k2 was built without CUDA"):
        checked_device("cuda:1")
    assert checked_device("cuda:1", search=False).index == 1
    with pytest.raises(ConfigError, match="there are only 2"):
        checked_device("cuda:2")


def test_commands_say_it_in_one_line(
    tmp_path: Path, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    np.savez(tmp_path / "a.npz", u=np.zeros((3, 80), np.float32))
    (tmp_path / "names.txt").write_text("keisha\n")
    model, out = ["--model", str(random_model)], ["--out", str(tmp_path / "out")]
    picture = ["--out", str(tmp_path / "out.svg")]
    for command in (
        ["transcribe", "a.wav", *model],
        ["explain", "a.wav", "--entities", str(tmp_path / "names.txt"), *picture, *model],
        ["decode", "--log-probs", str(tmp_path / "a.npz"), *out, *model],
        ["rescore", str(tmp_path), *out],
    ):
        result = CliRunner().invoke(main, [*command, "--device", "cuda"])
        assert result.exit_code == 1
        message = "Error: device cuda: torch sees no CUDA device; use cpu\n"
        assert result.stderr == message


def test_warnings_are_of_the_line_that_called_the_package(random_model: Path) -> None:
    recognizer = Recognizer.from_pretrained(random_model)
    with pytest.warns(
        CtcbiasWarning,
    ) as caught:
        recognizer.compile(["metformin", "!"])
    with pytest.warns(CtcbiasWarning) as inside:
        recognizer.transcribe(np.zeros(16000), sampling_rate=16000, entities=["metformin", "?"])
    assert {one.filename for one in [*caught, *inside]} == {__file__}


def test_modules_make_nothing_of_the_defaults_of_torch() -> None:
    """What a program sets before it imports them is its own."""
    lines = (
        "import importlib, pathlib, torch, ctcbias_fst",
        "torch.set_default_dtype(torch.bfloat16)",
        "root = pathlib.Path(ctcbias_fst.__file__).parent",
        "paths = [path.relative_to(root.parent) for path in root.rglob('*.py')]",
        "names = ['.'.join(path.with_suffix('').parts) for path in paths]",
        "[importlib.import_module(one) for one in names if not one.endswith('__')]",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
