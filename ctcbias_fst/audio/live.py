"""Audio that is still coming: raw samples of a pipe, a microphone, or a file as if it came now."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

import numpy as np

from ctcbias_fst.audio.audio import read_audio
from ctcbias_fst.audio.blocks import check_rate
from ctcbias_fst.audio.raw import RawSamples
from ctcbias_fst.audio.samples import Samples
from ctcbias_fst.errors import AudioError, MissingDependencyError, warn_caller

_SILENT_SECONDS = 10.0
"""A microphone that gives nothing for so long, not even silence, has failed."""

_WAITING_SECONDS = 60.0
"""So much of a microphone may wait to be heard: more means that this machine is too slow."""


def pcm_chunks(
    stream: IO[bytes], rate: int, seconds: float, encoding: str = "s16le", channels: int = 1
) -> Generator[Samples]:
    """Raw samples as they come.

    Args:
        stream: what has them, without a header.
        rate: samples per second.
        seconds: a chunk is not longer.
        encoding: one of :data:`ctcbias_fst.audio.raw.ENCODINGS`.
        channels: interleaved.

    Yields:
        float32 ``(samples,)``, or of several channels ``(samples, channels)``, full scale 1.

    Raises:
        AudioError: it begins like a file with a header.
    """
    check_rate(rate, "raw samples")
    raw = RawSamples(encoding, channels)
    most = max(1, round(rate * seconds)) * raw.frame_bytes
    read = getattr(stream, "read1", stream.read)
    data = b"more"
    while data:
        data = read(max(1, most - raw.left))
        samples = raw.add(data, last=not data)
        if len(samples):
            yield samples
    notice = raw.notice()
    if notice is not None:
        warn_caller(notice)


def file_chunks(path: Path, rate: int, seconds: float) -> Generator[Samples]:
    """A file in chunks, as fast as they are taken.

    Args:
        path: of any kind that can be read.
        rate: that the samples are to have.
        seconds: of a chunk.

    Raises:
        AudioError: it cannot be read.
    """
    recording = read_audio(path, rate)
    if recording.warning:
        warn_caller(f"{path}: {recording.warning}")
    size = max(1, round(rate * seconds))
    for begin in range(0, len(recording.samples), size):
        yield recording.samples[begin : begin + size]


class Microphone:
    """What the microphone hears, until the caller stops; then what was heard and not taken yet.

    Args:
        rate: samples per second.
        seconds: of a chunk.
    """

    def __init__(self, rate: int, seconds: float) -> None:
        self._rate, self._size = rate, max(1, round(rate * seconds))
        self._heard: Queue[Samples] = Queue(maxsize=max(1, round(_WAITING_SECONDS / seconds)))
        self._lost: list[str] = []
        self._told = False

    def chunks(self) -> Generator[Samples]:
        """Listen, until the generator is closed.

        Raises:
            MissingDependencyError: the extra ``mic`` is not installed.
            AudioError: there is no microphone, or it fails.
        """
        try:
            import sounddevice  # noqa: PLC0415
        except (ImportError, OSError) as error:  # the latter without the library PortAudio
            raise MissingDependencyError(
                f"the microphone needs sounddevice and PortAudio ({error}): pip install "
                "'ctcbias_fst[mic]', and libportaudio2 of the system"
            ) from error
        stream = {"channels": 1, "dtype": "float32", "callback": self._take}
        try:
            with sounddevice.InputStream(self._rate, self._size, **stream):
                while True:
                    yield self._heard.get(timeout=_SILENT_SECONDS)
                    if self._lost and not self._told:
                        self._told = True  # once: it may be lost with every chunk
                        warn_caller(f"microphone: some of it was lost ({self._lost[0]})")
        except Empty:
            raise AudioError(
                f"microphone: nothing has come for {_SILENT_SECONDS:g} s: is it still there?"
            ) from None
        except sounddevice.PortAudioError as error:
            raise AudioError(f"microphone: {error}") from error

    def rest(self) -> Iterator[Samples]:
        """What was heard and not taken."""
        while not self._heard.empty():
            yield self._heard.get_nowait()

    def _take(self, data: Any, count: int, time: Any, status: Any) -> None:
        if (status or self._heard.full()) and not self._lost:
            self._lost.append(str(status) or "this machine is too slow")
        if not self._heard.full():
            self._heard.put_nowait(np.array(data[:, 0], dtype=np.float32))
