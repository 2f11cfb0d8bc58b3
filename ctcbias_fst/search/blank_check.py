"""Whether what a decoder was told is the blank behaves like one."""

from __future__ import annotations

from threading import Lock

import torch

from ctcbias_fst.errors import warn_caller
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.token_marks import byte_of, is_silence
from ctcbias_fst.text.vocabulary import Vocabulary

_FRAMES = 100
_LEAST_BLANK, _LIKE_BLANK = 0.01, 0.4
"""In so many frames or more, a share below the first is too few for a blank to be best in, if
another column is best in the second or more."""


class BlankCheck:
    """Counts the best columns of the first frames. Threads may share it.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._lock = Lock()
        self._best: torch.Tensor | None = torch.zeros(vocabulary.size, dtype=torch.int64)

    def look_at(self, log_probs: LogProbs) -> None:
        """Warn, once, if another column is where a model's blank would be."""
        if self._best is None:
            return
        rows = zip(log_probs.log_probs, log_probs.lengths.tolist())
        best = torch.cat([row[:length].argmax(-1) for row, length in rows])
        found = best.bincount(minlength=self._vocabulary.size).cpu()
        with self._lock:
            if self._best is None:
                return
            counts = self._best + found
            total = int(counts.sum())
            self._best = counts if total < _FRAMES else None
        if total >= _FRAMES:
            self._judge(counts, total)

    def _judge(self, counts: torch.Tensor, total: int) -> None:
        vocabulary = self._vocabulary
        blank = int(counts[vocabulary.blank_id])
        # Pauses may be the separator, or a phone model's silence; the first byte of a script's
        # letters is always the same.
        pauses = is_silence if vocabulary.has_phones else (lambda token: False)
        for column, token in enumerate(vocabulary.tokens):
            if column == vocabulary.separator_id or pauses(token) or byte_of(token) is not None:
                counts[column] = 0
        other = int(counts.argmax())
        if blank >= _LEAST_BLANK * total or counts[other] < _LIKE_BLANK * total:
            return
        own, its = (
            f"column {column} ({quoted(vocabulary.tokens[column])})"
            for column in (vocabulary.blank_id, other)
        )
        warn_caller(
            f"the blank, {own}, is the best one in {blank} of {total} frames, {its} in "
            f"{int(counts[other])}: say which is the blank (--blank)"
        )
