"""What kind of model is at a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.find import identity_of, kind_of, load_model, load_tokenizer
from ctcbias_fst.models.package import DEFAULT


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["model.json", "model.safetensors", "tokenizer.model"], "ours"),
        (["model.safetensors", "tokenizer.model"], "ours"),
        (["config.json", "model.safetensors", "vocab.json"], "hf"),
        (["config.json", "pytorch_model.bin"], "hf"),
        (["config.json", "model.safetensors", "model.onnx"], "hf"),
        (["config.json"], "hf"),
        (["model.int8.onnx", "tokens.txt"], "onnx"),
        (["config.json", "model.onnx", "vocab.txt"], "onnx"),
    ],
)
def test_folders_are_told_apart(tmp_path: Path, names: list[str], kind: str) -> None:
    for name in names:
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert kind_of(tmp_path) == kind


@pytest.mark.parametrize("names", [[], ["notes.txt"]])
def test_other_folders_are_refused(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).write_text("", encoding="utf-8")
    what = "notes.txt" if names else "it is empty"
    with pytest.raises(ModelError, match=rf"is no model folder \(.*{what}.*config.json"):
        kind_of(tmp_path)


@pytest.mark.parametrize(
    ("name", "what"), [("m.nemo", "NeMo"), ("m.pt", "torch"), ("m.wav", "another kind")]
)
def test_other_files_are_refused(tmp_path: Path, name: str, what: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ModelError, match=f"{what}.*your-model"):
        kind_of(tmp_path / name)


def test_names_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    assert kind_of(Path("somebody/model-of-speech")) == "hf"
    for missing in ("model", "here/model", "a/b.onnx", "/a/b", "../a", "a/b/c"):
        with pytest.raises(ModelError, match="no such file or folder"):
            kind_of(Path(missing))


def test_the_default_is_the_embedded_model() -> None:
    assert load_model().family == "ctcbias_fst"
    assert identity_of(None) == identity_of(DEFAULT)
    with pytest.raises(ModelError, match="language"):
        load_model(language="en")
    with pytest.raises(ModelError, match="7 is no path"):
        load_model(7)  # type: ignore[arg-type]


def test_identity_follows_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"1")
    first = identity_of(tmp_path / "a.onnx")
    assert identity_of(tmp_path / "a.onnx") == first
    (tmp_path / "a.onnx").write_bytes(b"12")
    assert identity_of(tmp_path / "a.onnx") != first
    assert identity_of(tmp_path) != first


def test_the_tokenizer_alone() -> None:
    assert load_tokenizer().vocabulary == load_model().tokenizer.vocabulary
    assert load_tokenizer(DEFAULT).vocabulary == load_tokenizer().vocabulary
    with pytest.raises(ModelError, match="language"):
        load_tokenizer(language="en")
