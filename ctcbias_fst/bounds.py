"""What configurations refuse: values out of bounds, with one message for each kind of bound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from numbers import Integral, Real
from typing import Any

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.text.text_files import quoted

MAX_STATES = 1_000_000
"""States per frame that a search may be told to keep: k2 aborts at some hundred millions."""

MAX_BEAM = 1e9
"""Nats: nothing is so far below anything."""

MAX_HYPOTHESES = 10_000
"""Of an utterance: what is made of each takes memory."""

MAX_REPLICATIONS = 100_000
"""Of a bootstrap: no digit that is shown changes with more, and millions need gigabytes."""

LARGEST = 2**31 - 1
"""Of whole numbers: what is counted in 32 bits somewhere below. Others may be 1000 times as large,
either way, which float32 still tells apart from infinity."""

_LEAST = 1e-30


def typed(config: object) -> None:
    """Refuse fields that are not of their type with ``ValueError``; numpy's numbers become plain.

    Args:
        config: a dataclass, of whose fields numbers, truth values and other dataclasses count.
    """
    fields: dict[str, Any] = type(config).__dataclass_fields__  # type: ignore[attr-defined]
    for name, field in fields.items():
        value, kind = getattr(config, name), field.default_factory
        if field.type in ("int", "float", int, float):
            _number(config, name)
        elif field.type in ("bool", bool) and not isinstance(value, bool):
            raise ValueError(f"{name} must be true or false, found {quoted(value)}")
        elif isinstance(kind, type) and is_dataclass(kind) and not isinstance(value, kind):
            raise ValueError(f"{name} must be a {kind.__name__}, found {quoted(value)}")


def positive(config: object, *names: str) -> None:
    """Refuse fields that are not above 0, also in 32 bits, or not finite, with ``ValueError``."""
    _bounded(config, names, "positive and finite", lambda number: _LEAST <= number < math.inf)


def not_negative(config: object, *names: str) -> None:
    """Refuse fields below 0 or not finite with ``ValueError``."""
    _bounded(config, names, "0 or more and finite", lambda number: 0 <= number < math.inf)


def at_least_one(config: object, *names: str) -> None:
    """Refuse numbers below 1 with ``ValueError``."""
    _bounded(config, names, "at least 1", lambda number: number >= 1)


def at_most(config: object, most: float, *names: str) -> None:
    """Refuse numbers that are larger than anything useful with ``ValueError``."""
    _bounded(config, names, f"at most {most}", lambda number: number <= most)


def _bounded(
    config: object, names: Iterable[str], wanted: str, fits: Callable[[float], bool]
) -> None:
    for name in names:
        if not fits(_number(config, name)):
            raise ValueError(f"{name} must be {wanted}, found {getattr(config, name)}")


def finite(config: object) -> None:
    """Refuse NaN and infinities in any field, and what `typed` does, with ``ValueError``."""
    typed(config)
    for name, value in vars(config).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, found {value}")


def whole_number(name: str, value: Any, most: int) -> int:
    """A whole number from 1 on that was given for an argument, of Python or numpy.

    Raises:
        ConfigError: it is none, or larger than anything useful.
    """
    whole = isinstance(value, Integral) and not isinstance(value, bool)
    number = int(value) if whole else 0
    if number < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, found {quoted(value)}")
    if number > most:
        raise ConfigError(f"{name} must be at most {most}, found {quoted(value)}")
    return number


def _number(config: object, name: str) -> float:
    """A field that is a number of its type, not absurdly large; other bounds are left to others."""
    value: Any = getattr(config, name)
    whole = type(config).__dataclass_fields__[name].type in ("int", int)  # type: ignore[attr-defined]
    right = isinstance(value, Integral) if whole else isinstance(value, Real)
    if isinstance(value, bool) or not right:
        kind = "a whole number" if whole else "a number"
        raise ValueError(f"{name} must be {kind}, found {quoted(value)}")
    absurd = LARGEST if whole else 1000 * LARGEST
    if abs(value) > absurd and abs(value) != math.inf:
        raise ValueError(f"{name} must be at most {absurd}, found {quoted(value)}")
    if type(value) not in (int, float):
        object.__setattr__(config, name, int(value) if whole else float(value))
    number: float = getattr(config, name)
    return number
