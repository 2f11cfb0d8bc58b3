"""Many pronunciations aligned to what was heard, anywhere in it.

Dynamic programming over phones and slots: one step per phone, over all pronunciations and slots
at once. What pronunciations have in common at their beginning is aligned once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_NEVER = 16_000
"""Units of cost of what cannot be; no pronunciation costs more than as many, either way."""

_UNITS = 100.0
"""Units of cost in a nat: in 16-bit integers more of them are moved at a time."""


@dataclass(frozen=True)
class _Level:
    """The beginnings of one length.

    Attributes:
        parent: ``(beginnings,)`` the one that is a phone shorter, among those of the level before.
        phone: ``(beginnings,)`` their last phones.
        row: the pronunciations that are as long.
        at: which beginning each of them is.
    """

    parent: Tensor
    phone: Tensor
    row: Tensor
    at: Tensor


@dataclass(frozen=True)
class PrefixTree:
    """Pronunciations by their beginnings, shortest first."""

    rows: int
    levels: tuple[_Level, ...]

    @classmethod
    def joined(cls, phones: Tensor, lengths: Tensor) -> PrefixTree:
        """Beginnings that are the same are one; takes longer than one alignment.

        Args:
            phones: ``(rows, longest)``, 0 behind the end.
            lengths: ``(rows,)``.
        """
        order = torch.from_numpy(np.lexsort(phones.cpu().numpy().T[::-1])).to(phones.device)
        phones, lengths = phones[order], lengths[order]
        new = torch.ones_like(phones, dtype=torch.bool)
        new[1:] = (phones[1:] != phones[:-1]).long().cumsum(1) > 0
        levels = []
        above = torch.zeros_like(lengths)
        for position in range(phones.shape[1]):
            first = (new[:, position] & (lengths > position)).nonzero().flatten()
            place = torch.zeros_like(lengths)
            place[first] = 1
            place = place.cumsum(0) - 1
            ends = (lengths == position + 1).nonzero().flatten()
            levels.append(
                _Level(above[first], phones[first, position].long(), order[ends], place[ends])
            )
            above = place
        return cls(len(order), tuple(levels))

    @classmethod
    def apart(cls, phones: Tensor, lengths: Tensor) -> PrefixTree:
        """Each by itself; see `joined`."""
        lengths, order = lengths.sort(descending=True)
        phones = phones[order]
        ended = torch.bincount(lengths, minlength=phones.shape[1] + 1).cumsum(0)
        going = (len(order) - ended).tolist()
        every = torch.arange(len(order), device=order.device)
        levels = tuple(
            _Level(
                every[: going[position]] if position else torch.zeros_like(every[: going[0]]),
                phones[: going[position], position].long(),
                order[going[position + 1] : going[position]],
                every[going[position + 1] : going[position]],
            )
            for position in range(phones.shape[1])
        )
        return cls(len(order), levels)

    def align(
        self, substitutions: Sequence[Tensor], skips: Sequence[Tensor], missing: float
    ) -> Tensor:
        """Least cost in nats of each pronunciation anywhere in the slots of each utterance.

        Args:
            substitutions: ``(slot, phone)`` each, of hearing a phone as what is in the slot.
            skips: ``(slot,)`` each, of leaving a slot out after a phone; at most one after each.
            missing: of a phone that is not heard.

        Returns:
            ``(utterances, rows)``.
        """
        # Before the slots of an utterance comes a column for pronunciations that end before them;
        # column s: the phones so far end with its slot. Laid out flat, so that one addition moves
        # all of them on by a slot; what would come from the end of another row, or utterance, never
        # is the least.
        units = min(_UNITS, _NEVER / (missing * max(1, len(self.levels)))) if missing else _UNITS
        price = round(missing * units)
        never = substitutions[0].new_full((1,), _NEVER / units)
        row = never.expand(1, substitutions[0].shape[1])
        heard = torch.cat([part for each in substitutions for part in (row, each)])
        heard = (heard * units).round_().short().t().contiguous()
        over = torch.cat([part for each in skips for part in (never, each)])
        over = (over * units).round_().short()
        widths = [1 + len(each) for each in skips]
        costs = heard.new_zeros((1, len(over)))
        over = over.repeat(max((len(level.parent) for level in self.levels), default=0))
        best = heard.new_zeros((self.rows, len(widths)), dtype=torch.float32)
        # The price of missing phones is paid at the end; one that is heard gets it back.
        heard -= price
        for position, level in enumerate(self.levels):
            costs = costs.index_select(0, level.parent)
            taken = heard.index_select(0, level.phone)
            flat, its = costs.view(-1), taken.view(-1)
            its[1:] += flat[:-1]
            torch.minimum(flat, its, out=flat)
            torch.add(flat[:-1], over[1 : len(flat)], out=its[1:])
            torch.minimum(flat[1:], its[1:], out=flat[1:])
            ended = costs.index_select(0, level.at).split(widths, dim=1)
            least = torch.stack([each.amin(dim=1) for each in ended], dim=1)
            best[level.row] = least.float() + (position + 1) * price
        return best.t() / units
