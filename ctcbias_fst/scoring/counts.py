"""What scoring counts, and what follows from counts.

Counts add, and rates are only ever derived from sums: a `Score` is made for each utterance, and
the score of a test set is their sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ctcbias_fst.sums import Sums


@dataclass(frozen=True)
class ErrorCounts(Sums):
    """Errors of an alignment and the length of its reference, in words (or characters).

    >>> ErrorCounts(1, 0, 0, reference=10) + ErrorCounts(0, 1, 2, reference=10)
    ErrorCounts(substitutions=1, deletions=1, insertions=2, reference=20)
    """

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    reference: int = 0

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors by reference length; NaN if the reference is empty."""
        return ratio(self.errors, self.reference)


@dataclass(frozen=True)
class EntityCounts(Sums):
    """Names found, missed, and put where they were not spoken.

    >>> EntityCounts(hits=3, misses=1, false_alarms=2).recall
    0.75
    """

    hits: int = 0
    misses: int = 0
    false_alarms: int = 0

    @property
    def precision(self) -> float:
        """Hits by names in the hypotheses; NaN if there are none."""
        return ratio(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float:
        """Hits by names in the references; NaN if there are none."""
        return ratio(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN if there is no name anywhere."""
        return ratio(2 * self.hits, 2 * self.hits + self.misses + self.false_alarms)


@dataclass(frozen=True)
class Score(Sums):
    """Everything that is counted, for one utterance or a sum of them.

    Attributes:
        utterances: how many were scored.
        wrong: how many have at least one word error.
        words: errors on words (or whatever tokens were given).
        characters: errors on characters, the spaces between words included.
        biased: of `words`, the part on words of the list (B-WER).
        unbiased: of `words`, the rest (U-WER).
        entities: names in the hypothesis against the reference.
    """

    utterances: int = 0
    wrong: int = 0
    words: ErrorCounts = ErrorCounts()
    characters: ErrorCounts = ErrorCounts()
    biased: ErrorCounts = ErrorCounts()
    unbiased: ErrorCounts = ErrorCounts()
    entities: EntityCounts = EntityCounts()


def ratio(numerator: int, denominator: int) -> float:
    """Return a share; NaN of nothing."""
    return numerator / denominator if denominator else math.nan
