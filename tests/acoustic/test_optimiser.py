"""Muon and AdamW."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from ctcbias_fst.acoustic.config import OptimiserConfig
from ctcbias_fst.acoustic.optimiser import MuonAdamW, build_optimiser, orthogonalise, rate_factor


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


def test_adamw_part_equals_torchs() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(4, 3), nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict())
    mine = MuonAdamW([{"params": list(ours.parameters()), "lr": 0.01}], weight_decay=0.1)
    reference = torch.optim.AdamW(
        [
            {"params": [theirs.weight], "weight_decay": 0.1},
            {"params": [theirs.bias], "weight_decay": 0.0},
        ],
        lr=0.01,
        betas=(0.9, 0.98),
    )
    for _ in range(5):
        inputs = torch.randn(6, 4)
        for layer, optimiser in ((ours, mine), (theirs, reference)):
            optimiser.zero_grad()
            layer(inputs).square().sum().backward()
            optimiser.step()
    torch.testing.assert_close(ours.weight, theirs.weight, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(ours.bias, theirs.bias, atol=1e-6, rtol=1e-5)


def test_both_parts_learn() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"blocks": nn.Linear(8, 8), "head": nn.Linear(8, 2)})
    optimiser = build_optimiser(model, OptimiserConfig(peak=0.01, matrix_peak=0.02))
    assert [group["matrices"] for group in optimiser.param_groups] == [False, True]
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


def test_rate_rises_stays_and_falls() -> None:
    config = OptimiserConfig(warmup_steps=10, decay_fraction=0.25)
    factors = [rate_factor(step, 100, config) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[40] == factors[75] == 1.0
    assert factors[100] == 0.0
    assert all(a > b for a, b in itertools.pairwise(factors[75:]))
