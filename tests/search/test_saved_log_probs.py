"""Log-probs from files of three kinds, and what is wrong with others."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lhotse import CutSet, MonoCut
from lhotse.array import Array, TemporalArray
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors
from strategies import VOCABULARIES

from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.search import saved_log_probs as saved_module
from ctcbias_fst.search.saved_log_probs import SavedLogProbs
from ctcbias_fst.search.stack import stack

VOCABULARY = VOCABULARIES[0]


def _arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        name: np.log(random.dirichlet(np.ones(5), size=frames)).astype(np.float32)
        for name, frames in (("one", 3), ("two", 7))
    }


def _npz(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "saved.npz", **arrays)
    return folder / "saved.npz"


def _safetensors(folder: Path, **arrays: np.ndarray) -> Path:
    path = folder / "saved.safetensors"
    seconds = arrays.pop("frame_seconds", None)
    save_file(arrays, path, None if seconds is None else {"frame_seconds": str(seconds)})
    return path


def _cuts(folder: Path, **arrays: np.ndarray) -> Path:
    seconds = float(arrays.pop("frame_seconds", np.array(0.1)))
    cuts = []
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
        array = Array("numpy_files", str(folder), f"{name}.npy", list(values.shape))
        cut = MonoCut(name, start=0, duration=len(values) * seconds, channel=0)
        cut.log_probs = TemporalArray(array, temporal_dim=0, frame_shift=seconds, start=0)
        cuts.append(cut)
    CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    return folder / "cuts.jsonl.gz"


@pytest.mark.parametrize("save", [_npz, _safetensors, _cuts])
def test_arrays_come_back(tmp_path: Path, save: object) -> None:
    arrays = _arrays()
    saved = SavedLogProbs(save(tmp_path, frame_seconds=np.array(0.02), **arrays))  # type: ignore[operator]
    assert dict(saved.frames) == {"one": 3, "two": 7}
    assert saved.frame_seconds == pytest.approx(0.02)
    for name, values in arrays.items():
        read = saved.read(name, VOCABULARY)
        assert read.dtype == torch.float32
        assert np.array_equal(read.numpy(), values)


@pytest.mark.parametrize("save", [_npz, _safetensors])
def test_frame_seconds_may_be_missing(tmp_path: Path, save: object) -> None:
    assert SavedLogProbs(save(tmp_path, **_arrays())).frame_seconds is None  # type: ignore[operator]


def test_half_precision_and_impossible_tokens(tmp_path: Path) -> None:
    values = _arrays()["one"].astype(np.float16)
    values[0] = [0.0, -np.inf, -np.inf, -np.inf, -np.inf]
    read = SavedLogProbs(_npz(tmp_path, one=values)).read("one", VOCABULARY)
    assert read[0, 1] == -torch.inf


def test_logits_are_refused_or_normalised(tmp_path: Path) -> None:
    logits = _arrays()["two"] + np.arange(7, dtype=np.float32)[:, None]
    saved = SavedLogProbs(_npz(tmp_path, two=logits))
    with pytest.raises(LogProbsError, match=r"two, frame 1: .* sum to 2\.72 .* --softmax"):
        saved.read("two", VOCABULARY)
    read = saved.read("two", VOCABULARY, softmax=True)
    assert torch.allclose(read, torch.from_numpy(_arrays()["two"]), atol=1e-5)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4), dtype=np.float32), r"\(frames, 5 tokens\), found \(3, 4\)"),
        (np.zeros(5, dtype=np.float32), r"found \(5,\)"),
        (np.zeros((3, 5), dtype=np.int64), "found int64"),
    ],
)
def test_wrong_arrays(tmp_path: Path, array: np.ndarray, message: str) -> None:
    with pytest.raises(LogProbsError, match=message):
        SavedLogProbs(_npz(tmp_path, one=array)).read("one", VOCABULARY)


@pytest.mark.parametrize("name", ["x.npz", "x.safetensors", "x.jsonl", "x.jsonl.gz", "x"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(LogProbsError, match="no such file"):
        SavedLogProbs(path)
    path.write_bytes(b"no log-probs")
    with pytest.raises(LogProbsError, match=str(path)):
        SavedLogProbs(path)


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    array = np.array([{"a": 1}], dtype=object)
    saved = SavedLogProbs(_npz(tmp_path, one=array))
    with pytest.raises(LogProbsError, match="cannot be read"):
        saved.read("one", VOCABULARY)


def test_nothing_in_it(tmp_path: Path) -> None:
    with pytest.raises(LogProbsError, match="has no log-probs"):
        SavedLogProbs(_npz(tmp_path, frame_seconds=np.array(0.1)))


def test_a_cut_without_log_probs(tmp_path: Path) -> None:
    path = tmp_path / "cuts.jsonl"
    CutSet.from_cuts([MonoCut("a", start=0, duration=1, channel=0)]).to_file(path)
    with pytest.raises(LogProbsError, match="cut a has no array 'log_probs'"):
        SavedLogProbs(path)


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4'", b"\x93NUMPY\x09\x00"]
)
def test_one_bad_header_does_not_cost_the_others(tmp_path: Path, content: bytes) -> None:
    path = _npz(tmp_path, **_arrays())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("bad.npy", content)
    saved = SavedLogProbs(path)
    assert saved.frames == {"one": 3, "two": 7, "bad": 0}
    assert saved.read("two", VOCABULARY).shape == (7, VOCABULARY.size)
    with pytest.raises(LogProbsError, match="saved.npz: bad cannot be read: "):
        saved.read("bad", VOCABULARY)


def test_one_cut_without_log_probs_does_not_cost_the_others(tmp_path: Path) -> None:
    path = _cuts(tmp_path, **_arrays())
    cuts = list(CutSet.from_file(path))
    wrong = MonoCut("wrong", start=0, duration=1, channel=0, custom={"log_probs": [1, 2]})
    CutSet.from_cuts([MonoCut("a", start=0, duration=1, channel=0), wrong, *cuts]).to_file(path)
    saved = SavedLogProbs(path)
    assert saved.frames == {"a": 0, "wrong": 0, "one": 3, "two": 7}
    assert saved.frame_seconds == 0.1
    for name in ("a", "wrong"):
        with pytest.raises(LogProbsError, match=f"cut {name} has no array 'log_probs'"):
            saved.read(name, VOCABULARY)


def test_stack_pads() -> None:
    arrays = [torch.zeros(2, 5), torch.zeros(4, 5)]
    batch = stack(arrays, ["a", "b"], VOCABULARY, 0.04)
    assert batch.log_probs.shape == (2, 4, 5)
    assert batch.lengths.tolist() == [2, 4]
    assert batch.ids == ("a", "b")


# As other programs write them.

NORMAL = np.log(np.random.default_rng(0).dirichlet(np.ones(5), size=7)).astype(np.float32)


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float64"])
def test_floats_of_every_width_in_safetensors(tmp_path: Path, kind: str) -> None:
    values = torch.from_numpy(NORMAL).to(getattr(torch, kind))
    save_tensors({"u": values}, tmp_path / "lp.safetensors", {"frame_seconds": "0.02"})
    saved = SavedLogProbs(tmp_path / "lp.safetensors")
    read = saved.read("u", VOCABULARIES[0])
    assert read.dtype == torch.float32
    torch.testing.assert_close(read, values.float())


def test_npy_and_a_folder_of_them(tmp_path: Path) -> None:
    for name in ("one", "two"):
        np.save(tmp_path / f"{name}.npy", NORMAL)
    (tmp_path / "short.npy").write_bytes((tmp_path / "one.npy").read_bytes()[:100])
    saved = SavedLogProbs(tmp_path)
    assert dict(saved.frames) == {"one": 7, "short": 0, "two": 7}
    assert saved.frame_seconds is None
    np.testing.assert_array_equal(saved.read("two", VOCABULARIES[0]).numpy(), NORMAL)
    with pytest.raises(LogProbsError, match="short cannot be read"):
        saved.read("short", VOCABULARIES[0])
    assert dict(SavedLogProbs(tmp_path / "one.npy").frames) == {"one": 7}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([0.02, 0.04]), "one number"),
        (np.array("x"), "one number"),
        (np.array(np.nan), "frame_seconds is nan"),
        (np.array(np.inf), "frame_seconds is inf"),
        (np.array(1e-320), "a frame lasts"),
        (np.array(-0.04), "a frame lasts"),
    ],
)
def test_lengths_of_frames_that_cannot_be(tmp_path: Path, value: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "lp.npz", u=NORMAL, frame_seconds=value)
    with pytest.raises(LogProbsError, match=message):
        SavedLogProbs(tmp_path / "lp.npz")


def test_what_unpacks_without_end_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_module, "_SUSPICIOUS_BYTES", 2**16)
    np.savez_compressed(tmp_path / "lp.npz", u=NORMAL, bomb=np.zeros((10**6, 5), np.float32))
    saved = SavedLogProbs(tmp_path / "lp.npz")
    assert len(saved.read("u", VOCABULARIES[0])) == 7
    with pytest.raises(LogProbsError, match=r"bomb unpacks to 19 MiB from \d+ KiB"):
        saved.read("bomb", VOCABULARIES[0])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (NORMAL.T, "save the transpose"),
        (NORMAL[None], "each utterance of a batch by itself"),
        (NORMAL[:, :3], "blank included"),
        (np.exp(NORMAL), "save the logarithms"),
        (NORMAL.astype(np.int16), "floating-point"),
    ],
)
def test_arrays_that_are_something_else(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.savez(tmp_path / "lp.npz", u=array)
    with pytest.raises(LogProbsError, match=message) as caught:
        SavedLogProbs(tmp_path / "lp.npz").read("u", VOCABULARIES[0])
    assert "\n" not in str(caught.value)


def test_what_would_run_code_is_not_read(tmp_path: Path) -> None:
    torch.save({"u": torch.from_numpy(NORMAL)}, tmp_path / "lp.pt")
    with pytest.raises(LogProbsError, match=r"run code .* save the arrays as \.npz"):
        SavedLogProbs(tmp_path / "lp.pt")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(["npz", "safetensors", "npy"]))
def test_damaged_files_are_one_line(tmp_path: Path, data: st.DataObject, kind: str) -> None:
    path = tmp_path / f"lp.{kind}"
    if kind == "npz":
        np.savez(path, u=NORMAL, frame_seconds=np.array(0.04))
    elif kind == "npy":
        np.save(path, NORMAL)
    else:
        save_tensors({"u": torch.from_numpy(NORMAL)}, path, {"frame_seconds": "0.04"})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        saved = SavedLogProbs(path)
        for utterance in saved.frames:
            saved.read(utterance, VOCABULARIES[0])
    except LogProbsError as fault:
        assert "\n" not in str(fault)


def test_probabilities_are_no_logits(tmp_path: Path) -> None:
    probabilities = np.exp(_arrays()["two"])
    path = _npz(tmp_path, probabilities=probabilities, logits=probabilities + 1.0)
    with pytest.raises(LogProbsError, match="no logits but probabilities.* leave out --softmax"):
        SavedLogProbs(path).read("probabilities", VOCABULARY, softmax=True)
    read = SavedLogProbs(path).read("logits", VOCABULARY, softmax=True)
    assert torch.allclose(read, torch.from_numpy(probabilities).log_softmax(-1))
    empty = _npz(tmp_path, none=np.zeros((0, 5), np.float32))
    assert SavedLogProbs(empty).read("none", VOCABULARY, softmax=True).shape == (0, 5)
