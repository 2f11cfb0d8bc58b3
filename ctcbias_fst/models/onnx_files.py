"""The files of an ONNX model: which is the model, its tokens and what else says what it is."""

from __future__ import annotations

import re
from collections.abc import Set
from pathlib import Path
from typing import Any

from ctcbias_fst.errors import InputError, ModelError, warn_caller
from ctcbias_fst.text.text_files import and_more, first_few, parse_json, quoted, read_lines
from ctcbias_fst.text.token_lists import load_sentencepiece, read_tokens

_TOKENS = ("tokens.txt", "vocab.txt", "vocab.json", "units.txt", "tokens.json", "tokenizer.model")
_FOLDER = "onnx"
_ROUNDED = re.compile(r"[._-](u?int8|fp16|q\d\w*|quantized|bnb4)$")
"""Ends the names of models in half precision, or in fewer bits."""
_TRANSDUCER = ("encoder", "decoder", "joiner", "joint")


def model_file(path: Path) -> Path:
    """The model in a folder, or the file itself.

    Raises:
        ModelError: there are several, or the parts of a model that is no CTC model.
    """
    if not path.is_dir():
        return path
    found = models_in(path)
    whole = [one for one in found if not _ROUNDED.search(one.stem)] or found
    named = [one for one in found if one.name.lower() == "model.onnx"] or whole
    if len(named) == 1:
        return named[0]
    names = first_few([one.name for one in found], 8)
    if {"encoder", "decoder"} <= {p for p in _TRANSDUCER for one in found if p in one.stem}:
        raise ModelError(
            f"{path}: is no CTC model, but the parts of another ({names}): a transducer, or an "
            "encoder and a decoder"
        )
    raise ModelError(f"{path}: has {len(found)} models ({names}): name one of them")


def models_in(folder: Path) -> list[Path]:
    """The ONNX files in a folder, or where there are none, in that for them inside it."""
    for place in (folder, folder / _FOLDER):
        files = place.iterdir() if place.is_dir() else ()
        found = sorted(one for one in files if one.suffix.lower() == ".onnx")
        if found:
            return found
    return []


def tokens_file(model: Path) -> Path:
    """The file of tokens beside a model.

    Raises:
        ModelError: there is none, or it is not clear which.
    """
    for folder in folders_of(model):
        for name in _TOKENS:
            if (folder / name).is_file():
                return folder / name
        like = sorted({*folder.glob("*tokens.txt"), *folder.glob("*vocab.txt")})
        own = [one for one in like if one.name.startswith(model.name.partition(".")[0])]
        if len(own) == 1 or len(like) == 1:
            return (own if len(own) == 1 else like)[0]
        if like:
            names = first_few([one.name for one in like], 5)
            raise ModelError(
                f"{model}: there are several lists of tokens beside it ({names}): name the one "
                "of this model tokens.txt"
            )
    raise ModelError(
        f"{model}: there are no tokens beside it: put its tokens.txt there (vocab.txt, vocab.json "
        "or units.txt, one token and its column a line), as the model was exported with"
    )


def config_of(model: Path, name: str = "config.json") -> dict[str, Any]:
    """A JSON file beside a model; empty if there is none.

    Raises:
        ModelError: it is no JSON object.
    """
    for folder in folders_of(model):
        path = folder / name
        if path.is_file():
            try:
                found = parse_json("\n".join(read_lines(path)), str(path), InputError)
            except InputError as fault:
                raise ModelError(str(fault)) from None
            if not isinstance(found, dict):
                raise ModelError(f"{path}: must be a JSON object, found {quoted(found)}")
            return found
    return {}


def sentencepiece_of(model: Path, tokens: Path) -> Path | None:
    """The SentencePiece model of these tokens, if it is beside a model.

    Warns:
        CtcbiasWarning: there are such models, but none of these tokens.
    """
    if tokens.suffix == ".model":
        return tokens
    if tokens.suffix == ".json":
        return None
    known = {*read_tokens(tokens)}
    beside = [path for folder in folders_of(model) for path in sorted(folder.glob("*.model"))]
    faults = []
    for path in beside:
        fault = _misfit(path, known)
        if fault is None:
            return path
        faults.append(fault)
    if faults:
        warn_caller(
            f"{faults[0]}{and_more(faults)}: it is left out, and names are cut into the "
            f"fewest tokens of {tokens.name}"
        )
    return None


def _misfit(path: Path, known: Set[str]) -> str | None:
    """Why a SentencePiece model is not that of these tokens."""
    try:
        pieces = [one for one in load_sentencepiece(path)[1] if not one.startswith("<")]
    except ModelError as error:
        return str(error)
    unknown = [one for one in pieces if one not in known]
    if not pieces or unknown:
        return f"{path}: has other pieces than the model's tokens ({quoted(unknown[:1])[1:-1]})"
    return None


def folders_of(model: Path) -> list[Path]:
    """Where files of a model may lie: exporters of Hugging Face put it into a folder ``onnx``."""
    return [model.parent, *([model.parent.parent] if model.parent.name == _FOLDER else [])]
