"""Lists of names for training an adapter, made on the fly from what is spoken."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.models.adapter import EntityBatch
from ctcbias_fst.text.phrases import PhraseMatcher
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.training.align import BLANK_FRAME

IGNORE = -100


@dataclass(frozen=True)
class BiasingList:
    """The list of a batch, and where its names are spoken.

    Attributes:
        names: subwords of the names.
        allowed: ``(utterance, name)`` bool: whether an utterance may see a name.
        spoken: for every utterance, ``(first target, name)`` of each listed name in it.
        texts: the references, with the names spelled as the list spells them.
    """

    names: EntityBatch
    allowed: Tensor
    spoken: tuple[tuple[tuple[int, int], ...], ...]
    texts: tuple[str, ...]


class _Utterance(NamedTuple):
    """A reference, and its names, as the list spells them."""

    text: str
    names: tuple[str, ...]
    respelled: frozenset[str]
    denied: bool


@dataclass
class ListMaker:
    """Draws lists from the names of the utterances of a batch, and distractors.

    A model spells the names of its own training speech mostly right, and leaves an adapter
    little to learn from them. So a name may be *respelled*: in the list and in the reference
    it is written in another way that sounds alike, which only the list can tell. (Similar in
    aim: Fox and Delworth, ICASSP 2022, who add such spellings when decoding.)

    Args:
        tokenizer: of the model.
        pool: names that may serve as distractors.
        count: range of the number of names; drawn log-uniformly per batch.
        empty: probability that an utterance may not see its own names.
        ordinary: words of an utterance besides its entities that become names, on average.
        respell: probability that a name which has `spellings` is respelled.
        spellings: of names and words, others that sound alike.
        seed: of the draws.
    """

    tokenizer: Tokenizer
    pool: Sequence[str]
    _: KW_ONLY
    count: tuple[int, int]
    empty: float
    ordinary: float
    seed: int
    respell: float = 0.0
    spellings: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.pool = sorted(set(self.pool))
        self.random = random.Random(self.seed)

    def draw(self, texts: Sequence[str], entities: Sequence[Sequence[str]]) -> BiasingList:
        """Make the list of a batch.

        Args:
            texts: normalised references.
            entities: the names spoken in each.
        """
        utterances = [self._utterance(text, names) for text, names in zip(texts, entities)]
        listed = self._listed(utterances)
        written = dict(zip(listed, self.tokenizer.encode_batch(listed)))
        listed = [name for name in listed if written[name]]
        index = {name: i for i, name in enumerate(listed)}
        tokens = [written[name] for name in listed]
        matcher = PhraseMatcher(listed)
        allowed = torch.ones(len(texts), len(listed), dtype=torch.bool)
        spoken: list[tuple[tuple[int, int], ...]] = []
        for row, utterance in zip(allowed, utterances):
            words = utterance.text.split()
            # Another utterance may have listed a name as it is spelled there.
            barred = {name for name in utterance.respelled if name in index}
            if utterance.denied:
                barred.update(found.name for found in matcher.every(words))
            row[[index[name] for name in barred]] = False
            starts, rows = self._targets(words)
            places = [
                (starts[found.start], index[found.name])
                for found in matcher.occurrences(words, without=barred)
            ]
            # The tokens of a possessive may begin otherwise than the name's.
            spoken.append(
                tuple((at, i) for at, i in places if rows[at : at + len(tokens[i])] == tokens[i])
            )
        return BiasingList(
            pad_names(tokens), allowed, tuple(spoken), tuple(u.text for u in utterances)
        )

    def _utterance(self, text: str, entities: Sequence[str]) -> _Utterance:
        denied = self.random.random() < self.empty
        names = self._names(text, entities)
        others = {} if denied else self._respelled(names)
        written = [others.get(name, name) for name in names]
        gone = frozenset(others).difference(written)
        return _Utterance(_with_spellings(text, others), tuple(written), gone, denied)

    def _listed(self, utterances: Sequence[_Utterance]) -> list[str]:
        listed = list(dict.fromkeys(name for one in utterances for name in one.names))
        low, high = self.count
        size = round(math.exp(self.random.uniform(math.log(low), math.log(high))))
        drawn = self.random.sample(self.pool, min(size, len(self.pool)))
        taken = set(listed).union(*(one.respelled for one in utterances))
        others = [name for name in drawn if name not in taken]
        return listed + others[: max(0, size - len(listed))]

    def _respelled(self, names: Sequence[str]) -> dict[str, str]:
        """Another spelling for some of the names."""
        return {
            name: self.random.choice(self.spellings[name])
            for name in names
            if self.spellings.get(name) and self.random.random() < self.respell
        }

    def _names(self, text: str, entities: Sequence[str]) -> list[str]:
        taken = {word for name in entities for word in name.split()}
        others = [word for word in ordinary_words(text) if word not in taken]
        count = min(len(others), int(self.random.expovariate(1.0) * self.ordinary + 0.5))
        return [*entities, *self.random.sample(others, count)]

    def _targets(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        """The first target of every word, and all targets of a text."""
        targets: list[int] = []
        starts = []
        separator = self.tokenizer.vocabulary.separator_id
        for row in self.tokenizer.encode_batch(list(words)):
            if separator is not None and targets:
                targets.append(separator)
            starts.append(len(targets))
            targets += row
        return starts, targets


def ordinary_words(text: str) -> list[str]:
    """Words of a text that are long enough to serve as names."""
    return [word for word in text.split() if len(word) > 3]


def _with_spellings(text: str, others: Mapping[str, str]) -> str:
    """Replace names, in whole words."""
    words = text.split()
    found = PhraseMatcher(others, possessive=False).occurrences(words)
    for one in reversed(found):
        words[one.start : one.end] = [others[one.name]]
    return " ".join(words)


def pad_names(rows: Sequence[Sequence[int]]) -> EntityBatch:
    """Subwords of names as one padded batch; empty rows are not allowed."""
    tensors = [torch.tensor(row, dtype=torch.int64) for row in rows]
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    return EntityBatch(pad_sequence(tensors, batch_first=True), lengths)


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
