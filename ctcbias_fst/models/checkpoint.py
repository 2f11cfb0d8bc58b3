"""Checkpoints of a training run: safetensors and JSON only, written atomically.

A run's directory holds ``checkpoints/step-00001000/`` with ``model.safetensors``,
``optimiser.safetensors`` and ``state.json`` each. Nothing is ever unpickled.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ctcbias_fst.errors import ModelError
from ctcbias_fst.files import atomic_directory


@dataclass(frozen=True)
class Progress:
    """How far a run has come: steps in all, and batches of the current epoch."""

    step: int = 0
    epoch: int = 0
    batches: int = 0


def checkpoints(run: Path) -> list[Path]:
    """All complete checkpoints of a run, oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def checkpoint_path(run: Path, step: int) -> Path:
    """Where the checkpoint after ``step`` steps is, or will be."""
    return run / "checkpoints" / f"step-{step:08d}"


def save_checkpoint(
    run: Path,
    model: torch.nn.Module,
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    origin: Mapping[str, Any],
    *,
    keep: int,
) -> Path:
    """Write a checkpoint and remove all but the newest ``keep``.

    Args:
        run: the folder.
        model: with the weights.
        optimiser: with its state.
        progress: how far the run is.
        origin: what it comes from, see :mod:`ctcbias_fst.training.resumption`.
        keep: so many stay.
    """
    target = checkpoint_path(run, progress.step)
    with atomic_directory(target) as directory:
        save_file(_plain(model.state_dict()), directory / "model.safetensors")
        save_file(_flatten_optimiser(optimiser), directory / "optimiser.safetensors")
        state = {**asdict(progress), "origin": origin}
        (directory / "state.json").write_text(json.dumps(state), encoding="utf-8")
    for old in checkpoints(run)[:-keep]:
        shutil.rmtree(old)
    return target


def load_progress(checkpoint: Path) -> Progress:
    """How far a run was.

    Raises:
        ModelError: the checkpoint is damaged.
    """
    return Progress(**{one.name: _state(checkpoint)[one.name] for one in fields(Progress)})


def load_origin(checkpoint: Path) -> dict[str, Any]:
    """What a run came from; of a checkpoint of former versions nothing.

    Raises:
        ModelError: the checkpoint is damaged.
    """
    return dict(_state(checkpoint).get("origin", {}))


def _state(checkpoint: Path) -> dict[str, Any]:
    try:
        state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
        known = all(isinstance(state[one.name], int) for one in fields(Progress))
        if not known or not isinstance(state.get("origin", {}), dict):
            raise TypeError
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(
            f"{checkpoint}: damaged; remove it to resume from the one before"
        ) from error
    return dict(state)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        ModelError: the file is missing or damaged.
    """
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file") from error
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        # The latter two of types that this torch does not know.
        told = str(error).strip().partition("\n")[0][:300]
        raise ModelError(f"{path}: not a complete safetensors file: {told}") from error
    return tensors


def load_optimiser(checkpoint: Path, optimiser: torch.optim.Optimizer) -> None:
    """Restore the optimiser's state, tensor by tensor.

    Raises:
        ModelError: the file is missing, damaged, or of an optimiser of another version, or of other
            groups of weights.
    """
    tensors = read_tensors(checkpoint / "optimiser.safetensors")
    wanted = [
        "momentum" if group.get("matrices") else "exp_avg"
        for group in optimiser.param_groups
        for _ in group["params"]
    ]
    for index, parameter in enumerate(_parameters(optimiser)):
        prefix = f"{index}."
        state = {
            name[len(prefix) :]: tensor.to(parameter.device if tensor.dim() else "cpu")
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }
        if state and not {"exp_avg", "momentum"} & state.keys():
            raise ModelError(
                f"{checkpoint}: the optimiser's state is of another version of this package: "
                "begin a new --run with these weights as initial"
            )
        moved = state.get(wanted[index])
        if state and (moved is None or moved.shape != parameter.shape):
            raise ModelError(
                f"{checkpoint}: the optimiser's state is of other groups of weights: leave "
                "optimiser.matrix_peak 0 or not, as before, or begin a new --run"
            )
        if state:
            optimiser.state[parameter] = state


def average_weights(paths: Sequence[Path]) -> dict[str, Tensor]:
    """Mean of the models of several checkpoints, tensor by tensor, in float32."""
    total: dict[str, Tensor] = {}
    for path in paths:
        for name, tensor in read_tensors(path / "model.safetensors").items():
            total[name] = total[name] + tensor.float() if name in total else tensor.float()
    return {name: tensor / len(paths) for name, tensor in total.items()}


def load_weights(model: torch.nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Put tensors into a model; names and shapes must be exactly the model's.

    Raises:
        ModelError: a tensor is missing, unknown, or of another shape.
    """
    expected = model.state_dict()
    for name, tensor in expected.items():
        if name not in tensors:
            raise ModelError(f"{source}: has no tensor {name}: made for another architecture")
        if tensors[name].shape != tensor.shape:
            raise ModelError(
                f"{source}: {name} has shape {tuple(tensors[name].shape)}, the configuration "
                f"asks for {tuple(tensor.shape)}"
            )
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        raise ModelError(f"{source}: holds {unknown[0]}, which the configuration does not have")
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _flatten_optimiser(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{index}.{name}": tensor.detach().cpu().contiguous()
        for index, parameter in enumerate(_parameters(optimiser))
        for name, tensor in optimiser.state.get(parameter, {}).items()
    }


def _plain(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
