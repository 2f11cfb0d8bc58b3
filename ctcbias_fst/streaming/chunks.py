"""Chunks of log-probs, checked: what a stream is handed at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from ctcbias_fst.arrays import as_float32
from ctcbias_fst.decoder_inputs import batch_of
from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs
from ctcbias_fst.rescore.phone_frames import check_phone_values
from ctcbias_fst.search.boosting import check_log_probs
from ctcbias_fst.text.vocabulary import Vocabulary

SPEAKS, QUIET, BLANK = 0, 1, 2
"""A frame: something is written there; the best token writes nothing; it is surely blank."""


Kind = tuple[bool, float | None, float | None, float]
"""What chunks of one stream have in common: what they lack, lags, how long a phone frame is."""


@dataclass(frozen=True)
class Chunk:
    """What comes at a time; see :class:`ctcbias_fst.streaming.frames.OpenFrames`."""

    tokens: torch.Tensor
    marks: torch.Tensor
    unbiased: torch.Tensor
    biased: bool
    phones: torch.Tensor | None
    lag: float | None
    phone_lag: float | None
    phone_seconds: float

    @property
    def has_frames(self) -> bool:
        """Whether there is anything in it."""
        return bool(len(self.tokens)) or (self.phones is not None and bool(len(self.phones)))

    @property
    def kind(self) -> Kind:
        """What the chunks of a stream have in common."""
        return (self.phones is None, self.lag, self.phone_lag, self.phone_seconds)


class ChunkReader:
    """Makes chunks of what a user hands in.

    Args:
        vocabulary: of the model.
        frame_seconds: of the model.
        blank_threshold: the probability of blank above which a frame is surely blank.
        device: where to search.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        frame_seconds: float,
        blank_threshold: float,
        device: torch.device,
    ) -> None:
        self._vocabulary, self._frame_seconds = vocabulary, frame_seconds
        self._device = device
        self._blank = math.log(blank_threshold) if blank_threshold < 1 else math.inf
        writes = torch.tensor([bool(text) for text in vocabulary.surfaces], device=device)
        self._writes = writes

    def read(self, log_probs: Any, phones: Any, name: str, *, needs_phones: bool) -> Chunk:
        """Check a chunk. Phones may come somewhat earlier or later than their tokens: see
        :meth:`ctcbias_fst.streaming.frames.OpenFrames.check`.

        Args:
            log_probs: an array (T, V), or a `LogProbs` of one utterance.
            phones: an array (T, P) of the same frames, a `PhoneLogProbs` of one utterance, or None.
            name: of the stream and the place, for messages.
            needs_phones: whether phones must be among it.

        Raises:
            LogProbsError: shape, type, vocabulary or values are wrong, or phones are missing.
        """
        one = self._record(log_probs, phones, name)
        if one.size != 1:
            raise LogProbsError(f"{name}: {one.size} utterances; a chunk is of one stream")
        if one.frame_seconds != self._frame_seconds:
            raise LogProbsError(
                f"{name}: frames of {one.frame_seconds:g} s, the decoder's are of "
                f"{self._frame_seconds:g} s"
            )
        if needs_phones and one.phones is None and int(one.lengths[0]):
            raise LogProbsError(
                f"{name}: the parts rescore and lookup and long lists need log-probs of phones: "
                "pass phones= with every chunk, or leave these parts out"
            )
        try:
            check_log_probs(one, self._vocabulary)
            if needs_phones and one.phones is not None:
                check_phone_values(one)
        except LogProbsError as error:
            raise LogProbsError(str(error).removeprefix("utterance ")) from None
        return self._chunk(one.to(self._device))

    def _record(self, log_probs: Any, phones: Any, name: str) -> LogProbs:
        if isinstance(log_probs, LogProbs):
            if phones is not None:
                raise LogProbsError(f"{name}: a LogProbs has its own phones: leave phones= out")
            return replace(log_probs, ids=(name,) * log_probs.size)
        if _is_empty(log_probs):
            log_probs, phones = torch.zeros(0, self._vocabulary.size), None
        try:
            one = batch_of(log_probs, None, None, self._vocabulary, self._frame_seconds)
        except LogProbsError as error:
            raise LogProbsError(f"{name}: {error}") from error
        if phones is not None and not isinstance(phones, PhoneLogProbs):
            phones = as_float32(phones)[None]
        try:
            return LogProbs(
                one.log_probs, one.lengths, one.frame_seconds, (name,), one.vocabulary, phones
            )
        except LogProbsError as error:
            raise LogProbsError(f"{name}: {error}") from error

    def _chunk(self, one: LogProbs) -> Chunk:
        frames = int(one.lengths[0])
        tokens = one.log_probs[0, :frames].clone()
        quiet = ~self._writes[tokens.argmax(dim=-1)] if frames else tokens.new_zeros(0)
        blank = tokens[:, self._vocabulary.blank_id] > self._blank
        marks = torch.where(quiet.bool(), QUIET, SPEAKS).masked_fill(blank, BLANK).cpu()
        phones = one.phones
        return Chunk(
            tokens=tokens,
            marks=marks,
            unbiased=tokens if one.unbiased is None else one.unbiased[0, :frames].clone(),
            biased=one.unbiased is not None,
            phones=None
            if phones is None
            else phones.log_probs[0, : int(phones.lengths[0])].clone(),
            lag=one.lag,
            phone_lag=None if phones is None else phones.lag,
            phone_seconds=0.0 if phones is None else phones.frame_seconds,
        )


def _is_empty(log_probs: Any) -> bool:
    """Whether nothing has come: a list without frames does not tell how many columns they have."""
    return isinstance(log_probs, (list, tuple)) and not len(log_probs)
