"""Muon for the matrices, AdamW for everything else, in one optimiser.

Muon: Jordan et al. 2024, with the update scaled as in Liu et al. 2025 (arXiv 2502.16982,
equation 4), so that its learning rate and weight decay are comparable to AdamW's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ctcbias_fst.training.training_config import OptimiserConfig

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_MOMENTUM = 0.95


def orthogonalise(matrices: Tensor, iterations: int = 5) -> Tensor:
    """Bring all singular values near 1 by a quintic Newton-Schulz iteration.

    Args:
        matrices: ``(count, rows, columns)``.

    Returns:
        the same shape; with ``matrices = U S V'``, about ``U V'``.
    """
    a, b, c = _COEFFICIENTS
    flip = matrices.shape[1] > matrices.shape[2]
    work: Tensor = matrices.transpose(1, 2) if flip else matrices
    work = work / (work.flatten(1).norm(dim=1)[:, None, None] + 1e-7)
    for _ in range(iterations):
        gram = work @ work.transpose(1, 2)
        work = a * work + (b * gram + c * (gram @ gram)) @ work
    result: Tensor = work.transpose(1, 2) if flip else work
    return result


class MuonAdamW(torch.optim.AdamW):
    """Parameter groups with ``matrices=True`` are updated by Muon, the others by AdamW."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        weight_decay: float,
        product_type: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(list(groups), betas=(0.9, 0.98), weight_decay=weight_decay)
        self.product_type = product_type

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        groups = self.param_groups
        for group in groups:
            if group["matrices"]:
                self._muon(group)
        self.param_groups = [group for group in groups if not group["matrices"]]
        try:
            super().step()
        finally:
            self.param_groups = groups

    def _muon(self, group: dict[str, Any]) -> None:
        same_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(parameter.grad, 1.0 - _MOMENTUM)
            same_shape[tuple(parameter.shape)].append(parameter)
        for (rows, columns), members in same_shape.items():
            gradients = torch.stack([p.grad for p in members if p.grad is not None])
            momenta = torch.stack([self.state[p]["momentum"] for p in members])
            updates = gradients.lerp(momenta, _MOMENTUM)
            updates = orthogonalise(updates.to(self.product_type)).to(updates.dtype)
            updates *= 0.2 * max(rows, columns) ** 0.5
            for parameter, update in zip(members, updates):
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"])


def build_optimiser(
    model: nn.Module, config: OptimiserConfig, product_type: torch.dtype = torch.float32
) -> MuonAdamW:
    """Muon for the matrices inside the blocks, AdamW for heads, convolutions, norms, biases.

    ``product_type`` is the type of Muon's matrix products; bfloat16 is exact enough.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []  # do not decay
    for name, parameter in model.named_parameters():
        inside = parameter.dim() == 2 and "blocks." in name and config.matrix_peak > 0
        (matrices if inside else others if parameter.dim() > 1 else vectors).append(parameter)
    groups: list[dict[str, Any]] = [
        {"params": others, "matrices": False, "peak": config.peak},
        {"params": vectors, "matrices": False, "peak": config.peak, "weight_decay": 0.0},
        {"params": matrices, "matrices": True, "peak": config.matrix_peak},
    ]
    groups = [group for group in groups if group["params"]]
    return MuonAdamW(groups, config.weight_decay, product_type)


def rate_factor(step: int, steps: int, config: OptimiserConfig) -> float:
    """Share of the peak learning rate at a step: warm-up, constant, linear decay to zero."""
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    decay_steps = max(1, round(steps * config.decay_fraction))
    cool = min(1.0, max(0.0, (steps - step) / decay_steps))
    return warm * cool
