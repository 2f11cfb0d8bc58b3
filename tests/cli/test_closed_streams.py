"""Standard streams that are closed: one line, and no file in their place."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ctcbias_fst.cli.closed_streams import stand_in


def run(redirected: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = f'exec "$@" {redirected}'
    python = [sys.executable, "-m", "ctcbias_fst", *arguments]
    return subprocess.run(
        ["sh", "-c", command, "sh", *python], capture_output=True, text=True, check=False
    )


def test_output_that_is_closed_is_told() -> None:
    found = run(">&-", "score", "--help")
    assert (found.returncode, found.stderr) == (1, "Error: standard output is closed\n")
    assert run(">&- 2>&-", "score", "--help").returncode == 1
    assert run("<&- 2>&-", "score", "--help").returncode == 0


def test_who_uses_a_closed_stream_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    stand_in()
    with pytest.raises(OSError, match="standard input is closed"):
        sys.stdin.buffer.read(10)
    with pytest.raises(OSError, match="standard input is closed"):
        sys.stdin.readline()
    with pytest.raises(OSError, match="standard output is closed"):
        print("words")
    assert not sys.stdout.isatty()
    with sys.stderr as nobody:
        print("said to nobody", file=nobody)


def test_no_file_gets_the_number_of_a_closed_stream() -> None:
    """What C libraries write to it must not end in a file of ours."""
    code = (
        "import os, sys; os.close(0); sys.stdin = None; "
        "from ctcbias_fst.cli.closed_streams import stand_in; stand_in(); "
        "print(os.open(os.devnull, os.O_RDONLY))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout) > 2
    assert os.fstat(0)
