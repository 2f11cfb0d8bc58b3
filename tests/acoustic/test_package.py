"""Model directories: what is written is read; what does not belong together is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from ctcbias_fst.acoustic.config import ModelConfig
from ctcbias_fst.acoustic.model import CtcModel
from ctcbias_fst.acoustic.package import load_package, save_package
from ctcbias_fst.errors import ModelError
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
        ("{", "not JSON"),
        ("[]", "not a model of format"),
        ('{"format": 99}', "not a model of format"),
    ],
)
def test_damaged_header(package: Path, text: str, words: str) -> None:
    (package / "model.json").write_text(text)
    with pytest.raises(ModelError, match=words):
        load_package(package)


def test_header_with_an_unknown_key(package: Path) -> None:
    header = json.loads((package / "model.json").read_text())
    header["config"]["flavour"] = "mint"
    (package / "model.json").write_text(json.dumps(header))
    with pytest.raises(ModelError, match="unknown key flavour"):
        load_package(package)
