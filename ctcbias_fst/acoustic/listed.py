"""Lists of names as the adapter sees them: whole, or of a long one what an utterance may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.acoustic.adapter import ContextualAdapter, EntityBatch, EntityKeys
from ctcbias_fst.acoustic.model import ModelOutput
from ctcbias_fst.sound.presence import SubwordIndex
from ctcbias_fst.text.encoded_entities import EncodedEntities

__all__ = ["ListedNames", "keys_of_batch"]

_READ_AT_ONCE = 5_000
"""Lists of at most so many spellings are read once and kept, longer ones as far as needed."""


@dataclass(frozen=True, eq=False)
class ListedNames:
    """A list of names for the adapter.

    Attributes:
        adapter: what reads them.
        entities: their subwords, one row per spelling.
        most: spellings that an utterance attends to.
        index: of their subwords, on the adapter's device.
        whole: all of them, if they were read at once.
    """

    adapter: ContextualAdapter
    entities: EncodedEntities
    most: int
    index: SubwordIndex
    whole: EntityKeys | None

    @classmethod
    def of(cls, adapter: ContextualAdapter, entities: EncodedEntities, most: int) -> ListedNames:
        """Prepare a list once for any number of utterances."""
        index = SubwordIndex.of(entities, adapter.no_bias.device)
        made = cls(adapter, entities, most, index, None)
        if len(entities) > _READ_AT_ONCE:
            return made
        return replace(made, whole=made._read(torch.arange(len(entities))))

    def keys(self, output: ModelOutput) -> list[EntityKeys]:
        """What each utterance of a batch attends to.

        Those spellings whose subwords are likeliest to be somewhere in it, in the list's order.

        Args:
            output: of the base model.
        """
        if len(self.entities) <= self.most and self.whole is not None:
            return [self.whole] * len(output.states)
        found = self.index.likeliest(output.log_probs, output.lengths, self.most)
        picked = found.sort(dim=1).values
        wanted, keys = torch.arange(len(self.entities), device=picked.device), self.whole
        if keys is None:
            wanted = torch.unique(picked)
            keys = self._read(wanted)
        rows_of = torch.searchsorted(wanted, picked)
        begins = (keys.position == 0).nonzero()[:, 0]
        counts = self.index.counts[wanted]
        return [_take(keys, begins[rows], counts[rows]) for rows in rows_of]

    def _read(self, spellings: Tensor) -> EntityKeys:
        """Keys of some spellings; :attr:`EntityKeys.entity` is the place in the list."""
        if not len(spellings):
            return self.adapter.no_keys()
        counts = self.index.counts.cpu()[spellings.cpu()]
        begins = torch.from_numpy(self.entities.row_splits)[spellings.cpu()]
        places = torch.arange(int(counts.max()))
        inside = places < counts[:, None]
        index = (begins[:, None] + places).clamp_max(len(self.index.tokens) - 1)
        tokens = self.index.tokens.cpu()[index].masked_fill(~inside, 0)
        keys = self.adapter.embed(EntityBatch(tokens, counts))
        names = torch.from_numpy(self.entities.entity_index.astype(np.int64))[spellings.cpu()]
        return replace(keys, entity=names.to(keys.entity.device)[keys.entity])


def _take(keys: EntityKeys, begins: Tensor, counts: Tensor) -> EntityKeys:
    """The rows of some spellings."""
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    rows = torch.arange(total, device=begins.device)
    rows = rows + torch.repeat_interleave(begins - ends + counts, counts)
    return keys.each(lambda array: array[rows])


def keys_of_batch(
    names: Sequence[ListedNames | None], output: ModelOutput
) -> tuple[EntityKeys, Tensor | None] | None:
    """What the utterances of a batch attend to, and which rows of it each may see.

    Args:
        names: one list per utterance, or none.
        output: of the base model.

    Returns:
        keys and a mask as :meth:`ContextualAdapter.forward` takes them; ``None`` if nobody
        has a list.
    """
    lists = {id(one): one for one in names if one is not None}
    if not lists:
        return None
    own: list[EntityKeys | None] = [None] * len(names)
    for key, listed in lists.items():
        which = [i for i, one in enumerate(names) if id(one) == key]
        for i, keys in zip(which, listed.keys(output.select(which))):
            own[i] = keys
    first = own[0]
    if first is not None and all(keys is first for keys in own):
        return first, None
    none = next(iter(lists.values())).adapter.no_keys()
    return EntityKeys.stack([none if keys is None else keys for keys in own])
