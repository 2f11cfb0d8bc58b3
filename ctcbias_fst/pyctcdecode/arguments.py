"""What a call of pyctcdecode says, in this package's terms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ctcbias_fst.bounds import MAX_HYPOTHESES, MAX_STATES, whole_number
from ctcbias_fst.errors import ConfigError, EntityListError, warn_caller
from ctcbias_fst.pyctcdecode.language_model import checked_number
from ctcbias_fst.text.text_files import quoted

__all__ = ["WEIGHT", "Beams", "entities_of", "warn_of"]

WEIGHT = 10.0
"""The hotword weight that stands for a name's usual one."""

_STATES = 10
"""For each of the beams that are asked for."""

_REASONS = {
    "pool": "utterances are decoded together in this process",
    "prune_history": "readings that differ in their past only are never searched twice",
    "lm_start_state": "every call is a sentence of its own; decode the whole utterance at once",
    "unigrams": "the words of the language model are known, and no others",
    "unigram_encoding": "the words of the language model are known, and no others",
}


def warn_of(**given: Any) -> None:
    """Tell of arguments that have no effect."""
    for name, value in given.items():
        if value is not None:
            warn_caller(f"{name} has no effect: {_REASONS[name]}")


def entities_of(hotwords: Any, weight: Any) -> list[dict[str, Any]]:
    """Names of a list, all of one weight.

    Raises:
        EntityListError: they are no list of strings.
        ConfigError: the weight is no number, or below 0.
    """
    if checked_number("hotword_weight", weight) < 0:
        raise ConfigError(f"hotword_weight must be 0 or more, found {weight}")
    if hotwords is None:
        return []
    if isinstance(hotwords, (str, bytes)) or not isinstance(hotwords, Iterable):
        raise EntityListError(f"hotwords must be a list of strings, found {quoted(hotwords)}")
    words = list(hotwords)
    for word in words:
        if not isinstance(word, str):
            raise EntityListError(f"hotwords must be strings, found {quoted(word)}")
    names = dict.fromkeys(word.strip() for word in words if word.strip() and weight)
    return [{"name": name, "weight": weight / WEIGHT} for name in names]


@dataclass(frozen=True)
class Beams:
    """How wide to search; see :mod:`ctcbias_fst.pyctcdecode`.

    Attributes:
        width: 1 to 100,000.
        prune_logp: 0 or less.
        token_min_logp: 0 or less.

    Raises:
        ConfigError: a number is wrong.
    """

    width: int = 100
    prune_logp: float = -10.0
    token_min_logp: float = -5.0

    def __post_init__(self) -> None:
        width = whole_number("beam_width", self.width, MAX_STATES // _STATES)
        object.__setattr__(self, "width", width)
        for name, value in (
            ("beam_prune_logp", self.prune_logp),
            ("token_min_logp", self.token_min_logp),
        ):
            if checked_number(name, value) > 0:
                raise ConfigError(f"{name} must be 0 or less, found {value}")

    @property
    def returned(self) -> int:
        """How many beams, at most, come back."""
        return min(self.width, MAX_HYPOTHESES)

    @property
    def nats(self) -> float:
        """By how much less than the best one a beam may score."""
        return max(0.001, -self.prune_logp)

    def settings(self) -> dict[str, Any]:
        """The decoder's."""
        return {
            "decode.max_active": _STATES * self.width,
            "decode.output_beam": self.nats,
            "decode.search_beam": max(12.0, self.nats),
            "decode.token_beam": 3.0 - self.token_min_logp,
            "decode.times.widen": 0.0,
            "decode.times.burst": 0.0,
        }
