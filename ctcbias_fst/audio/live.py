"""Audio that is still coming: raw samples of a pipe, a microphone, or a file as if it came now."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from queue import Empty, Queue
from typing import IO, Any

import numpy as np

from ctcbias_fst.audio.audio import read_audio
from ctcbias_fst.audio.blocks import check_rate
from ctcbias_fst.audio.samples import Samples
from ctcbias_fst.errors import AudioError, MissingDependencyError, warn_caller
from ctcbias_fst.text.text_files import counted

ENCODINGS = {"s16le": "<i2", "s32le": "<i4", "u8": "u1", "f32le": "<f4"}
"""How raw samples are written, and numpy's name of it; as ffmpeg and sox have them."""

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
        encoding: one of :data:`ENCODINGS`.
        channels: interleaved.

    Yields:
        float32 ``(samples,)``, or of several channels ``(samples, channels)``, full scale 1.

    Raises:
        AudioError: it begins like a file with a header.
    """
    check_rate(rate, "raw samples")
    kind = np.dtype(ENCODINGS[encoding])
    frame = kind.itemsize * channels
    most = max(1, round(rate * seconds)) * frame
    kept, begun = b"", False
    read = getattr(stream, "read1", stream.read)
    data = b"more"
    while data:
        data = read(max(1, most - len(kept)))
        kept += data
        if not begun:
            if data and len(kept) < _LONGEST_HEADER:
                continue
            _refuse_files(kept, of_bytes=kind.itemsize == 1)
            begun = True
        whole = len(kept) - len(kept) % frame
        if whole:
            yield _scaled(np.frombuffer(kept[:whole], kind), channels)
            kept = kept[whole:]
    if kept:
        warn_caller(
            f"raw samples: left out at the end: {counted(len(kept), 'byte')}, no whole sample of "
            f"{encoding} with {counted(channels, 'channel')}"
        )


_HEADERS = (
    *(b"RIFF", b"RF64", b"RIFX", b"fLaC", b"OggS", b"ID3\x03", b"ID3\x04", b"FORM"),
    *(b".snd", b"caff", b"\x1aE\xdf\xa3", b"#!AM", b"NIST", b"wvPK", b"\x1f\x8b\x08", b"BZh9"),
)
"""Of WAV and its kin, FLAC, Ogg, MP3, AIFF, AU, CAF, WebM, AMR, SPHERE, WavPack, gzip and bzip2."""

_BOX = (b"ftyp", b"moov", b"mdat", b"wide")
"""Where an MP4 or QuickTime file begins, behind the length of it."""

_LONGEST_HEADER = 8
_TEXT_BYTES = 64
"""So many bytes that can all be printed are text, in samples of more than one byte."""

_PRINTED = frozenset(b"\t\n\r") | frozenset(range(0x20, 0x7F))


def _refuse_files(data: bytes, *, of_bytes: bool) -> None:
    begin = data[:4]
    if data.startswith(_HEADERS) or data[4:8] in _BOX:
        raise AudioError(
            f"raw samples: this is a file with a header ({begin.decode('ascii', 'replace')!r}): "
            "name it as a file, or have ffmpeg or sox write raw samples"
        )
    text = data[:_TEXT_BYTES]
    if not of_bytes and len(text) == _TEXT_BYTES and _PRINTED.issuperset(text):
        raise AudioError(
            f"raw samples: this is text ({text[:20].decode('ascii')!r}): samples are wanted, as "
            "ffmpeg, sox or arecord write them"
        )


def _scaled(values: np.ndarray[Any, np.dtype[Any]], channels: int) -> Samples:
    if values.dtype.kind == "f":
        scaled = values.astype(np.float32)
    else:
        half = float(2 ** (8 * values.dtype.itemsize - 1))
        offset = half if values.dtype.kind == "u" else 0.0
        scaled = ((values.astype(np.float64) - offset) / half).astype(np.float32)
    return scaled if channels == 1 else scaled.reshape(-1, channels)


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
