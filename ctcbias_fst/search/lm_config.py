"""What the language model may be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ctcbias_fst.bounds import (
    MAX_BEAM,
    MAX_STATES,
    at_least_one,
    at_most,
    finite,
    not_negative,
    positive,
)


@dataclass(frozen=True)
class LmConfig:
    """How a language model acts on a lattice; see :mod:`ctcbias_fst.search.compose`.

    Attributes:
        scale: factor on the model's log-probs.
        word_bonus: nats for each word (of a name, too); the model favours few words.
        unknown_cost: nats for each word that is neither in the model nor in a list of names, on
            top of what the model says of unknown words.
        letter_cost: nats for each letter of such a word.
        class_cost: nats for each name, likewise.
        lattice_beam: nats below the best path that the lattice keeps before the model acts on it;
            takes the place of ``output_beam``, which is that of the result.
        beam: nats below the best at which a reading is given up.
        max_active: readings per frame and utterance that are kept, if there are so many.
    """

    scale: float = 0.36
    word_bonus: float = 1.8
    unknown_cost: float = 6.7
    letter_cost: float = 0.32
    class_cost: float = 1.6
    lattice_beam: float = 10.0
    beam: float = 8.0
    max_active: int = 100

    REMOVED: ClassVar = {"first_pass": {"on": False}}
    """Settings of former versions, which their files have, and what is done now."""

    def __post_init__(self) -> None:
        finite(self)
        not_negative(self, "scale")
        positive(self, "lattice_beam", "beam")
        at_most(self, MAX_BEAM, "lattice_beam", "beam")
        at_least_one(self, "max_active")
        at_most(self, MAX_STATES, "max_active")

    @property
    def weights(self) -> tuple[float, float, float, float, float]:
        """The factors on what is counted (:class:`ctcbias_fst.search.units.ArcExpansion`)."""
        return (
            self.scale,
            self.word_bonus,
            -self.unknown_cost,
            -self.letter_cost,
            -self.class_cost,
        )
