"""What the language model may be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctcbias_fst.bounds import MOST_STATES, at_least_one, at_most, finite, not_negative, positive

__all__ = ["FirstPassConfig", "LmConfig"]


@dataclass(frozen=True)
class FirstPassConfig:
    """How a language model acts in the first pass, if it does; see
    :mod:`ctcbias_fst.lm.first_pass`.

    Attributes:
      on: whether it does.
      scale: factor on everything it says there, besides ``LmConfig.scale``; the result's scores
        do not depend on it.
      order: longest n-gram that the first pass knows.
      max_histories: only so many histories, the most probable ones, are compiled; 0 for all.
      search_beam, max_active: take the place of the decoder's.
      lattice_beam: nats below the best path that the lattice keeps.
    """

    on: bool = False
    scale: float = 1.0
    order: int = 2
    max_histories: int = 0
    search_beam: float = 18.0
    max_active: int = 2000
    lattice_beam: float = 8.0

    def __post_init__(self) -> None:
        not_negative(self, "scale", "max_histories")
        positive(self, "search_beam", "lattice_beam")
        at_least_one(self, "order", "max_active")
        at_most(self, 9, "order")
        at_most(self, MOST_STATES, "max_active")


@dataclass(frozen=True)
class LmConfig:
    """How a language model acts on a lattice; see :mod:`ctcbias_fst.lm.compose`.

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
      first_pass: see :class:`FirstPassConfig`.
    """

    scale: float = 0.5
    word_bonus: float = 1.2
    unknown_cost: float = 6.0
    letter_cost: float = 0.7
    class_cost: float = 1.5
    lattice_beam: float = 10.0
    beam: float = 8.0
    max_active: int = 100
    first_pass: FirstPassConfig = field(default_factory=FirstPassConfig)

    def __post_init__(self) -> None:
        finite(self)
        not_negative(self, "scale")
        positive(self, "lattice_beam", "beam")
        at_least_one(self, "max_active")

    @property
    def weights(self) -> tuple[float, float, float, float, float]:
        """The factors on what is counted (``ctcbias_fst.search.lattice.LmScores``)."""
        return (
            self.scale,
            self.word_bonus,
            -self.unknown_cost,
            -self.letter_cost,
            -self.class_cost,
        )
