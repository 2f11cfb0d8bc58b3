"""What scoring counts, and what follows from counts.

Counts add, and rates are only ever derived from sums: a `Score` is made for each utterance, and
the score of a test set is their sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["EntityCounts", "ErrorCounts", "Score", "ratio"]


@dataclass(frozen=True)
class ErrorCounts:
    """Errors of an alignment and the length of its reference, in words (or characters).

    >>> ErrorCounts(1, 0, 0, reference=10) + ErrorCounts(0, 1, 2, reference=10)
    ErrorCounts(substitutions=1, deletions=1, insertions=2, reference=20)
    """

    substitutions: int
    deletions: int
    insertions: int
    reference: int

    @classmethod
    def zero(cls) -> ErrorCounts:
        """Return the counts of nothing."""
        return cls(0, 0, 0, 0)

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        """Add count by count."""
        return ErrorCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.reference + other.reference,
        )

    @property
    def errors(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Errors by reference length; NaN if the reference is empty."""
        return ratio(self.errors, self.reference)


@dataclass(frozen=True)
class EntityCounts:
    """Names found, missed, and put where they were not spoken.

    >>> EntityCounts(hits=3, misses=1, false_alarms=2).recall
    0.75
    """

    hits: int
    misses: int
    false_alarms: int

    @classmethod
    def zero(cls) -> EntityCounts:
        """Return the counts of nothing."""
        return cls(0, 0, 0)

    def __add__(self, other: EntityCounts) -> EntityCounts:
        """Add count by count."""
        return EntityCounts(
            self.hits + other.hits,
            self.misses + other.misses,
            self.false_alarms + other.false_alarms,
        )

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
class Score:
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

    utterances: int
    wrong: int
    words: ErrorCounts
    characters: ErrorCounts
    biased: ErrorCounts
    unbiased: ErrorCounts
    entities: EntityCounts

    @classmethod
    def zero(cls) -> Score:
        """Return the score of no utterance."""
        nothing = ErrorCounts.zero()
        return cls(0, 0, nothing, nothing, nothing, nothing, EntityCounts.zero())

    def __add__(self, other: Score) -> Score:
        """Add count by count."""
        return Score(
            self.utterances + other.utterances,
            self.wrong + other.wrong,
            self.words + other.words,
            self.characters + other.characters,
            self.biased + other.biased,
            self.unbiased + other.unbiased,
            self.entities + other.entities,
        )


def ratio(numerator: int, denominator: int) -> float:
    """Return a share; NaN of nothing."""
    return numerator / denominator if denominator else math.nan
