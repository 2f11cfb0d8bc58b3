"""Making a model directory, or the adapter of one, of a training run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ctcbias_fst.errors import ModelError
from ctcbias_fst.files import sha256_of
from ctcbias_fst.models import adapted
from ctcbias_fst.models.checkpoint import average_weights, checkpoints, read_tensors
from ctcbias_fst.models.package import save_adapter, save_package
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from ctcbias_fst.training.adapt import base_of
from ctcbias_fst.training.frozen import FrozenPackage
from ctcbias_fst.training.resumption import check_identity, config_file, read_run_config
from ctcbias_fst.training.train import model_config
from ctcbias_fst.training.training_config import AdaptConfig, TrainConfig


def export_run(
    run: Path, target: Path, average: int | None = None, initial_share: float = 0.0
) -> int:
    """Average the newest checkpoints of a run into a model directory.

    A run of ``ctcbias train`` makes the whole directory; one of ``ctcbias adapt`` adds its
    adapter to the directory of the model that it was trained on. Of a model of Hugging Face the
    adapter is one file, which may lie in another folder, too.

    Args:
        average: so many checkpoints; by default as the run's configuration says.
        initial_share: of the weights that the run began with, 0 to 1, in a mixture with the mean
            (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"): between what a run
            learned from other speech and what it forgot.

    Returns:
        how many checkpoints went into the mean.

    Raises:
        ModelError: the run has no checkpoint or no configuration, the adapter belongs to
            another model, the model or tokenizer was replaced meanwhile, or the run began with no
            weights of which there could be a share.
    """
    found = checkpoints(run)
    if found and config_file(run, AdaptConfig).is_file():
        if initial_share:
            raise ModelError(
                f"{run}: of an adapter there are no first weights: leave out their share"
            )
        adapt_config = read_run_config(run, AdaptConfig)
        chosen = found[-(average or adapt_config.average) :]
        _save_adapter(run, target, chosen, adapt_config)
    elif found and config_file(run, TrainConfig).is_file():
        config = read_run_config(run, TrainConfig)
        chosen = found[-(average or config.average) :]
        made = model_config(config, SentencePieceTokenizer(config.tokenizer))
        check_identity(run, chosen[-1], {"tokenizer": sha256_of(config.tokenizer)})
        weights = average_weights(chosen)
        if initial_share:
            weights = _mixed(weights, config.initial, initial_share, run)
        save_package(target, weights, made, config.tokenizer)
    elif found:
        raise ModelError(
            f"{run}: was begun from Python: train_adapter writes its adapter when it is done"
        )
    else:
        raise ModelError(
            f"{run}: no finished checkpoint; is this the --run of ctcbias train or adapt?"
        )
    return len(chosen)


def _save_adapter(run: Path, target: Path, chosen: list[Path], config: AdaptConfig) -> None:
    """Into the folder of the model: beside our own model's files, or as a file of its own."""
    base = base_of(config, torch.device("cpu"))
    check_identity(run, chosen[-1], base.identity)
    weights = average_weights(chosen)
    if isinstance(base, FrozenPackage):
        save_adapter(target, weights, config.adapter, config.model)
        return
    if target.is_dir() and target.resolve() != config.model.resolve() and _is_model(target):
        raise ModelError(
            f"{target}: is not the model that the adapter was trained on ({config.model}): name "
            "that one, or a folder without a model"
        )
    adapted.save_adapter(target / adapted.ADAPTER_FILE, weights, config.adapter, base.base)


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "model.json"))


def _mixed(
    weights: dict[str, Tensor], initial: Path | None, share: float, run: Path
) -> dict[str, Tensor]:
    """Between the weights that a run began with and others."""
    if initial is None:
        raise ModelError(f"{run}: began with random weights: leave out the share of them")
    before = read_tensors(initial)
    return {
        name: share * before[name].float() + (1.0 - share) * tensor
        for name, tensor in weights.items()
    }
