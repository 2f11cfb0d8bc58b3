"""The identity of a model does not depend on versions, precision or what is drawn at random."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tiny_hugging_face import save
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ctcbias_fst.models.find import load_model
from ctcbias_fst.models.model_identity import digests_of_model, is_same_model
from ctcbias_fst.text.vocabulary import Vocabulary

TOKENS = Vocabulary(("<blank>", "|", "a"), 0, "separator")


class _WeightNorm(nn.Module):
    """As torch 2 parametrizes a weight; torch 1 cannot, but has the means."""

    def forward(self, size: Tensor, direction: Tensor) -> Tensor:
        return size * direction / direction.norm(dim=(1, 2), keepdim=True)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return weight.norm(dim=(1, 2), keepdim=True), weight


def normed(newer: bool) -> nn.Module:
    torch.manual_seed(0)
    inside = nn.Conv1d(4, 4, 3)
    if newer:
        parametrize.register_parametrization(inside, "weight", _WeightNorm())
        sizes = inside.parametrizations.weight.original0
    else:
        sizes = nn.utils.weight_norm(inside, dim=0).weight_g
    torch.nn.init.uniform_(sizes)  # norms may differ in their last digit
    return nn.Sequential(inside, nn.BatchNorm1d(4))


def same(one: nn.Module, other: nn.Module) -> bool:
    return is_same_model(digests_of_model(one, TOKENS), digests_of_model(other, TOKENS))


def test_weight_norm_of_both_versions_of_torch() -> None:
    older, newer = normed(False), normed(True)
    names = set(dict(newer.named_parameters()))
    assert {"0.parametrizations.weight.original0", "0.parametrizations.weight.original1"} <= names
    assert same(older, newer)
    # The convolution alone, too.
    assert same(older[0], newer[0])  # type: ignore[index]
    with torch.no_grad():
        newer[0].parametrizations.weight.original0.mul_(1.01)  # type: ignore[index,union-attr]
    assert not same(older, newer)


def test_precision() -> None:
    """A model is itself in another precision, and another one of slightly other weights is not."""
    torch.manual_seed(0)
    single = nn.Linear(50, 50)
    near = copy.deepcopy(single)
    with torch.no_grad():
        near.weight.mul_(1.0001)
    assert not same(single, near)
    for kind in (torch.float16, torch.bfloat16):
        half = copy.deepcopy(single).to(kind)
        assert same(single, half)
        assert same(half, single)
        assert same(half, copy.deepcopy(half).float().to(kind))
        other = copy.deepcopy(single)
        with torch.no_grad():
            other.weight.mul_(1.01)
        assert not same(half, copy.deepcopy(other).to(kind))
        assert not same(half, other)
        # As a file in half precision is when it was loaded in float32.
        held = copy.deepcopy(half).float()
        for one in (single, half, held):
            assert same(one, held)
            assert same(held, one)
        assert not same(held, other)
        assert not same(other.to(kind).float(), single)
    # As a model is that keeps its norms in float32.
    mixed = nn.Sequential(single.half(), nn.LayerNorm(50))
    assert same(mixed, nn.Sequential(copy.deepcopy(single).half(), nn.LayerNorm(50)))
    assert same(mixed, copy.deepcopy(mixed).float())
    assert not same(single.half(), copy.deepcopy(single).bfloat16())


def test_what_a_model_counts_is_not_what_it_is() -> None:
    """Statistics of batches are buffers, as are tables that versions keep or leave out."""
    one, other = normed(False), normed(False)
    other[1].num_batches_tracked.add_(1)  # type: ignore[index,operator]
    other.register_buffer("table", torch.arange(5))
    assert same(one, other)


def test_tokens_belong_to_a_model() -> None:
    module = nn.Linear(2, 2)
    swapped = Vocabulary(("<blank>", "a", "|"), 0, "separator")
    assert same(module, module)
    found = [digests_of_model(module, tokens) for tokens in (TOKENS, swapped)]
    assert not is_same_model(*found)


def test_what_masks_the_input_is_no_part_of_a_model(tmp_path: Path) -> None:
    """transformers draws it anew where the file has none."""
    folder = save(tmp_path, mask_time_prob=0.05)
    weights = load_file(folder / "model.safetensors")
    (name,) = [one for one in weights if one.endswith("masked_spec_embed")]
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = [load_model(folder) for _ in range(2)]
    first, second = (one.scorer.module.wav2vec2.masked_spec_embed for one in loaded)
    assert not torch.equal(first, second)
    vocabulary = loaded[0].tokenizer.vocabulary
    assert is_same_model(*(digests_of_model(one.scorer.module, vocabulary) for one in loaded))
