"""Lists of names as the adapter sees them: whole, or of a long one what an utterance may have."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.models.adapter import ContextualAdapter, EntityBatch, EntityKeys
from ctcbias_fst.models.encoder_output import EncoderOutput
from ctcbias_fst.shortlist.subword_index import SubwordIndex
from ctcbias_fst.text.encoded_entities import EncodedEntities

_KEPT = 50_000
"""Spellings that were read and are kept for further utterances, at most."""


class ListedNames:
    """A list of names for the adapter, which reads them as they come up. Threads may share it.

    Args:
        adapter: what reads them.
        entities: their subwords, one row per spelling.
        most: spellings that an utterance attends to.
    """

    def __init__(self, adapter: ContextualAdapter, entities: EncodedEntities, most: int) -> None:
        self.adapter, self.entities, self.most = adapter, entities, most
        device = adapter.no_bias.device
        self._index = SubwordIndex.of(entities, device)
        self._whole: EntityKeys | None = None
        if len(entities) <= most:
            self._whole = self._read(torch.arange(len(entities), device=device))
        self._lock = Lock()
        self._kept = self._nothing()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = Lock()

    def _nothing(self) -> tuple[EntityKeys, Tensor]:
        """What was read, and where in it the rows of each spelling begin; -1 for what was not."""
        return self.adapter.no_keys(), self._index.counts.new_full((len(self.entities),), -1)

    def keys(self, output: EncoderOutput) -> list[EntityKeys]:
        """What each utterance of a batch attends to.

        Those spellings whose subwords are likeliest to be somewhere in it, in the list's order.
        """
        if self._whole is not None:
            return [self._whole] * len(output.states)
        found = self._index.likeliest(output.log_probs, output.lengths, self.most)
        picked = found.sort(dim=1).values
        kept, begins = self._with(torch.unique(picked))
        counts = self._index.counts
        return [_take(kept, begins[rows], counts[rows]) for rows in picked]

    def _with(self, spellings: Tensor) -> tuple[EntityKeys, Tensor]:
        """What was read, with these spellings; what was handed out before stays as it is."""
        with self._lock:
            kept, begins = self._kept
            new = spellings[begins[spellings] < 0]
            if not len(new):
                return kept, begins
            if int((begins >= 0).sum()) + len(new) > _KEPT:
                kept, begins = self._nothing()
                new = spellings
            counts = self._index.counts[new]
            begins = begins.clone()
            begins[new] = len(kept.token) + counts.cumsum(0) - counts
            self._kept = EntityKeys.join([kept, self._read(new)]), begins
            return self._kept

    def _read(self, spellings: Tensor) -> EntityKeys:
        """Keys of some spellings; :attr:`EntityKeys.entity` is the place in the list."""
        if not len(spellings):
            return self.adapter.no_keys()
        counts = self._index.counts.cpu()[spellings.cpu()]
        begins = torch.from_numpy(self.entities.row_splits)[spellings.cpu()]
        places = torch.arange(int(counts.max()))
        inside = places < counts[:, None]
        index = (begins[:, None] + places).clamp_max(len(self._index.tokens) - 1)
        tokens = self._index.tokens.cpu()[index].masked_fill(~inside, 0)
        keys = self.adapter.embed(EntityBatch(tokens, counts))
        names = torch.from_numpy(self.entities.entity_index.astype(np.int64))[spellings.cpu()]
        return keys._replace(entity=names.to(keys.entity.device)[keys.entity])


def _take(keys: EntityKeys, begins: Tensor, counts: Tensor) -> EntityKeys:
    """The rows of some spellings."""
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    rows = torch.arange(total, device=begins.device)
    rows = rows + torch.repeat_interleave(begins - ends + counts, counts)
    return keys.each(lambda array: array[rows])


def keys_of_batch(
    names: Sequence[ListedNames | None], output: EncoderOutput
) -> tuple[EntityKeys, Tensor | None] | None:
    """What the utterances of a batch attend to, and which rows of it each may see.

    Args:
        names: one list per utterance, or none.

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
    adapter = next(iter(lists.values())).adapter
    return EntityKeys.stack([adapter.no_keys() if keys is None else keys for keys in own])
