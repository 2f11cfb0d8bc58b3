"""What configurations refuse: values out of bounds, with one message for each kind of bound."""

from __future__ import annotations

__all__ = ["at_least_one", "not_negative", "positive"]


def positive(config: object, *names: str) -> None:
    """Refuse fields that are not above 0, NaN among them, with ``ValueError``."""
    for name in names:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name} must be positive, found {getattr(config, name)}")


def not_negative(config: object, *names: str) -> None:
    """Refuse fields below 0, and NaN, with ``ValueError``."""
    for name in names:
        if not getattr(config, name) >= 0:
            raise ValueError(f"{name} must be 0 or more, found {getattr(config, name)}")


def at_least_one(config: object, *names: str) -> None:
    """Refuse numbers below 1 with ``ValueError``."""
    for name in names:
        if not getattr(config, name) >= 1:
            raise ValueError(f"{name} must be at least 1, found {getattr(config, name)}")
