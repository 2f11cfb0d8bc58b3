"""What a call of pyctcdecode says, in this package's terms, and what it gives back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ctcbias_fst.arrays import as_float32
from ctcbias_fst.bounds import MAX_STATES, whole_number
from ctcbias_fst.errors import ConfigError, EntityListError, LogProbsError, warn_caller
from ctcbias_fst.pyctcdecode.language_model import checked_number
from ctcbias_fst.records import Hypothesis
from ctcbias_fst.text.entity import read_once
from ctcbias_fst.text.entity_fields import MAX_WEIGHT
from ctcbias_fst.text.text_files import quoted

WordFrames = tuple[str, tuple[int, int]]
Beam = tuple[str, str | None, list[WordFrames], float, float]
"""Text, state of the language model, words with (first frame, frame behind the last one), logit
score, score of all parts."""
BeamWithoutState = tuple[str, list[WordFrames], float, float]

WEIGHT = 10.0
"""The hotword weight that stands for a name's usual one."""

_STATES = 10
"""For each of the beams that are asked for."""

_NEAR_ONE = 0.01
"""By how much probabilities may miss it."""

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
    """Names of a list, all of one weight, or mapped to their weights.

    Raises:
        EntityListError: they are no list of strings.
        ConfigError: a weight is no number, below 0 or larger than anything useful.
    """
    _check_weight("hotword_weight", weight)
    if isinstance(hotwords, (str, bytes)) or not isinstance(hotwords, Iterable | None):
        raise EntityListError(f"hotwords must be a list of strings, found {quoted(hotwords)}")
    words = [] if hotwords is None else list(read_once(hotwords))
    odd = [word for word in words if not isinstance(word, str)]
    if odd:
        raise EntityListError(f"hotwords must be strings, found {quoted(odd[0])}")
    weights = dict.fromkeys(words, weight)
    if isinstance(hotwords, Mapping):
        if weight != WEIGHT:
            warn_caller("hotword_weight has no effect: hotwords are mapped to weights of their own")
        weights = dict(hotwords)
        for word, own in weights.items():
            _check_weight(f"weight of the hotword {quoted(word)}", own)
    names = {word.strip(): own for word, own in weights.items() if word.strip() and own}
    return [{"name": name, "weight": own / WEIGHT} for name, own in names.items()]


def _check_weight(name: str, weight: Any) -> None:
    if checked_number(name, weight) < 0:
        raise ConfigError(f"{name} must be 0 or more, found {weight}")
    if weight > WEIGHT * MAX_WEIGHT:
        raise ConfigError(f"{name} must be at most {WEIGHT * MAX_WEIGHT:g}, found {weight}")


@dataclass(frozen=True)
class Beams:
    """How wide to search; see :mod:`ctcbias_fst.pyctcdecode`.

    Raises:
        ConfigError: the width is not of 1 to 100,000, or a log-prob above 0.
    """

    beam_width: int = 100
    beam_prune_logp: float = -10.0
    token_min_logp: float = -5.0

    def __post_init__(self) -> None:
        whole_number("beam_width", self.beam_width, MAX_STATES // _STATES)
        for name in ("beam_prune_logp", "token_min_logp"):
            if checked_number(name, getattr(self, name)) > 0:
                raise ConfigError(f"{name} must be 0 or less, found {getattr(self, name)}")

    @property
    def nats(self) -> float:
        """By how much less than the best one a beam may score."""
        return max(0.001, -self.beam_prune_logp)

    def settings(self) -> dict[str, Any]:
        """The decoder's."""
        return {
            "decode.max_active": _STATES * int(self.beam_width),
            "decode.output_beam": self.nats,
            "decode.search_beam": max(12.0, self.nats),
            "decode.token_beam": 3.0 - self.token_min_logp,
            "decode.times.widen": 0.0,
            "decode.times.burst": 0.0,
        }


def log_probs_of(logits: Any) -> torch.Tensor:
    """Log-probs (frames, labels) of what a model gave: logits, log-probs or probabilities."""
    array = as_float32(logits)
    if array.ndim != 2:
        raise LogProbsError(
            f"logits have the shape {tuple(array.shape)}, expected (frames, labels) of an utterance"
        )
    total = array.sum(dim=-1)
    if array.numel() and array.min() >= 0 and ((total - 1).abs() < _NEAR_ONE).all():
        return array.log()
    return array.log_softmax(dim=-1)


def beam_of(hypothesis: Hypothesis, frame_seconds: float) -> BeamWithoutState:
    """A hypothesis as a tuple; what is written without a space is one word."""
    words: list[WordFrames] = []
    for word in hypothesis.words:
        begin, end = round(word.start / frame_seconds), round(word.end / frame_seconds)
        text = word.word
        if word.glued and words:
            before, (begin, _) = words.pop()
            text = before + text
        words.append((text, (begin, end)))
    logit_score = hypothesis.score - hypothesis.boost - hypothesis.lm
    return hypothesis.text, words, logit_score, hypothesis.score
