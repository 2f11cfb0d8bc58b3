"""Audio files of any kind: by libsndfile, else by PyAV or the program ffmpeg, where it is there."""

from __future__ import annotations

import codecs
import importlib
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np

from ctcbias_fst.audio.blocks import BLOCK, Outcome, Part, clean, reason_of, shortfall
from ctcbias_fst.audio.libsndfile import header_seconds, read_sound_file
from ctcbias_fst.errors import AudioError
from ctcbias_fst.text.text_files import quoted

__all__ = ["PartT", "decode", "header_seconds"]

PartT = TypeVar("PartT", bound=Part)

_LOOKED_AT = 4096
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
"""In no text; escape is, where it is coloured."""


def decode(path: Path, new: Callable[[], PartT]) -> tuple[PartT, str | None]:
    """Decode a regular file as far as it goes.

    Args:
        new: makes what takes its samples, for each decoder that tries.

    Returns:
        the samples, and what is missing of them, if anything is.

    Raises:
        AudioError: nothing of it can be decoded; without the file's name.
    """
    decoders: list[tuple[str, Callable[[Path, Part], Outcome]]] = [("libsndfile", _libsndfile)]
    if _optional("av") is not None:
        decoders.append(("PyAV", _pyav))
    elif shutil.which("ffmpeg"):
        decoders.append(("ffmpeg", _ffmpeg))
    best: tuple[PartT, str | None] | None = None
    reasons, damage = [], ""
    for name, decoder in decoders:
        part = new()
        try:
            outcome, failure = decoder(path, part), ""
        except AudioError:
            if best is None:
                raise
            break
        except Exception as error:  # whatever a damaged file makes these libraries raise
            failure = reason_of(error)
            outcome = Outcome(None, f"damaged at {part.heard:.2f} s ({failure})", recoverable=True)
        if part.heard > 0 or not (failure or outcome.notice or outcome.damage):
            if best is None or part.heard > best[0].heard:
                best = part, outcome.notice
            damage = damage or outcome.damage
            if not outcome.recoverable:
                break
        reasons.append(f"{name}: {failure or outcome.notice or outcome.damage}")
    if best is not None:
        part, notice = best
        if damage and notice is None:
            notice = f"{damage}; {part.heard:.2f} s of it could be read"
        return part, notice
    remedy = "it is damaged, or no audio"
    if len(decoders) == 1:
        remedy = (
            "it is damaged, or in a format that libsndfile lacks (as m4a, mp4, webm, mkv): install "
            "PyAV (pip install av) or ffmpeg, or convert it to WAV, FLAC, Ogg or MP3"
        )
    raise AudioError(f"cannot be decoded ({'; '.join(reasons)}); {remedy}")


def _libsndfile(path: Path, part: Part) -> Outcome:
    try:
        return read_sound_file(path, part)
    except AudioError:
        raise
    except Exception:  # of many types
        text = _text_in(path)
        if not text:
            raise
    raise AudioError(f"is no audio: it looks like text, which begins with {quoted(text, 30)}")


def _text_in(path: Path) -> str:
    """How a file begins if it looks like text, in UTF-8 or UTF-16; empty if it does not."""
    with path.open("rb") as file:
        head = file.read(_LOOKED_AT)
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8")()
    try:
        text = decoder.decode(head)  # a character may be cut at the end
    except UnicodeDecodeError:
        return ""
    return "" if _CONTROLS.search(text) else text.lstrip("\ufeff").strip()


def _pyav(path: Path, part: Part) -> Outcome:
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
                for piece in resampler.resample(frame):
                    if not part.add(piece.to_ndarray().T, piece.sample_rate):
                        return Outcome(None)
        if damaged:
            return Outcome(f"{damaged} damaged packets of it are left out")
        return Outcome(shortfall(part.heard, _container_seconds(container, stream)))


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


_AU = struct.Struct(">4s5I")


def _ffmpeg(path: Path, part: Part) -> Outcome:
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error"]
    command += ["-protocol_whitelist", "file,pipe", "-i", f"file:{path.absolute()}"]
    command += ["-map", "0:a:0", "-f", "au", "-c:a", "pcm_f32be", "pipe:1"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        assert process.stdout is not None
        try:
            wanted = _au(process.stdout, part)
            if wanted:
                process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if not wanted:
            return Outcome(None)
        said.seek(0)
        lines = said.read(4096).decode("utf-8", "replace").strip().splitlines()
    if part.heard > 0 and not lines:
        return Outcome(None)
    reason = clean(lines[-1 if part.heard == 0 else 0]) if lines else "no samples"
    if part.heard > 0:
        return Outcome(f"ffmpeg says: {reason}; {part.heard:.2f} s of it could be read")
    if "matches no streams" in " ".join(lines):
        raise AudioError("has no sound")
    raise ValueError(reason)


def _au(stream: IO[bytes], part: Part) -> bool:
    """Read what ffmpeg writes; returns whether more would be wanted."""
    header = stream.read(_AU.size)
    if len(header) < _AU.size:
        return True
    _, offset, _, _, rate, channels = _AU.unpack(header)
    stream.read(offset - _AU.size)
    size = 4 * channels * max(1, BLOCK // channels)
    while chunk := stream.read(size):
        whole = len(chunk) - len(chunk) % (4 * channels)
        block = np.frombuffer(chunk[:whole], ">f4").astype(np.float32)
        if not part.add(block.reshape(-1, channels), rate):
            return False
    return True
