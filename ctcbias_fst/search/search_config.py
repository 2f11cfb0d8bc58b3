"""What the search may be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ctcbias_fst.bounds import (
    MAX_BEAM,
    at_least_one,
    at_most,
    finite,
    not_negative,
    positive,
)


@dataclass(frozen=True)
class BoostConfig:
    """How the subwords of names are boosted; see :mod:`ctcbias_fst.search.boosting`.

    The defaults are the best of a study on development data (docs/how-it-works.md).

    Attributes:
        alpha: share of a subword's gap to the frame's best that is given back, 0 to 1.
        free: nats of the gap given back besides, for every letter that a subword writes.
        max_gain: nats that a subword is given at most, both together, so that what the model is
            sure of stays.
        top_k: only the k best tokens of a frame (blank apart) are boosted.
        max_gap: only tokens at most this many nats below the frame's best are boosted.
        first_alpha, first_top_k, first_max_gap: the same for an entity's first subword, whose
            place in the frame's ranking decides whether the entity is tried.
        repeat_alpha: share of the gap given back at further frames of an entity's token.
        blank_alpha: share given back where an entity's path takes blank before its last token
            although another column is better.
        max_wait: inside an entity no frame may be passed over, by blank or by going on with a
            token, where something else is better by more than so many nats: what was clearly said
            stays.
        max_wait_letter: the same where that is a token of one letter, as is heard inside names that
            are misheard.
        max_lack: nats for each letter but the first by which the frames of one of a name's words
            may be worse on its path than on the best one; the other words do not pay for it.
        max_short_lack: nats that a letter, a number or an acronym among them may lack as a whole;
            also, by how much blank may be better than each token of a word.
        beta: nats for every letter of a complete entity, paid at its last token.
        bonus: nats for every complete entity; below 0 it is a price, which a short name that fits
            badly cannot pay.
        min_reward, max_reward: the least and the most that a complete entity is paid, both
            together; what other parts charge comes on top.
    """

    alpha: float = 0.6
    max_gain: float = 6.0
    free: float = 1.0
    top_k: int = 18
    max_gap: float = 12.0
    first_alpha: float = 0.3
    first_top_k: int = 10
    first_max_gap: float = 7.0
    repeat_alpha: float = 0.8
    blank_alpha: float = 0.3
    max_wait: float = 6.0
    max_wait_letter: float = 8.5
    max_lack: float = 4.0
    max_short_lack: float = 2.0
    beta: float = 1.0
    bonus: float = -3.9
    min_reward: float = -2.0
    max_reward: float = 10.0

    REMOVED: ClassVar = {"include_blank": True, "min_log_prob": -12.0}
    """Settings of former versions, which their files have, and what is done now."""

    def __post_init__(self) -> None:
        finite(self)
        for name in ("alpha", "first_alpha", "repeat_alpha", "blank_alpha"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name} must lie between 0 and 1, found {getattr(self, name)}: above 1 a "
                    "subword would score the better the less it fits"
                )
        not_negative(self, "beta", "max_gain", "free", "max_gap", "first_max_gap")
        not_negative(self, "max_wait", "max_wait_letter", "max_lack", "max_short_lack")
        at_least_one(self, "top_k", "first_top_k")
        if self.min_reward > self.max_reward:
            raise ValueError(
                f"min_reward must be at most max_reward, found {self.min_reward:g} and "
                f"{self.max_reward:g}"
            )


@dataclass(frozen=True)
class SearchConfig:
    """How log-probs are searched.

    Attributes:
        boost: see :class:`BoostConfig`.
        search_beam: nats below the best at which a path is given up while searching.
        output_beam: nats below the best path that the lattice keeps.
        max_active: states per frame and utterance that the search aims to keep.
        token_beam: tokens this many nats below the best of their frame are not tried there.
        token_top_k: at most so many tokens besides blank are tried at a frame.
        blank_threshold: a frame whose blank is more probable than this is blank, and the
            search skips it where that cannot matter; 1 turns it off.
        separator_cost: nats for each frame of the token between words inside a word, where a
            lexicon says what words are.
    """

    boost: BoostConfig = field(default_factory=BoostConfig)
    search_beam: float = 12.0
    output_beam: float = 8.0
    max_active: int = 1000
    token_beam: float = 8.0
    token_top_k: int = 20
    blank_threshold: float = 0.995
    separator_cost: float = 3.0

    REMOVED: ClassVar = {"modified_topology": False}
    """Settings of former versions, which their files have, and what is done now."""

    def __post_init__(self) -> None:
        positive(self, "search_beam", "output_beam", "token_beam")
        at_most(self, MAX_BEAM, "search_beam", "output_beam", "token_beam")
        at_least_one(self, "max_active", "token_top_k")
        not_negative(self, "separator_cost")
        if not 0.5 < self.blank_threshold <= 1:
            raise ValueError(
                f"blank_threshold must lie above 0.5 and at most 1, found {self.blank_threshold}"
            )
