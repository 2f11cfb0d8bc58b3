"""Model directories: what is written is read; what does not belong together is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.model_config import ModelConfig
from ctcbias_fst.models.package import load_package, save_package
from ctcbias_fst.text.train_tokenizer import train_tokenizer


@pytest.fixture
def package(tiny_config: ModelConfig, tokenizer_path: Path, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    target = tmp_path / "model"
    save_package(target, CtcModel(tiny_config).state_dict(), tiny_config, tokenizer_path)
    return target


def test_round_trip(package: Path, tiny_config: ModelConfig) -> None:
    loaded = load_package(package)
    assert loaded.model.config == tiny_config
    assert not loaded.model.training
    assert all(weight.dtype == torch.float32 for weight in loaded.model.parameters())
    assert loaded.tokenizer.encode("new york")


def test_model_card_survives_a_new_export(
    package: Path, tiny_config: ModelConfig, tokenizer_path: Path
) -> None:
    (package / "model_card.md").write_text("figures")
    save_package(package, CtcModel(tiny_config).state_dict(), tiny_config, tokenizer_path)
    assert (package / "model_card.md").read_text() == "figures"


def test_a_folder_of_other_files_is_not_replaced(
    package: Path, tiny_config: ModelConfig, tokenizer_path: Path
) -> None:
    (package / "settings.toml").write_text("")
    save_package(package, CtcModel(tiny_config).state_dict(), tiny_config, tokenizer_path)
    assert (package / "settings.toml").is_file()
    (package / "run").mkdir()
    with pytest.raises(ModelError, match="has other files than a model, such as 'run'"):
        save_package(package, CtcModel(tiny_config).state_dict(), tiny_config, tokenizer_path)
    assert (package / "run").is_dir()


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.model", "model.json"])
def test_missing_file(package: Path, name: str) -> None:
    (package / name).unlink()
    with pytest.raises(ModelError, match=f"{name}: no such file"):
        load_package(package)


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a model directory"):
        load_package(tmp_path / "none")


def test_truncated_weights(package: Path) -> None:
    weights = package / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="not a complete safetensors file"):
        load_package(package)


def test_changed_weights(package: Path) -> None:
    weights = package / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(ModelError, match="different models or damaged"):
        load_package(package)


def test_tokenizer_of_another_model(package: Path, tmp_path: Path) -> None:
    text = tmp_path / "other.txt"
    words = "quick brown foxes jump over lazy dogs while seven wizards vex big champions".split()
    lines = [" ".join(words[i:] + words[: i // 2]) for i in range(len(words))]
    text.write_text("\n".join(lines * 5))
    train_tokenizer([text], package / "tokenizer.model", size=36)
    with pytest.raises(ModelError, match="this is another model's tokenizer"):
        load_package(package)


def test_tokenizer_of_the_same_size(package: Path, tmp_path: Path) -> None:
    text = tmp_path / "other.txt"
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    text.write_text("\n".join(" ".join(syllables[i:] + syllables[:i]) for i in range(70)))
    train_tokenizer([text], package / "tokenizer.model", size=80)
    with pytest.raises(ModelError, match="80 tokens with digest .* another model's tokenizer"):
        load_package(package)


def test_weights_of_another_architecture(package: Path) -> None:
    header = json.loads((package / "model.json").read_text())
    header["config"]["encoder"]["layers"] = 5
    (package / "model.json").write_text(json.dumps(header))
    with pytest.raises(ModelError, match="made for another architecture"):
        load_package(package)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a model of format"),
        ('{"format": 99}', "not a model of format"),
        ("[" * 100_000, "JSON is nested too deeply"),
        ('{"format": ' + "1" * 5000 + "}", "too many digits"),
    ],
)
def test_damaged_header(package: Path, text: str, words: str) -> None:
    (package / "model.json").write_text(text)
    with pytest.raises(ModelError, match=words):
        load_package(package)


def test_header_that_is_no_text(package: Path) -> None:
    (package / "model.json").write_bytes(b'{"format": "\xff"}')
    with pytest.raises(ModelError, match="model.json, line 1: not UTF-8"):
        load_package(package)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("encoder.layers", 10**9, "layers must be at most"),
        ("encoder.layers", 1000, "need .* weights or more, model.safetensors has"),
        ("encoder.layers", -1, "layers must be at least 1"),
        ("encoder.layers", "2", "layers must be int, found '2'"),
        ("encoder.layers", 2.0, "layers must be int, found 2.0"),
        ("encoder.width", 10**5, "need .* weights or more"),
        ("encoder.width", 10**12, "width must be at most"),
        ("encoder.heads", 0, "heads must be at least 1"),
        ("encoder.feedforward", 10**5, "need .* weights or more"),
        ("encoder.subsampling_channels", 10**5, "need .* weights or more"),
        ("encoder.kernel", -1, "kernel must be at least 1"),
        ("encoder.mels", 0, "mels must be at least 1"),
        ("encoder.branch_drop", math.nan, "branch_drop must be a number that is finite"),
        ("encoder.subsampling", 4.0, "must be one of 2, 4, 8"),
        ("encoder", [], "encoder must be a table"),
        ("sampling_rate", 10**9, "sampling_rate must lie in 2000..768000"),
        ("sampling_rate", 1, "sampling_rate must lie in"),
        ("phones", "AH", "phones must be a list"),
        ("tokens", None, "tokens must be int, found None"),
        ("chunks", [0], "chunks must be numbers of frames"),
    ],
)
def test_sizes_that_cannot_be(package: Path, key: str, value: object, words: str) -> None:
    header = json.loads((package / "model.json").read_text())
    table = header["config"]
    *parents, last = key.split(".")
    for parent in parents:
        table = table[parent]
    table[last] = value
    (package / "model.json").write_text(json.dumps(header))
    with pytest.raises(ModelError, match=words) as caught:
        load_package(package)
    assert "\n" not in str(caught.value)


def test_a_real_model_has_more_than_the_least_weights() -> None:
    package = load_package()
    weights = sum(tensor.numel() for tensor in package.model.state_dict().values())
    assert 0.5 * weights < package.model.config.least_weights < weights
    if package.adapter is not None:
        weights = sum(tensor.numel() for tensor in package.adapter.state_dict().values())
        assert package.adapter.config.least_weights < weights


def test_header_with_an_unknown_key(package: Path) -> None:
    header = json.loads((package / "model.json").read_text())
    header["config"]["flavour"] = "mint"
    (package / "model.json").write_text(json.dumps(header))
    with pytest.raises(ModelError, match="unknown key flavour"):
        load_package(package)
