"""Text files that people made: any line ending, a byte-order mark, gzip, and clear errors.

What is read is bounded: a small gzip file may unpack to more than the machine has, and a device may
never end.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import os
import re
import stat
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ctcbias_fst.errors import InputError


@dataclass(frozen=True)
class Held:
    """A file that has been read: what comes through a pipe can be read but once.

    Attributes:
        path: where it was, for messages.
        content: its bytes.
    """

    path: str
    content: bytes = field(repr=False)

    def __str__(self) -> str:
        return self.path

    @property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()


PathLike = str | Path
Source = str | Path | Held

_GZIP_MAGIC = b"\x1f\x8b"
_UTF32_MARKS = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

_WINDOWS = re.compile(rb"[\x80-\x9f]")
"""Quotation marks and dashes in that encoding, and control characters in ISO-8859-1."""

_BINARY = {
    "a PDF file": (b"%PDF-",),
    "an old Excel or Word file": (b"\xd0\xcf\x11\xe0",),
    "a zip archive (as Excel and Word files are)": (b"PK\x03\x04",),
    "an empty zip archive": (b"PK\x05\x06",),
    "a 7z archive": (b"7z\xbc\xaf",),
    "a RAR archive": (b"Rar!\x1a",),
    "compressed by bzip2": (b"BZh",),
    "compressed by xz": (b"\xfd7zXZ",),
    "compressed by zstd": (b"\x28\xb5\x2f\xfd",),
    "a picture": (b"\x89PNG", b"\xff\xd8\xff", b"GIF8"),
    "a recording": (b"RIFF", b"fLaC", b"OggS", b"ID3"),
    "a database": (b"SQLite format 3\0",),
    "a Parquet file": (b"PAR1",),
    "a NumPy array": (b"\x93NUMPY",),
    "a Python pickle": (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
}
"""What files begin with that are no text."""

_LEAST_UNPACKED = 64 << 20
_MAX_RATIO = 100
"""Text shrinks to a third or a tenth, manifests that repeat themselves to a fiftieth."""

_LARGEST_STREAM = 1 << 30
_CHUNK = 1 << 20
SURROGATES = re.compile("[\ud800-\udfff]")


def hold(path: Source, error: type[InputError] = InputError) -> Held:
    """Read a file once, for all who want to read it.

    Raises:
        error: the file is missing, a directory or unreadable.
    """
    return path if isinstance(path, Held) else Held(str(path), _read_bytes(Path(path), error))


def is_named_pipe(path: PathLike) -> bool:
    """Whether this is a pipe in a folder, which may wait for its writer for ever.

    One of a shell's ``<(...)`` is not: it has its writer.
    """
    try:
        return stat.S_ISFIFO(os.lstat(os.path.realpath(path)).st_mode)
    except (OSError, ValueError):
        return False


def read_lines(path: Source, error: type[InputError] = InputError) -> list[str]:
    """Return the lines of a UTF-8 text file (gzip allowed), without their line ends.

    A byte-order mark is dropped; LF, CRLF and CR all end a line. Unicode's other line
    separators are ordinary characters, as they are in every editor that shows line numbers.

    Raises:
        error: the file is missing, a directory, unreadable, binary or not UTF-8.
    """
    text = _decode(_unpacked(hold(path, error), error), path, error)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def content_lines(path: Source, error: type[InputError] = InputError) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line) for each line that is not blank; see `read_lines`."""
    for number, line in enumerate(read_lines(path, error), start=1):
        if line and not line.isspace():
            yield number, line


def read_json_lines(
    path: Source, error: type[InputError] = InputError
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each line of a JSONL file that is not blank.

    Raises:
        error: as `read_lines`, or a line that does not hold one JSON object.
    """
    for number, line in content_lines(path, error):
        yield number, json_object(line, path, number, error)


def json_object(line: str, path: Source, number: int, error: type[InputError]) -> dict[str, Any]:
    """Parse a line that holds one JSON object.

    Raises:
        error: it holds none; naming the file, the line and the column of a syntax error.
    """
    value = parse_json(line, f"{path}, line {number}", error, "Write one JSON value per line.")
    if not isinstance(value, dict):
        raise error(
            f"{path}, line {number}: expected a JSON object like {{...}}, "
            f"found {type(value).__name__}: {quoted(value)}."
        )
    return value


def parse_json(text: str, where: str, error: type[InputError], remedy: str = "") -> Any:
    """Parse JSON.

    Args:
        text: all of it.
        where: names the place in messages.
        error: what is raised.
        remedy: what to do about a syntax error.

    Raises:
        error: a syntax error, with its column (and its line if there are several); values that
            are nested too deeply, or integers of thousands of digits.
    """
    try:
        return _JSON.decode(text)
    except _KeyTwiceError as fault:
        raise error(
            f"{where}: the key {quoted(fault.args[0])} occurs twice in an object."
        ) from None
    except json.JSONDecodeError as fault:
        line = f" of line {fault.lineno}" if "\n" in text.strip() else ""
        message = f"{where}: not valid JSON: {fault.msg} at column {fault.colno}{line}. {remedy}"
        raise error(message.rstrip()) from None
    except RecursionError:
        raise error(f"{where}: JSON is nested too deeply.") from None
    except ValueError:
        raise error(f"{where}: JSON has a number of too many digits.") from None


class _KeyTwiceError(Exception):
    """Of an object in JSON, whose first value would be lost."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, if it has no key twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        times = Counter(key for key, _ in pairs)
        raise _KeyTwiceError(next(key for key in found if times[key] > 1))
    return found


_JSON = json.JSONDecoder(object_pairs_hook=_object)


def quoted(value: Any, most: int = 60) -> str:
    """Return ``repr(value)`` for a message: cut where it is long, and in letters that print."""
    if isinstance(value, str) and len(value) > most:
        return f"{value[: most - 1]!r}…"
    try:
        text = repr(value)
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} that cannot be shown"
    text = text if len(text) <= most + 2 else f"{text[: most + 1]}…"
    return SURROGATES.sub("\ufffd", text)


def and_more(found: Sized, form: str = " (and {} more)") -> str:
    """How many were found beside the first, for a message; empty if none."""
    return form.format(len(found) - 1) if len(found) > 1 else ""


def counted(count: int, noun: str) -> str:
    """So many of something: ``1 byte``, ``2 bytes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def first_few(found: Sequence[object], most: int) -> str:
    """The first of what was found, at most so many, and how many there are beside them."""
    return ", ".join(map(str, found[:most])) + and_more(found[most - 1 :])


def as_number(value: Any) -> float:
    """A value of a file or of a user's as a number; NaN if it is none."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except Exception:  # whatever is in the place of a number
        return math.nan


def bounded_gunzip(data: bytes, path: PathLike, error: type[InputError]) -> bytes:
    """Unpack a gzip file, unless it unpacks to more than text does.

    Raises:
        error: it is damaged, or unpacks to over 64 MiB and 100 times its size.
    """
    most = max(_LEAST_UNPACKED, _MAX_RATIO * len(data))
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
            unpacked = stream.read(most + 1)
    except (OSError, EOFError, zlib.error) as fault:
        raise error(f"{path}: damaged gzip file: {fault}.") from None
    if len(unpacked) > most:
        raise error(
            f"{path}: unpacks to over {_MAX_RATIO} times its {len(data) >> 10} KiB, which no text "
            f"does; give it unpacked if it is right."
        )
    return unpacked


def _read_bytes(path: Path, error: type[InputError]) -> bytes:
    """Read a file; a pipe or device until it ends, if that is soon enough."""
    try:
        with path.open("rb") as stream:
            if stat.S_ISREG(path.stat().st_mode):
                return stream.read()
            chunks, size = [], 0
            while chunk := stream.read(_CHUNK):
                chunks.append(chunk)
                size += len(chunk)
                if size > _LARGEST_STREAM:
                    limit = f"{_LARGEST_STREAM >> 30} GiB"
                    raise error(f"{path}: no file, and does not end within {limit}")
            return b"".join(chunks)
    except FileNotFoundError:
        raise error(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise error(f"{path} is a directory; give a file.") from None
    except ValueError:
        raise error(f"{quoted(str(path))}: no file can have this name.") from None
    except OSError as fault:
        raise error(f"{quoted(str(path))[1:-1]}: cannot be read: {fault.strerror}.") from None


def _unpacked(held: Held, error: type[InputError]) -> bytes:
    if held.content.startswith(_GZIP_MAGIC):
        return bounded_gunzip(held.content, held.path, error)
    for what, begins in _BINARY.items():
        if held.content.startswith(begins):
            raise error(f"{held}: is {what}, no text. Save it as text, UTF-8.")
    return held.content


def _decode(data: bytes, path: Source, error: type[InputError]) -> str:
    if data.startswith(_UTF32_MARKS):
        raise error(f"{path}: is UTF-32, not UTF-8. Save it as UTF-8.")
    if data.startswith(_UTF16_MARKS):
        raise error(
            f"{path}: is UTF-16, not UTF-8. Save it as UTF-8, "
            f"for example: iconv -f UTF-16 -t UTF-8 {path}"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        column = fault.start - data.rfind(b"\n", 0, fault.start)
        likely = "WINDOWS-1252" if _WINDOWS.search(data) else "ISO-8859-1"
        raise error(
            f"{path}, line {line}: not UTF-8 (byte 0x{data[fault.start]:02x}, column {column}). "
            f"Save it as UTF-8, for example: iconv -f {likely} -t UTF-8 {path}"
        ) from None
    nul = text.find("\0")
    if nul >= 0 and 5 * text.count("\0") > 2 * len(text):  # half of it, if it is English
        raise error(f"{path}: is UTF-16 without a byte-order mark. Save it as UTF-8.")
    if nul >= 0:
        line = text.count("\n", 0, nul) + 1
        raise error(f"{path}, line {line}: holds a NUL byte, so it is no text file.")
    return text
