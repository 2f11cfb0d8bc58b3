"""Audio files of any kind as blocks of samples: libsndfile, else PyAV, else the program ffmpeg.

Nothing of a header is believed: files are read block by block, as far as they go, so that a count
of samples that is wrong costs neither memory nor the samples that are there.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt
import soundfile

from ctcbias_fst.errors import AudioError

__all__ = ["EXTRA", "Sink", "decode", "header_seconds"]

EXTRA = "ctcbias_fst[audio]"
"""The optional packages that read what libsndfile does not."""

_BLOCK = 1 << 18
"""Samples per block, all channels together."""

_NO_COUNT = 1 << 62
"""libsndfile's count of samples is this and more where a header has none."""

_SLACK_SECONDS = 0.1
"""Encoders pad, so that counts of compressed audio may be off by a few of its frames."""

Samples = npt.NDArray[np.float32]


class Sink(Protocol):
    """Takes what is decoded.

    Attributes:
        start, seconds: the part that is wanted; to the end if ``seconds`` is None.
        heard: seconds that were taken so far, before ``start`` included.
    """

    @property
    def start(self) -> float: ...

    @property
    def seconds(self) -> float | None: ...

    @property
    def heard(self) -> float: ...

    def skip(self, seconds: float) -> None:
        """The decoder begins here instead of at 0."""

    def add(self, block: Samples, rate: int) -> bool:
        """Take samples ``(frame, channel)``; returns whether more are wanted.

        Raises:
            AudioError: the rate or a sample is absurd, or it is far too long.
        """
        ...


def decode(path: Path, sink: Sink) -> str | None:
    """Decode a regular file as far as it goes.

    Returns:
        what is missing of it, if anything is.

    Raises:
        AudioError: nothing of it can be decoded; without the file's name.
    """
    reasons = []
    decoders = [("libsndfile", _libsndfile)]
    if _optional("av") is not None:
        decoders.append(("PyAV", _pyav))
    elif shutil.which("ffmpeg"):
        decoders.append(("ffmpeg", _ffmpeg))
    for name, decoder in decoders:
        try:
            notice, failed = decoder(path, sink), False
        except AudioError:
            raise
        except Exception as error:  # whatever a damaged file makes these libraries raise
            notice, failed = _reason(error), True
        if sink.heard > 0 or not (failed or notice):
            if failed:
                return f"damaged after {sink.heard:.2f} s ({notice}); the rest is left out"
            return notice
        reasons.append(f"{name}: {notice}")
    remedy = "it is damaged, or no audio"
    if len(decoders) == 1:
        remedy = (
            "it is damaged, or in a format that libsndfile lacks (as m4a, mp4, webm, mkv): install "
            f"PyAV (pip install '{EXTRA}') or ffmpeg, or convert it to WAV, FLAC, Ogg or MP3"
        )
    raise AudioError(f"cannot be decoded ({'; '.join(reasons)}); {remedy}")


def header_seconds(path: Path) -> float | None:
    """The duration that a header gives; None if it has none, or an estimate only."""
    try:
        with _opened(path) as (stream, _):
            if stream.frames >= _NO_COUNT:
                return None
            return float(stream.frames / stream.samplerate)
    except Exception:  # whoever decodes it says what is wrong
        return None


# libsndfile


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Reads on without seeking.

    soundfile seeks after every block, which fails in damaged files and in pipes, and loses
    samples of MP3.
    """

    def seekable(self) -> bool:
        return False


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, int | None]]:
    """The file, so that all of it is read, and the pipe through which it comes, if it does."""
    if path.suffix.lower() == ".raw":  # soundfile would take it to be without a header
        with path.open("rb") as file, _Sequential(file.fileno(), closefd=False) as stream:
            yield stream, None
        return
    with _Sequential(os.fsencode(path.absolute())) as stream:
        blanked = _uncounted(path) if stream.format == "MP3" else None
        begin = _unfinished(stream, path)
        if blanked is None and begin is None:
            yield stream, None
            return
        form = {
            "samplerate": stream.samplerate,
            "channels": stream.channels,
            "subtype": stream.subtype,
            "endian": "LITTLE",
        }
    if blanked is not None:
        with _piped(path, blanked) as end, _Sequential(end, closefd=False) as stream:
            yield stream, end
        return
    with path.open("rb", buffering=0) as raw:
        raw.seek(begin or 0)
        with _Sequential(raw.fileno(), closefd=False, format="RAW", **form) as stream:
            yield stream, None


def _uncounted(path: Path) -> range | None:
    """Which bytes to blank of an MP3 file whose header does not tell how long it is.

    libsndfile reads no more samples than it expects: by the seek header, which may be that of
    the first of several files in one, or else by an estimate from the first frames. None if the
    seek header fits the file.
    """
    with path.open("rb") as file:
        head = file.read(10)
        begin = 0
        if head[:3] == b"ID3" and len(head) == 10:
            a, b, c, d = (byte & 0x7F for byte in head[6:])
            begin = 10 + (a << 21 | b << 14 | c << 7 | d)
        file.seek(begin)
        head = file.read(200)
        size = os.fstat(file.fileno()).st_size - begin
    tag = re.search(b"Xing|Info|VBRI", head)
    if tag is None:
        return range(0)
    values = head[tag.end() :]
    if tag[0] == b"VBRI":
        counted, length = True, int.from_bytes(values[6:10], "big")
    else:
        flags = int.from_bytes(values[:4], "big")
        counted = bool(flags & 1)
        length = int.from_bytes(values[8:12], "big") if flags & 3 == 3 else size
    if counted and not _goes_on(path, begin + length, size - length, head[:2]):
        return None
    return range(begin + tag.start(), begin + tag.end())


def _goes_on(path: Path, end: int, size: int, sync: bytes) -> bool:
    """Whether more than tags follows where an MP3 file should end."""
    if size < _TAGS:
        return False
    with path.open("rb") as file:
        file.seek(end)
        return bool(re.search(b"ID3|" + re.escape(sync), file.read(_TAGS)))


@contextmanager
def _piped(path: Path, blanked: range) -> Iterator[int]:
    """A pipe with the file's content: of what comes from one libsndfile expects no length."""
    end, begin = os.pipe()

    def feed() -> None:
        with suppress(OSError), os.fdopen(begin, "wb") as pipe, path.open("rb") as file:
            pipe.write(file.read(blanked.start))
            pipe.write(bytes(len(file.read(len(blanked)))))
            shutil.copyfileobj(file, pipe)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        yield end
    finally:
        os.close(end)  # which ends the feeder, if not all was wanted
        feeder.join()


def _unfinished(stream: Any, path: Path) -> int | None:
    """Where the samples of a WAV file begin whose size nobody wrote when the recording ended."""
    if stream.format not in ("WAV", "WAVEX") or stream.frames > 0:
        return None
    with path.open("rb") as file:
        head = file.read(4096)
        at = head.find(b"data\0\0\0\0", 12) + 8
        return at if at >= 8 and os.fstat(file.fileno()).st_size > at else None


def _libsndfile(path: Path, sink: Sink) -> str | None:
    with _opened(path) as (stream, pipe):
        rate, declared = stream.samplerate, stream.frames
        if sink.start > 0 and declared < _NO_COUNT:
            begin = min(int(sink.start * rate), declared)
            stream.seek(begin)
            sink.skip(begin / rate)
        block = np.empty((max(1, _BLOCK // stream.channels), stream.channels), np.float32)
        damage = ""
        errors = 0
        while errors < _MOST_ERRORS:
            block.fill(np.nan)
            try:
                got = stream.read(out=block)
                if not len(got):
                    break
            except soundfile.LibsndfileError as error:
                # It does not tell how many samples came before the damage.
                got = block[: int(np.isnan(block).any(axis=1).argmax())]
                at = sink.heard + len(got) / rate
                damage = damage or f"damaged at {at:.2f} s ({_reason(error)})"
                errors += 1
            if not sink.add(got, rate):
                return None
        if pipe is not None:
            if errors == 1 and sink.heard == at:
                damage = ""  # the last frame is cut, as it is in many files
            if len(os.read(pipe, _TAGS)) == _TAGS:
                damage = damage or f"damaged at {sink.heard:.2f} s"
        if damage:
            return f"{damage}; {sink.heard:.2f} s of it could be read"
        return _shortfall(sink.heard, _declared_seconds(stream))


_TAGS = 2048
"""So many bytes that no decoder wants are more than tags at the end."""

_MOST_ERRORS = 100
"""Decoders may find the way back behind damage, but not for ever."""


def _shortfall(heard: float, declared: float | None) -> str | None:
    if declared is None or heard >= declared - _SLACK_SECONDS:
        return None
    return f"truncated: {heard:.2f} of {declared:.2f} s are there"


def _declared_seconds(stream: Any) -> float | None:
    """What the header says, if it counts samples."""
    found = stream.frames / stream.samplerate
    size = _DATA_SIZE.search(stream.extra_info)
    if size is not None:  # libsndfile has taken what is there instead
        said, there = int(size[1]), int(size[2])
        open_end = said == 0 or said >= _OPEN_END
        return None if open_end or not there else float(found * said / there)
    count = _COUNT.search(stream.extra_info)
    if count is not None:
        return int(count[1]) / float(stream.samplerate)
    if stream.frames >= _NO_COUNT:
        return None
    return float(found)


# As libsndfile's log has it, for WAV, AIFF, AU, W64; and for RF64.
_DATA_SIZE = re.compile(r"^\s*(?:data|SSND|Data Size|riff) *: (\d+) \(should be (\d+)\)", re.M)
_COUNT = re.compile(r"does not match value from 'ds64' chunk of (\d+)")

_OPEN_END = 0x7FFF_0000
"""Programs that write to a pipe put about the largest number into a WAV header."""


# PyAV


def _pyav(path: Path, sink: Sink) -> str | None:
    av = _optional("av")
    damaged = 0
    with av.open(
        f"file:{path.absolute()}", options={"protocol_whitelist": "file"}, metadata_errors="ignore"
    ) as container:
        if not container.streams.audio:
            raise AudioError("has no sound")
        stream = container.streams.audio[0]
        resampler, form = None, None
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                damaged += 1
                continue
            for frame in frames:
                if (frame.format.name, frame.layout.name, frame.sample_rate) != form:
                    form = (frame.format.name, frame.layout.name, frame.sample_rate)
                    resampler = av.AudioResampler(format="fltp")
                assert resampler is not None
                for part in resampler.resample(frame):
                    if not sink.add(part.to_ndarray().T, part.sample_rate):
                        return None
        if damaged:
            return f"{damaged} damaged packets of it are left out"
        return _shortfall(sink.heard, _container_seconds(container, stream))


def _container_seconds(container: Any, stream: Any) -> float | None:
    """What a container's header says; ffmpeg estimates it where there is none."""
    if "mp4" in container.format.name and stream.duration is not None:
        return float(stream.duration * stream.time_base)
    only_audio = len(container.streams) == 1
    if only_audio and container.duration and container.format.name in ("matroska,webm", "asf"):
        return float(container.duration) / 1e6
    return None


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception:  # not installed, or not with the libraries that it needs
        return None


# ffmpeg

_AU = struct.Struct(">4s5I")


def _ffmpeg(path: Path, sink: Sink) -> str | None:
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error"]
    command += ["-protocol_whitelist", "file,pipe", "-i", f"file:{path.absolute()}"]
    command += ["-map", "0:a:0", "-f", "au", "-c:a", "pcm_f32be", "pipe:1"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        assert process.stdout is not None
        try:
            wanted = _au(process.stdout, sink)
            if wanted:
                process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if not wanted:
            return None
        said.seek(0)
        lines = said.read(4096).decode("utf-8", "replace").strip().splitlines()
    if sink.heard > 0 and not lines:
        return None
    reason = _cleaned(lines[-1 if sink.heard == 0 else 0]) if lines else "no samples"
    if sink.heard > 0:
        return f"damaged ({reason}); {sink.heard:.2f} s are there"
    if "matches no streams" in " ".join(lines):
        raise AudioError("has no sound")
    raise ValueError(reason)


def _au(stream: IO[bytes], sink: Sink) -> bool:
    """Read what ffmpeg writes; returns whether more would be wanted."""
    header = stream.read(_AU.size)
    if len(header) < _AU.size:
        return True
    _, offset, _, _, rate, channels = _AU.unpack(header)
    stream.read(offset - _AU.size)
    size = 4 * channels * max(1, _BLOCK // channels)
    while chunk := stream.read(size):
        whole = len(chunk) - len(chunk) % (4 * channels)
        block = np.frombuffer(chunk[:whole], ">f4").astype(np.float32)
        if not sink.add(block.reshape(-1, channels), rate):
            return False
    return True


def _reason(error: Exception) -> str:
    """What a library says, without the file's name, which our messages begin with."""
    said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return _cleaned(str(said)) or type(error).__name__


def _cleaned(text: str) -> str:
    line = (text.strip().splitlines() or [""])[0]
    line = re.sub(r"^Error : |^\[[^]]* @ 0x[0-9a-f]+\] |^file:.*?: (?=[A-Z])", "", line)
    return line.strip().rstrip(".")[:200]
