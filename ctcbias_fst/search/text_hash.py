"""A 64-bit hash of a text that can be extended piece by piece."""

from __future__ import annotations

BASE, SPREAD = 0x5851F42D4C957F2D, 0x9E3779B97F4A7C15
"""The hash h becomes ``h * BASE + (code point + 1) * SPREAD``, modulo 2 ** 64, with each letter."""

_MODULUS = 1 << 64


def text_hash(text: str) -> tuple[int, int]:
    """(factor, summand) by which a text changes a hash, as int64 has them.

    The hash h of what is before becomes ``h * factor + summand`` after it; that of the text alone
    is the summand.
    """
    factor, summand = 1, 0
    for letter in text:
        factor = factor * BASE % _MODULUS
        summand = (summand * BASE + (ord(letter) + 1) * SPREAD) % _MODULUS
    return _signed(factor), _signed(summand)


def _signed(value: int) -> int:
    return value - _MODULUS if value >= _MODULUS >> 1 else value
