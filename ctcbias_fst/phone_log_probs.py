"""What a phone model says of utterances, in frames of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch

from ctcbias_fst.arrays import as_float32, as_lengths, checked_frame_seconds
from ctcbias_fst.errors import CtcbiasError, LogProbsError
from ctcbias_fst.text.text_files import counted

_NEVER = -50.0
"""Log-prob of what was not heard."""


@dataclass(frozen=True, eq=False)
class PhoneLogProbs:
    """Log-probs of phones for a batch of utterances.

    Attributes:
        log_probs: shape (N, T, P): natural log, column 0 is the blank. Rows at and after an
            utterance's length are padding and never read. Arrays of numpy and other floating-point
            types become float32 tensors.
        lengths: int64 on the CPU, shape (N,): the frames of each utterance, 0 to T; or such a list.
        frame_seconds: how much audio one frame stands for.
        lag: seconds by which phones are written after their sounds; None if that is not known.

    Raises:
        LogProbsError: a shape or a dtype is wrong, or the lengths do not fit.
    """

    log_probs: torch.Tensor
    lengths: torch.Tensor
    frame_seconds: float
    lag: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "log_probs", as_float32(self.log_probs))
        object.__setattr__(self, "lengths", as_lengths(self.lengths))
        shape = tuple(self.log_probs.shape)
        if len(shape) != 3:
            raise LogProbsError(
                f"phone log-probs must have the shape (utterances, frames, phones), found {shape}"
            )
        check_lengths(self.lengths, shape, "phone ")
        seconds = checked_frame_seconds(self.frame_seconds, where="phone log-probs: ")
        object.__setattr__(self, "frame_seconds", seconds)
        object.__setattr__(self, "lag", checked_lag(self.lag, "phone log-probs: "))

    def __repr__(self) -> str:
        count, frames, phones = self.log_probs.shape
        frames_of = f"{counted(frames, 'frame')} of {self.frame_seconds:g} s"
        shape = f"{counted(count, 'utterance')}, {frames_of}, {phones} phones"
        return f"<PhoneLogProbs of {shape}>"

    def to(self, device: torch.device | str) -> PhoneLogProbs:
        """The same on another device; the lengths stay on the CPU."""
        return replace(self, log_probs=self.log_probs.to(device))

    def select(self, indexes: Sequence[int]) -> PhoneLogProbs:
        """Some utterances, in the order asked for, cut to the longest of them."""
        return self.slices([(i, 0, int(self.lengths[i])) for i in indexes])

    def slices(self, spans: Sequence[tuple[int, int, int]]) -> PhoneLogProbs:
        """A batch of frames ``[begin, end)`` of utterances, ``(utterance, begin, end)`` each."""
        lengths = torch.tensor([end - begin for _, begin, end in spans], dtype=torch.int64)
        return replace(self, log_probs=padded_slices(self.log_probs, spans), lengths=lengths)


def check_lengths(lengths: torch.Tensor, shape: tuple[int, ...], what: str = "") -> None:
    """Refuse lengths that are not those of log-probs.

    Args:
        lengths: of each utterance.
        shape: (N, T, ...) of the log-probs.
        what: of what they are, with a space behind it, for messages.

    Raises:
        LogProbsError: type, number or values are wrong.
    """
    if lengths.device.type != "cpu" or lengths.dtype != torch.int64 or lengths.ndim != 1:
        raise LogProbsError(
            f"{what}lengths must be int64 on the CPU, one per utterance ({shape[0]}), found "
            f"{lengths.dtype} on {lengths.device} of shape {tuple(lengths.shape)}"
        )
    if len(lengths) != shape[0]:
        raise LogProbsError(
            f"{len(lengths)} {what}lengths for {shape[0]} utterances: pass the frames of each"
        )
    if shape[0] and not 0 <= int(lengths.min()) <= int(lengths.max()) <= shape[1]:
        raise LogProbsError(
            f"{what}lengths reach from {int(lengths.min())} to {int(lengths.max())}, but the "
            f"{what}log-probs have {shape[1]} frames"
        )


def checked_lag(
    lag: Any, where: str = "", error: type[CtcbiasError] = LogProbsError
) -> float | None:
    """A number of seconds, of Python or numpy, or None.

    Raises:
        error: it is neither.
    """
    if lag is None:
        return None
    if isinstance(lag, bool) or not isinstance(lag, Real) or not math.isfinite(lag):
        raise error(f"{where}lag must be a finite number of seconds, found {lag!r:.60}")
    return float(lag)


def seconds_later(lag: float | None, than: float | None) -> float:
    """By how much later what lags so is written; 0 if one of the two is not known."""
    return 0.0 if lag is None or than is None else lag - than


def blank_rows(frames: int, like: torch.Tensor, blank: int) -> torch.Tensor:
    """Log-probs ``(frame, token)`` of frames that are surely blank, with the columns of others."""
    rows = like.new_full((frames, like.shape[-1]), _NEVER)
    rows[:, blank] = 0.0
    return rows


def padded_slices(values: torch.Tensor, spans: Sequence[tuple[int, int, int]]) -> torch.Tensor:
    """Frames ``[begin, end)`` of utterances as one batch, zero behind their ends.

    Args:
        values: (N, T, ...).
        spans: (utterance, begin, end) each.
    """
    frames = max((end - begin for _, begin, end in spans), default=0)
    batch = values.new_zeros((len(spans), frames, *values.shape[2:]))
    for row, (utterance, begin, end) in enumerate(spans):
        batch[row, : end - begin] = values[utterance, begin:end]
    return batch
