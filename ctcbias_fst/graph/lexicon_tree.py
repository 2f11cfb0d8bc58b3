"""A lexicon as a tree: the pronunciations of words, sequences of a model's tokens.

Relation: each pronunciation is mapped to its word, at its cost. As a graph: a root, one node for
every prefix of a pronunciation, an arc for its last token. Tropical semiring; costs are nats, 0 or
more, and paid at the end. It is acyclic, and deterministic but for words that sound alike: these
end at the same node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LexiconTree:
    """Nodes besides the root, parents before children.

    Attributes:
        token, parent: int64 (K,), of the arc into each node, and where it comes from: -1 for the
            root.
        inner: bool (K,), whether a node has children.
        end, word: int64 (E,), a node and a word that is complete there, each pair once.
        cost: float32 (E,).
    """

    token: _Ints
    parent: _Ints
    inner: npt.NDArray[np.bool_]
    end: _Ints
    word: _Ints
    cost: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        values: npt.NDArray[Any],
        row_splits: _Ints,
        word: npt.NDArray[Any],
        cost: npt.NDArray[Any],
    ) -> LexiconTree:
        """Build the tree; it does not depend on the order of the rows.

        Args:
            values: the tokens of all pronunciations.
            row_splits: int64 (R + 1,), where each begins; none is empty.
            word: int (R,), what each is a pronunciation of.
            cost: float (R,), of equal rows of a word the least one counts.
        """
        lengths = np.diff(row_splits)
        padded = np.full((len(lengths), int(lengths.max(initial=0))), -1, dtype=np.int64)
        padded[np.arange(padded.shape[1]) < lengths[:, None]] = values
        order = np.lexsort((cost, word, *padded.T[::-1]))
        padded, lengths, word, cost = padded[order], lengths[order], word[order], cost[order]
        # Where a row has the prefix of the row before it, it goes through the same nodes.
        same = np.zeros_like(padded, dtype=bool)
        same[1:] = np.logical_and.accumulate(padded[1:] == padded[:-1], axis=1)
        new = (padded >= 0) & ~same
        number = np.cumsum(new).reshape(new.shape) - 1
        node = np.maximum.accumulate(np.where(new, number, -1), axis=0)
        row, depth = new.nonzero()
        parent = np.where(depth > 0, node[row, depth - 1], -1)
        inner = np.zeros(len(row), dtype=bool)
        inner[parent[parent >= 0]] = True
        end = node[np.arange(len(lengths)), lengths - 1]
        kept = np.ones(len(end), dtype=bool)
        kept[1:] = (end[1:] != end[:-1]) | (word[1:] != word[:-1])
        return cls(
            token=padded[row, depth],
            parent=parent.astype(np.int64),
            inner=inner,
            end=end[kept],
            word=word[kept].astype(np.int64),
            cost=cost[kept].astype(np.float32),
        )
