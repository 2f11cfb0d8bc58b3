"""Lists of names as the adapter sees them: embedded whole, or an utterance's shortlist alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.acoustic.adapter import ContextualAdapter, EntityBatch, EntityKeys
from ctcbias_fst.sound.shortlist import PhoneIndex
from ctcbias_fst.text.encoded_entities import EncodedEntities

__all__ = ["ListedNames", "keys_of_batch"]


@dataclass(frozen=True, eq=False)
class ListedNames:
    """A list of names for the adapter.

    Attributes:
        adapter: what embeds them.
        entities: their subwords.
        index: what shortens the list for an utterance; ``None``: every utterance sees all.
        whole: the embedded list, if it is not shortened.
    """

    adapter: ContextualAdapter
    entities: EncodedEntities
    index: PhoneIndex | None
    whole: EntityKeys | None

    @classmethod
    def of(
        cls, adapter: ContextualAdapter, entities: EncodedEntities, index: PhoneIndex | None = None
    ) -> ListedNames:
        """Prepare a list once for any number of utterances."""
        whole = None
        if index is None:
            whole = _embed(adapter, entities, np.arange(len(entities)))
        return cls(adapter, entities, index, whole)

    def keys(self, phone_log_probs: Tensor) -> EntityKeys:
        """What an utterance attends to.

        Args:
            phone_log_probs: of the utterance, ``(frame, 1 + phones)``.
        """
        if self.whole is not None:
            return self.whole
        assert self.index is not None
        picked = np.sort(self.index.shortlist(phone_log_probs).cpu().numpy())
        # A name may have several segmentations, or none that the model can write.
        rows = np.flatnonzero(np.isin(self.entities.entity_index, picked))
        return _embed(self.adapter, self.entities, rows)


def _embed(
    adapter: ContextualAdapter, entities: EncodedEntities, rows: npt.NDArray[np.int64]
) -> EntityKeys:
    if not len(rows):
        return adapter.no_keys()
    tokens = [torch.tensor(entities.row(row), dtype=torch.int64) for row in rows.tolist()]
    lengths = torch.tensor([len(row) for row in tokens], dtype=torch.int64)
    keys = adapter.embed(EntityBatch(pad_sequence(tokens, batch_first=True), lengths))
    names = torch.from_numpy(entities.entity_index[rows].astype(np.int64))
    return replace(keys, entity=names.to(keys.entity.device)[keys.entity])


def keys_of_batch(
    names: Sequence[ListedNames | None], phone_log_probs: Tensor, lengths: Tensor
) -> tuple[EntityKeys, Tensor | None] | None:
    """What the utterances of a batch attend to, and which rows of it each may see.

    Args:
        names: one list per utterance, or none.
        phone_log_probs: ``(utterance, frame, 1 + phones)``.
        lengths: frames of each utterance.

    Returns:
        keys and a mask as :meth:`ContextualAdapter.forward` takes them; ``None`` if nobody
        has a list.
    """
    lists = [one for one in names if one is not None]
    if not lists:
        return None
    own = [
        None if one is None else one.keys(phone_log_probs[i, :length])
        for i, (one, length) in enumerate(zip(names, lengths.tolist()))
    ]
    first = own[0]
    if first is not None and all(keys is first for keys in own):
        return first, None
    none = lists[0].adapter.no_keys()
    return EntityKeys.stack([none if keys is None else keys for keys in own])
