"""What a recognizer is handed: one recording or several, and who hears phones in them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ctcbias_fst.audio.audio import AudioPart, Recording, resampled
from ctcbias_fst.errors import AudioError
from ctcbias_fst.models.plug import PhoneListener
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.text.text_files import quoted


def several_recordings(recordings: Any) -> Iterable[Any]:
    """Refuse what is one recording, or none, where several are wanted."""
    kinds = (str, bytes, bytearray, memoryview, os.PathLike, Recording, Mapping)
    one = isinstance(recordings, kinds)
    if one or not isinstance(recordings, Iterable):
        raise AudioError(
            f"{quoted(recordings, 100)} is no list of recordings: pass a list, or transcribe it"
        )
    return recordings


def recordings_at(recordings: Any, sampling_rate: int) -> list[Recording]:
    """Recordings that are at a model's rate.

    Raises:
        AudioError: they are none, or one is at another rate.
    """
    several = list(several_recordings(recordings))
    for number, one in enumerate(several, start=1):
        if not isinstance(one, Recording):
            raise AudioError(
                f"{quoted(one, 100)} is no Recording (number {number}): Recognizer.transcribe "
                "takes paths and samples"
            )
        if one.sampling_rate != sampling_rate:
            raise AudioError(
                f"{one.id}: is at {one.sampling_rate} Hz, and the model takes {sampling_rate} Hz: "
                "Recognizer.transcribe resamples it"
            )
    return several


def name_of(source: Any, name: str) -> str:
    """What a source of audio is called: its path or id, or a name for what has none."""
    if isinstance(source, (AudioPart, Recording)):
        return source.id
    return os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else name


def is_several(audio: Any) -> bool:
    """Whether there are several recordings, and not the samples of one."""
    if isinstance(audio, Iterator) and not hasattr(audio, "read"):
        return True
    if not isinstance(audio, (list, tuple)):
        return False
    return not any(isinstance(one, (int, float, np.number)) for one in audio[:2])


def heard_phones(
    listener: PhoneListener, recordings: Sequence[Recording], device: torch.device
) -> PhoneLogProbs:
    """What a listener hears in recordings of any rate.

    Args:
        device: where its log-probs go.

    Raises:
        AudioError: a recording cannot be used.
    """
    at_rate = [resampled(one, listener.sampling_rate) for one in recordings]
    return listener.phone_log_probs(at_rate).to(device)
