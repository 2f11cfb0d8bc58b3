"""Does a fast test see each fault of ``mutants.toml``? Those are such as a careless change makes.

``make mutants`` makes one at a time in a copy of the working tree and runs the fast tests that
should see it: a mutant is *killed* if one of them fails, and *survives* otherwise. More survivors
than three are an error.

    python tests/mutants.py                       # all
    python tests/mutants.py search/times lag      # those with one of these in file or description
    python tests/mutants.py --all-tests           # survivors also meet all fast tests
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ctcbias_fst.config import read_toml

__all__ = ["Mutant", "mutated", "read_mutants"]

ROOT = Path(__file__).resolve().parents[1]
_MOST = 3
_SECONDS = 900
"""A mutant may never end: no test file takes so long."""


class Mutant(NamedTuple):
    """A fault.

    Attributes:
        file: path of the module, below the package.
        old: text that is in it once.
        new: what takes its place.
        what: what is wrong then.
        tests: files below ``tests/`` that should see it.
    """

    file: str
    old: str
    new: str
    what: str
    tests: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Of the module, below the root."""
        return Path("ctcbias_fst", self.file)


def read_mutants() -> list[Mutant]:
    """The table."""
    rows = read_toml(Path(__file__).with_suffix(".toml"))["mutant"]
    return [Mutant(**{**row, "tests": tuple(row["tests"].split())}) for row in rows]


def mutated(mutant: Mutant, text: str) -> str:
    """The text of its module with the fault.

    Raises:
        ValueError: what it replaces is not there once.
    """
    count = text.count(mutant.old)
    if count != 1:
        raise ValueError(
            f"{mutant.path} has {mutant.old!r} {count} times, once is needed: "
            f"mend its row of tests/mutants.toml ({mutant.what})"
        )
    return text.replace(mutant.old, mutant.new)


def _copy(folder: Path) -> None:
    """The files of the working tree that git does not ignore."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"]
    names = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode()
    for name in names.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def _failure(folder: Path, tests: Sequence[str]) -> str | None:
    """The first of the fast tests that fails; None if all pass.

    Raises:
        SystemExit: they cannot be run.
    """
    options = ["-q", "-x", "-m", "not slow", "-p", "no:cacheprovider"]
    # That a test fails is enough: no smaller example is looked for.
    options += ["--hypothesis-seed=0", "--hypothesis-profile=mutants"]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            check=False,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"nothing ends within {_SECONDS} s"
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (1, 2) or found is None:
        raise SystemExit(f"{' '.join(tests)}: pytest says {done.stdout[-500:]}")
    return found[1]


def _killer(folder: Path, mutant: Mutant, every: bool) -> str | None:
    """The test that fails with a mutant; None if it survives."""
    path = folder / mutant.path
    text = path.read_text(encoding="utf-8")
    path.write_text(mutated(mutant, text), encoding="utf-8")
    # Python tells sources apart by size and second.
    compiled = Path(importlib.util.cache_from_source(str(path)))
    compiled.unlink(missing_ok=True)
    try:
        killer = _failure(folder, [f"tests/{name}" for name in mutant.tests])
        return _failure(folder, []) if killer is None and every else killer
    finally:
        path.write_text(text, encoding="utf-8")
        compiled.unlink(missing_ok=True)


def main() -> None:
    """Try the mutants that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("words", nargs="*", help="try those with one of these [all]")
    parser.add_argument("--all-tests", action="store_true", help="let survivors meet all tests")
    arguments = parser.parse_args()
    chosen = [
        one
        for one in read_mutants()
        if not arguments.words or any(w in f"{one.file}: {one.what}" for w in arguments.words)
    ]
    if not chosen:
        raise SystemExit("no mutant has one of these words in its file or description")
    survivors = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _copy(folder)
        for one in chosen:
            try:
                mutated(one, (folder / one.path).read_text(encoding="utf-8"))
            except ValueError as error:
                raise SystemExit(str(error)) from None
        tests = sorted({f"tests/{name}" for one in chosen for name in one.tests})
        if (failed := _failure(folder, tests)) is not None:
            raise SystemExit(f"{failed} fails without a mutant: mend it first")
        for one in chosen:
            killer = _killer(folder, one, arguments.all_tests)
            survivors += killer is None
            state = "SURVIVES" if killer is None else "killed  "
            seen = "" if killer is None else f" ({killer})"
            print(f"{state} {one.file}: {one.what}{seen}", flush=True)
    print(f"{len(chosen)} mutants, {survivors} survive")
    if survivors > _MOST:
        raise SystemExit(f"more than {_MOST} survive: write the tests that see them")


if __name__ == "__main__":
    main()
