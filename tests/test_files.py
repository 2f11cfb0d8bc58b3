"""Files are written whole or not at all, and what cannot be written is told by its own name."""

from __future__ import annotations

import errno
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.files import (
    atomic_directory,
    atomic_path,
    check_output,
    file_name,
    naming,
    shortened,
)


@contextmanager
def full_disk(size: int = 1000) -> Iterator[None]:
    """No file of this process may grow past ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def with_temporary(written: AbstractContextManager[Path], body: Callable[[Path], object]) -> None:
    with written as temporary:
        body(temporary)


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("before")
    told = []
    for body in (
        lambda temporary: temporary.write_text("x" * 5000),
        lambda temporary: save_file({"x": torch.zeros(5000)}, temporary),
    ):
        with full_disk(), pytest.raises(OSError, match="File too large") as caught:
            with_temporary(atomic_path(path), body)
        told.append(caught)
    with full_disk(), pytest.raises(OSError, match="File too large") as caught:
        with_temporary(
            atomic_directory(tmp_path / "folder"),
            lambda temporary: save_file({"x": torch.zeros(5000)}, temporary / "x.safetensors"),
        )
    told.append(caught)
    found = [(e.value.errno, e.value.filename) for e in told]
    assert found == [(errno.EFBIG, str(path))] * 2 + [(errno.EFBIG, str(tmp_path / "folder"))]
    assert [one.name for one in tmp_path.iterdir()] == ["out.txt"]
    assert path.read_text() == "before"


def test_errors_of_other_files_keep_their_names(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with pytest.raises(FileNotFoundError) as missing, atomic_path(path):
        (tmp_path / "missing").read_text()
    assert missing.value.filename == str(tmp_path / "missing")
    with pytest.raises(BrokenPipeError) as closed, naming(path):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    assert closed.value.filename is None
    with pytest.raises(PermissionError) as refused, atomic_path(path) as temporary:
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))
    assert refused.value.filename == str(path)


def test_links_stay_links_and_pipes_are_written_to(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "folder" / "target.txt")
    for _ in range(2):  # first without a target
        with atomic_path(link) as temporary:
            temporary.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "folder" / "target.txt").read_text() == "new"
    pipe = tmp_path / "pipe.txt"
    os.mkfifo(pipe)
    check_output(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with atomic_path(pipe) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("through")
    reader.join(10)
    assert read == ["through"]
    check_output(Path("/dev/null"))
    with atomic_path(Path("/dev/null")) as temporary:
        temporary.write_text("nowhere")
    assert Path("/dev/null").is_char_device()


def test_what_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    check_output(tmp_path / "file")
    check_output(tmp_path, folder=True)
    check_output(tmp_path / "new" / "er" / "x")
    check_output(tmp_path / "new" / "er", folder=True)
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    for path, folder, why in (
        (tmp_path, False, "it is a folder"),
        (tmp_path / "file", True, "it is a file"),
        (tmp_path / "file" / "x", False, "file is a file, not a folder"),
        (tmp_path / "file" / "x" / "y", True, "file is a file, not a folder"),
        (tmp_path / ("n" * 256), False, "256 bytes"),
        (tmp_path / "a\0b", False, "NUL"),
    ):
        with pytest.raises(ConfigError, match=why):
            check_output(path, folder=folder)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=rf"new/x: cannot be written: {tmp_path} is write-prot"):
        check_output(tmp_path / "new" / "x")


def test_the_longest_names_that_there_are(tmp_path: Path) -> None:
    for name in ("n" * 251 + ".txt", "ü" * 125 + ".txt"):
        check_output(tmp_path / name)
        with atomic_path(tmp_path / name) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text("x")
        assert (tmp_path / name).read_text() == "x"


@given(st.lists(st.text(min_size=1, max_size=400), min_size=2, max_size=8, unique=True))
def test_names_become_files_of_their_own(names: list[str]) -> None:
    made = [file_name(name, ".lattice.safetensors") for name in names]
    assert len(set(made)) == len(made)
    assert all(len(os.fsencode(name)) <= 255 for name in made)
    assert not any("/" in name or "\0" in name or name.startswith(".") for name in made)


def test_names_that_are_cut_differ() -> None:
    long = "é" * 200
    assert file_name("talk", ".x") == "talk.x"
    assert file_name(".talk", ".x") == "%2Etalk.x"
    first, second = (file_name(long + end, ".x") for end in "ab")
    assert first != second
    assert max(map(len, (first, second))) <= 255
    assert shortened(long, ".x") != shortened(long + "b", ".x")
    assert len(os.fsencode(shortened(long, ".x"))) <= 255
    assert shortened("talk", ".x") == "talk.x"
