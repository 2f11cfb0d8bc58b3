"""Muon and AdamW."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.checkpoint import load_optimiser
from ctcbias_fst.training.optimiser import MuonAdamW, build_optimiser, orthogonalise, rate_factor
from ctcbias_fst.training.training_config import OptimiserConfig


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 20), (2, 20, 5)])
def test_orthogonalise_keeps_directions_and_evens_lengths(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    result = orthogonalise(matrices, iterations=10)
    # in the basis of the singular vectors the result is diagonal, with entries near 1
    diagonal = left.transpose(1, 2) @ result @ right.transpose(1, 2)
    values = diagonal.diagonal(dim1=1, dim2=2)
    assert values.min() > 0.6
    assert values.max() < 1.3
    off = diagonal - torch.diag_embed(values)
    assert off.abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(4, 64), (64, 4), (16, 16)])
def test_a_step_is_as_long_as_the_longer_side_says(shape: tuple[int, int]) -> None:
    """Every direction of a matrix changes by 0.2 times the root of its longer side."""
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(shape))
    before = weight.detach().clone()
    optimiser = MuonAdamW([{"params": [weight], "matrices": True, "lr": 0.5}], weight_decay=0.0)
    weight.grad = torch.randn(shape)
    optimiser.step()
    lengths = torch.linalg.svdvals(before - weight.detach()) / (0.5 * 0.2 * max(shape) ** 0.5)
    assert lengths.min() > 0.6
    assert lengths.max() < 1.3


def test_matrices_decay_and_vectors_do_not() -> None:
    """With gradients of zero weight decay alone acts."""
    model = nn.ModuleDict({"blocks": nn.Linear(8, 8), "head": nn.Linear(8, 2)})
    optimiser = build_optimiser(model, OptimiserConfig(weight_decay=0.1))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for group in optimiser.param_groups:
        group["lr"] = 0.5
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for name, parameter in model.named_parameters():
        share = 0.95 if parameter.dim() > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), share * before[name])


def test_the_state_of_another_version_is_refused(tmp_path: Path) -> None:
    save_file({"0.first": torch.zeros(2, 8)}, tmp_path / "optimiser.safetensors")
    optimiser = build_optimiser(nn.Linear(8, 2), OptimiserConfig())
    with pytest.raises(ModelError, match="another version of this package: begin a new --run"):
        load_optimiser(tmp_path, optimiser)


def test_both_parts_learn() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"blocks": nn.Linear(8, 8), "head": nn.Linear(8, 2)})
    optimiser = build_optimiser(model, OptimiserConfig(peak=0.01, matrix_peak=0.02))
    assert [group["matrices"] for group in optimiser.param_groups] == [False, False, True]
    inputs = torch.randn(64, 8)
    wanted = torch.randn(64, 2)
    losses = []
    for _ in range(60):
        for group in optimiser.param_groups:
            group["lr"] = group["peak"]
        loss = (model["head"](model["blocks"](inputs).relu()) - wanted).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_a_step_that_fails_leaves_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.ModuleDict({"blocks": nn.Linear(8, 8), "head": nn.Linear(8, 2)})
    optimiser = build_optimiser(model, OptimiserConfig())
    groups = optimiser.param_groups

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(torch.optim.AdamW, "step", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        optimiser.step()
    assert optimiser.param_groups is groups


def test_rate_rises_stays_and_falls() -> None:
    config = OptimiserConfig(warmup_steps=10, decay_fraction=0.25)
    factors = [rate_factor(step, 100, config) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[40] == factors[75] == 1.0
    assert factors[100] == 0.0
    assert all(a > b for a, b in itertools.pairwise(factors[75:]))
