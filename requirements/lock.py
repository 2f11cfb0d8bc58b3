"""Rebuild requirements/pyXY.txt for the Python that runs this: see README.md beside this file.

Needs pip-tools in the same Python. Resolves pyproject.toml (with its extras) and pins.in
against the package index alone, then replaces the k2 entry, for which pip-compile cannot
know the one right hash.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# k2's wheels are tagged py3.9, py3.10 and py3.11, which pip reads as "any Python 3": left
# to itself it installs one built for another Python. With one hash it can take only that.
K2_WHEEL = re.compile(r'^k2==.* python_version == "(.*)" --hash=sha256:(\w+)$', re.MULTILINE)
K2_ENTRY = re.compile(r"^(k2==[\w.]+) \\\n(?:    --hash=sha256:\w+(?: \\)?\n)+", re.MULTILINE)


def main() -> None:
    """Write the lock file of the running Python."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    wheels = dict(K2_WHEEL.findall((HERE / "k2.txt").read_text()))
    if python not in wheels:
        sys.exit(f"no k2 1.23.4 wheel for Python {python}; there are: {', '.join(wheels)}")
    target = HERE / f"py{python.replace('.', '')}.txt"
    compile_lock(target)
    text, entries = K2_ENTRY.subn(
        lambda entry: f"{entry[1]} \\\n    --hash=sha256:{wheels[python]}\n", target.read_text()
    )
    if entries != 1:
        sys.exit(f"{target}: expected one k2 entry, found {entries}")
    if "://" in text:
        sys.exit(f"{target}: names a host; it must not")
    target.write_text(text)


def compile_lock(target: Path) -> None:
    """Run pip-compile, without the local package sources that this machine may have."""
    local = {"PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"}
    environment = {name: value for name, value in os.environ.items() if name not in local}
    environment["PIP_CONFIG_FILE"] = os.devnull
    environment["CUSTOM_COMPILE_COMMAND"] = "make lock"
    options = [
        "--quiet",
        "--upgrade",
        "--generate-hashes",
        "--allow-unsafe",
        "--strip-extras",
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--no-annotate",
        "--extra=dev",
        "--extra=hama",
        "--extra=hf",
        "--extra=onnx",
        "--extra=plots",
        "--extra=postgres",
        "--extra=serve",
        "--extra=train",
        "--extra=tune",
        f"--output-file={target}",
    ]
    sources = [str(HERE.parent / "pyproject.toml"), str(HERE / "pins.in")]
    subprocess.run(
        [sys.executable, "-m", "piptools", "compile", *options, *sources],
        check=True,
        env=environment,
        cwd=HERE.parent,
    )


if __name__ == "__main__":
    main()
