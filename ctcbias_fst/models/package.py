"""A model on disk: weights, configuration and tokenizer in one directory.

``model.safetensors`` (float16), ``tokenizer.model`` (SentencePiece), ``model.json`` (format,
configuration, digests that tie the three together), ``model_card.md``, and for the contextual
adapter ``adapter.safetensors`` and ``adapter.json``, tied to the model by its digest. A language
model may lie beside them: ``lm.safetensors``, with its digest in ``lm.json``. Nothing is unpickled;
every size is checked before a weight is used.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor

from ctcbias_fst.config import load_config, to_mapping
from ctcbias_fst.errors import ConfigError, InputError, LanguageModelError, ModelError
from ctcbias_fst.files import atomic_directory, atomic_path, sha256_of, write_text
from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.adapter import ContextualAdapter
from ctcbias_fst.models.checkpoint import load_weights, read_tensors
from ctcbias_fst.models.model_config import AdapterConfig, ModelConfig
from ctcbias_fst.ngram.ngram_lm import load_lm
from ctcbias_fst.text.text_files import parse_json, quoted, read_lines
from ctcbias_fst.text.tokens import SentencePieceTokenizer

Config = TypeVar("Config")

DEFAULT = Path(__file__).resolve().parents[1] / "pretrained" / "default"
"""The model that comes with the package."""

PACKAGED = {"hama": DEFAULT.parent / "hama"}
"""Models that are packages of their own, by the names that are passed for their paths, and the
folders of what is known of them here."""

_FORMAT = 1
_WEIGHTS, _TOKENIZER, _MODEL = "model.safetensors", "tokenizer.model", "model.json"
_ADAPTER_WEIGHTS, _ADAPTER = "adapter.safetensors", "adapter.json"
_LM_TABLES, _LM = "lm.safetensors", "lm.json"
_CARD, _SETTINGS = "model_card.md", "settings.toml"
_KEPT = (_CARD, _LM_TABLES, _LM, _SETTINGS)
"""Files of a directory that stay when another model is written into it."""
_OURS = {_WEIGHTS, _TOKENIZER, _MODEL, _ADAPTER_WEIGHTS, _ADAPTER, *_KEPT}


@dataclass(frozen=True)
class Package:
    """A loaded model.

    Attributes:
        model: in evaluation mode, float32.
        tokenizer: the one that it was trained with.
        path: where it came from.
          adapter: the contextual adapter, where the directory has one; likewise.
        lm: the file of the language model, where the directory has one.
    """

    model: CtcModel
    tokenizer: SentencePieceTokenizer
    path: Path
    adapter: ContextualAdapter | None = None
    lm: Path | None = None


def save_package(
    target: Path, tensors: dict[str, Tensor], config: ModelConfig, tokenizer: Path
) -> None:
    """Write a package; an existing model card, language model and settings are kept.

    Raises:
        ModelError: ``target`` has other files, which would be lost.
    """
    _refuse_others(target)
    kept = {name: (target / name).read_bytes() for name in _KEPT if (target / name).is_file()}
    with atomic_directory(target) as directory:
        halves = {
            name: (tensor if name.startswith("feature_") else tensor.half()).contiguous()
            for name, tensor in tensors.items()
        }
        save_file(halves, directory / _WEIGHTS)
        (directory / _WEIGHTS).chmod(0o644)
        shutil.copyfile(tokenizer, directory / _TOKENIZER)
        _write_header(
            directory / _MODEL,
            to_mapping(config),
            vocabulary=SentencePieceTokenizer(tokenizer).vocabulary.digest,
            weights_sha256=sha256_of(directory / _WEIGHTS),
        )
        for name, content in kept.items():
            (directory / name).write_bytes(content)


def _refuse_others(target: Path) -> None:
    """Refuse a folder that is no model directory: it is replaced as a whole."""
    others = {path.name for path in target.iterdir()} - _OURS if target.is_dir() else set()
    if others:
        raise ModelError(
            f"{target}: has other files than a model, such as {quoted(min(others))}, and is "
            "replaced as a whole: name a folder of its own"
        )


def save_adapter(
    target: Path, tensors: dict[str, Tensor], config: AdapterConfig, base: Path
) -> None:
    """Add an adapter to the model directory ``target``.

    Raises:
        ModelError: ``target`` holds another model than ``base``, which it was trained on.
    """
    trained_on = _read_header(base)["weights_sha256"]
    if _read_header(target)["weights_sha256"] != trained_on:
        raise ModelError(
            f"{target}: is not the model that the adapter was trained on ({base}): export that "
            "model there first"
        )
    halves = {name: tensor.half().contiguous() for name, tensor in tensors.items()}
    with atomic_path(target / _ADAPTER_WEIGHTS) as temporary:
        save_file(halves, temporary)
        temporary.chmod(0o644)
    digest = sha256_of(target / _ADAPTER_WEIGHTS)
    _write_header(
        target / _ADAPTER, to_mapping(config), model_sha256=trained_on, weights_sha256=digest
    )


def save_lm(target: Path, source: Path) -> None:
    """Copy a language model (``.safetensors``) into the model directory ``target``.

    Raises:
        ModelError: ``target`` is no model directory.
        LanguageModelError: ``source`` is no language model of ours.
    """
    _read_header(target)
    if source.suffix != ".safetensors":
        raise LanguageModelError(
            f"{source}: convert it to .safetensors first: ctcbias lm convert {source} --out …"
        )
    unit = load_lm(source).unit
    with atomic_path(target / _LM_TABLES) as temporary:
        shutil.copyfile(source, temporary)
        temporary.chmod(0o644)
    _write_header(target / _LM, {"unit": unit}, sha256=sha256_of(target / _LM_TABLES))


def _write_header(path: Path, config: Mapping[str, Any], **digests: str) -> None:
    header = {"format": _FORMAT, "config": config, **digests}
    write_text(path, json.dumps(header, indent=1) + "\n")


def load_package(path: Path | None = None, device: torch.device | str = "cpu") -> Package:
    """Load a model directory, by default the one inside the package.

    Raises:
        ModelError: a file is missing or damaged, or they do not belong together.
    """
    path = DEFAULT if path is None else Path(path)
    header = _read_header(path)
    config = _read_config(ModelConfig, header, path / _MODEL)
    if not (path / _TOKENIZER).is_file():
        raise ModelError(f"{path / _TOKENIZER}: no such file; copy the whole model directory")
    tokenizer = SentencePieceTokenizer(path / _TOKENIZER)
    vocabulary = tokenizer.vocabulary
    expected = str(header.get("vocabulary"))[:12]
    if vocabulary.size != config.tokens or vocabulary.digest != header.get("vocabulary"):
        raise ModelError(
            f"{path / _TOKENIZER}: {vocabulary.size} tokens with digest "
            f"{vocabulary.digest[:12]}, but the weights were trained with {config.tokens} and "
            f"digest {quoted(expected)[1:-1]}: this is another model's tokenizer"
        )
    tensors = _read_checked(path / _WEIGHTS, header, path / _MODEL, config.least_weights)
    model = CtcModel(config)
    load_weights(model, tensors, str(path / _WEIGHTS))
    adapter = None
    if (path / _ADAPTER).is_file():
        adapter = _load_adapter(path, config, str(header["weights_sha256"])).eval().to(device)
    return Package(model.eval().to(device), tokenizer, path, adapter, _find_lm(path))


def _find_lm(path: Path) -> Path | None:
    """The language model of a model directory, if it has one and it is whole."""
    tables = path / _LM_TABLES
    if not tables.is_file():
        return None
    digest, expected = sha256_of(tables), str(_read_header(path, _LM).get("sha256"))
    if digest != expected:
        raise ModelError(
            f"{tables}: its SHA-256 starts with {digest[:12]}, {_LM} expects {expected[:12]}: "
            f"put it there with ctcbias lm attach, or remove {_LM_TABLES} to go without"
        )
    return tables


def _load_adapter(path: Path, model: ModelConfig, model_digest: str) -> ContextualAdapter:
    header = _read_header(path, _ADAPTER)
    if header.get("model_sha256") != model_digest:
        raise ModelError(
            f"{path / _ADAPTER}: the adapter was trained on another model; train it again with "
            f"ctcbias adapt, or remove {_ADAPTER} to go without"
        )
    config = _read_config(AdapterConfig, header, path / _ADAPTER)
    weights = path / _ADAPTER_WEIGHTS
    tensors = _read_checked(weights, header, path / _ADAPTER, config.least_weights)
    adapter = ContextualAdapter(config, model.adapter_shape)
    load_weights(adapter, tensors, str(weights))
    return adapter


def _read_checked(
    weights: Path, header: dict[str, Any], file: Path, least: int
) -> dict[str, Tensor]:
    """Read the weights that a header expects, if they can be enough for what it describes."""
    tensors = read_tensors(weights)
    digest, expected = sha256_of(weights), str(header.get("weights_sha256"))
    if digest != expected:
        raise ModelError(
            f"{weights}: its SHA-256 starts with {digest[:12]}, {file.name} expects "
            f"{quoted(expected[:12])[1:-1]}: the files are of different models or damaged"
        )
    count = sum(tensor.numel() for tensor in tensors.values())
    if least > count:
        raise ModelError(
            f"{file}: its sizes need {least:,} weights or more, {weights.name} has {count:,}: it "
            "was made for another architecture, or is damaged"
        )
    return tensors


def _read_config(kind: type[Config], header: dict[str, Any], file: Path) -> Config:
    try:
        return load_config(kind, header["config"])
    except ConfigError as error:
        raise ModelError(f"{file}: {error}; it is damaged, or needs another version") from error


def _read_header(path: Path, name: str = "model.json") -> dict[str, Any]:
    file = path / name
    if not file.is_file():
        raise ModelError(f"{file}: no such file; {path} is not a model directory")
    try:
        header = parse_json("\n".join(read_lines(file)), str(file), InputError)
    except InputError as error:
        raise ModelError(str(error)) from None
    known = isinstance(header, dict) and header.get("format") == _FORMAT
    if not known or not isinstance(header.get("config"), dict):
        raise ModelError(f"{file}: not a model of format {_FORMAT}; export it again")
    return dict(header)
