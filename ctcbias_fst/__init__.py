"""CTC speech recognition that writes the names on a user's list."""

from __future__ import annotations

__version__ = "0.1.0.dev0"
