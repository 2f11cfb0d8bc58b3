"""Files that people made: line ends, marks, encodings, and messages that name the place."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from ctcbias_fst.errors import EntityListError, InputError, ManifestError
from ctcbias_fst.text.text_files import first_few, read_json_lines, read_lines


def test_what_is_not_shown_is_counted() -> None:
    assert [first_few("abcd"[:n], 2) for n in range(5)] == [
        "", "a", "a, b", "a, b (and 1 more)", "a, b (and 2 more)"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"one", ["one"]),
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"one\rtwo\r", ["one", "two"]),
        (b"\xef\xbb\xbfone\n", ["one"]),
        (b"\n\none\n", ["", "", "one"]),
        ("a\u2028b\x0bc\n".encode(), ["a\u2028b\x0bc"]),
        (gzip.compress(b"one\ntwo\n", mtime=0), ["one", "two"]),
    ],
)
def test_lines(tmp_path: Path, data: bytes, lines: list[str]) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    assert read_lines(path) == lines


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("name\nJosé\n".encode("latin-1"), r"line 2: not UTF-8 \(byte 0xe9, column 4\).*iconv"),
        ("name".encode("utf-16"), "UTF-16.*iconv"),
        (b"a\nb\0c\n", "line 2.*NUL"),
        (gzip.compress(b"one\ntwo\n" * 100, mtime=0)[:-9], "damaged gzip"),
        (b"\x1f\x8bnonsense", "damaged gzip"),
    ],
)
def test_undecodable(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    with pytest.raises(EntityListError, match=message) as caught:
        read_lines(path, EntityListError)
    assert str(path) in str(caught.value)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="nowhere: no such file"):
        read_lines(tmp_path / "nowhere", ManifestError)
    with pytest.raises(ManifestError, match="is a directory"):
        read_lines(tmp_path, ManifestError)
    with pytest.raises(InputError, match="cannot be read: Not a directory"):
        (tmp_path / "file").write_text("x")
        read_lines(tmp_path / "file" / "below")


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n  {"b": 2}\n')
    assert list(read_json_lines(path)) == [(1, {"a": 1}), (3, {"b": 2})]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": }', "line 2: not valid JSON.*column 7"),
        ("[1, 2]", "line 2: expected a JSON object.*list"),
        ("[" * 100_000, "line 2: JSON is nested too deeply"),
    ],
)
def test_json_faults(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"a": 1}}\n{line}\n')
    with pytest.raises(ManifestError, match=message):
        list(read_json_lines(path, ManifestError))
