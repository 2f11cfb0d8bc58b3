"""The weights of models of Hugging Face, all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.hugging_face_files import NO_CODE, first_line, quiet, read_object
from ctcbias_fst.models.model_identity import MASK_EMBEDDING, WEIGHT_NORM

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_ADAPTERS = ("adapter.{}.safetensors", "adapter.{}.bin")
_POINTER = b"version "


def weight_files(folder: Path) -> list[Path]:
    """The files of a model's weights, which are all there.

    Raises:
        ModelError: there are none, or not all.
    """
    for name in _WEIGHTS:
        parts: list[str] = [name] if (folder / name).is_file() else []
        index = read_object(folder / f"{name}.index.json").get("weight_map")
        if not parts and isinstance(index, Mapping):
            parts = sorted(set(map(str, index.values())))
        for part in parts:
            path = folder / part
            if not path.is_file():
                raise ModelError(
                    f"{folder}: {part} is missing, one of {len(parts)} files of its weights: "
                    "download it"
                )
            with path.open("rb") as file:
                head = file.read(100)
            if head.startswith(_POINTER) and b"git-lfs" in head:
                raise ModelError(f"{path}: a pointer of git-lfs, not the weights: git lfs pull")
        if parts:
            return [folder / part for part in parts]
    others = [path.name for path in folder.glob("*") if path.suffix in {".h5", ".msgpack"}]
    found = f" (it has {others[0]}, which is not of torch)" if others else ""
    raise ModelError(
        f"{folder}: has no weights ({_WEIGHTS[0]}){found}: it was not downloaded completely"
    )


def load_weights(folder: Path, kind: Any) -> Any:
    """Load a model, with all of its weights.

    Args:
        folder: of the model.
        kind: the class of transformers that loads it.

    Raises:
        ModelError: some are missing, or cannot be read.
    """
    files = weight_files(folder)
    try:
        with quiet():
            model, told = kind.from_pretrained(str(folder), output_loading_info=True, **NO_CODE)
        _restore_weight_norm(model, files)
    except ImportError:
        raise
    except Exception as error:  # whatever damaged weights make the libraries raise
        raise ModelError(
            f"{folder}: its weights cannot be read ({first_line(error)}): they are damaged, half "
            "downloaded, or not those of its config.json; download them again"
        ) from error
    # What masks the input in training has no part in recognition.
    lacking = sorted(one for one in told["missing_keys"] if not one.endswith(MASK_EMBEDDING))
    if lacking:
        raise ModelError(
            f"{folder}: its weights lack {len(lacking)} of the model's ({lacking[0]}): it was not "
            "trained for CTC, or they are of another model"
        )
    return model


def load_adapter(folder: Path, model: Any, language: str) -> None:
    """Put the adapter of a language into a model of several."""
    if not any((folder / name.format(language)).is_file() for name in _ADAPTERS):
        raise ModelError(
            f"{folder}: has no {_ADAPTERS[0].format(language)}, the weights of that language: "
            "download it"
        )
    try:
        with quiet():
            model.load_adapter(language, local_files_only=True)
    except Exception as error:
        raise ModelError(
            f"{folder}: its adapter of {language} cannot be read ({first_line(error)}): download "
            "it again"
        ) from error


def adapter_columns(folder: Path, language: str) -> int | None:
    """The columns of a model with the adapter of a language, if that can be told at once."""
    path = folder / _ADAPTERS[0].format(language)
    if not path.is_file():
        return None
    try:
        with safe_open(str(path), "pt") as tensors:
            return int(tensors.get_slice("lm_head.weight").get_shape()[0])
    except SafetensorError as error:
        raise ModelError(f"{path}: {first_line(error)}: download it again") from None


@torch.no_grad()
def _restore_weight_norm(model: Any, files: list[Path]) -> None:
    """Put weights that torch 2 names otherwise where torch 1 has them.

    transformers 4.36 to 4.45 count them as loaded with torch 1, and leave them at random.
    """
    own: dict[str, Tensor] = model.state_dict()
    newer = {
        name.replace(old, new): weight
        for name, weight in own.items()
        for old, new in WEIGHT_NORM.items()
        if name.endswith(f".{old}")
    }
    for path in files if newer else ():
        if path.suffix == ".safetensors":
            with safe_open(str(path), "pt") as tensors:
                found = {name: tensors.get_tensor(name) for name in newer.keys() & tensors.keys()}
        else:
            whole = torch.load(path, map_location="cpu", weights_only=True)
            found = {name: whole[name] for name in newer.keys() & whole.keys()}
        for name, weight in found.items():
            newer[name].copy_(weight)
