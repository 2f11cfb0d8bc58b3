"""Pipes that nobody writes to, where a file is meant: refused in one line, never waited for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ctcbias_fst.cache import VARIABLE, load_or_build
from ctcbias_fst.cli import main
from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.search.saved_log_probs import SavedLogProbs
from ctcbias_fst.text.vocabulary import Vocabulary

LIMIT = 20


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """End a test that waits."""

    def fail(*_: object) -> None:
        raise TimeoutError("it waits for the pipe")

    usual = signal.signal(signal.SIGALRM, fail)
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, usual)


@pytest.mark.parametrize(
    "options",
    [
        "decode --log-probs {file} --out out --tokens {pipe}",
        "decode --log-probs {file} --out out --tokenizer {pipe}.model --tokens {tokens}",
        "decode --log-probs {pipe} --out out --tokens {tokens}",
        "decode --log-probs {pipe}.npz --out out --tokens {tokens}",
        "decode --log-probs {folder} --out out --tokens {tokens}",
        "decode --log-probs {file} --out out --tokens {tokens} --config {pipe}",
        "decode --log-probs {file} --out out --tokens {tokens} --lm {pipe}",
        "decode --log-probs {file} --out out --tokens {tokens} --graph {pipe}",
        "decode --log-probs {file} --out out --model {pipe}",
        "decode --log-probs {file} --out stopped --tokens {tokens}",
        "decode --cuts {pipe} --out out",
        "compile {names} -o out.fst --tokens {pipe}",
        "compile {names} -o out.fst --config {pipe}",
        "train --config {pipe} --run run",
        "rescore {folder} --out out --config {pipe}",
        "transcribe {folder}",
    ],
)
def test_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "pipe.model", "pipe.npz", "folder/a.npy", "folder/a.wav", "stopped.part"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "tokens.txt").write_text("<blk>\n|\na\nb\n")
    (tmp_path / "names.txt").write_text("abba\n")
    np.savez(tmp_path / "a.npz", a=np.log(np.full((4, 4), 0.25, np.float32)))
    places = {
        "pipe": "pipe",
        "folder": "folder",
        "file": "a.npz",
        "tokens": "tokens.txt",
        "names": "names.txt",
    }
    found = CliRunner().invoke(main, options.format(**places).split())
    assert found.exit_code in (1, 2), found.output
    assert isinstance(found.exception, SystemExit), found.exception
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        "decode --log-probs {0} --tokens tokens.txt --out out",
        "decode --cuts {0} --out out",
        "decode --log-probs a.npz --tokens tokens.txt --lm {0} --out out",
    ],
)
def test_what_is_read_twice_is_no_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: str
) -> None:
    """Neither a pipe nor, where the name's ending says what it is, a file as a stream."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokens.txt").write_text("<blk>\n|\na\nb\n")
    np.savez(tmp_path / "a.npz", a=np.log(np.full((4, 4), 0.25, np.float32)))
    source, sink = os.pipe()
    os.close(sink)
    file = os.open("a.npz", os.O_RDONLY)
    for stream in (source, file) if "--cuts" not in options else (source,):
        found = CliRunner().invoke(main, options.format(f"/dev/fd/{stream}").split())
        os.close(stream)
        assert found.exit_code == 1
        line = found.output.splitlines()[-1]
        assert line.startswith(f"Error: /dev/fd/{stream}: is a pipe, a device or an open stream")
        assert "more than once" in line
    assert not (tmp_path / "out").exists()


def test_a_pipe_beside_saved_log_probs_costs_itself(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.log(np.full((4, 4), 0.25, np.float32)))
    os.mkfifo(tmp_path / "b.npy")
    saved = SavedLogProbs(tmp_path)
    vocabulary = Vocabulary.from_tokens(["<blk>", "|", "a", "b"])
    assert len(saved.read("a", vocabulary)) == 4
    with pytest.raises(LogProbsError, match="it is no file"):
        saved.read("b", vocabulary)


def test_pipes_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    item = np.arange(3)

    def numbers() -> int:
        return load_or_build(
            "numbers", 1, lambda: 3, lambda n: {"n": item[:n]}, lambda a: len(a["n"])
        )

    assert numbers() == 3
    (file,) = tmp_path.iterdir()
    file.unlink()
    os.mkfifo(file)
    assert numbers() == 3
    assert "is no file" in caplog.text
