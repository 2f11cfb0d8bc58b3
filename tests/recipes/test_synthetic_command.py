"""The recipe as it is started: a script in a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "recipes" / "synthetic" / "prepare.py"


def run(python: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, str(SCRIPT), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_help_names_every_stage(tmp_path: Path) -> None:
    done = run(sys.executable, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for stage in ("texts", "fast", "noise", "held", "kokoro", "manifests", "lists", "lm", "real"):
        assert f"{stage}:" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--stage", "held"), "run the stage `texts` first"),
        (("--stage", "noise"), "run the stage `fast` first"),
        (("--stage", "lm"), "general.txt is missing: run the stage `texts` first"),
        (("--stage", "lists"), "general.txt is missing: run the stage `texts` first"),
        (("--config", "missing.toml"), "missing.toml"),
        (("--extra", "nowhere", "--stage", "texts"), "wants a folder with a manifest.jsonl"),
    ],
)
def test_mistakes_end_in_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, forked_python: str
) -> None:
    done = run(forked_python, "--out", str(tmp_path / "out"), *arguments, cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("Error: ") and message in line
