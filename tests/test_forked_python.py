"""The Python that tests run commands with is like any other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TELL = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ.get("SAID"), __name__, os.environ.get("HOME"))
print(sys.stdin.read(), file=sys.stderr)
"""


@pytest.fixture(params=["forked", "plain"])
def python(request: pytest.FixtureRequest, forked_python: str) -> str:
    """Both, so that what is asserted here is true of Python."""
    return forked_python if request.param == "forked" else sys.executable


def run(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("kind", ["-c", "-m", "file"])
def test_streams_folder_environment_and_arguments(python: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "tell.py").write_text(TELL)
    what = {"-c": ["-c", TELL], "-m": ["-m", "tell"], "file": ["tell.py"]}[kind]
    environment = {"SAID": "yes", "PATH": os.environ["PATH"]}
    done = run(python, *what, "a b", "ü", cwd=tmp_path, env=environment, input="in\n")
    assert done.stdout == f"['a b', 'ü'] {tmp_path} yes __main__ None\n"
    assert (done.stderr, done.returncode) == ("in\n\n", 0)


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("raise SystemExit(3)", 3, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import atexit, sys; atexit.register(print, 'x', file=sys.stderr)", 0, "x\n"),
    ],
)
def test_how_it_ends(python: str, code: str, status: int, told: str) -> None:
    done = run(python, "-c", code)
    assert done.returncode == status
    assert done.stderr.endswith(told) and bool(done.stderr) == bool(told)


def test_modules_are_found_as_usual(python: str, tmp_path: Path) -> None:
    """Beside a script, in the folder or where PYTHONPATH says; in none of those of the tests."""
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which_one.py").write_text(f"name = {name!r}")
    (tmp_path / "here" / "script.py").write_text("import which_one; print(which_one.name)")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "there")}
    code = "import which_one; print(which_one.name)"
    found = [
        run(python, *what, cwd=folder, env=environment).stdout
        for what, folder in (
            (["here/script.py"], tmp_path),
            (["-c", code], tmp_path),
            (["-c", code], tmp_path / "here"),
        )
    ]
    assert found == ["here\n", "there\n", "here\n"]
    done = run(python, "-c", "import forked_python", cwd=tmp_path)
    assert "ModuleNotFoundError" in done.stderr


def test_a_pipe_ends_with_who_writes(forked_python: str) -> None:
    """...and a reader that leaves does not hold up the writer."""
    lines = "import sys\nfor _ in range(10**6): sys.stdout.write('x' * 99 + chr(10))"
    read = "import sys; print(len(sys.stdin.readline()))"
    shell = f"'{forked_python}' -c \"{lines}\" 2>&- | '{forked_python}' -c '{read}'"
    assert run("bash", "-c", shell, timeout=60).stdout == "100\n"


def test_nothing_of_ours_is_loaded_and_hashes_differ(forked_python: str) -> None:
    code = "import sys; print({n.partition('.')[0] for n in sys.modules} & {'torch', '%s'})"
    shown = run(forked_python, "-c", code % "ctcbias_fst").stdout
    if sys.platform == "linux":
        assert shown == "{'torch'}\n"
    hashes = {run(forked_python, "-c", "print(hash('a'))").stdout for _ in range(20)}
    assert len(hashes) > 1
