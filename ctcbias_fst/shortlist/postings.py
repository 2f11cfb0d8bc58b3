"""An inverted index of short sequences of phones, or of classes of them, over pronunciations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

_ALTERNATIVES = 3
_LEAST_PROBABILITY = 0.01
_SKIPS = {2: ((0, 1), (0, 2)), 3: ((0, 1, 2), (0, 2, 3), (0, 1, 3))}


@dataclass(frozen=True)
class Postings:
    """Inverted index of the sequences of ``order`` symbols below ``base``.

    Attributes:
        start: ``(base ** order + 1,)``: where the rows of a sequence begin in ``rows``.
        rows: pronunciations, ascending within a sequence.
        rarity: ``(base ** order,)`` inverse document frequency in nats.
        total: ``(pronunciations,)`` sum of the rarities of a row's own sequences.
    """

    base: int
    order: int
    start: Tensor
    rows: Tensor
    rarity: Tensor
    total: Tensor

    @classmethod
    def build(
        cls,
        symbols: npt.NDArray[np.uint8],
        owner: npt.NDArray[np.int32],
        count: int,
        *,
        base: int,
        order: int,
        device: torch.device,
    ) -> Postings:
        """Index ``symbols``, all pronunciations in a row, ``owner`` telling them apart."""
        sequences = max(0, len(symbols) - order + 1)
        key = np.zeros(sequences, dtype=np.int32)
        for step in range(order):
            key = key * base + symbols[step : step + sequences].astype(np.int32)
        inside = owner[:sequences] == owner[len(owner) - sequences :]
        rows = owner[:sequences][inside]
        # Of numbers as small as 16 bits hold a stable sort takes linear time.
        key = key[inside].astype(np.min_scalar_type(base**order))
        place = np.argsort(key, kind="stable")
        key, rows = key[place], rows[place]
        first = np.ones(len(key), dtype=bool)
        first[1:] = (key[1:] != key[:-1]) | (rows[1:] != rows[:-1])
        key, rows = key[first], rows[first]
        start = np.zeros(base**order + 1, dtype=np.int64)
        np.cumsum(np.bincount(key, minlength=base**order), out=start[1:])
        rarity = np.log(count / np.maximum(1, np.diff(start))).astype(np.float32)
        total = np.bincount(rows, weights=rarity[key], minlength=count).astype(np.float32)
        return cls(
            base,
            order,
            torch.from_numpy(start).to(device),
            torch.from_numpy(rows).to(device),
            torch.from_numpy(rarity).to(device),
            torch.from_numpy(total).to(device),
        )

    def found(self, slots: Tensor) -> Tensor:
        """Weighted count of a row's sequences that ``slots`` has, ``(pronunciations,)``.

        Args:
            slots: ``(slot, base)`` probabilities; column 0 is not looked up.
        """
        keys, probabilities = self._sequences(slots)
        if not len(keys):
            return torch.zeros_like(self.total)
        distinct, place = torch.unique(keys, return_inverse=True)
        # The best of several ways to hear a sequence.
        best = probabilities.new_zeros(len(distinct)).scatter_reduce(
            0, place, probabilities, "amax"
        )
        begin, end = self.start[distinct], self.start[distinct + 1]
        weights = torch.repeat_interleave(best.sqrt() * self.rarity[distinct], end - begin)
        # Slices, as an index of millions of rows would take longer than all else.
        picked = torch.cat([self.rows[b:e] for b, e in zip(begin.tolist(), end.tolist())])
        return torch.bincount(picked, weights=weights, minlength=len(self.total)).float()

    def _sequences(self, slots: Tensor) -> tuple[Tensor, Tensor]:
        audible = slots.clone()
        audible[:, 0] = 0.0
        probable, symbol = audible.topk(min(_ALTERNATIVES, self.base), dim=1)
        keys, probabilities = [], []
        for places in _SKIPS[self.order]:
            count = len(slots) - places[-1]
            if count <= 0:
                continue
            key = symbol.new_zeros((count, 1))
            probability = probable.new_ones((count, 1))
            for place in places:
                one, its = symbol[place : place + count], probable[place : place + count]
                key = (key[:, :, None] * self.base + one[:, None, :]).flatten(1)
                probability = (probability[:, :, None] * its[:, None, :]).flatten(1)
            keys.append(key.flatten())
            probabilities.append(probability.flatten())
        if not keys:
            return symbol.new_zeros(0), probable.new_zeros(0)
        key, probability = torch.cat(keys), torch.cat(probabilities)
        likely = probability > _LEAST_PROBABILITY
        return key[likely], probability[likely]
