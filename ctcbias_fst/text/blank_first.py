"""A tokenizer in the order of columns that puts the blank first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ctcbias_fst.text.tokens import Tokenizer


class BlankFirstTokenizer(Tokenizer):
    """Writes what another tokenizer writes, in the ids of ``vocabulary.blank_first()``.

    Args:
        tokenizer: of a model, whose blank may be any of its columns.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._own = tokenizer
        own = tokenizer.vocabulary
        self.vocabulary = own.blank_first()
        columns = np.empty(own.size, dtype=np.int64)
        columns[own.blank_first_order] = np.arange(own.size)
        self.columns = columns
        """``(token,)``: where each token of the model is."""
        self._columns: list[int] = columns.tolist()

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._moved(ids) for ids in self._own.encode_batch(texts)]

    def _nbest(self, text: str, n: int) -> list[tuple[list[int], float]]:
        return [(self._moved(ids), cost) for ids, cost in self._own._nbest(text, n)]

    def uncovered(self, text: str) -> str:
        return self._own.uncovered(text)

    def covers(self, characters: str) -> bool:
        return self._own.covers(characters)

    def _moved(self, ids: Sequence[int]) -> list[int]:
        return [self._columns[i] for i in ids]
