"""Audio files that libsndfile knows, read as far as they go, whatever their headers say.

Block by block, so that a count of samples that is wrong costs neither memory nor the samples that
are there: libsndfile itself reads no more than it expects, which is an estimate where MP3 has no
count, and nothing where a WAV file was not finished.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ctcbias_fst.audio.blocks import BLOCK, Outcome, Part, reason_of, shortfall

_NO_COUNT = 1 << 62
"""libsndfile's count of samples is this and more where a header has none."""

_MAX_ERRORS = 100
"""Decoders may find the way back behind damage, but not for ever."""

_FEW_ERRORS = 4
"""Of MP3, each of a KiB or less; so much at the end is a cut frame, or tags."""

_TAGS = 2048
"""So many bytes that no decoder wants are more than tags at the end."""

_MPEG = (".mp3", ".mp2", ".mpga")

_SEARCHED = 1 << 16
"""Bytes in which the first frame of an MP3 file must be."""


def read_sound_file(path: Path, part: Part) -> Outcome:
    """Give ``part`` what is in a file.

    Raises:
        Exception: of many types, where the file is in no format that libsndfile knows, or damaged.
        AudioError: ``part`` refuses it.
    """
    plan = _plan(path)
    with _opened(plan) as (stream, pipe):
        rate = stream.samplerate
        declared = _NO_COUNT if pipe is not None else stream.frames
        if part.start > 0 and declared < _NO_COUNT:
            begin = min(int(part.start * rate), declared)
            with _hushed():
                stream.seek(begin)
            part.skip(begin / rate)
        damage = _Damage()
        for got, error in _blocks(stream):
            if error is not None:
                damage.errors += 1
                damage.reason = damage.reason or reason_of(error)
                damage.at = damage.at or part.heard + len(got) / rate
            if not part.add(got, rate):
                return Outcome(None)
        if pipe is not None:
            damage.of_mp3(path, pipe, part.heard)
        if damage.errors:
            where = f"damaged at {damage.at:.2f} s ({damage.reason})"
            return Outcome(None, where, recoverable=True)
        if _chained(stream, path):
            return Outcome("only the first of several streams in it is read", recoverable=True)
        seconds = None if pipe is not None else _declared_seconds(stream)
        if plan.mpeg_frames:
            seconds = plan.mpeg_frames * (1152 if rate >= 32000 else 576) / rate
        return Outcome(shortfall(part.heard, seconds))


def _blocks(stream: Any) -> Iterator[tuple[Any, Exception | None]]:
    """Blocks ``(frame, channel)`` to the end, and what was wrong behind each."""
    block = np.empty((max(1, BLOCK // stream.channels), stream.channels), np.float32)
    errors = 0
    while errors < _MAX_ERRORS:
        block.fill(np.nan)
        try:
            with _hushed():
                got = stream.read(out=block)
            if not len(got):
                return
            yield got, None
        except soundfile.LibsndfileError as error:
            errors += 1
            # It does not tell how many samples came before the damage.
            yield block[: int(np.isnan(block).any(axis=1).argmax())], error


@dataclass
class _Damage:
    errors: int = 0
    reason: str = ""
    at: float = 0.0

    def of_mp3(self, path: Path, pipe: int, heard: float) -> None:
        """What is no damage of an MP3 file: its last frame cut, and tags behind it."""
        if self.errors and heard == self.at and (self.errors <= _FEW_ERRORS or _tagged(path)):
            self.errors = 0
        elif not self.errors and len(os.read(pipe, _TAGS)) == _TAGS:
            self.errors, self.reason, self.at = 1, "its frames end", heard


def _tagged(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-min(512, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return re.search(b"APETAGEX|LYRICS200", file.read()) is not None


def header_seconds(path: Path) -> float | None:
    """The duration that a header gives; None if it has none, or an estimate only."""
    try:
        with _opened(_plan(path)) as (stream, pipe):
            if pipe is not None or stream.frames >= _NO_COUNT or _chained(stream, path):
                return None
            return float(stream.frames / stream.samplerate)
    except Exception:  # whoever decodes it says what is wrong
        return None


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


# How a file is opened so that all of it is read.


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]
    """Reads on without seeking.

    soundfile seeks after every block, which fails in damaged files and in pipes, and loses
    samples of MP3.
    """

    def seekable(self) -> bool:
        return False


@dataclass(frozen=True)
class _Plan:
    """How to open a file.

    Attributes:
        path: the file.
        begin: where, in bytes.
        blanked: bytes that are not to be seen, from ``begin``.
        form: what libsndfile must be told of samples without a header.
        piped: of what comes from a pipe libsndfile expects no length.
        named: whether the name may tell the format.
        mpeg_frames: how many there should be, if that is known.
    """

    path: Path
    begin: int = 0
    blanked: range = range(0)
    form: dict[str, Any] | None = None
    piped: bool = False
    named: bool = True
    mpeg_frames: int = 0


def _plan(path: Path) -> _Plan:
    with path.open("rb") as file:
        _, head = _behind_tags(file)
    # soundfile takes .raw to be headerless, and anything that is called so to be MP3.
    named = path.suffix.lower() not in (".raw", *(() if _FRAME.search(head) else _MPEG))
    plain = _Plan(path, named=named)
    if _FRAME.match(head) and _frame_in(head) == 0:
        # Before libsndfile says on standard error what does not fit.
        return _uncounted(path) or plain
    try:
        with _opened(plain) as (stream, _):
            if stream.format == "MP3":
                return _uncounted(path) or plain
            return _wav_plan(stream, path) or plain
    except soundfile.LibsndfileError:
        begin = _first_frame(path)
        if begin is None:
            raise
        return _Plan(path, begin, piped=True)


def _wav_plan(stream: Any, path: Path) -> _Plan | None:
    """How to open a WAV file with MP3 in it, or one whose size nobody wrote at the end."""
    if stream.format not in ("WAV", "WAVEX"):
        return None
    data = _data(path)
    if data is None or path.stat().st_size <= data:
        return None
    if stream.subtype.startswith("MPEG"):
        return _Plan(path, data, piped=True)
    if stream.frames > 0:
        return None
    form = {"samplerate": stream.samplerate, "channels": stream.channels}
    form |= {"subtype": stream.subtype, "endian": "LITTLE", "format": "RAW"}
    return _Plan(path, data, form=form, piped=True)


@contextmanager
def _opened(plan: _Plan) -> Iterator[tuple[Any, int | None]]:
    """The file, and the pipe through which it comes, if it does."""
    if plan.piped:
        form = plan.form or {}
        with _piped(plan) as end, _stream(end, closefd=False, **form) as stream:
            yield stream, end
    elif plan.named:
        with _stream(os.fsencode(plan.path.absolute())) as stream:
            yield stream, None
    else:
        with plan.path.open("rb") as file, _stream(file.fileno(), closefd=False) as stream:
            yield stream, None


def _stream(source: Any, **form: Any) -> _Sequential:
    with _hushed():
        return _Sequential(source, **form)


_STDERR = threading.Lock()
_OF_MPG123 = re.compile(
    rb"^(?:\[src/libmpg123/.*|Note: .*"
    rb"|Warning: (?:Big change|Xing stream size|Encountered more|Real sample count).*)?(?:\n|\Z)",
    re.MULTILINE,
)


@contextmanager
def _hushed() -> Iterator[None]:
    """Drop what the MP3 decoder says on standard error of damaged files: whoever reads says it.

    What anybody else writes there meanwhile comes a little later.
    """
    with _STDERR, tempfile.TemporaryFile() as said:
        try:
            kept = os.dup(2)
        except OSError:  # there is none
            yield
            return
        try:
            os.dup2(said.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            said.seek(0)
            others = _OF_MPG123.sub(b"", said.read())
            if others:
                os.write(kept, others)
            os.close(kept)


@contextmanager
def _piped(plan: _Plan) -> Iterator[int]:
    end, begin = os.pipe()

    def feed() -> None:
        with suppress(OSError), os.fdopen(begin, "wb") as pipe, plan.path.open("rb") as file:
            file.seek(plan.begin)
            pipe.write(file.read(plan.blanked.start))
            pipe.write(bytes(len(file.read(len(plan.blanked)))))
            shutil.copyfileobj(file, pipe)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        yield end
    finally:
        os.close(end)  # which ends the feeder, if not all was wanted
        feeder.join()


def _data(path: Path) -> int | None:
    """Where the samples of a WAV file begin."""
    with path.open("rb") as file:
        at = file.read(4096).find(b"data", 12)
    return None if at < 0 else at + 8


def _chained(stream: Any, path: Path) -> bool:
    """Whether another stream begins in an Ogg file behind the first one."""
    if stream.format != "OGG":
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        inside = re.search(rb"OggS\0[\0\1\4\5]", content)
        return inside is not None and content.rfind(b"OggS\0\2") > inside.start()


def _first_frame(path: Path) -> int | None:
    """Where an MP3 file begins behind large tags, or behind what should not be there."""
    with path.open("rb") as file:
        begin, head = _behind_tags(file)
    if begin == 0 and any(head[:16]) and path.suffix.lower() not in _MPEG:
        return None
    at = _frame_in(head)
    return None if at is None else begin + at


def _frame_in(head: bytes) -> int | None:
    for found in _FRAME.finditer(head):
        # The same again where the next frames are: no frame is longer.
        if head.count(found[0][:2], found.start() + 4, found.start() + 3000):
            return found.start()
    return None


_FRAME = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\xef][\x00-\xff]")


def _behind_tags(file: Any) -> tuple[int, bytes]:
    """Where the ID3 tags at the beginning end, and what comes then."""
    begin = 0
    while True:
        file.seek(begin)
        head = file.read(_SEARCHED)
        if head[:3] != b"ID3" or len(head) < 10:
            return begin, head
        a, b, c, d = (byte & 0x7F for byte in head[6:10])
        begin += 10 + (a << 21 | b << 14 | c << 7 | d)


def _uncounted(path: Path) -> _Plan | None:
    """How to open an MP3 file whose header does not tell how long it is; None if it does.

    libsndfile reads no more samples than it expects: by the seek header, which may be that of
    the first of several files in one, or else by an estimate from the first frames.
    """
    with path.open("rb") as file:
        begin, head = _behind_tags(file)
        junk = _frame_in(head) or 0
        begin, head = begin + junk, head[junk:]
        size = os.fstat(file.fileno()).st_size - begin
    tag = re.search(b"Xing|Info|VBRI", head[:200])
    if tag is None:
        return _Plan(path, begin, piped=True)
    values = head[tag.end() :]
    if tag[0] == b"VBRI":
        length, frames = (int.from_bytes(values[at : at + 4], "big") for at in (6, 10))
    else:
        flags, frames, length = (int.from_bytes(values[at : at + 4], "big") for at in (0, 4, 8))
        frames = frames if flags & 1 else 0
        length = length if flags & 3 == 3 else size
    longer = _goes_on(path, begin + length, size - length, head[:2])
    if frames and not longer and size >= 0.99 * length:
        return None
    return _Plan(path, begin, range(*tag.span()), piped=True, mpeg_frames=0 if longer else frames)


def _goes_on(path: Path, end: int, size: int, sync: bytes) -> bool:
    """Whether more than tags follows where an MP3 file should end."""
    if size < _TAGS:
        return False
    with path.open("rb") as file:
        file.seek(end)
        return bool(re.search(b"ID3|" + re.escape(sync), file.read(_TAGS)))
