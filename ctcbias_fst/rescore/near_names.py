"""Which names of a list sound much like stretches of what was heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F

from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable
from ctcbias_fst.rescore.word_pronunciations import EntityPronunciations
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.phones import PHONES

_PAIRS = 4_000_000
"""Of windows and pronunciations, compared at a time: bounds the memory."""

_TABLES: WeakKeyDictionary[EntityPronunciations, dict[tuple[int, torch.device], Rows]]
_TABLES = WeakKeyDictionary()


class Rows(NamedTuple):
    """The pronunciations of a list of names, to be compared with what was heard.

    Attributes:
        phones: int64 (R, L), filled up with 0.
        length: int64 (R,).
        counts: float32 (R, P), how often each phone occurs.
        entities: whose they are.
    """

    phones: torch.Tensor
    length: torch.Tensor
    counts: torch.Tensor
    entities: tuple[Entity, ...]


def rows_of(names: EntityPronunciations, min_phones: int, device: torch.device) -> Rows:
    """The pronunciations of a list; made once, and kept as long as the list is."""
    tables = _TABLES.setdefault(names, {})
    known = tables.get((min_phones, device))
    if known is not None:
        return known
    several = names.lookup_candidates()
    table = PronunciationTable.of(
        [[one for one in own if len(one.phones) >= min_phones] for _, own in several]
    )
    phones = torch.from_numpy(table.padded()).long().to(device)
    entities = tuple([several[name][0] for name in table.owner.tolist()])
    made = Rows(phones, (phones > 0).sum(dim=1), _counts(phones), entities)
    tables[min_phones, device] = made
    return made


def near(
    phones: torch.Tensor,
    low: torch.Tensor,
    high: torch.Tensor,
    lists: Sequence[tuple[int, Rows]],
    max_distance: float,
) -> Iterator[tuple[int, int, int]]:
    """Windows and pronunciations within the distance: (window, pronunciation, edits).

    Args:
        phones: int64 (K,), what was heard.
        low, high: int64 (W,), the phones of each window.
        lists: how many of the windows, in their order, are compared with which pronunciations;
            these count on from one list to the next.
        max_distance: edits per phone of a pronunciation.
    """
    length = high - low
    longest = int(length.max()) if len(length) else 0
    place = low[:, None] + torch.arange(longest, device=low.device)
    padded = phones.new_zeros(len(low), longest)
    if len(phones) and longest:
        padded = phones[place.clamp(max=len(phones) - 1)]
        padded = padded.masked_fill(place >= high[:, None], 0)
    counts = _counts(padded)
    lengths = torch.cat([length[:0], *(table.length for _, table in lists)])
    allowed = (lengths.double() * max_distance + 1e-9).floor().long()
    pairs, window, row = [], 0, 0
    for windows, table in lists:
        rows = slice(row, row + len(table.length))
        step = max(1, _PAIRS // max(1, len(table.length)))
        for begin in range(window, window + windows, step):
            some = counts[begin : min(begin + step, window + windows)]
            # Every edit changes the numbers of phones by two at most: few pairs are left.
            off = torch.cdist(some, table.counts, p=1)
            few = (off <= 2.0 * allowed[rows]).nonzero()
            pairs.append(few + torch.tensor([begin, row], device=few.device))
        window, row = window + windows, rows.stop
    if not row or not pairs:
        return
    widest = max(table.phones.shape[1] for _, table in lists)
    every = torch.cat(
        [F.pad(table.phones, (0, widest - table.phones.shape[1])) for _, table in lists]
    )
    for at, its in (pair.unbind(dim=1) for pair in torch.cat(pairs).split(_PAIRS // 32)):
        edits = edit_distances(padded[at], length[at], every[its], lengths[its])
        good = edits <= allowed[its]
        yield from zip(at[good].tolist(), its[good].tolist(), edits[good].tolist())


def edit_distances(
    first: torch.Tensor, first_length: torch.Tensor, second: torch.Tensor, length: torch.Tensor
) -> torch.Tensor:
    """Levenshtein distances of pairs of rows: int64 (K,).

    Args:
        first: int64 (K, A); of row k the first ``first_length[k]`` count.
        second: int64 (K, B); of row k the first ``length[k]`` count.
    """
    place = torch.arange(second.shape[1] + 1, device=second.device)
    row = place.expand(len(second), -1)
    for step in range(first.shape[1]):
        changed = row[:, :-1] + (first[:, step : step + 1] != second).long()
        best = torch.cat([row[:, :1] + 1, torch.minimum(changed, row[:, 1:] + 1)], dim=1)
        # Insertions run along the row: the least of all that could have begun before.
        best = (best - place).cummin(dim=1).values + place
        row = torch.where((step < first_length)[:, None], best, row)
    return row.gather(1, length[:, None]).squeeze(1)


def _counts(phones: torch.Tensor) -> torch.Tensor:
    """How often each phone occurs in each row: float32 (rows, phones)."""
    counts = torch.zeros(len(phones), 1 + len(PHONES), device=phones.device)
    counts.scatter_add_(1, phones, torch.ones_like(phones, dtype=torch.float32))
    return counts[:, 1:]
