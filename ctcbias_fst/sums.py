"""Counts that add."""

from __future__ import annotations

from operator import add
from typing import TypeVar

Own = TypeVar("Own", bound="Sums")


class Sums:
    """What dataclasses of counts, or of such dataclasses, inherit: they add field by field."""

    def __add__(self: Own, other: Own) -> Own:
        return type(self)(*map(add, vars(self).values(), vars(other).values()))

    @classmethod
    def zero(cls: type[Own]) -> Own:
        """Return the counts of nothing."""
        return cls()
