"""The examples run, and the notebooks show what comes out of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
CLIPS = ROOT / "ctcbias_fst" / "pretrained" / "clips"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def shown(cell: Any) -> str:
    """What a cell shows, but for standard error: warnings of the notebook's own machinery."""
    outputs = cell.get("outputs", ())
    printed = [one["text"] for one in outputs if one.get("name") == "stdout"]
    return "".join(printed + [one["data"]["text/plain"] for one in outputs if "data" in one])


def run(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLES / script, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, check=False, timeout=300
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_comes_out(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(path, as_version=4)
    expected = [shown(cell) for cell in notebook.cells]
    assert sum(map(bool, expected)) >= 5
    resources = {"metadata": {"path": str(EXAMPLES)}}
    runner = client.NotebookClient(notebook, timeout=300, resources=resources)
    runner.execute(env=ENVIRONMENT)
    assert [shown(cell) for cell in notebook.cells] == expected


def test_the_folder_is_told_in_full() -> None:
    told = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    files = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    assert files == {name for name in files if f"]({name})" in told}
    assert len(files) == told.count("](")


def test_a_list_for_each_call(tmp_path: Path) -> None:
    """One that cannot be read does not cost the others."""
    for name in ("general-1.flac", "medical-2.flac"):
        shutil.copy(CLIPS / name, tmp_path)
    (tmp_path / "medical-2.txt").write_text("Imiglucerase\n")
    (tmp_path / "broken.wav").write_text("no audio")
    done = run("a_list_for_each_call.py", tmp_path)
    assert done.returncode == 1
    assert "broken.wav: is no audio" in done.stderr
    assert done.stdout.splitlines() == [
        "call\ttext\tnames",
        "general-1.flac\tthe old bridge was repaired in february\t",
        "medical-2.flac\tmy father takes Imiglucerase and feels fine\tImiglucerase",
    ]


def test_captions() -> None:
    done = run(
        "captions.py", CLIPS / "parliament-1.flac", "--entities", CLIPS / "names.txt", "--width=30"
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split("  ")[-1] for line in done.stdout.splitlines()]
    assert lines == ["in a speech in Bridlewood", "Rendall warned about the", "pension reform"]
