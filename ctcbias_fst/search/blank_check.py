"""Whether what a decoder was told is the blank behaves like one."""

from __future__ import annotations

from threading import Lock

import torch

from ctcbias_fst.errors import warn_caller
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.token_marks import byte_of, is_silence
from ctcbias_fst.text.vocabulary import Vocabulary

_FRAMES, _SPOKEN = 100, 1000
"""Of all frames, and of those in which a token is best that writes something: after so many it is
judged whether another column is like a blank, and whether this one ever is."""

_LEAST_BLANK, _LIKE_BLANK = 0.01, 0.4
"""In so many frames or more, a share below the first is too few for a blank to be best in, if
another column is best in the second or more."""

_NEVER, _LEAST_MEAN, _TOKENS = 0.001, 0.005, 10
"""A blank that is best in a smaller share of the frames, and whose mean probability is less than
the second number and than half of what all columns alike would have, is none, if so many tokens are
best in some frame."""


class BlankCheck:
    """Counts the best columns of the first frames. Threads may share it.

    Args:
        vocabulary: of the model.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._lock = Lock()
        self._best: torch.Tensor | None = torch.zeros(vocabulary.size, dtype=torch.int64)
        self._blank_mass, self._other_sought = 0.0, True
        self._pauses = torch.tensor([_is_pause(vocabulary, i) for i in range(vocabulary.size)])

    def look_at(self, log_probs: LogProbs) -> None:
        """Warn, once, if another column is where a model's blank would be, or this one never is."""
        if self._best is None:
            return
        blank = self._vocabulary.blank_id
        rows = [
            row[:length] for row, length in zip(log_probs.log_probs, log_probs.lengths.tolist())
        ]
        best = torch.cat([_best(row, blank) for row in rows])
        found = best.bincount(minlength=self._vocabulary.size).cpu()
        mass = sum(float(row[:, blank].exp().sum()) for row in rows)
        with self._lock:
            if self._best is None:
                return
            self._best, self._blank_mass = self._best + found, self._blank_mass + mass
            counts, mass = self._best, self._blank_mass
            told = self._judged(counts.clone(), mass / max(1, int(counts.sum())))
        if told is not None:
            warn_caller(told)

    def _judged(self, counts: torch.Tensor, mean: float) -> str | None:
        """What is to be said of the best columns so far, once, and of the blank's mean
        probability."""
        blank, total = self._vocabulary.blank_id, int(counts.sum())
        # Pauses may be the separator, or a phone model's silence; the first byte of a script's
        # letters is always the same.
        own = int(counts[blank])
        counts[self._pauses] = 0
        if self._other_sought and total >= _FRAMES:
            self._other_sought = False
            other = int(counts.argmax())
            if own < _LEAST_BLANK * total and counts[other] >= _LIKE_BLANK * total:
                self._best = None
                return (
                    f"the blank, {self._column(blank)}, is the best one in {own} of {total} "
                    f"frames, {self._column(other)} in {int(counts[other])}: say which is the "
                    "blank (--blank)"
                )
        counts[blank] = 0
        if counts.sum() < _SPOKEN:
            return None
        self._best = None
        # A phone model may have silence instead of blanks.
        if self._vocabulary.has_phones or own >= _NEVER * total:
            return None
        if mean >= min(_LEAST_MEAN, 0.5 / len(counts)) or int((counts > 0).sum()) < _TOKENS:
            return None
        return (
            f"the blank, {self._column(blank)}, is the best one in {own} of {total} frames, and "
            "that of a model is in many: say which is the blank (--blank), and give the tokens in "
            "the order of the columns"
        )

    def _column(self, column: int) -> str:
        return f"column {column} ({quoted(self._vocabulary.tokens[column])})"


def _best(row: torch.Tensor, blank: int) -> torch.Tensor:
    """The best column of each frame ``(frame, token)``; the blank, where several are."""
    values, best = row.max(-1)
    found: torch.Tensor = best.masked_fill(row[:, blank] >= values, blank)
    return found


def _is_pause(vocabulary: Vocabulary, column: int) -> bool:
    """Whether a token may be best between words, or is the first byte of many letters."""
    token = vocabulary.tokens[column]
    silence = vocabulary.has_phones and is_silence(token)
    return column == vocabulary.separator_id or silence or byte_of(token) is not None
