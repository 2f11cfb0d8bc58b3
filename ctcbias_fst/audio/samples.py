"""Samples in memory, of any type and shape that has one meaning, as mono float32."""

from __future__ import annotations

import math
import os
import sys
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from ctcbias_fst.audio.channels import LONGER, MAX_CHANNELS
from ctcbias_fst.audio.levels import averaged
from ctcbias_fst.errors import AudioError, warn_caller

AS_INT16 = "give samples of 16 bits as int16"
"""Of 32-bit integers that are next to silence."""

Samples = npt.NDArray[np.float32]


def mono_samples(audio: Any, name: str = "samples", most: float = math.inf) -> Samples:
    """Samples as a new float32 array ``(samples,)`` whose full scale is 1.

    Args:
        audio: an array of numpy, torch or another library with its interface, or a list: floats
            with full scale 1, or integers, which are divided by the full scale of their type
            (unsigned ones are centred first). ``(samples,)``, or one axis more for channels, the
            much shorter one, over which they are averaged, unless they cancel each other.
        name: for messages.
        most: samples, of all channels together; more is refused before anything is copied.

    Raises:
        AudioError: it is no array of numbers, its type or shape has no one meaning, or it is too
            long.
    """
    array = _channels_last(as_array(audio, name), name)
    if len(array) > most:
        raise AudioError(f"{name}: {len(array)} samples are too many for one recording; cut it")
    try:
        scaled = with_full_scale_1(array, name)
    except MemoryError as error:
        raise AudioError(f"{name}: too long for the memory of this machine") from error
    if is_faint(array):
        peak = np.abs(array.astype(np.float64)).max()
        warn_caller(
            f"{name}: 32-bit integers of at most {peak:.0f} are next to silence; {AS_INT16}"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # what is absurd is refused afterwards
        mono, told = (scaled, None) if scaled.ndim == 1 else averaged(scaled)
        if told:
            warn_caller(f"{name}: {told}")
        return np.array(mono, dtype=np.float32, order="C")


def as_array(audio: Any, name: str) -> npt.NDArray[Any]:
    """Whatever holds samples as an array of numbers of their own type.

    Args:
        audio: see `mono_samples`.
        name: for messages.

    Raises:
        AudioError: it is no array of numbers.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(audio, torch.Tensor):
        audio = audio.detach()
        if audio.layout != torch.strided or audio.is_quantized or audio.device.type == "meta":
            raise AudioError(
                f"{name}: a dense tensor with values is needed, not {audio.layout}, {audio.dtype} "
                f"on {audio.device}"
            )
        audio = audio.cpu()
        audio = (audio.float() if audio.dtype == torch.bfloat16 else audio).resolve_neg().numpy()
    if isinstance(audio, tuple) and len(audio) == 2 and (np.ndim(audio[0]) != np.ndim(audio[1])):
        raise AudioError(
            f"{name}: a pair of rate and samples; pass the samples, and the rate as sampling_rate"
        )
    first = audio[0] if isinstance(audio, (list, tuple)) and audio else None
    if getattr(first, "ndim", 0) or isinstance(first, (list, tuple, str, bytes, os.PathLike)):
        raise AudioError(
            f"{name}: a {type(audio).__name__} of {type(first).__name__} is more than one "
            "recording, or channels apart; transcribe them one by one, or make one array of them"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # older numpy warns about ragged lists
            array = np.asarray(audio)
    except Exception as error:  # whatever another library's array raises
        raise AudioError(f"{name}: not an array of samples: {error}") from error
    if array.dtype.kind not in "iuf":
        given = f"an array of {array.dtype}" if array.ndim else type(audio).__name__
        raise AudioError(
            f"{name}: {given} is neither samples (floats or integers), nor a path, bytes or a file"
        )
    return array


def _channels_last(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """As ``(samples,)`` or ``(samples, channels)``."""
    shape = array.shape
    if array.ndim > 2 and shape[0] > 1:
        raise AudioError(
            f"{name}: samples of the shape {shape} are several recordings: pass a list of them"
        )
    if array.ndim > 2:  # a batch of one
        array = array.reshape([size for size in shape if size != 1] or [1])
    if array.ndim == 2 and 1 in array.shape:
        return array.reshape(-1)
    if array.ndim == 1:
        return array
    if array.ndim == 2:
        few, many = sorted(array.shape)
        if 0 < few <= MAX_CHANNELS and many >= LONGER * few:
            return array if array.shape[1] == few else array.T
    raise AudioError(
        f"{name}: samples must be mono, or have a short axis of channels; found shape {shape}"
    )


def is_faint(array: npt.NDArray[Any]) -> bool:
    """Whether samples of 32 bits, not all of them 0, would have room in 16."""
    peak = float(np.abs(array.astype(np.float64)).max(initial=0.0)) if array.dtype == "i4" else 0.0
    return 0 < peak < 2.0**15


def with_full_scale_1(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """As floats whose full scale is 1.

    Args:
        array: of floats or integers, see `mono_samples`.
        name: for messages.

    Raises:
        AudioError: 64-bit integers have no known full scale.
    """
    kind = array.dtype
    if kind.kind == "f":
        return array.astype(np.float32 if kind.itemsize <= 4 else np.float64)
    bits = 8 * kind.itemsize
    centred = array.astype(np.float64)
    peak = float(np.abs(centred).max(initial=0.0))
    if bits == 64 and 0 < peak < 2.0**32:
        raise AudioError(
            f"{name}: 64-bit integers of at most {peak:.0f} have no known full scale; give the "
            "type that they had (such as int16), or floats in [-1, 1]"
        )
    if kind.kind == "u":
        centred -= 2.0 ** (bits - 1)
    return centred / 2.0 ** (bits - 1)
