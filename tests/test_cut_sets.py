"""Whoever reads a manifest: no command of a stranger is run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from lhotse import CutSet, MonoCut
from lhotse.array import Array, TemporalArray

from ctcbias_fst.cli import main
from ctcbias_fst.cut_sets import named_files, read_cut_set
from ctcbias_fst.errors import ManifestError
from ctcbias_fst.search.saved_log_probs import SavedLogProbs
from ctcbias_fst.training.data import Augmentation, load_cuts
from ctcbias_fst.training.training_config import AugmentConfig


def command(folder: Path) -> dict[str, Any]:
    source = {"type": "command", "channels": [0], "source": f"touch {folder}/seen"}
    recording = {"id": "r", "sources": [source], "sampling_rate": 16000, "num_samples": 16000}
    return {**recording, "duration": 1.0}


def cuts(folder: Path) -> Path:
    supervision = {"id": "s", "recording_id": "r", "start": 0, "duration": 1, "text": "peace"}
    row = {"id": "c", "start": 0, "duration": 1, "channel": 0, "type": "MonoCut"}
    row |= {"recording": command(folder), "supervisions": [supervision]}
    (folder / "cuts.jsonl").write_text(json.dumps(row) + "\n")
    return folder / "cuts.jsonl"


def test_training_asks_for_trust(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"would run a command.*trust_manifests"):
        load_cuts([cuts(tmp_path)], max_seconds=20.0)
    assert len(list(load_cuts([cuts(tmp_path)], max_seconds=20.0, trusted=True))) == 1
    with pytest.raises(ManifestError, match="would run a command"):
        Augmentation(AugmentConfig(noise=cuts(tmp_path)), 1)
    rirs = tmp_path / "rirs.jsonl"
    rirs.write_text(json.dumps(command(tmp_path)) + "\n")
    with pytest.raises(ManifestError, match="would run a command"):
        Augmentation(AugmentConfig(rirs=rirs), 1)
    rirs.write_text("nonsense\n")
    with pytest.raises(ManifestError, match="not a readable RecordingSet"):
        Augmentation(AugmentConfig(rirs=rirs), 1)
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize("suffix", ["jsonl", "json", "yaml"])
def test_every_form_of_a_manifest(tmp_path: Path, suffix: str) -> None:
    trusted = CutSet.from_cuts(read_cut_set(cuts(tmp_path), trusted=True))
    path = tmp_path / f"all.{suffix}"
    trusted.to_file(path)
    assert len(read_cut_set(path, trusted=True)) == 1
    with pytest.raises(ManifestError, match="would run a command"):
        read_cut_set(path)


def test_arrays_from_a_pipe(tmp_path: Path) -> None:
    """lhotse hands a path that begins with ``pipe:`` to a shell."""
    array = Array("lilcom_url", f"pipe:touch {tmp_path}", "seen", [3, 5])
    cut = MonoCut("c", start=0, duration=1, channel=0)
    cut.log_probs = TemporalArray(array, temporal_dim=0, frame_shift=0.1, start=0)
    path = tmp_path / "cuts.jsonl"
    CutSet.from_cuts([cut]).to_file(path)
    with pytest.raises(ManifestError, match="'c' would run a command: 'pipe:touch "):
        SavedLogProbs(path)
    tokens, out = tmp_path / "tokens.txt", tmp_path / "out"
    tokens.write_text("".join(f"{token} {i}\n" for i, token in enumerate(["<blk>", *"abc|"])))
    decode = ["decode", "--log-probs", str(path), "--tokens", str(tokens), "--out", str(out)]
    result = CliRunner().invoke(main, decode)
    assert result.exit_code == 1
    assert "would run a command" in result.stderr
    assert list(SavedLogProbs(path, trusted=True).frames.items()) == [("c", 3)]
    assert not (tmp_path / "seen").exists()


def test_arrays_in_files_are_fine(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", np.zeros((3, 5), np.float32))
    array = Array("numpy_files", str(tmp_path), "c.npy", [3, 5])
    cut = MonoCut("c", start=0, duration=1, channel=0)
    cut.log_probs = TemporalArray(array, temporal_dim=0, frame_shift=0.1, start=0)
    CutSet.from_cuts([cut]).to_file(tmp_path / "cuts.jsonl")
    assert SavedLogProbs(tmp_path / "cuts.jsonl").frames == {"c": 3}


def test_the_files_of_arrays(tmp_path: Path) -> None:
    """A folder has a file for each key, an archive has none; bytes are the array."""
    cuts = []
    for i in range(3):
        cut = MonoCut(f"c{i}", start=0, duration=1, channel=0)
        cut.apart = Array("numpy_files", str(tmp_path), f"{i}.npy", [3])
        cut.archived = Array("lilcom_chunky", "all.lca", f"0,{i}", [3])
        cut.held = Array("memory_raw", "", b"\x80", [3])  # type: ignore[arg-type]
        cut.absent = Array("shar", None, f"{i}", [3])  # type: ignore[arg-type]
        cuts.append(cut)
    apart = [tmp_path / f"{i}.npy" for i in range(3)]
    assert sorted(named_files(cuts)) == sorted([*apart, Path("all.lca")])


def kaldi(key: str, path: Path | str) -> MonoCut:
    cut = MonoCut(key, start=0, duration=1, channel=0)
    array = Array("kaldiio", str(path), key, [3, 5])
    cut.log_probs = TemporalArray(array, temporal_dim=0, frame_shift=0.1, start=0)
    return cut


def test_the_archives_of_kaldi(tmp_path: Path) -> None:
    """A table names places in archives, or it is one place itself."""
    scp, gone = tmp_path / "all.scp", tmp_path / "gone.scp"
    scp.write_bytes(
        b"a 1.ark:17\n\nb /x y/2.ark:5[0:3]\nc 1.ark:90\nd\ne plain.mat\n\xff \xff.ark:1\n"
    )
    cuts = [kaldi("a", scp), kaldi("b", scp), kaldi("c", "3.ark:12"), kaldi("d", gone)]
    named = ["1.ark", "/x y/2.ark", "plain.mat", "\udcff.ark", "3.ark", "3.ark:12"]
    assert set(named_files(cuts)) == {scp, gone, *map(Path, named)}


@pytest.mark.parametrize("where", ["table", "array"])
def test_commands_of_kaldi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("all.scp").write_text("a 1.ark:17\nb touch seen |\n")
    cut = kaldi("a", "all.scp" if where == "table" else "touch seen |")
    CutSet.from_cuts([cut]).to_file("cuts.jsonl")
    with pytest.raises(ManifestError, match="'a' would run a command: 'touch "):
        SavedLogProbs(Path("cuts.jsonl"))
    assert len(read_cut_set(Path("cuts.jsonl"), trusted=True)) == 1
    assert not Path("seen").exists()


def test_words_are_no_commands(tmp_path: Path) -> None:
    row = json.loads(cuts(tmp_path).read_text())
    row["recording"]["sources"] = [{"type": "file", "channels": [0], "source": "a.wav"}]
    row["supervisions"][0] |= {"text": "pipe: a tube", "custom": {"note": "pipe:organ"}}
    row["id"] = "pipe:1"
    path = tmp_path / "words.jsonl"
    path.write_text(json.dumps(row) + "\n")
    assert [cut.id for cut in read_cut_set(path)] == ["pipe:1"]
