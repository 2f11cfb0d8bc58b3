"""Writing files so that a reader never sees half of one, and digests that tell them apart."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import struct
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import ConfigError

NAME_BYTES = 255
"""What file systems take for one part of a path."""

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_OF_THE_SYSTEM = re.compile(r"\(os error (\d+)\)")


def check_output(path: Path, *, folder: bool = False) -> None:
    """Refuse what cannot be written, before any work; nothing is made or changed.

    Args:
        path: of a file, or of a folder; the folders that it is in may be missing.
        folder: which of the two.

    Raises:
        ConfigError: it is a folder and not a file, or the other way round; what it is in is a
            file, or may not be written; its name is too long.
    """
    shown = str(path).encode("utf-8", "replace").decode("utf-8")
    try:
        longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    except UnicodeEncodeError:
        raise ConfigError(f"{shown}: cannot be written: no file can have this name") from None
    if longest > NAME_BYTES or "\0" in shown:
        why = f"is {longest} bytes long" if longest > NAME_BYTES else "has a NUL character"
        raise ConfigError(f"{shown[:80]!r}…: cannot be written: the name {why}; give another")
    mode = _mode(path)
    if folder and mode and not stat.S_ISDIR(mode):
        raise ConfigError(f"{shown}: cannot be written: it is a file, and a folder is wanted")
    if not folder and stat.S_ISDIR(mode):
        raise ConfigError(f"{shown}: cannot be written: it is a folder, and a file is wanted")
    if is_stream(path):
        where, needed = path, os.W_OK
    else:
        where, needed = (path if folder else path.parent), os.W_OK | os.X_OK
        while not _mode(where):
            where = where.parent
        if not stat.S_ISDIR(_mode(where)):
            raise ConfigError(f"{shown}: cannot be written: {where} is a file, not a folder")
    if not os.access(where, needed):
        raise ConfigError(f"{shown}: cannot be written: {where.absolute()} is write-protected")


@contextmanager
def naming(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """Let the system's errors name ``path``, where they name no file or one of our own.

    Args:
        path: what the user asked for.
        temporary: what is written in its place, until it is complete.

    Raises:
        OSError: as the body, that of a full disk among them, whatever writes the file.
    """
    # Only what writes needs it, and ``--help`` does not.
    from safetensors import SafetensorError  # noqa: PLC0415

    try:
        yield
    except SafetensorError as error:
        code = _OF_THE_SYSTEM.search(str(error))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
    except OSError as error:
        ours = error.filename is None or (
            temporary is not None and str(error.filename).startswith(str(temporary))
        )
        if not ours or error.errno in (None, errno.EPIPE):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes ``path``'s place.

    The temporary name keeps the suffixes of ``path``, as some writers choose the format by
    them. When the body raises, ``path`` stays as it was and the temporary file is removed.
    A link stays one, and what it leads to is replaced; what is no file (``/dev/stdout``, a
    pipe) is written to when all is there.
    """
    if is_stream(path):
        with tempfile.TemporaryDirectory() as folder:
            temporary = Path(folder) / path.name
            with naming(path, temporary):
                yield temporary
                with temporary.open("rb") as source, path.open("ab") as target:
                    shutil.copyfileobj(source, target)
        return
    target_path = Path(os.path.realpath(path)) if path.is_symlink() else path
    temporary = _temporary(target_path)
    with naming(path, temporary):
        target_path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(target_path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8 text by :func:`atomic_path`."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """The same for a directory, which must not exist yet or is replaced as a whole."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:40]}.", dir=path.parent))
    try:
        with naming(path, temporary):
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                shutil.rmtree(path)
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def sole_writer(path: Path, refusal: str = "") -> Iterator[None]:
    """Keep other processes from writing a file while the body does; it is made if it is missing.

    The body may remove the file, or write it through its own streams. File systems that know no
    locks do without.

    Args:
        refusal: what to say if another process is at it; by default that it is.

    Raises:
        ConfigError: another process is at it.
        OSError: it cannot be written.
    """
    while True:
        with path.open("ab") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    refusal
                    or f"{path}: another job is writing it: let it end, or name another file"
                ) from None
            except OSError as error:
                if error.errno not in _WITHOUT_LOCKS:
                    raise
            # The one who had the lock before may have removed the file meanwhile.
            if not path.exists() or not os.path.samestat(path.stat(), os.fstat(stream.fileno())):
                continue
            yield
            return


@contextmanager
def sole_writer_in(folder: Path) -> Iterator[None]:
    """The same for a folder, which is made if it is missing: no other process may write in it."""
    lock = folder / ".lock"
    with naming(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with sole_writer(lock, f"{folder}: another job is writing in it: let it end, or name another"):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def file_name(name: str, ending: str) -> str:
    """A file name that tells a name (of an utterance, say) from any other.

    Characters that no file name may have are escaped as in a URL.
    """
    # A dot in front would hide the file.
    readable = re.sub(r"^\.", "%2E", quote(name, safe="", errors="surrogatepass"))
    return shortened(readable or "%", ending)


def shortened(name: str, ending: str) -> str:
    """A name and its ending; what is too long for a file is cut, and gets a digest of all of it."""
    if len(os.fsencode(name + ending)) <= NAME_BYTES:
        return name + ending
    digest = f"~{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}"
    kept = os.fsencode(name)[: NAME_BYTES - len(os.fsencode(digest + ending))]
    return re.sub("%.?$", "", kept.decode("utf-8", "ignore")) + digest + ending


def digest_of(content: Any) -> str:
    """SHA-256 of plain values: the same for the same content, whatever the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode("utf-8")).hexdigest()


def digest_of_arrays(arrays: Mapping[str, npt.NDArray[Any]], more: str = "") -> str:
    """SHA-256 of arrays, their names, types and shapes, and of a text that goes with them."""
    digest = hashlib.sha256(more.encode("utf-8"))
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def fingerprint(*paths: Path | None) -> list[str]:
    """SHA-256 of each file; empty where there is none."""
    return ["" if path is None else sha256_of(path) for path in paths]


def stamp(path: Path) -> list[Any]:
    """A path, and the size and the time of what is there, in plain values."""
    status = path.stat() if path.exists() else None
    return [str(path), *([] if status is None else [status.st_size, status.st_mtime_ns])]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sort_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file, so that the same content is the same bytes.

    The library writes them in an order that changes from call to call.
    """
    with path.open("r+b") as stream:
        (size,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        assert len(text) <= size
        stream.seek(8)
        stream.write(text.ljust(size))


def is_stream(path: Path) -> bool:
    """Whether there is something that is neither a file nor a folder, or a name of an open one.

    Nothing can take the place of such a thing, and it may end where it has been read once.
    """
    mode = _mode(path)
    folder = os.path.realpath(path.parent)
    if folder == "/dev" or folder.startswith("/proc/"):
        return bool(mode)
    return bool(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _mode(path: Path) -> int:
    """What is there: the mode of it; 0 if there is nothing, or nothing that may be seen."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _temporary(path: Path) -> Path:
    """A hidden name beside ``path``, with its end, which no process of any machine has."""
    own = f"{os.getpid()}.{threading.get_native_id()}.{secrets.token_hex(4)}"
    prefix, name = f".{own}.", path.name
    while len(prefix) + len(os.fsencode(name)) > NAME_BYTES:
        name = name[1:]
    return path.with_name(prefix + name)
