"""What configurations refuse: values out of bounds, with one message for each kind of bound."""

from __future__ import annotations

import math

__all__ = ["MOST_STATES", "at_least_one", "at_most", "finite", "not_negative", "positive"]

MOST_STATES = 1_000_000
"""States per frame that a search may be told to keep: k2 aborts at some hundred millions."""

_LEAST = 1e-30


def positive(config: object, *names: str) -> None:
    """Refuse fields that are not above 0, also in 32 bits, or not finite, with ``ValueError``."""
    for name in names:
        if not _LEAST <= getattr(config, name) < math.inf:
            raise ValueError(f"{name} must be positive and finite, found {getattr(config, name)}")


def not_negative(config: object, *names: str) -> None:
    """Refuse fields below 0 or not finite with ``ValueError``."""
    for name in names:
        if not 0 <= getattr(config, name) < math.inf:
            raise ValueError(f"{name} must be 0 or more and finite, found {getattr(config, name)}")


def at_least_one(config: object, *names: str) -> None:
    """Refuse numbers below 1 with ``ValueError``."""
    for name in names:
        if not getattr(config, name) >= 1:
            raise ValueError(f"{name} must be at least 1, found {getattr(config, name)}")


def at_most(config: object, most: float, *names: str) -> None:
    """Refuse numbers that are larger than anything useful with ``ValueError``."""
    for name in names:
        if not getattr(config, name) <= most:
            raise ValueError(f"{name} must be at most {most}, found {getattr(config, name)}")


def finite(config: object) -> None:
    """Refuse NaN and infinities in any field with ``ValueError``."""
    for name, value in vars(config).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, found {value}")
