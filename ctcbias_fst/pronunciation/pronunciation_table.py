"""One pronunciation, and those of many words or names as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ctcbias_fst.pronunciation.lexicon import possessive
from ctcbias_fst.text.encoded_entities import expand
from ctcbias_fst.text.phones import PHONE_ID, PHONES


class Pronunciation(NamedTuple):
    """One way a word, or a name of several, may sound.

    Attributes:
        phones: columns of the phone head, 1 and up; all words in a row.
        cost: nats, at least 0: how much less likely than the best one of the name.
        source: ``user``, ``sounds_like``, ``lexicon``, ``letters``, ``g2p``; several with a
            ``+`` between them if the name's words come from different ones. Empty where nobody
            asks.
    """

    phones: tuple[int, ...]
    cost: float
    source: str = ""

    @classmethod
    def of(cls, phones: Iterable[str], cost: float = 0.0, source: str = "") -> Pronunciation:
        """Take phones by their names."""
        return cls(tuple([PHONE_ID[phone] for phone in phones]), cost, source)

    @property
    def text(self) -> str:
        """The phones as they are written: ``K AE T``."""
        return " ".join([PHONES[phone - 1] for phone in self.phones])

    def possessive(self) -> Pronunciation:
        """The same with ``'s`` behind it."""
        return self.of(possessive(tuple(self.text.split())), self.cost, self.source)


@dataclass(frozen=True, eq=False)
class PronunciationTable:
    """How the names of a list, or the words of some text, sound.

    Attributes:
        names: int64 (names + 1,) name i has the rows ``names[i]`` to ``names[i + 1] - 1``, the
            likeliest first; it may have none.
        rows: int64 (rows + 1,) row r is ``phones[rows[r]:rows[r + 1]]``, at least one.
        phones: uint8, columns of the phone head: 1 and up.
        cost: (rows,) float32, nats, at least 0: how much less likely than the best of the name.
    """

    names: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    phones: npt.NDArray[np.uint8]
    cost: npt.NDArray[np.float32]

    @classmethod
    def of(cls, pronunciations: Sequence[Sequence[Pronunciation]]) -> PronunciationTable:
        """Take the pronunciations of each name; those without phones are left out."""
        kept = [[one for one in several if one.phones] for several in pronunciations]
        rows = list(chain.from_iterable(kept))
        lengths = np.fromiter((len(one.phones) for one in rows), np.int64, len(rows))
        phones = chain.from_iterable([one.phones for one in rows])
        return cls(
            names=_splits(np.fromiter(map(len, kept), np.int64, len(kept))),
            rows=_splits(lengths),
            phones=np.fromiter(phones, np.uint8, int(lengths.sum())),
            cost=np.fromiter((one.cost for one in rows), np.float32, len(rows)),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> PronunciationTable:
        """Undo `arrays`.

        Raises:
            ValueError, KeyError: they are not of this form.
        """
        names, rows = arrays["names"].astype(np.int64), arrays["rows"].astype(np.int64)
        phones, cost = arrays["phones"].astype(np.uint8), arrays["cost"].astype(np.float32)
        for splits, total, least in ((names, len(rows) - 1, 0), (rows, len(phones), 1)):
            steps = np.diff(splits)
            if not len(splits) or splits[0] or splits[-1] != total or (steps < least).any():
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

    @property
    def owner(self) -> npt.NDArray[np.int64]:
        """(rows,) the name of each row."""
        return np.repeat(np.arange(len(self)), np.diff(self.names))

    def pronunciations(self, name: int) -> list[Pronunciation]:
        """Those of a name."""
        return [
            Pronunciation(
                tuple(self.phones[self.rows[row] : self.rows[row + 1]].tolist()),
                round(float(self.cost[row]), 4),
            )
            for row in range(int(self.names[name]), int(self.names[name + 1]))
        ]

    def padded(self) -> npt.NDArray[np.uint8]:
        """(rows, longest) the phones of each row, 0 behind the end."""
        lengths = np.diff(self.rows)
        padded = np.zeros((len(lengths), int(lengths.max(initial=1))), dtype=np.uint8)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = self.phones
        return padded

    def select(self, names: npt.NDArray[np.int64]) -> PronunciationTable:
        """Some names, in another order."""
        counts = np.diff(self.names)[names]
        rows = expand(self.names[names], counts)[1]
        lengths = np.diff(self.rows)[rows]
        return PronunciationTable(
            names=_splits(counts),
            rows=_splits(lengths),
            phones=self.phones[expand(self.rows[rows], lengths)[1]],
            cost=self.cost[rows],
        )

    def with_names_of(self, other: PronunciationTable) -> PronunciationTable:
        """These names, then those of another table."""
        return PronunciationTable(
            names=np.concatenate([self.names, self.names[-1] + other.names[1:]]),
            rows=np.concatenate([self.rows, self.rows[-1] + other.rows[1:]]),
            phones=np.concatenate([self.phones, other.phones]),
            cost=np.concatenate([self.cost, other.cost]),
        )

    def likeliest(self, most: int) -> PronunciationTable:
        """The first pronunciations of each name alone."""
        owner = self.owner
        kept = np.arange(len(owner)) - self.names[owner] < most
        if kept.all():
            return self
        lengths = np.diff(self.rows)
        return PronunciationTable(
            names=_splits(np.bincount(owner[kept], minlength=len(self))),
            rows=_splits(lengths[kept]),
            phones=self.phones[np.repeat(kept, lengths)],
            cost=self.cost[kept],
        )


def _splits(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
