"""64-bit hashes of texts that can be extended piece by piece."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_BASE = np.uint64(0x5851F42D4C957F2D)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)

Hashes = npt.NDArray[np.uint64]


def letter_codes(texts: Sequence[str]) -> Hashes:
    """uint64: what each letter of all texts adds to a hash."""
    letters = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    codes: Hashes = (letters.astype(np.uint64) + np.uint64(1)) * _SPREAD
    return codes


def extended(hashes: Hashes, codes: Hashes) -> Hashes:
    """The hashes of texts with one letter more."""
    longer: Hashes = hashes * _BASE + codes
    return longer


def text_hashes(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """int64 (texts, 2), (factor, summand): a hash h becomes ``h * factor + summand`` by a text.

    The hash of no text is 0. All is modulo 2 ** 64.
    """
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    codes = letter_codes(texts)
    first = np.cumsum(lengths) - lengths
    summand = np.zeros(len(lengths), dtype=np.uint64)
    longest = int(lengths.max(initial=0))
    powers = np.ones(longest + 1, dtype=np.uint64)
    powers[1:] = np.cumprod(np.full(longest, _BASE))
    for position in range(longest):
        of = np.flatnonzero(lengths > position)
        summand[of] = extended(summand[of], codes[first[of] + position])
    both: npt.NDArray[np.int64] = np.stack([powers[lengths], summand], axis=1).view(np.int64)
    return both
