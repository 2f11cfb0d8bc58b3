"""What an installed k2 was built for, found without loading it, and what to do where that is wrong.

k2's wheels are each built for one Python, one torch and one CUDA. Those on the package index are
tagged in such a way that pip takes any of them for any Python (docs/install.md).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path

WHEELS = "https://k2-fsa.github.io/k2/"
"""Where k2's own lists of wheels are: ``cpu.html`` and ``cuda.html``."""

_THIS_PYTHON = "{}.{}".format(*sys.version_info)
_CPYTHON = re.compile(r"_k2\.cpython-(\d)(\d+)")


@dataclass(frozen=True)
class K2Build:
    """What an installed k2 says of itself.

    Attributes:
        version: of k2.
        pythons: those that its library is there for, such as ``3.11``.
        torch: the torch it was built with; empty if it does not say.
        cuda: the CUDA of that torch; empty for the CPU alone.
        folder: where it lies.
    """

    version: str
    pythons: tuple[str, ...]
    torch: str
    cuda: str
    folder: Path

    def __str__(self) -> str:
        made_for = [f"Python {' and '.join(self.pythons)}"] if self.pythons else []
        made_for += [f"torch {self.torch}"] if self.torch else []
        made_for.append(f"CUDA {self.cuda}" if self.cuda else "the CPU")
        return f"{self.version}, built for {', '.join(made_for)}"


def installed_k2() -> K2Build | None:
    """The k2 that an import would find; ``None`` if there is none."""
    found = importlib.util.find_spec("k2")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(next(iter(found.submodule_search_locations)))
    try:
        version = importlib.metadata.version("k2")
    except importlib.metadata.PackageNotFoundError:
        version = "of an unknown version"
    # Wheels have the library beside the package.
    tags = (_CPYTHON.match(path.name) for path in folder.parent.glob("_k2.*"))
    pythons = {f"{tag[1]}.{tag[2]}" for tag in tags if tag}
    said = _constants(folder / "torch_version.py")
    return K2Build(
        version=version,
        pythons=tuple(sorted(pythons)),
        torch=said.get("k2_torch_version", ""),
        cuda=said.get("k2_torch_cuda_version", ""),
        folder=folder,
    )


def k2_fault(error: BaseException) -> str:
    """Why k2 could not be imported, in one line."""
    build, torch, cuda = installed_k2(), *_installed_torch()
    if torch is None:
        return "torch, which k2 and ctcbias_fst need, is not installed"
    if build is None:
        return "k2, which searches the graphs, is not installed"
    if build.pythons and _THIS_PYTHON not in build.pythons:
        return f"k2 {build}, is not for this Python {_THIS_PYTHON}"
    if build.torch and _plain(build.torch) != _plain(torch):
        return f"k2 {build}, does not go with torch {torch}"
    if build.cuda and cuda and build.cuda != cuda:
        return f"k2 {build}, does not go with torch {torch}, which is for CUDA {cuda}"
    said = " ".join(str(error).split()) or type(error).__name__
    return f"k2 {build}, cannot be loaded beside torch {torch} ({said})"


def k2_remedy() -> str:
    """What to install beside the torch and the Python that are there."""
    torch, cuda = _installed_torch()
    if torch is None:
        return (
            "install torch, then the k2 that was built for it, as docs/install.md says "
            "('make setup' in a checkout does both)"
        )
    page = WHEELS + ("cuda.html" if cuda else "cpu.html")
    return (
        f"install the k2 for torch {_plain(torch)} and Python {_THIS_PYTHON}: pip install "
        f"--force-reinstall --no-deps 'k2==VERSION' -f {page}, where the page lists the VERSIONs "
        "(docs/install.md)"
    )


def _installed_torch() -> tuple[str | None, str]:
    """The version of torch and its CUDA (empty: none), without loading it."""
    found = importlib.util.find_spec("torch")
    if found is None or not found.submodule_search_locations:
        return None, ""
    said = _constants(Path(next(iter(found.submodule_search_locations))) / "version.py")
    return said.get("__version__", "of an unknown version"), said.get("cuda", "")


def _constants(path: Path) -> dict[str, str]:
    """The strings that a Python file names at its top."""
    try:
        found = runpy.run_path(str(path))
    except Exception:  # whatever a file that is not as it should be raises
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _plain(version: str) -> str:
    """A version without what follows ``+``, which is what k2 compares."""
    return version.split("+", maxsplit=1)[0]
