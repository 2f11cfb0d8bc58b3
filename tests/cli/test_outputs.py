"""Whatever a command writes is looked at before any work, and is whole or not there at all."""

from __future__ import annotations

import json
import os
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from ctcbias_fst.cli import COMMANDS, main
from ctcbias_fst.cli.options import output_folder
from ctcbias_fst.corpus.backends import LogProbsBackend
from ctcbias_fst.recognizer import Recognizer
from tests.acoustic.conftest import speechlike
from tests.test_files import full_disk

READ = {
    "ablate": {"--config", "--data", "--model"},
    "adapt": {"--config", "--data"},
    "compare": {"--entities"},
    "compile": {"--config", "--model", "--tokenizer", "--tokens"},
    "decode": {
        *("--config", "--cuts", "--entities", "--graph", "--lm", "--log-probs", "--model"),
        *("--tokenizer", "--tokens"),
    },
    "explain": {"--config", "--entities", "--model"},
    "export": {"--run"},
    "figures": {"--model"},
    "lm info": {"--model", "--tokenizer", "--tokens"},
    "lm train": {"--model", "--tokenizer", "--tokens"},
    "recipe": {"--model", "--source"},
    "rescore": {"--config", "--lm"},
    "score": {"--bias-words", "--entities"},
    "train": {"--config", "--data"},
    "transcribe": {"--config", "--entities", "--lm", "--model"},
    "tune": {"--config", "--data", "--model", "--tokenizer", "--tokens"},
}
"""The options that name what is read; all others that name a path are written to."""


def _commands() -> Iterator[tuple[str, click.Command]]:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        if isinstance(command, click.Group):
            for inner, one in command.commands.items():
                yield f"{name} {inner}", one
        else:
            yield name, command


def _outputs() -> list[tuple[str, str, bool]]:
    """Command, option, and whether it names a folder."""
    found = []
    for name, command in _commands():
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(option.type, click.Path):
                if option.opts[-1] in READ.get(name, set()):
                    continue
                given = option.callback is output_folder
                found.append((name, option.opts[-1], given))
    return found


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_every_option_that_names_a_path_is_read_or_written() -> None:
    for name, command in _commands():
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(option.type, click.Path):
                reads = option.opts[-1] in READ.get(name, set())
                assert reads == (option.callback is None), (name, option.opts)
    assert len(_outputs()) >= 20


@pytest.mark.parametrize(("command", "option", "folder"), _outputs())
def test_what_cannot_be_written_is_told_before_any_work(
    command: str, option: str, folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else is given: the fault is found before what is missing is missed."""
    (tmp_path / "file").write_text("")
    wrong = tmp_path / "file" if folder else tmp_path
    for path in (wrong, tmp_path / "file" / "x.arpa", tmp_path / ("n" * 256)):
        result = run(*command.split(), option, path)
        assert result.exit_code == 1, result.output
        (line,) = result.output.splitlines()
        assert line.startswith("Error: ")
        assert str(path)[:60] in line
        assert "cannot be written" in line
    monkeypatch.setattr(os, "access", lambda path, mode, **options: False)
    path = tmp_path / "new" / "out.arpa"
    result = run(*command.split(), option, path)
    assert result.output == (f"Error: {path}: cannot be written: {tmp_path} is write-protected\n")
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    "command",
    [
        "compile names.txt --tokens tokens.txt -o out/x.fst",
        "compile names.txt --tokens tokens.txt -o out/x.txt",
        "lm train text.txt --min-count 1 --out out/x.arpa",
        "lm train text.txt --min-count 1 --out out/x.arpa.gz",
        "lm train text.txt --min-count 1 --out out/x.safetensors",
        "tokenizer text.txt --size 40 --out out/x.model",
        "score said said --details out/x.jsonl",
        "compare said said said -o out/x.svg",
    ],
)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [f"name{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(99)]
    Path("names.txt").write_text("\n".join(names))
    Path("tokens.txt").write_text("\n".join(["<pad>", "|", *string.ascii_lowercase]))
    Path("text.txt").write_text("\n".join(f"the quick {name} is a fox" for name in names))
    Path("said").write_text("\n".join(f"{name} some words" for name in names))
    with full_disk(500):
        result = run(*command.split())
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert re.fullmatch(r"Error: out/x\S+: File too large", line)
    assert not Path("out").exists() or list(Path("out").iterdir()) == []


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.wav"
    soundfile.write(path, speechlike(1.0, 1), 16000)
    return path


def test_transcripts_on_a_full_disk(clip: Path, random_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    out.write_text("before")
    command = ["transcribe", clip, "--model", random_model, "--format", "json"]
    with full_disk(10):
        result = run(*command, "--out", out)
    assert result.exit_code == 1
    assert result.output == f"Error: {out}: File too large\n"
    assert out.read_text() == "before"
    with full_disk(10):
        result = run(*command, "--out-dir", tmp_path / "new")
    assert result.output == f"Error: {tmp_path / 'new' / 'clip.jsonl'}: File too large\n"
    assert list((tmp_path / "new").iterdir()) == []


def test_a_recording_is_not_overwritten(clip: Path, random_model: Path) -> None:
    before = clip.read_bytes()
    result = run("transcribe", clip, "--model", random_model, "--out", clip)
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: --out {clip} would take the place of a recording")
    assert clip.read_bytes() == before


def test_long_names_of_recordings(clip: Path, random_model: Path, tmp_path: Path) -> None:
    long = [clip.rename(tmp_path / f"{'n' * 251}.wav")]
    long.append(tmp_path / f"{'n' * 250}o.wav")
    long[1].write_bytes(long[0].read_bytes())
    folder = tmp_path / "new"
    command = ["transcribe", *long, "--model", random_model, "--out-dir", folder]
    result = run(*command, "--format", "json")
    assert result.exit_code == 0, result.output
    assert result.stderr.count("too long a name; it is written to") == 2
    written = {json.loads(path.read_text())["path"] for path in folder.iterdir()}
    assert written == set(map(str, long))


@pytest.fixture
def log_probs(tmp_path: Path) -> Path:
    """A folder with log-probs of two utterances, and their tokens."""
    (tmp_path / "tokens.txt").write_text("\n".join(["<pad>", "|", *"abc"]))
    array = np.log(np.random.default_rng(0).dirichlet(np.ones(5), 20)).astype(np.float32)
    np.savez(tmp_path / "lp.npz", frame_seconds=0.04, u0=array, u1=array[:10])
    return tmp_path


def test_lattices_on_a_full_disk(log_probs: Path) -> None:
    """The job stops, and does not take a full disk for a fault of the utterances."""
    out, folder = log_probs / "out.jsonl", log_probs / "lattices"
    command = ["decode", "--log-probs", log_probs / "lp.npz", "--tokens", log_probs / "tokens.txt"]
    command += ["--out", out, "--lattice-dir", folder]
    (log_probs / "out.jsonl.part").write_text("")  # of a disk that was full before
    with full_disk(3000):
        result = run(*command)
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"Error: {folder}/u0.0.lattice.safetensors: File too large")
    assert not out.exists()
    assert [path.name for path in folder.iterdir()] == ["settings.toml"]
    result = run(*command)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == [
        "settings.toml",
        "u0.0.lattice.safetensors",
        "u1.0.lattice.safetensors",
    ]


def test_decode_is_stopped_and_goes_on(log_probs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["decode", "--log-probs", log_probs / "lp.npz", "--tokens", log_probs / "tokens.txt"]
    command += ["--batch-seconds", 1]
    assert run(*command, "--out", log_probs / "whole").exit_code == 0
    decode, calls = LogProbsBackend.decode, iter(range(9))

    def interrupted(self: LogProbsBackend, *arguments: Any) -> Any:
        if next(calls):
            raise KeyboardInterrupt
        return decode(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(LogProbsBackend, "decode", interrupted)
        result = run(*command, "--out", log_probs / "out")
    assert result.exit_code == 130
    assert result.output == "Stopped: the same command goes on where it was\n"
    assert not (log_probs / "out").exists()
    result = run(*command, "--out", log_probs / "out")
    assert "2 utterances (1 of them before)" in result.output
    assert (log_probs / "out").read_bytes() == (log_probs / "whole").read_bytes()


def test_transcripts_that_are_done_are_kept(
    clip: Path, random_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(clip.read_bytes())

    def interrupted(self: Recognizer, *arguments: Any) -> Iterator[Any]:
        yield next(files(self, *arguments))
        raise KeyboardInterrupt

    files = Recognizer.transcribe_files
    monkeypatch.setattr(Recognizer, "transcribe_files", interrupted)
    command = ["transcribe", clip, other, "--model", random_model]
    result = run(*command, "--out-dir", tmp_path / "new")
    assert result.exit_code == 130
    assert result.output.startswith("Stopped: what --out-dir has is complete")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["clip.txt"]
    result = run(*command, "--out", tmp_path / "out.txt")
    assert result.exit_code == 130
    assert not (tmp_path / "out.txt").exists()
