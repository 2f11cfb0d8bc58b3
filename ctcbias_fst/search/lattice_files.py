"""The files of saved lattices: what they are called, and what is in one of each kind."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ctcbias_fst.errors import InputError
from ctcbias_fst.files import atomic_path, digest_of, digest_of_arrays, file_name, sort_metadata
from ctcbias_fst.search.spelling import Spellings
from ctcbias_fst.text.entity import entity_of
from ctcbias_fst.text.text_files import quoted

_FORMAT = "ctcbias lattice 6"

LATTICE_SUFFIX = ".lattice.safetensors"

NAMES_SUFFIX = ".names.json"

DIGEST_DIGITS = 32
"""Of the digest that a list's file is called after."""

_LONGEST_END = f".999999{LATTICE_SUFFIX}"


def save_lattice(
    path: Path, tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]
) -> None:
    """Write a lattice with its digest, as a whole or not at all."""
    plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(header)
    with atomic_path(path) as temporary:
        save_file(
            plain,
            temporary,
            {"format": _FORMAT, "lattice": text, "sha256": _digest(plain, text)},
        )
        sort_metadata(temporary)


def _digest(tensors: Mapping[str, torch.Tensor], header: str) -> str:
    return digest_of_arrays({name: tensor.numpy() for name, tensor in tensors.items()}, header)


def file_stem(name: str) -> str:
    """What the files of an utterance are called, the number of the piece and the ending left out.

    So that these fit after it, it is cut earlier than need be.
    """
    return file_name(name, _LONGEST_END).removesuffix(_LONGEST_END)


def name_and_piece(path: Path) -> tuple[str, int]:
    """The utterance and the number of the piece that a file's name says.

    Raises:
        InputError: it says none.
    """
    name, _, piece = path.name[: -len(LATTICE_SUFFIX)].rpartition(".")
    if not (piece.isascii() and piece.isdecimal()):
        raise InputError(f"{path}: not named as the lattice of an utterance; remove it")
    return name, int(piece)


def read_spellings(path: Path) -> Spellings:
    try:
        rows = json.loads(path.read_text(encoding="ascii"))
        if not path.name.startswith(digest_of(rows)[:DIGEST_DIGITS]):
            raise ValueError("its content is not what was written")
        entities = [entity_of(fields) for fields in rows["entities"]]
        return Spellings({text: entities[place] for text, place in rows["texts"]})
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise damaged(path, error) from error


def load_lattice(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return what `save_lattice` wrote, if it is that: k2 may end the process where it is not."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise InputError(
                    f"{path}: format {quoted(metadata.get('format'))}, expected {_FORMAT!r}: "
                    "decode again with ctcbias decode --lattice-dir"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if _digest(tensors, metadata["lattice"]) != metadata["sha256"]:
            raise ValueError("its content is not what was written")
        header: dict[str, Any] = json.loads(metadata["lattice"])
        return header, tensors
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: damaged: {quoted(error, 300)}; make the lattices anew")
