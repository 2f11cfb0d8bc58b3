"""The one place that imports k2, so that one that is missing or does not fit is told in a line."""

from __future__ import annotations

from ctcbias_fst.errors import MissingDependencyError
from ctcbias_fst.k2_build import k2_fault, k2_remedy

try:
    import k2
except (ImportError, OSError) as error:
    raise MissingDependencyError(f"{k2_fault(error)}: {k2_remedy()}") from error

__all__ = ["k2"]
