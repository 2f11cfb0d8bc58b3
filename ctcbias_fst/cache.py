"""What takes long to prepare, kept on disk between runs.

An item is a set of arrays in one file, whose name is a digest of all that it was made of: it is
never stale, only unused. Files are written beside their place and moved there, so that processes
may share the folder; what cannot be read is made anew, with a warning. If the folder grows
beyond `_MAX_BYTES`, what was not used for longest goes.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ctcbias_fst.files import atomic_path, digest_of, digest_of_arrays

VARIABLE = "CTCBIAS_CACHE"
"""The environment variable that names the folder; ``off`` or nothing for no cache."""

Arrays = Mapping[str, npt.NDArray[np.generic]]
Item = TypeVar("Item")

_MAX_BYTES = 1 << 30
_DIGEST = "sha256"

_log = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """Where things are kept; ``None`` if they are not."""
    chosen = os.environ.get(VARIABLE)
    if chosen is not None:
        return None if chosen.strip().lower() in {"", "off", "none", "0"} else Path(chosen)
    try:
        home = Path.home()
    except RuntimeError:
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "ctcbias"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", home / "AppData" / "Local")) / "ctcbias"
    return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "ctcbias"


def load_or_build(
    kind: str,
    content: object,
    make: Callable[[], Item],
    to_arrays: Callable[[Item], Arrays],
    from_arrays: Callable[[Arrays], Item],
) -> Item:
    """Return what is kept, or make it and keep it.

    Args:
        kind: the first part of the file's name.
        content: plain values: all that the item depends on.
        make: makes it.
        to_arrays, from_arrays: between the item and its arrays; whatever the latter raises, the
            file is of something else.
    """
    folder = cache_folder()
    if folder is None:
        return make()
    path = folder / f"{kind}-{digest_of(content)[:40]}.safetensors"
    try:
        item = from_arrays(_read(path))
    except FileNotFoundError:
        pass
    except Exception as error:  # whoever wrote it and whatever is in it, it can be made anew
        _log.warning("%s is damaged and made anew: %s", path, error)
    else:
        with suppress(OSError):  # it was used, if that may be noted
            path.touch()
        return item
    item = make()
    _write(path, to_arrays(item))
    return item


def _read(path: Path) -> Arrays:
    if not path.is_file():
        raise FileNotFoundError(path)
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if (file.metadata() or {}).get(_DIGEST) != digest_of_arrays(arrays):
            raise ValueError("its content is not what was written")
    return arrays


def _write(path: Path, arrays: Arrays) -> None:
    """Keep arrays; a cache that cannot be written to is no error."""
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    try:
        if path.exists() and not path.is_file():
            raise FileExistsError("it is there, and is no file")
        with atomic_path(path) as temporary:
            save_file(plain, temporary, {_DIGEST: digest_of_arrays(plain)})
        _make_room(path.parent)
    except (OSError, SafetensorError) as error:
        _log.warning(
            "%s cannot be written, so that it is made anew the next time: %s; set %s to another "
            "folder, or to off",
            path,
            error,
            VARIABLE,
        )


def _make_room(folder: Path) -> None:
    """Remove what was not used for longest; another process may do the same."""
    found = []
    for path in folder.glob("[!.]*.safetensors"):
        try:
            status = path.stat()
        except OSError:
            continue
        if not stat.S_ISREG(status.st_mode):
            continue
        found.append((status.st_mtime_ns, status.st_size, path))
    left = sum(size for _, size, _ in found)
    for _, size, path in sorted(found)[:-1]:
        if left <= _MAX_BYTES:
            return
        path.unlink(missing_ok=True)
        left -= size
