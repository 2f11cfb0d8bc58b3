"""Lists of names for training an adapter, made on the fly from what is spoken."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ctcbias_fst.acoustic.adapter import EntityBatch
from ctcbias_fst.acoustic.align import BLANK_FRAME
from ctcbias_fst.text.tokens import Tokenizer

__all__ = ["BiasingList", "ListMaker", "pad_names", "wanted_rows"]

IGNORE = -100


@dataclass(frozen=True)
class BiasingList:
    """The list of a batch, and where its names are spoken.

    Attributes:
        names: subwords of the names.
        allowed: ``(utterance, name)`` bool: whether an utterance may see a name.
        spoken: for every utterance, ``(first target, name)`` of each listed name in it.
    """

    names: EntityBatch
    allowed: Tensor
    spoken: tuple[tuple[tuple[int, int], ...], ...]


class ListMaker:
    """Draws lists from the names of the utterances of a batch, and distractors.

    Args:
        tokenizer: of the model.
        pool: names that may serve as distractors.
        count: range of the number of names; drawn log-uniformly per batch.
        empty: probability that an utterance may not see its own names.
        ordinary: words of an utterance besides its entities that become names, on average.
        seed: of the draws.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        pool: Sequence[str],
        *,
        count: tuple[int, int],
        empty: float,
        ordinary: float,
        seed: int,
    ) -> None:
        self.tokenizer = tokenizer
        self.pool = sorted(set(pool))
        self.count = count
        self.empty = empty
        self.ordinary = ordinary
        self.random = random.Random(seed)

    def draw(self, texts: Sequence[str], entities: Sequence[Sequence[str]]) -> BiasingList:
        """Make the list of a batch.

        Args:
            texts: normalised references.
            entities: the names spoken in each.
        """
        own = [self._names(text, names) for text, names in zip(texts, entities)]
        listed = list(dict.fromkeys(name for names in own for name in names))
        low, high = self.count
        size = round(math.exp(self.random.uniform(math.log(low), math.log(high))))
        drawn = self.random.sample(self.pool, min(size, len(self.pool)))
        taken = set(listed)
        listed += [name for name in drawn if name not in taken][: max(0, size - len(listed))]
        by_first_word: dict[str, list[tuple[list[str], int]]] = {}
        for index, name in enumerate(listed):
            parts = name.split()
            by_first_word.setdefault(parts[0], []).append((parts, index))
        allowed = torch.ones(len(texts), len(listed), dtype=torch.bool)
        spoken: list[tuple[tuple[int, int], ...]] = []
        for utterance, text in enumerate(texts):
            places = self._places(text.split(), by_first_word)
            if self.random.random() < self.empty:
                allowed[utterance, [name for _, name in places]] = False
                places = ()
            spoken.append(places)
        return BiasingList(pad_names(self.tokenizer.encode_batch(listed)), allowed, tuple(spoken))

    def _names(self, text: str, entities: Sequence[str]) -> list[str]:
        words = text.split()
        taken = {word for name in entities for word in name.split()}
        others = [word for word in words if len(word) > 3 and word not in taken]
        count = min(len(others), int(self.random.expovariate(1.0) * self.ordinary + 0.5))
        return [*entities, *self.random.sample(others, count)]

    def _places(
        self, words: Sequence[str], by_first_word: dict[str, list[tuple[list[str], int]]]
    ) -> tuple[tuple[int, int], ...]:
        """First target and name of every occurrence of a listed name, in whole words."""
        starts = [0]
        for row in self.tokenizer.encode_batch(list(words)):
            starts.append(starts[-1] + len(row))
        return tuple(
            (starts[first], index)
            for first, word in enumerate(words)
            for parts, index in by_first_word.get(word, ())
            if list(words[first : first + len(parts)]) == parts
        )


def pad_names(rows: Sequence[Sequence[int]]) -> EntityBatch:
    """Subwords of names as one padded batch; empty rows are not allowed."""
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    tokens = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = torch.tensor(row, dtype=torch.int64)
    return EntityBatch(tokens, lengths)


def wanted_rows(positions: Tensor, lengths: Tensor, biasing: BiasingList) -> Tensor:
    """Where each frame should look: the target of the guided-attention loss.

    A frame that emits subword j of a listed name should attend to that row. A frame that
    emits another subword should attend to no-bias, as should blank frames far from any name;
    blank frames inside a name or within 3 frames of it are free.

    Args:
        positions: alignment ``(batch, frame)`` as of :func:`forced_alignment`.
        lengths: ``(batch,)`` frames.

    Returns:
        ``(batch, frame)`` int64: 0 for no-bias, 1 + row, or ``IGNORE``.
    """
    counts = biasing.names.lengths
    first_row = torch.cumsum(counts, 0) - counts
    positions = positions.cpu()
    wanted = torch.zeros_like(positions)
    for utterance, places in enumerate(biasing.spoken):
        row = positions[utterance]
        for start, name in places:
            inside = (row >= start) & (row < start + int(counts[name]))
            frames = inside.nonzero().flatten()
            if not len(frames):
                continue
            begin, end = int(frames[0]), int(frames[-1]) + 1
            near = slice(max(0, begin - 3), end + 3)
            blank = row[near] == BLANK_FRAME
            wanted[utterance, near][blank] = IGNORE
            wanted[utterance, frames] = 1 + first_row[name] + row[frames] - start
    behind = torch.arange(positions.shape[1])[None, :] >= lengths[:, None]
    return wanted.masked_fill(behind, IGNORE)
