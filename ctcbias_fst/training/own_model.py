"""An adapter for a torch model of the user's own, from Python."""

from __future__ import annotations

import os
from pathlib import Path

from ctcbias_fst.models.adapted import ADAPTER_FILE, save_adapter
from ctcbias_fst.models.checkpoint import average_weights, checkpoints
from ctcbias_fst.models.tapped import TappedModel
from ctcbias_fst.training.adapt import adapt
from ctcbias_fst.training.frozen import FrozenTapped
from ctcbias_fst.training.loop import Place
from ctcbias_fst.training.training_config import AdaptConfig


def train_adapter(
    base: TappedModel,
    config: AdaptConfig,
    run: str | os.PathLike[str],
    target: str | os.PathLike[str],
) -> Path:
    """Train an adapter, or go on where ``run`` stopped, and write it into a file.

    Args:
        base: the model, as :func:`ctcbias_fst.models.scored.tapped` gives it.
        config: of the run; ``model``, ``head``, ``taps`` and ``language`` have no effect.
        run: the folder for checkpoints.
        target: the folder that the adapter's file goes into.

    Returns:
        the file.

    Raises:
        ManifestError: the manifests name no entities.
        ConfigError: a setting is wrong.
        ModelError: ``run`` was begun on another model, or with other layers of it.
    """
    run, target = Path(run), Path(target)
    adapt(config, run, Place(base.device), FrozenTapped(base))
    weights = average_weights(checkpoints(run)[-config.average :])
    save_adapter(target / ADAPTER_FILE, weights, config.adapter, base)
    return target / ADAPTER_FILE
