"""Making a model directory, or the adapter of one, of a training run."""

from __future__ import annotations

from pathlib import Path

from ctcbias_fst.acoustic.checkpoint import average_weights, checkpoints
from ctcbias_fst.acoustic.config import AdaptConfig, ModelConfig, TrainConfig
from ctcbias_fst.acoustic.launch import config_file, read_run_config
from ctcbias_fst.acoustic.package import save_adapter, save_package
from ctcbias_fst.errors import ModelError
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.tokens import SentencePieceTokenizer

__all__ = ["export_run"]


def export_run(run: Path, target: Path, average: int | None = None) -> int:
    """Average the newest checkpoints of a run into a model directory.

    A run of ``ctcbias train`` makes the whole directory; one of ``ctcbias adapt`` adds its
    adapter to the directory of the model that it was trained on.

    Returns:
        how many checkpoints went into the mean.

    Raises:
        ModelError: the run has no checkpoint or no configuration, or the adapter belongs to
            another model.
    """
    found = checkpoints(run)
    if found and config_file(run, AdaptConfig).is_file():
        adapt_config = read_run_config(run, AdaptConfig)
        chosen = found[-(average or adapt_config.average) :]
        save_adapter(target, average_weights(chosen), adapt_config.adapter, adapt_config.model)
    elif found and config_file(run, TrainConfig).is_file():
        config = read_run_config(run, TrainConfig)
        chosen = found[-(average or config.average) :]
        model_config = ModelConfig(
            encoder=config.encoder,
            tokens=SentencePieceTokenizer(config.tokenizer).vocabulary.size,
            phones=PHONES,
        )
        save_package(target, average_weights(chosen), model_config, config.tokenizer)
    else:
        raise ModelError(
            f"{run}: no finished checkpoint; is this the --run of ctcbias train or adapt?"
        )
    return len(chosen)
