"""Which torch model an adapter belongs to, whatever version, device and precision it is loaded in.

Parameters count, and not buffers: versions of libraries differ in which of these they keep. Their
names are made the same first, and what masks the input in training is left out: where a model's
file has none, it is drawn anew each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ctcbias_fst.text.vocabulary import Vocabulary

WEIGHT_NORM = {
    "weight_g": "parametrizations.weight.original0",
    "weight_v": "parametrizations.weight.original1",
}
"""How torch 1 and torch 2 name the same weights."""

MASK_EMBEDDING = "masked_spec_embed"
"""The last part of the name of what masks a model's input in training."""

_SAMPLED = 64
"""Of each tensor of a model, so many values are in its digests."""

_HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def digests_of_model(module: nn.Module, vocabulary: Vocabulary) -> dict[str, str]:
    """What tells a model from others by its tokens and weights, the same on every machine.

    Of each tensor some values count, so that it takes no time however large the model is.

    Args:
        module: the model, in any precision, on any device.
        vocabulary: what its columns are.

    Returns:
        SHA-256 of the values, by precision: ``float32`` as they are, ``float16`` and ``bfloat16``
        as they would be in these. A model in half precision has that one alone.
    """
    sampled = dict(sorted(_sampled_parameters(module)))
    digests = {}
    for precision, kind in _precisions({values.dtype for values in sampled.values()}).items():
        told = hashlib.sha256(vocabulary.digest.encode("ascii"))
        for name, values in sampled.items():
            told.update(name.encode())
            told.update(values.to(kind).float().numpy().astype("<f4").tobytes())
        digests[precision] = told.hexdigest()
    return digests


def is_same_model(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether digests are of the same model, by the finest precision that both have, or that one
    was saved in whose values are held in float32 now."""
    shared = [name for name in ("float32", *_HALVES) if name in one and name in other]
    compared = {*shared[:1], *_saved_in(one), *_saved_in(other)}.intersection(shared)
    return any(one[name] == other[name] for name in compared)


def _saved_in(digests: Mapping[str, str]) -> list[str]:
    """The halves that all values of a model in float32 are left as they are by."""
    single = digests.get("float32")
    return [name for name in _HALVES if single is not None and digests.get(name) == single]


def _precisions(kinds: set[torch.dtype]) -> dict[str, torch.dtype]:
    """Those that a model's values can be rounded to; twice rounded is not once rounded."""
    own = {name: kind for name, kind in _HALVES.items() if kind in kinds}
    if len(own) == 1:
        return own
    return {"float32": torch.float32} if own else {"float32": torch.float32, **_HALVES}


def _sampled_parameters(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names with shapes, and some values of each, on the CPU."""
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2] != MASK_EMBEDDING:
            flat = parameter.detach().flatten()
            values = flat[:: max(1, len(flat) // _SAMPLED)].cpu()
            yield f"{_older_name(name)} {tuple(parameter.shape)}", values


def _older_name(name: str) -> str:
    """A parameter's name as torch 1 has it."""
    for old, new in WEIGHT_NORM.items():
        if f".{name}".endswith(f".{new}"):
            return name[: -len(new)] + old
    return name
