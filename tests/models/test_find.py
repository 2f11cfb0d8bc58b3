"""What kind of model is at a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctcbias_fst.errors import ConfigError, ModelError
from ctcbias_fst.models.adapted import adapter_file
from ctcbias_fst.models.find import (
    identity_of,
    kind_of,
    load_for_streams,
    load_model,
    load_tokenizer,
)
from ctcbias_fst.models.onnx_files import model_file
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.settings import settings_of


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
        (["config.json", "model.safetensors.index.json", "model.onnx"], "hf"),
        (["config.json", "pytorch_model.bin.index.json", "model.onnx"], "hf"),
        (["config.json", "model-00001-of-00002.safetensors", "model.onnx"], "hf"),
        (["config.json", "onnx/model.onnx", "vocab.json"], "onnx"),
        (["config.json", "onnx/model.onnx", "model.safetensors"], "hf"),
        (["M.ONNX", "tokens.txt"], "onnx"),
    ],
)
def test_folders_are_told_apart(tmp_path: Path, names: list[str], kind: str) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("{}", encoding="utf-8")
    assert kind_of(tmp_path) == kind
    if kind == "onnx":
        assert model_file(tmp_path).suffix.lower() == ".onnx"


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
    with pytest.raises(ModelError, match="7 is no path of a model"):
        load_model(7)  # type: ignore[arg-type]


def test_paths_that_are_none(tmp_path: Path) -> None:
    """Whatever asks the file system for them."""
    long = "x" * 5000
    for load in (
        load_model,
        load_tokenizer,
        load_for_streams,
        lambda path: identity_of(Path(path)),
    ):
        with pytest.raises(ModelError, match="^'xx*'…: cannot be read .File name too long"):
            load(long)  # type: ignore[operator]
    with pytest.raises(ModelError, match="^'xx*'…: cannot be read .File name too long"):
        adapter_file(long)
    for path in (None, tmp_path):
        with pytest.raises(ModelError, match="^5 is no path of an adapter$"):
            load_model(path, adapter=5)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="^5 is no path of an adapter$"):
        adapter_file(5)  # type: ignore[arg-type]


def test_settings_that_are_no_file(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").mkdir()
    with pytest.raises(ConfigError, match=r"settings.toml: is no file"):
        settings_of(tmp_path)
    (tmp_path / "settings.toml").rmdir()
    (tmp_path / "settings.toml").symlink_to("nothing")
    with pytest.raises(ConfigError, match=r"settings.toml: is no file"):
        settings_of(tmp_path)


def test_identity_follows_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"1")
    first = identity_of(tmp_path / "a.onnx")
    assert identity_of(tmp_path / "a.onnx") == first
    (tmp_path / "a.onnx").write_bytes(b"12")
    assert identity_of(tmp_path / "a.onnx") != first
    assert identity_of(tmp_path) != first


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}", encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "name", ["model.onnx", "tokens.txt", "config.json", "model.onnx.data", "bpe.model"]
)
def test_identity_is_that_of_all_files_of_a_model(tmp_path: Path, name: str) -> None:
    model = filled(tmp_path, "model.onnx", "tokens.txt", "config.json", "model.onnx.data")
    first = identity_of(model / "model.onnx")
    assert identity_of(model) == first
    (model / name).write_text("{ }", encoding="utf-8")
    assert identity_of(model / "model.onnx") == identity_of(model) != first


@pytest.mark.parametrize(
    "name", ["model.safetensors", "vocab.json", "tokenizer_config.json", "adapter.eng.safetensors"]
)
def test_identity_of_a_folder_of_hugging_face(tmp_path: Path, name: str) -> None:
    model = filled(tmp_path, "config.json", "model.safetensors", "vocab.json")
    first = identity_of(model)
    (model / name).write_text("{ }", encoding="utf-8")
    assert identity_of(model) != first


@pytest.mark.parametrize("weights", ["model.onnx", "model.safetensors"])
def test_what_is_beside_a_model_is_none_of_it(tmp_path: Path, weights: str) -> None:
    model = filled(tmp_path, "config.json", weights)
    first = identity_of(model)
    filled(model, "out.jsonl", "names.txt", "calls.json", "settings.toml", "clips/a.wav")
    assert identity_of(model) == first
    if weights == "model.onnx":
        filled(model, "model.int8.onnx", "model.int8.onnx.data")
        assert identity_of(model) == first


def test_identity_of_a_path_however_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, "m.onnx", "onnx/model.onnx", "tokens.txt")
    monkeypatch.chdir(tmp_path)
    whole = identity_of(tmp_path / "m.onnx")
    assert identity_of(Path("m.onnx")) == identity_of(Path("onnx/../m.onnx")) == whole
    first = identity_of(Path("onnx/model.onnx"))
    (tmp_path / "tokens.txt").write_text("a 0", encoding="utf-8")
    assert identity_of(Path("onnx/model.onnx")) != first


def test_identity_of_a_package_is_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for version in ("1.0", "1.1"):
        monkeypatch.setattr("ctcbias_fst.models.find.version", lambda name, v=version: v)
        found.add(identity_of(Path("hama")))
    assert len(found) == 2


def test_the_tokenizer_alone() -> None:
    assert load_tokenizer().vocabulary == load_model().tokenizer.vocabulary
    assert load_tokenizer(DEFAULT).vocabulary == load_tokenizer().vocabulary
    with pytest.raises(ModelError, match="language"):
        load_tokenizer(language="en")
