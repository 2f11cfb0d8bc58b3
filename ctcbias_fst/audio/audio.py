"""Recordings of any rate and channel count, from files or memory, as mono at the model's rate."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from ctcbias_fst.audio.blocks import (
    HIGHEST_RATE,
    LONGEST_SECONDS,
    Channels,
    Mono,
    check_rate,
    check_samples,
    joined_notes,
    shortfall,
)
from ctcbias_fst.audio.levels import audible
from ctcbias_fst.audio.media import PartT, decode, header_seconds
from ctcbias_fst.audio.samples import mono_samples
from ctcbias_fst.errors import AudioError
from ctcbias_fst.text.text_files import is_named_pipe

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Recording:
    """A recording in memory.

    Attributes:
        id: name for messages and results.
        samples: mono, ``(samples,)`` float32, full scale is 1.
        sampling_rate: samples per second.
        warning: what is missing of it, if it could not be read to its end, or was done to it.
    """

    id: str
    samples: Samples
    sampling_rate: int
    warning: str | None = None

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.sampling_rate


@dataclass(frozen=True)
class AudioPart:
    """A recording that a folder or a list names, or a part of one; not read yet.

    Attributes:
        id: name for messages and results.
        path: of the file.
        start: where it begins, in seconds.
        seconds: how long it is, if not all that there is.
        command: a shell command whose output takes the place of the file.
    """

    id: str
    path: Path
    start: float = 0.0
    seconds: float | None = None
    command: str | None = None


def to_recording(
    audio: Any, sampling_rate: int, rate: int | None = None, name: str = "samples"
) -> Recording:
    """Whatever holds audio as a recording at ``sampling_rate``; very quiet ones are made louder.

    Args:
        audio: the path of a file; the file's content as bytes, or a binary file object; samples
            (:func:`ctcbias_fst.audio.samples.mono_samples`), or a mapping with these as ``array``
            and their ``sampling_rate``; an :class:`AudioPart`; or a :class:`Recording`.
        sampling_rate: of the result.
        rate: of samples, which do not say it themselves.
        name: of what has no name of its own.

    Raises:
        AudioError: it cannot be used, samples are without a rate, or the rate of something else
            is given.
    """
    if isinstance(audio, AudioPart):
        return _read_part(audio, sampling_rate)
    if isinstance(audio, Mapping):
        audio, rate = _of_mapping(audio, rate, name)
    is_file = isinstance(audio, (str, os.PathLike, bytes, bytearray, memoryview))
    if is_file or isinstance(audio, Recording) or hasattr(audio, "read"):
        if rate is not None:
            raise AudioError(
                f"sampling_rate={rate!r} is given with {_kind(audio)}, which says its own rate: "
                "leave it out (it belongs to samples)"
            )
        if isinstance(audio, Recording):
            if _usable(audio.samples) and audio.sampling_rate == sampling_rate:
                check_samples(audio.samples, sampling_rate, audio.id)
                return _audible(audio)
            samples = mono_samples(audio.samples, audio.id, _most(audio.sampling_rate, audio.id))
            own = _at_rate(samples, audio.sampling_rate, sampling_rate, audio.id)
            return _audible(replace(audio, samples=own, sampling_rate=sampling_rate))
        return _audible(read_audio(audio, sampling_rate, name=name))
    mono = mono_samples(audio, name, _most(HIGHEST_RATE if rate is None else rate, name))
    if rate is None:
        raise AudioError(
            f"{name}: the sampling rate of samples must be said: sampling_rate=16000, for example"
        )
    samples = _at_rate(mono, rate, sampling_rate, name)
    return _audible(Recording(name, samples, sampling_rate))


def resampled(recording: Recording, sampling_rate: int) -> Recording:
    """A recording at another rate, as loud as it was: what is quiet in a window of it need not be
    so in the whole.

    Raises:
        AudioError: its samples cannot be used.
    """
    if recording.sampling_rate == sampling_rate:
        return recording
    own = _at_rate(recording.samples, recording.sampling_rate, sampling_rate, recording.id)
    return replace(recording, samples=own, sampling_rate=sampling_rate)


def _of_mapping(audio: Mapping[str, Any], rate: int | None, name: str) -> tuple[Any, Any]:
    """The samples and their rate, as Hugging Face's ``datasets`` give them."""
    if not {"array", "sampling_rate"} <= set(audio):
        raise AudioError(
            f"{name}: a mapping with {', '.join(map(repr, audio)) or 'nothing'} in it; one of "
            "audio has 'array', the samples, and 'sampling_rate'"
        )
    if rate is not None:
        raise AudioError(
            f"{name}: sampling_rate={rate!r} is given with a mapping, which says its own rate: "
            "leave it out"
        )
    return audio["array"], audio["sampling_rate"]


def _audible(recording: Recording) -> Recording:
    """Made louder if it is very quiet, which its ``warning`` tells."""
    samples, told = audible(recording.samples, recording.sampling_rate)
    if told is None or told in (recording.warning or ""):
        return recording
    return replace(recording, samples=samples, warning=joined_notes(recording.warning, told))


def _most(rate: Any, name: str) -> float:
    """How many samples a recording may have."""
    return LONGEST_SECONDS * check_rate(rate, name)


def _read_part(part: AudioPart, sampling_rate: int) -> Recording:
    source: Any = part.path
    failure = None
    if part.command is not None:
        source, failure = _output_of(part.command, part.id)
    else:
        refuse_named_pipe(part.path, str(part.path))
    found = read_audio(
        source, sampling_rate, start=part.start, seconds=part.seconds, name=str(part.path)
    )
    if not found.warning and shortfall(found.seconds, part.seconds):
        listed = f"{part.seconds:g} s from {part.start:g} s on are listed"
        failure = joined_notes(f"{listed}, {found.seconds:.2f} s are there", failure)
    return _audible(replace(found, id=part.id, warning=joined_notes(found.warning, failure)))


def refuse_named_pipe(source: Any, name: str) -> None:
    """Refuse a pipe that a list or a manifest names: it may wait for its writer for ever.

    Raises:
        AudioError: it is one.
    """
    if isinstance(source, (str, os.PathLike)) and is_named_pipe(os.fspath(source)):
        raise AudioError(f"{name}: is a named pipe, which may never end; list a file, or a command")


def _output_of(command: str, name: str) -> tuple[bytes, str | None]:
    """What a shell command writes, and what it says if it fails all the same."""
    done = subprocess.run(
        command, shell=True, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    if done.returncode == 0:
        return done.stdout, None
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    reason = f"its command ended with status {done.returncode}" + (f": {said[-1]}" if said else "")
    if not done.stdout:
        raise AudioError(f"{name}: {reason}")
    return done.stdout, reason


def _usable(samples: Any) -> bool:
    """Whether torch takes the samples as they are."""
    if not isinstance(samples, np.ndarray) or samples.dtype != np.float32 or samples.ndim != 1:
        return False
    return bool(samples.flags.c_contiguous and samples.flags.writeable)


def _kind(audio: Any) -> str:
    if isinstance(audio, Recording):
        return "a Recording"
    return "a path" if isinstance(audio, (str, os.PathLike)) else "the content of a file"


def read_audio(
    source: Any,
    sampling_rate: int = 16000,
    *,
    start: float = 0.0,
    seconds: float | None = None,
    channels: Sequence[int] | None = None,
    name: str = "audio",
) -> Recording:
    """Read a file that libsndfile, PyAV or ffmpeg knows, as far as it goes.

    Channels are averaged, unless they cancel each other; the rate is converted. What
    is missing of a file that is shorter than its header says, or damaged, is told in ``warning``.

    Args:
        source: its path, its content as bytes, or a binary file object.
        sampling_rate: of the result.
        start: where to begin, in seconds.
        seconds: how much to read; by default all.
        channels: the ones that count; by default all.
        name: of what has no path, for messages.

    Raises:
        AudioError: the file is missing, a directory, empty, in no known format, too short or
            too long, of an absurd sampling rate, or has samples that are not numbers, or far
            over full scale.
    """
    name = _name(source, name)
    mono, notice = _decode(
        source, lambda: Mono(sampling_rate, name, start, seconds, channels), name, Mono.alone
    )
    notice = joined_notes(notice, mono.notice)
    return Recording(mono.name, mono.finish(notice), sampling_rate, notice)


def read_channels(
    source: Any, *, start: float = 0.0, seconds: float | None = None, name: str = "audio"
) -> tuple[Samples, int]:
    """Read a file as :func:`read_audio` does, but leave channels and rate as they are.

    Returns:
        samples ``(channel, sample)``, and their rate.

    Raises:
        AudioError: see :func:`read_audio`.
    """
    name = _name(source, name)
    channels, notice = _decode(source, lambda: Channels(name, start, seconds), name)
    return channels.finish(notice), channels.rate


def _name(source: Any, name: str) -> str:
    if not isinstance(source, (str, os.PathLike)):
        return name
    try:
        path = os.fsdecode(source)
    except (TypeError, ValueError) as error:
        raise AudioError(f"{source!r}: not a path: {error}") from error
    if not path:
        raise AudioError("a path without any letter; name a file")
    return path


def _decode(
    source: Any,
    new: Callable[[], PartT],
    name: str,
    again: Callable[[PartT], Callable[[], PartT] | None] = lambda part: None,
) -> tuple[PartT, str | None]:
    """What can be read, and what is missing; ``again`` says what to read the file for once more."""
    try:
        with _regular(source, name) as path:
            first, notice = decode(path, new)
            other = again(first)
            return (first, notice) if other is None else decode(path, other)
    except AudioError as error:
        if str(error.args[0]).startswith(name):
            raise
        raise AudioError(f"{name}: {error}") from error
    except FileNotFoundError as error:
        remedy = "; download it first, addresses are not fetched" if "://" in name else ""
        raise AudioError(f"{name}: no such file{remedy}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"{name}: cannot be opened: {reason}") from error
    except MemoryError as error:
        raise AudioError(f"{name}: too long for the memory of this machine") from error


@contextmanager
def _regular(source: Any, name: str) -> Iterator[Path]:
    """A file that can be read more than once, and at any place.

    A pipe is copied to one, and so is what is in memory: libsndfile reports errors of Python's
    file objects on standard error.
    """
    if isinstance(source, (str, os.PathLike)):
        path = Path(name)
        mode = path.stat()
        if stat.S_ISDIR(mode.st_mode):
            raise AudioError(f"{name}: is a directory; name the audio files in it")
        # What was handed over open, such as /dev/stdin, other programs do not have.
        if stat.S_ISREG(mode.st_mode) and not name.startswith(("/dev/", "/proc/")):
            if mode.st_size == 0:
                raise AudioError(f"{name}: the file is empty")
            with path.open("rb"):
                pass  # libsndfile would call it "System error" if this is not allowed
            yield path
            return
        if not (stat.S_ISFIFO(mode.st_mode) or stat.S_ISREG(mode.st_mode)):
            raise AudioError(f"{name}: is neither a file nor a pipe")
    with _temporary() as (copy, path):
        if isinstance(source, (str, os.PathLike)):
            with Path(name).open("rb") as stream:
                shutil.copyfileobj(stream, copy)
        else:
            _copy(source, copy, name)
        copy.flush()
        if copy.tell() == 0:
            raise AudioError(f"{name}: there is nothing in it")
        yield path


@contextmanager
def _temporary() -> Iterator[tuple[Any, Path]]:
    """A file, and where other programs find it. It has no name where the system lets it have none,
    so that nothing is left of it, even if the process is killed."""
    held = Path(f"/proc/{os.getpid()}/fd")
    if held.is_dir():
        with tempfile.TemporaryFile() as copy:
            yield copy, held / str(copy.fileno())
    else:
        with tempfile.NamedTemporaryFile(prefix="ctcbias-") as named:
            yield named, Path(named.name)


def _copy(source: Any, copy: Any, name: str) -> None:
    if isinstance(source, (bytes, bytearray, memoryview)):
        copy.write(source)
        return
    if not hasattr(source, "read"):
        raise AudioError(f"{name}: {type(source).__name__} is neither a path, bytes nor a file")
    while True:
        try:
            chunk = source.read(1 << 20)
        except Exception as error:  # whatever a reader of the user's raises
            reason = str(error) or type(error).__name__
            raise AudioError(f"{name}: cannot be read: {reason}") from error
        if not isinstance(chunk, (bytes, bytearray, memoryview)):
            raise AudioError(
                f"{name}: read() gave {type(chunk).__name__}, not bytes; open it in binary mode"
            )
        if not len(chunk):
            return
        copy.write(chunk)


def longest_seconds(paths: Iterable[Any]) -> float | None:
    """The duration of the longest of these recordings, from the headers of files.

    None if one of them is of unknown length; those that cannot be used do not count.
    """
    found = [declared_seconds(source) for source in paths]
    if any(seconds is None for seconds in found):
        return None
    return max((seconds for seconds in found if seconds), default=None)


def declared_seconds(source: Any) -> float | None:
    """How long a recording is, from its header: None if that is not known, 0 if it is not usable.

    Whoever reads it says why it cannot be used.
    """
    if isinstance(source, (AudioPart, Recording)) and source.seconds is not None:
        return source.seconds
    if isinstance(source, AudioPart) and source.command is None:
        whole = declared_seconds(source.path)
        return whole and max(0.0, whole - source.start)
    if not isinstance(source, (str, os.PathLike)):
        return None
    try:
        path = Path(os.fsdecode(source))
        mode = path.stat()
    except (OSError, ValueError, TypeError):
        return 0.0
    if stat.S_ISFIFO(mode.st_mode):
        return None
    return header_seconds(path) if stat.S_ISREG(mode.st_mode) and mode.st_size else 0.0


def _at_rate(samples: Samples, rate: Any, target: int, name: str) -> Samples:
    """Samples of one rate at another, checked as :func:`check_rate` and others do."""
    whole = check_rate(rate, name)
    samples = check_samples(samples, whole, name)
    if whole != target:
        samples = soxr.resample(samples, whole, target)
    return np.ascontiguousarray(samples, dtype=np.float32)
