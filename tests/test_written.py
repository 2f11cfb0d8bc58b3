"""Records of what was written: a run that was killed leaves half of a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.written import RECORD, WrittenFolder


@pytest.mark.parametrize("left", ["{", '{"file": "a.t', '{"file": "a.txt", "sha256": "0'])
@pytest.mark.parametrize("end", ["", "\n"])
def test_half_a_line_does_not_swallow_the_next(tmp_path: Path, left: str, end: str) -> None:
    paths = [tmp_path / "é.txt", tmp_path / '{"file": .txt']
    (tmp_path / RECORD).write_text(left + end)
    folder = WrittenFolder(tmp_path, paths)
    for path in paths:
        folder.write(path, "text")
    lines = (tmp_path / RECORD).read_text().splitlines()
    assert lines[0] == left
    assert len(lines) == 3
    WrittenFolder(tmp_path, paths)
    paths[0].write_text("by hand")
    with pytest.raises(ConfigError, match="was changed since"):
        WrittenFolder(tmp_path, paths)


@pytest.mark.parametrize("left", ["{", '{"file": "a.t', '{"file": "a.txt", "sha256": "0'])
def test_a_record_behind_half_a_line_is_read(tmp_path: Path, left: str) -> None:
    """Such lines are in folders of before."""
    path = tmp_path / "a.txt"
    WrittenFolder(tmp_path, [path]).write(path, "text")
    record = tmp_path / RECORD
    record.write_text(left + record.read_text())
    WrittenFolder(tmp_path, [path])
