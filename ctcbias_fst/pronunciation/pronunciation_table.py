"""The pronunciations of a whole list of names, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from ctcbias_fst.pronunciation.pronounce import Pronunciation
from ctcbias_fst.text.phones import PHONES

__all__ = ["PronunciationTable"]

_NUMBER = {phone: number for number, phone in enumerate(PHONES, start=1)}


@dataclass(frozen=True, eq=False)
class PronunciationTable:
    """How the names of a list sound.

    Attributes:
        names: (names + 1,) name i has the rows ``names[i]`` to ``names[i + 1] - 1``, the likeliest
            first.
        rows: (rows + 1,) row r is ``phones[rows[r]:rows[r + 1]]``.
        phones: uint8, columns of the phone head: 1 and up.
        cost: (rows,) float32, nats, at least 0: how much less likely than the best of the name.
    """

    names: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    phones: npt.NDArray[np.uint8]
    cost: npt.NDArray[np.float32]

    @classmethod
    def of(cls, pronunciations: Sequence[Sequence[Pronunciation]]) -> PronunciationTable:
        """Take what a pronouncer says of each name; nothing for one that it cannot say."""
        several = list(chain.from_iterable(pronunciations))
        lengths = np.fromiter((len(one.phones) for one in several), np.int64, len(several))
        numbers = [_NUMBER[phone] for one in several for phone in one.phones]
        counts = np.fromiter(map(len, pronunciations), np.int64, len(pronunciations))
        return cls(
            names=_splits(counts),
            rows=_splits(lengths),
            phones=np.array(numbers, dtype=np.uint8),
            cost=np.fromiter((one.cost for one in several), np.float32, len(several)),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> PronunciationTable:
        """Undo `arrays`.

        Raises:
            ValueError, KeyError: they are not of this form.
        """
        names, rows = arrays["names"].astype(np.int64), arrays["rows"].astype(np.int64)
        phones, cost = arrays["phones"].astype(np.uint8), arrays["cost"].astype(np.float32)
        for splits, total in ((names, len(rows) - 1), (rows, len(phones))):
            if not len(splits) or splits[0] or splits[-1] != total or (np.diff(splits) < 0).any():
                raise ValueError("rows do not fit together")
        if (
            len(cost) != len(rows) - 1
            or not (phones.min(initial=1) >= 1)
            or (phones.max(initial=1) > len(PHONES))
        ):
            raise ValueError("phones or costs are out of range")
        return cls(names, rows, phones, cost)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The attributes, to be stored."""
        return dict(vars(self))

    def __len__(self) -> int:
        """How many names."""
        return len(self.names) - 1

    def sounds(self, name: int) -> list[tuple[tuple[int, ...], float]]:
        """The phones and the cost of each pronunciation of a name."""
        return [
            (
                tuple(self.phones[self.rows[row] : self.rows[row + 1]].tolist()),
                round(float(self.cost[row]), 4),
            )
            for row in range(int(self.names[name]), int(self.names[name + 1]))
        ]

    def likeliest(self, most: int) -> tuple[npt.NDArray[np.int64], PronunciationTable]:
        """The first pronunciations of each name that have phones: whose they are, and they."""
        lengths = np.diff(self.rows)
        owner = np.repeat(np.arange(len(self)), np.diff(self.names))
        audible = lengths > 0
        rank: npt.NDArray[np.int64] = np.cumsum(audible) - audible
        before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(audible)])[self.names[:-1]]
        kept = audible & (rank - before[owner] < most)
        counts = np.bincount(owner[kept], minlength=len(self))
        chosen = PronunciationTable(
            names=_splits(counts),
            rows=_splits(lengths[kept]),
            phones=self.phones[np.repeat(kept, lengths)],
            cost=self.cost[kept],
        )
        return owner[kept], chosen


def _splits(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
