"""The spellings of names as rows of tokens: in order, and each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.entity import Entity


def sorted_rows(
    encoded: EncodedEntities,
    lengths: npt.NDArray[np.int64],
    row_class: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Row numbers by (weight class, tokens, cost): a prefix before its continuations.

    Tokens are packed, as many to a 63-bit key as fit, so that a sort compares few keys; 0 pads.
    """
    if not len(lengths):
        return np.zeros(0, dtype=np.int64)
    keys = []
    bits = (int(encoded.values.max(initial=0)) + 1).bit_length()
    together = 63 // bits
    for begin in range(0, int(lengths.max()), together):
        key = np.zeros(len(lengths), dtype=np.int64)
        for position in range(begin, begin + together):
            key <<= bits
            has = lengths > position
            tokens = encoded.values[encoded.row_splits[:-1][has] + position]
            key[has] |= tokens.astype(np.int64) + 1
        keys.append(key)
    by: list[npt.NDArray[Any]] = [encoded.cost, *reversed(keys), row_class]
    order: npt.NDArray[np.int64] = np.lexsort(by)
    return order


def unique_rows(
    order: npt.NDArray[np.int64],
    encoded: EncodedEntities,
    lengths: npt.NDArray[np.int64],
    row_class: npt.NDArray[np.int64],
    entities: Sequence[Entity],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
    """Keep one of the rows with equal tokens: the cheapest, then by weight, then by name.

    Returns the kept rows in their order, and the entities of the others.
    """
    hashes = _row_hashes(encoded, lengths)
    _, inverse, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    repeated = counts[inverse] > 1
    if not repeated.any():
        return order, np.zeros(0, dtype=np.int32)
    groups: dict[tuple[int, ...], list[int]] = {}
    splits = encoded.row_splits
    for row in np.flatnonzero(repeated).tolist():
        groups.setdefault(tuple(encoded.values[splits[row] : splits[row + 1]].tolist()), []).append(
            row
        )
    keep = np.ones(len(order), dtype=bool)
    for rows in groups.values():
        best = min(
            rows,
            key=lambda row: (
                float(encoded.cost[row]),
                int(row_class[row]),
                entities[int(encoded.entity_index[row])].name,
                entities[int(encoded.entity_index[row])].display,
            ),
        )
        keep[[row for row in rows if row != best]] = False
    return order[keep[order]], encoded.entity_index[~keep]


def _row_hashes(encoded: EncodedEntities, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """A 64-bit number per row, equal for equal rows (and hardly ever for others)."""
    mixed = (encoded.values.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    position = np.arange(len(mixed), dtype=np.uint64)
    position -= np.repeat(encoded.row_splits[:-1], lengths).astype(np.uint64)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9) + np.uint64(2) * position
    mixed ^= mixed >> np.uint64(32)
    return np.add.reduceat(mixed, encoded.row_splits[:-1]) if len(lengths) else mixed
