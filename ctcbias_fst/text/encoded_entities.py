"""Names as tokens of a model."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.written_forms import has_one_form, written_forms

_CHUNK = 65_536
"""Names encoded at a time: bounds the memory that lists of ids need."""


@dataclass(frozen=True)
class EncodedEntities:
    """Segmentations of entities, as ragged rows of token ids.

    Attributes:
        values: (P,) int32, the token ids of all rows.
        row_splits: (S + 1,) int64, row s is ``values[row_splits[s]:row_splits[s + 1]]``.
        entity_index: (S,) int32, the entity (its position in the list) that row s emits.
        cost: (S,) float32, at least 0: how much worse row s is than the best segmentation
            of the same spelling (natural log for SentencePiece, pieces otherwise), and how much
            less likely the name is said so (`Entity.spoken`).
    """

    values: npt.NDArray[np.int32]
    row_splits: npt.NDArray[np.int64]
    entity_index: npt.NDArray[np.int32]
    cost: npt.NDArray[np.float32]

    def __len__(self) -> int:
        """Number of rows, S."""
        return len(self.entity_index)

    def row(self, index: int) -> list[int]:
        """Return the token ids of one row."""
        ids: list[int] = self.values[self.row_splits[index] : self.row_splits[index + 1]].tolist()
        return ids

    def select(self, entities: npt.NDArray[np.int64]) -> EncodedEntities:
        """Return the rows of some entities, which become the entities 0, 1, … of the result.

        The rows must be in the order of the entities, as `encode_entities` has them.
        """
        first = np.searchsorted(self.entity_index, entities)
        owner, rows = expand(first, np.searchsorted(self.entity_index, entities, "right") - first)
        return replace(self._taken(rows), entity_index=owner.astype(np.int32))

    def _taken(self, rows: npt.NDArray[np.int64]) -> EncodedEntities:
        """Return some rows, in their order, of the same entities."""
        begin = self.row_splits[rows]
        lengths = self.row_splits[rows + 1] - begin
        return EncodedEntities(
            values=self.values[expand(begin, lengths)[1]],
            row_splits=_splits(lengths),
            entity_index=self.entity_index[rows],
            cost=self.cost[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[EncodedEntities]) -> EncodedEntities:
        """Return the rows of all parts, whose entities are the same ones."""
        begin = np.cumsum([0, *(len(part.values) for part in parts)])
        splits = [part.row_splits[1:] + start for part, start in zip(parts, begin.tolist())]
        return cls(
            values=_concatenate([part.values for part in parts], np.int32),
            row_splits=np.concatenate([np.zeros(1, dtype=np.int64), *splits]),
            entity_index=_concatenate([part.entity_index for part in parts], np.int32),
            cost=_concatenate([part.cost for part in parts], np.float32),
        )

    @cached_property
    def min_frames(self) -> npt.NDArray[np.int64]:
        """(S,) frames that CTC needs for each row: its tokens, and a blank between equal ones."""
        repeats = np.zeros(len(self.values) + 1, dtype=np.int64)
        repeats[2:] = self.values[1:] == self.values[:-1]
        # A row's first token has no predecessor in its row.
        repeats[self.row_splits[:-1] + 1] = 0
        total = np.cumsum(repeats)
        frames: npt.NDArray[np.int64] = np.diff(self.row_splits) + np.diff(total[self.row_splits])
        return frames


@contextmanager
def nothing_collected() -> Iterator[None]:
    """Make many tuples, none of them garbage: looking for it took a third of the time."""
    if not gc.isenabled():  # another thread does the same
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@nothing_collected()
def encode_entities(
    entities: EntityList | Sequence[Entity], tokenizer: Tokenizer, nbest: int = 1
) -> EncodedEntities:
    """Segment every spelling of every entity into the model's tokens.

    Args:
        entities: entries that passed `check_entities`; one that the vocabulary cannot
            write gets no row.
        tokenizer: of the model.
        nbest: segmentations per spelling, at most.

    Returns:
        Rows in the order of the entities; each entity's name first, then its
        `sounds_like` and `spoken` spellings, each with its segmentations from best to worst.
    """
    if nbest < 1:
        raise ValueError(f"nbest must be at least 1, not {nbest}.")
    texts, owners, extra = _spellings(entities, tokenizer)
    values, lengths, owner, cost = [], [], [], []
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        chunk_owners = np.arange(start, start + len(chunk), dtype=np.int64)
        if nbest == 1:
            rows = tokenizer.encode_batch(chunk)
            costs = np.zeros(len(rows), dtype=np.float32)
        else:
            found = tokenizer.encode_nbest(chunk, nbest)
            chunk_owners = np.repeat(chunk_owners, [len(candidates) for candidates in found])
            rows = [ids for candidates in found for ids, _ in candidates]
            costs = np.array([c for candidates in found for _, c in candidates], dtype=np.float32)
        sizes = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        written = sizes > 0
        values.append(np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=sizes.sum()))
        lengths.append(sizes[written])
        owner.append(chunk_owners[written])
        cost.append(costs[written])
    spelling = _concatenate(owner, np.int64)
    by_spelling = EncodedEntities(
        values=_concatenate(values, np.int32),
        row_splits=_splits(_concatenate(lengths, np.int64)),
        entity_index=owners[spelling],
        cost=_concatenate(cost, np.float32) + extra[spelling],
    )
    return _pronounced(by_spelling, entities, tokenizer)


def own_phones(entity: Entity, tokenizer: Tokenizer) -> list[list[int]]:
    """The pronunciations of an entity that the model's own tokens write, as ids."""
    several = (phones for phones in entity.pronunciations if phones)
    return [ids for phones in several for ids in tokenizer.phones(phones)]


def _pronounced(
    written: EncodedEntities, entities: EntityList | Sequence[Entity], tokenizer: Tokenizer
) -> EncodedEntities:
    """Names whose pronunciations are the model's own tokens are looked for by these alone."""
    rows = entities.entities if isinstance(entities, EntityList) else entities
    if not any(entity.pronunciations for entity in rows):
        return written
    phones = {i: own_phones(entity, tokenizer) for i, entity in enumerate(rows)}
    phones = {i: several for i, several in phones.items() if several}
    if not phones:
        return written
    ids = [(i, row) for i, several in phones.items() for row in several]
    others = np.flatnonzero(~np.isin(written.entity_index, list(phones)))
    added = EncodedEntities(
        values=np.array([token for _, row in ids for token in row], dtype=np.int32),
        row_splits=_splits(np.array([len(row) for _, row in ids], dtype=np.int64)),
        entity_index=np.array([i for i, _ in ids], dtype=np.int32),
        cost=np.zeros(len(ids), dtype=np.float32),
    )
    both = EncodedEntities.joined([written._taken(others), added])
    return both._taken(np.argsort(both.entity_index, kind="stable"))


def _splits(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where rows of these lengths begin, and where the last one ends."""
    splits = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=splits[1:])
    return splits


def expand(
    first: npt.NDArray[np.int64], count: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the numbers ``first[i]`` to ``first[i] + count[i] - 1``, and before them the i."""
    owner = np.repeat(np.arange(len(count)), count)
    before = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - before[owner] + first[owner]


def _spellings(
    entities: EntityList | Sequence[Entity], tokenizer: Tokenizer
) -> tuple[list[str], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Every spelling, the position of the entity that it belongs to, and its cost."""
    rows = entities.entities if isinstance(entities, EntityList) else entities
    owners = np.arange(len(rows), dtype=np.int32)
    vocabulary = tokenizer.vocabulary
    one_form = has_one_form(vocabulary)
    if one_form and not any(entity.sounds_like or entity.spoken for entity in rows):
        return [entity.name for entity in rows], owners, np.zeros(len(rows), dtype=np.float32)
    several = [
        entity.spellings
        if one_form
        else _cheapest(
            (form, cost)
            for text, cost in entity.spellings
            for form in written_forms(text, entity.display, vocabulary)
        )
        for entity in rows
    ]
    texts = [text for spellings in several for text, _ in spellings]
    costs = np.array([cost for spellings in several for _, cost in spellings], dtype=np.float32)
    return texts, np.repeat(owners, [len(spellings) for spellings in several]), costs


def _cheapest(forms: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Each form once, at its least cost."""
    found: dict[str, float] = {}
    for form, cost in forms:
        found[form] = min(cost, found.get(form, cost))
    return tuple(found.items())


def _concatenate(parts: list[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)
