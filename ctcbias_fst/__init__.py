"""CTC speech recognition that writes the names on a user's list."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctcbias_fst.decoder import Decoder
    from ctcbias_fst.recognizer import Recognizer

__all__ = ["Decoder", "Recognizer", "__version__"]

__version__ = "0.2.0"

_MODULES = {"Decoder": "ctcbias_fst.decoder", "Recognizer": "ctcbias_fst.recognizer"}


def __getattr__(name: str) -> Any:
    """Import what takes seconds only when it is wanted (PEP 562)."""
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What there is, imported or not."""
    return sorted({*globals(), *__all__})
