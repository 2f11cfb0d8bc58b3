"""A model on disk: weights, configuration and tokenizer in one directory.

``model.safetensors`` (float16), ``tokenizer.model`` (SentencePiece), ``model.json`` (format,
configuration, digests that tie the three together) and ``model_card.md``. Nothing is
unpickled; every size is checked before a weight is used.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from ctcbias_fst.acoustic.checkpoint import load_weights, read_tensors
from ctcbias_fst.acoustic.config import ModelConfig
from ctcbias_fst.acoustic.model import CtcModel
from ctcbias_fst.config import load_config, to_mapping
from ctcbias_fst.errors import ConfigError, ModelError
from ctcbias_fst.files import atomic_directory
from ctcbias_fst.text.tokens import SentencePieceTokenizer

__all__ = ["DEFAULT", "Package", "load_package", "save_package"]

DEFAULT = Path(__file__).resolve().parents[1] / "pretrained" / "default"
"""The model that comes with the package."""

_FORMAT = 1
_WEIGHTS, _TOKENIZER, _MODEL = "model.safetensors", "tokenizer.model", "model.json"


@dataclass(frozen=True)
class Package:
    """A loaded model.

    Attributes:
        model: in evaluation mode, float32.
        tokenizer: the one that it was trained with.
        path: where it came from.
    """

    model: CtcModel
    tokenizer: SentencePieceTokenizer
    path: Path


def save_package(
    target: Path, tensors: dict[str, Tensor], config: ModelConfig, tokenizer: Path
) -> None:
    """Write a package; an existing model card is kept."""
    card = target / "model_card.md"
    text = card.read_text(encoding="utf-8") if card.exists() else None
    with atomic_directory(target) as directory:
        halves = {
            name: (tensor if name.startswith("feature_") else tensor.half()).contiguous()
            for name, tensor in tensors.items()
        }
        save_file(halves, directory / _WEIGHTS)
        shutil.copyfile(tokenizer, directory / _TOKENIZER)
        header = {
            "format": _FORMAT,
            "config": to_mapping(config),
            "vocabulary": SentencePieceTokenizer(tokenizer).vocabulary.digest,
            "weights_sha256": _sha256(directory / _WEIGHTS),
        }
        (directory / _MODEL).write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
        if text is not None:
            (directory / card.name).write_text(text, encoding="utf-8")


def load_package(path: Path | None = None, device: torch.device | str = "cpu") -> Package:
    """Load a model directory, by default the one inside the package.

    Raises:
        ModelError: a file is missing or damaged, or they do not belong together.
    """
    path = DEFAULT if path is None else Path(path)
    header = _read_header(path)
    try:
        config = load_config(ModelConfig, header["config"])
    except ConfigError as error:
        raise ModelError(f"{path / _MODEL}: {error}; it needs another version") from error
    if not (path / _TOKENIZER).is_file():
        raise ModelError(f"{path / _TOKENIZER}: no such file; copy the whole model directory")
    tokenizer = SentencePieceTokenizer(path / _TOKENIZER)
    vocabulary = tokenizer.vocabulary
    if vocabulary.size != config.tokens or vocabulary.digest != header.get("vocabulary"):
        raise ModelError(
            f"{path / _TOKENIZER}: {vocabulary.size} tokens with digest "
            f"{vocabulary.digest[:12]}, but the weights were trained with {config.tokens} and "
            f"digest {str(header.get('vocabulary'))[:12]}: this is another model's tokenizer"
        )
    weights = path / _WEIGHTS
    tensors = read_tensors(weights)
    digest = _sha256(weights)
    if digest != header.get("weights_sha256"):
        raise ModelError(
            f"{weights}: its SHA-256 starts with {digest[:12]}, {_MODEL} expects "
            f"{str(header.get('weights_sha256'))[:12]}: the files are of different models or "
            "damaged"
        )
    model = CtcModel(config)
    load_weights(model, tensors, str(weights))
    return Package(model.eval().to(device), tokenizer, path)


def _read_header(path: Path) -> dict[str, Any]:
    file = path / _MODEL
    if not file.is_file():
        raise ModelError(f"{file}: no such file; {path} is not a model directory")
    try:
        header = json.loads(file.read_text(encoding="utf-8"))
        known = isinstance(header, dict) and header.get("format") == _FORMAT
    except ValueError as error:
        raise ModelError(f"{file}: not JSON: {error}") from error
    if not known or not isinstance(header.get("config"), dict):
        raise ModelError(f"{file}: not a model of format {_FORMAT}; export it again")
    return dict(header)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
