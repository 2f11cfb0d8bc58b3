"""Text files that people made: any line ending, a byte-order mark, gzip, and clear errors."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Union

from ctcbias_fst.errors import InputError

__all__ = ["PathLike", "parse_json_line", "read_json_lines", "read_lines", "require_object"]

PathLike = Union[str, Path]

_GZIP_MAGIC = b"\x1f\x8b"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_lines(path: PathLike, error: type[InputError] = InputError) -> list[str]:
    """Return the lines of a UTF-8 text file (gzip allowed), without their line ends.

    A byte-order mark is dropped; LF, CRLF and CR all end a line. Unicode's other line
    separators are ordinary characters, as they are in every editor that shows line numbers.

    Raises:
        error: the file is missing, a directory, unreadable, binary or not UTF-8.
    """
    text = _decode(_read_bytes(Path(path), error), path, error)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def read_json_lines(
    path: PathLike, error: type[InputError] = InputError
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) for each line of a JSONL file; blank lines are skipped.

    Raises:
        error: as `read_lines`, or a line that does not hold one JSON object.
    """
    for number, line in enumerate(read_lines(path, error), start=1):
        if line and not line.isspace():
            yield (
                number,
                require_object(parse_json_line(line, path, number, error), path, number, error),
            )


def parse_json_line(line: str, path: PathLike, number: int, error: type[InputError]) -> Any:
    """Parse one line of JSON.

    Raises:
        error: naming the file, the line and the column of the syntax error.
    """
    try:
        return json.loads(line)
    except json.JSONDecodeError as fault:
        raise error(
            f"{path}, line {number}: not valid JSON: {fault.msg} at column {fault.colno}. "
            f"Write one JSON value per line."
        ) from None
    except RecursionError:
        raise error(f"{path}, line {number}: JSON is nested too deeply.") from None


def require_object(
    value: Any, path: PathLike, number: int, error: type[InputError]
) -> dict[str, Any]:
    """Return `value` if it is a JSON object, else raise `error` naming the file and line."""
    if not isinstance(value, dict):
        raise error(
            f"{path}, line {number}: expected a JSON object like {{...}}, "
            f"found {type(value).__name__}: {str(value)[:40]!r}."
        )
    return value


def _read_bytes(path: Path, error: type[InputError]) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise error(f"{path} is a directory; give a file.") from None
    except OSError as fault:
        raise error(f"{path}: cannot be read: {fault.strerror}.") from None
    if data.startswith(_GZIP_MAGIC):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as fault:
            raise error(f"{path}: damaged gzip file: {fault}.") from None
    return data


def _decode(data: bytes, path: PathLike, error: type[InputError]) -> str:
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
        raise error(
            f"{path}, line {line}: not UTF-8 (byte 0x{data[fault.start]:02x}, column {column}). "
            f"Save it as UTF-8, for example: iconv -f ISO-8859-1 -t UTF-8 {path}"
        ) from None
    nul = text.find("\0")
    if nul >= 0:
        line = text.count("\n", 0, nul) + 1
        raise error(f"{path}, line {line}: holds a NUL byte, so it is no text file.")
    return text
