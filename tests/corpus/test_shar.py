"""Folders of lhotse Shar: the audio of archives, shard by shard."""

from __future__ import annotations

import gzip
import json
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, Recording
from lhotse.cut import Cut

from ctcbias_fst.corpus.backends import shar_utterances
from ctcbias_fst.corpus.cuts import load_recording
from ctcbias_fst.corpus.shar import SharCut, read_shar, with_audio
from ctcbias_fst.corpus.shards import cut_shards
from ctcbias_fst.errors import AudioError, ManifestError
from tests.tiny_models import speechlike

# lhotse leaves archives open.
pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed file", "ignore:Exception ignored in. <_io.FileIO"
)


@pytest.fixture
def cuts(tmp_path: Path) -> list[Cut]:
    made = []
    for number in range(5):
        path = tmp_path / f"c{number}.wav"
        soundfile.write(path, speechlike(1.0 + number / 10, number), 16000)
        made.append(Recording.from_file(path).to_cut())
    return made


@pytest.fixture
def folder(cuts: list[Cut], tmp_path: Path) -> Path:
    """Shards of two cuts."""
    path = tmp_path / "shar"
    path.mkdir()
    CutSet.from_cuts(cuts).to_shar(path, {"recording": "wav"}, shard_size=2)
    return path


def shar(folder: Path, **options: Any) -> list[SharCut]:
    found = read_shar(folder, **options)
    assert found is not None
    assert all(isinstance(one, SharCut) for one in found)
    return found  # type: ignore[return-value]


def test_archives_have_what_files_have(cuts: list[Cut], folder: Path) -> None:
    found = shar(folder)
    assert [one.cut.id for one in found] == [cut.id for cut in cuts]
    for one, cut in zip(reversed(found), reversed(cuts)):
        samples = load_recording(with_audio(one), 16000).samples
        np.testing.assert_array_equal(samples, load_recording(cut, 16000).samples)


def test_shards_are_taken_as_they_are(cuts: list[Cut], folder: Path) -> None:
    utterances = shar_utterances(shar(folder))
    assert [one.seconds for one in utterances] == [cut.duration for cut in cuts]
    for seconds in (1.0, 100.0):
        shards = cut_shards(utterances, seconds)
        assert [[one.id for one in shard.utterances] for shard in shards] == [
            ["c0", "c1"],
            ["c2", "c3"],
            ["c4"],
        ]
    assert list(utterances[4].files) == [
        folder / "recording.000002.tar",
        folder / "cuts.000002.jsonl.gz",
    ]
    moved = replace(utterances[0].source, archive=folder / "another.tar")
    assert utterances[0].place != replace(utterances[0], source=moved).place


def test_what_is_no_such_folder(tmp_path: Path) -> None:
    (tmp_path / "cuts.jsonl").touch()
    assert read_shar(tmp_path) is None
    assert read_shar(tmp_path / "cuts.jsonl") is None
    (tmp_path / "cuts.000000.jsonl").touch()
    with pytest.raises(ManifestError, match=f"{tmp_path}: has no cuts"):
        read_shar(tmp_path)


def test_an_id_in_two_shards(folder: Path) -> None:
    first = (folder / "cuts.000000.jsonl.gz").read_bytes()
    (folder / "cuts.000001.jsonl.gz").write_bytes(first)
    with pytest.raises(
        ManifestError, match=r"000001.jsonl.gz: the id 'c0' is in .*000000.jsonl.gz"
    ):
        read_shar(folder)


def test_cuts_of_files_in_such_a_folder(cuts: list[Cut], folder: Path) -> None:
    """They are read where they are, in shards of their own."""
    CutSet.from_cuts(cuts[2:4]).to_file(folder / "cuts.000001.jsonl.gz")
    (folder / "recording.000001.tar").unlink()
    found = read_shar(folder)
    assert found is not None
    kinds = [isinstance(one, SharCut) for one in found]
    assert kinds == [True, True, False, False, True]
    assert [len(one.utterances) for one in cut_shards(shar_utterances(found), 1.0)] == [2, 1, 1, 1]


def test_archives_that_are_not_whole(folder: Path) -> None:
    archive = folder / "recording.000001.tar"
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    first, second = shar(folder)[2:4]
    assert load_recording(with_audio(first), 16000).samples.any()
    with pytest.raises(AudioError, match=f"{archive}: cannot be read to its end: "):
        with_audio(second)
    (folder / "recording.000002.tar").unlink()
    with pytest.raises(AudioError, match=r"recording.000002.tar: no such file"):
        with_audio(shar(folder)[4])


def test_commands_are_refused(folder: Path) -> None:
    """In manifests, and in archives."""
    rows = gzip.decompress((folder / "cuts.000002.jsonl.gz").read_bytes()).decode()
    recording = json.loads(rows)["recording"]
    rir = {**recording, "sources": [{"type": "command", "channels": [0], "source": "touch x"}]}
    kwargs = {"rir": rir, "normalize_output": True}
    recording["transforms"] = [{"name": "ReverbWithImpulseResponse", "kwargs": kwargs}]
    archive = folder / "recording.000002.tar"
    with tarfile.open(archive, "w") as tar:
        for name, content in {"c4.wav": b"RIFF", "c4.json": json.dumps(recording).encode()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    with pytest.raises(ManifestError, match=f"{archive}: 'c4' would run a command: 'touch x'"):
        with_audio(shar(folder)[4])
    assert with_audio(shar(folder, trusted=True)[4]).recording.transforms
    odd = rows.replace('"type": "shar"', '"type": "command"')
    (folder / "cuts.000002.jsonl.gz").write_bytes(gzip.compress(odd.encode()))
    with pytest.raises(ManifestError, match=r"cuts.000002.jsonl.gz: 'c4' would run a command"):
        read_shar(folder)
