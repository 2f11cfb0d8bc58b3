"""Arrays and numbers of other libraries: taken as they are meant, or refused in one line."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch

from ctcbias_fst.errors import CtcbiasError, LogProbsError
from ctcbias_fst.text.text_files import quoted

_TOLERANCE = 0.05
"""By how much the probabilities of a frame may miss 1: half precision, and what models round."""

_SECONDS = (1e-4, 10.0)
"""How long a frame can be."""


def as_float32(array: Any) -> torch.Tensor:
    """Log-probs of any floating-point type, numpy's or torch's, as a float32 tensor.

    Raises:
        LogProbsError: they are integers, or no array.
    """
    if not isinstance(array, torch.Tensor):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # older numpy warns about ragged lists
                array = np.asarray(array)
        except Exception as error:  # whatever another library's array raises
            raise LogProbsError(f"log-probs are no array: {error}") from error
        if np.issubdtype(array.dtype, np.floating):
            with np.errstate(over="ignore"):  # float64 has lower floors than -inf of float32
                return torch.from_numpy(array.astype(np.float32))
    elif array.layout != torch.strided or array.is_quantized or array.device.type == "meta":
        raise LogProbsError(
            f"log-probs must be a dense tensor with values, found {array.layout}, {array.dtype} on "
            f"{array.device}"
        )
    elif array.is_floating_point():
        return (array.detach() if array.requires_grad else array).float()
    raise LogProbsError(
        f"log-probs must be floating-point numbers, found {array.dtype}: make them float32 or "
        "float16"
    )


def sum_of_probabilities(log_probs: torch.Tensor) -> torch.Tensor:
    """What the probabilities of each frame sum to, float32 (T,).

    Args:
        log_probs: float32 (T, V), natural log.
    """
    return log_probs.exp().sum(dim=-1)


def is_one(total: torch.Tensor) -> torch.Tensor:
    """Whether sums of probabilities are as they should be, but for rounding; NaN is not."""
    return (total - 1).abs() <= _TOLERANCE


def are_probabilities(values: torch.Tensor) -> bool:
    """Whether rows ``(frame, token)`` are probabilities, not their logarithms, nor logits."""
    return (
        bool(values.numel())
        and bool((values >= 0).all())
        and bool(is_one(values.sum(dim=-1)).all())
    )


def checked_frame_seconds(
    value: Any,
    error: type[CtcbiasError] = LogProbsError,
    where: str = "",
    remedy: str = "",
) -> float:
    """How long a frame is, in seconds.

    Args:
        value: one number, of whatever library.
        error: what is raised.
        where: what says so, for messages.
        remedy: what to do about one that cannot be.

    Raises:
        error: it is no number, or no frame is as long.
    """
    try:
        if isinstance(value, (str, bytes, bool)):
            raise TypeError
        seconds = float(np.asarray(value, dtype=np.float64).reshape(()))
    except Exception:  # whatever another library's number raises
        raise error(
            f"{where}frame_seconds must be one number, found {quoted(value)}{remedy}"
        ) from None
    least, most = _SECONDS
    if not least <= seconds <= most:
        raise error(
            f"{where}frame_seconds is {seconds:g}; a frame lasts {least:g} to {most:g} s{remedy}"
        )
    return seconds


def as_lengths(lengths: Any) -> torch.Tensor:
    """Numbers of frames; whole numbers of numpy or in a list become a tensor, one alone, too."""
    if isinstance(lengths, torch.Tensor):
        frames = lengths.reshape(1) if lengths.ndim == 0 else lengths
        whole = frames.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32)
        return frames.long() if not frames.numel() or whole else frames
    try:
        array = np.asarray(lengths)
        if not array.size:  # an empty list has no type
            return torch.zeros(array.shape, dtype=torch.int64)
        if np.issubdtype(array.dtype, np.integer):
            return torch.from_numpy(np.atleast_1d(array).astype(np.int64))
    except (TypeError, ValueError, OverflowError, DeprecationWarning):
        pass
    raise LogProbsError(f"lengths must be whole numbers, one per utterance, found {lengths!r:.60}")
