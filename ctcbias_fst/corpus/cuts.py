"""The audio of lhotse's cuts, read by the reader of all other files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import soxr
from lhotse import CutSet
from lhotse.audio import AudioSource
from lhotse.audio.backend import (
    AudioBackend,
    get_current_audio_backend,
    set_current_audio_backend,
)
from lhotse.cut import Cut
from lhotse.cut.data import DataCut

from ctcbias_fst.audio.audio import Recording, read_audio, read_channels, refuse_named_pipe
from ctcbias_fst.audio.blocks import check_samples, joined_notes, shortfall
from ctcbias_fst.audio.levels import averaged
from ctcbias_fst.cut_sets import one_line, read_cut_set
from ctcbias_fst.errors import AudioError, ManifestError

_SLACK_SECONDS = 0.2
"""Decoders differ in what they make of the first and last frames of compressed audio."""


def read_cuts(path: Path, *, trusted: bool = False) -> CutSet:
    """Read a manifest of cuts.

    Args:
        path: see :func:`ctcbias_fst.cut_sets.read_cut_set`.
        trusted: whether commands in it may be run.

    Raises:
        ManifestError: it is missing, malformed, empty, has an id twice, or names a command and
            is not trusted.
    """
    cuts = read_cut_set(path, trusted=trusted)
    if not cuts:
        raise ManifestError(f"{path}: has no cuts")
    seen: set[str] = set()
    for cut in cuts:
        if not isinstance(cut.id, str):
            raise ManifestError(f"{path}: the id {cut.id!r} is no string")
        if cut.id in seen:
            raise ManifestError(f"{path}: the id {cut.id!r} occurs twice")
        seen.add(cut.id)
    return CutSet.from_cuts(cuts)


def seconds_of(cut: Cut) -> float:
    """The duration of a cut as its manifest says; 0 if that is no duration."""
    try:
        seconds = float(cut.duration)
    except Exception:  # of whatever type it is; whoever loads it says what is wrong
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def load_recording(cut: Cut, rate: int) -> Recording:
    """The audio of a cut, its channels averaged, at another sampling rate.

    As far as it goes: what is missing of it is told in ``warning``.

    Raises:
        AudioError: it is missing, cannot be read, or has no usable samples.
    """
    try:
        if seconds_of(cut) == 0.0:
            raise AudioError(f"its duration is {cut.duration!r}")
        sources = _sources(cut)
        if sources is None:
            return _load_composed(cut, rate)
        return _averaged(cut, [_load_source(cut, source, rate) for source in sources], rate)
    except AudioError:
        raise
    except Exception as error:  # whatever lhotse's objects and audio backends raise
        raise AudioError(f"its audio cannot be read: {one_line(error)}") from error


def _averaged(cut: Cut, parts: Sequence[tuple[Recording, int]], rate: int) -> Recording:
    """The parts of a cut that come from several files as one."""
    if not parts:
        raise AudioError("its recording has no source for its channels")
    samples = parts[0][0].samples
    notes = [part.warning for part, _ in parts]
    if len(parts) > 1:
        every = np.zeros((max(len(part.samples) for part, _ in parts), len(parts)), np.float32)
        for place, (part, _) in enumerate(parts):
            every[: len(part.samples), place] = part.samples
        samples, told = averaged(every, [channels for _, channels in parts])
        notes.append(told)
    missing = shortfall(len(samples) / rate, seconds_of(cut), _SLACK_SECONDS)
    return Recording(cut.id, samples, rate, joined_notes(*notes) or missing)


def _sources(cut: Cut) -> list[AudioSource] | None:
    """The files of a cut that is a piece of a recording, and no more than that."""
    if not isinstance(cut, DataCut):
        return None
    if not cut.has_recording:
        raise AudioError("it has no audio")
    recording = cut.recording
    if recording.transforms or any(s.type not in ("file", "memory") for s in recording.sources):
        return None
    wanted = _channels(cut)
    return [source for source in recording.sources if wanted.intersection(source.channels)]


def _channels(cut: DataCut) -> set[int]:
    return {cut.channel} if isinstance(cut.channel, int) else set(cut.channel)


def _load_source(cut: DataCut, source: AudioSource, rate: int) -> tuple[Recording, int]:
    """A source's part of a cut, and how many of its channels that is the average of."""
    wanted = _channels(cut)
    channels = [place for place, name in enumerate(source.channels) if name in wanted]
    whole = cut.start == 0 and cut.duration >= cut.recording.duration
    refuse_named_pipe(source.source, "its audio")
    recording = read_audio(
        source.source,
        rate,
        start=float(cut.start),
        seconds=None if whole else float(cut.duration),
        channels=channels,
        name="its audio",
    )
    return recording, len(channels)


def _load_composed(cut: Cut, rate: int) -> Recording:
    """A cut that lhotse has to mix, pad or transform, or whose audio it has to fetch."""
    try:
        with _reader():
            samples = cut.load_audio()
    except AudioError as error:  # to which lhotse has added a description of the cut
        raise AudioError(one_line(error)) from error
    if samples is None:
        raise AudioError("it has no audio")
    mono, told = averaged(samples.T)
    mono = check_samples(np.ascontiguousarray(mono, np.float32), cut.sampling_rate, "its audio")
    if cut.sampling_rate != rate:
        mono = soxr.resample(mono, cut.sampling_rate, rate)
    return Recording(cut.id, mono, rate, told)


class _Reader(AudioBackend):  # type: ignore[misc]
    """Our reader as lhotse's: some of its own hand the names of files to a shell."""

    def read_audio(
        self,
        path_or_fd: Any,
        offset: float = 0.0,
        duration: float | None = None,
        force_opus_sampling_rate: int | None = None,
    ) -> tuple[Any, int]:
        refuse_named_pipe(path_or_fd, "its audio")
        return read_channels(path_or_fd, start=offset, seconds=duration, name="its audio")


_READING = Lock()


@contextmanager
def _reader() -> Iterator[None]:
    """Let lhotse use our reader. Its backend is that of all threads: one after the other."""
    with _READING:
        before = get_current_audio_backend()
        set_current_audio_backend(_Reader())
        try:
            yield
        finally:
            set_current_audio_backend(before)
