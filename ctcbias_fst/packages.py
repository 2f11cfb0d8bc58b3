"""What is told of a package that ctcbias_fst needs and that cannot be imported."""

from __future__ import annotations

import importlib.metadata
import re

from ctcbias_fst.errors import MissingDependencyError
from ctcbias_fst.k2_build import k2_fault, k2_remedy

_REQUIREMENT = re.compile(r"([\w.-]+)([^;]*)(;.*extra\s*==.*)?")


def package_fault(error: ImportError) -> str | None:
    """Which package is missing or does not work, and what to install.

    Args:
        error: of an import.

    Returns:
        one line; None if it is no package that ctcbias_fst itself asks for.
    """
    name = (error.name or "").partition(".")[0]
    if name in ("torch", "k2"):
        return f"{k2_fault(error)}: {k2_remedy()}"
    wanted = requirements().get(name)
    if wanted is None:
        return None
    if isinstance(error, ModuleNotFoundError) and error.name == name:
        return f"{name}, which ctcbias_fst needs, is not installed: pip install '{wanted}'"
    said = " ".join(str(error).split())
    return f"{name} cannot be loaded ({said}): pip install --force-reinstall --no-deps '{wanted}'"


def missing_package(error: ImportError) -> MissingDependencyError | None:
    """The same as an error of ours."""
    told = package_fault(error)
    return None if told is None else MissingDependencyError(told)


def requirements() -> dict[str, str]:
    """What pip was told that is needed without an extra, by name; none if nobody told it."""
    try:
        told = importlib.metadata.requires("ctcbias_fst") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    found = [match for match in map(_REQUIREMENT.fullmatch, told) if match and not match[3]]
    return {match[1]: f"{match[1]}{match[2]}".strip() for match in found}
