"""Utterances: logits in, beams out."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch

from ctcbias_fst.arrays import as_float32
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import EntityListError, LogProbsError, warn_caller
from ctcbias_fst.records import Hypothesis, Transcript
from ctcbias_fst.text.text_files import quoted

__all__ = ["Beam", "BeamWithoutState", "beam_of", "decoded"]

WordFrames = tuple[str, tuple[int, int]]
Beam = tuple[str, str | None, list[WordFrames], float, float]
"""Text, state of the language model, words with (first frame, frame behind the last one), logit
score, score of all parts."""
BeamWithoutState = tuple[str, list[WordFrames], float, float]


_BATCH = 16
"""Utterances that are searched at a time."""
_NEAR_ONE = 0.01
"""By how much probabilities may miss it."""


def decoded(
    decoder: Decoder, logits_list: Iterable[Any], entities: list[dict[str, Any]], nbest: int
) -> list[Transcript]:
    """Decode utterances, some at a time; tells what could not be read as it should."""
    names = None
    if entities:
        try:
            (names,) = decoder.lists(entities, 1)
        except EntityListError as error:
            warn_caller(f"{error}; decoded without hotwords")
    found: list[Transcript] = []
    arrays = iter(logits_list)
    while some := [_log_probs(one) for one in islice(arrays, _BATCH)]:
        found += decoder.decode(some, entities=names, nbest=nbest)
    for number, one in enumerate(found, start=1):
        if one.warning is not None and one.best.words:
            warn_caller(f"utterance {number}: {one.warning}")
        if one.left_out:
            left = " ".join(word.word for word in one.left_out)
            warn_caller(f"utterance {number}: {quoted(left)} is left out: it was hardly heard")
    return found


def _log_probs(logits: Any) -> torch.Tensor:
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
