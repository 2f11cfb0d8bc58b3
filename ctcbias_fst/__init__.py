"""CTC speech recognition that writes the names on a user's list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctcbias_fst.pipeline import Recognizer

__all__ = ["Recognizer", "__version__"]

__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """Import what takes seconds only when it is wanted (PEP 562)."""
    if name == "Recognizer":
        from ctcbias_fst.pipeline import Recognizer  # noqa: PLC0415

        return Recognizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
