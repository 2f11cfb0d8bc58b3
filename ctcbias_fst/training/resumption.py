"""What a run was begun with, kept in its checkpoints, and what may be another when it goes on.

Weights belong to a model, a tokenizer, an architecture: with others a run does not go on. Steps,
data and rates may change, which is told.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from lhotse import CutSet

from ctcbias_fst.config import flat, load_config, to_mapping
from ctcbias_fst.errors import ConfigError, ModelError
from ctcbias_fst.files import write_text
from ctcbias_fst.models.checkpoint import load_origin
from ctcbias_fst.models.model_identity import is_same_model
from ctcbias_fst.training.training_config import AdaptConfig, RunConfig, TrainConfig

Config = TypeVar("Config", bound=RunConfig)
log = logging.getLogger(__name__)

_ARCHITECTURES = ("encoder", "adapter")
_SHOWN = 40
"""Values that are longer are not shown."""


def config_file(run: Path, kind: type[RunConfig]) -> Path:
    """Where a run of this kind keeps its configuration."""
    return run / {TrainConfig: "train.json", AdaptConfig: "adapt.json"}[kind]


def read_run_config(run: Path, kind: type[Config]) -> Config:
    """The configuration that a run was begun with, or last went on with."""
    path = config_file(run, kind)
    return load_config(kind, json.loads(path.read_text(encoding="utf-8")))


def keep_config(run: Path, config: RunConfig) -> None:
    """Store a configuration beside the checkpoints."""
    text = json.dumps(to_mapping(config), indent=1) + "\n"
    write_text(config_file(run, type(config)), text)


def origin_of(
    config: RunConfig, identity: Mapping[str, Any], cuts: CutSet, processes: int
) -> dict[str, Any]:
    """What the checkpoints of a run keep of where they come from.

    Args:
        config: of the run.
        identity: what its weights belong to: ``model``, as
            :func:`ctcbias_fst.models.model_identity.digests_of_model` gives it; else anything of
            JSON, by what it is for people.
        cuts: what it trains on.
        processes: that train together.
    """
    told = hashlib.sha256()
    for cut in cuts:
        said = [[one.text, one.custom] for one in cut.supervisions]
        told.update(json.dumps([cut.id, cut.duration, said], default=str).encode())
    return {
        "kind": type(config).__name__,
        "settings": to_mapping(config),
        "identity": dict(identity),
        "data": told.hexdigest(),
        "processes": processes,
    }


def check_resumption(
    run: Path, checkpoint: Path, now: Mapping[str, Any], *, quiet: bool = False
) -> None:
    """Refuse to go on with what the weights do not belong to; log what else has changed.

    Args:
        run: the folder.
        checkpoint: its newest.
        now: what :func:`origin_of` gives.
        quiet: log nothing.

    Raises:
        ConfigError: the run is of another kind or architecture.
        ModelError: it is of another model or tokenizer.
    """
    before = load_origin(checkpoint)
    kind = before.get("kind", now["kind"])
    if kind != now["kind"]:
        raise ConfigError(f"{run}: holds a run of another kind; give a new --run")
    settings = before.get("settings", now["settings"])
    for table in _ARCHITECTURES:
        if settings.get(table) != now["settings"].get(table):
            raise ConfigError(
                f"{run}: was begun with another [{table}] table; resume it with the same, "
                "or give a new --run"
            )
    check_identity(run, checkpoint, now["identity"])
    for one in [] if quiet else _changes(settings, before, now):
        log.warning("%s: goes on with other %s", run, one)


def _changes(
    settings: Mapping[str, Any], before: Mapping[str, Any], now: Mapping[str, Any]
) -> list[str]:
    """What is another than before, for people."""
    old, new = flat(settings), flat(now["settings"])
    old["processes"], new["processes"] = before.get("processes", now["processes"]), now["processes"]
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    changed = ", ".join(_change(key, old.get(key), new.get(key)) for key in keys)
    return [
        *([f"settings: {changed}"] if changed else []),
        *(["training data than before"] if before.get("data", now["data"]) != now["data"] else []),
    ]


def check_identity(run: Path, checkpoint: Path, identity: Mapping[str, Any]) -> None:
    """Refuse weights that belong to something else.

    Args:
        run: the folder, for messages.
        checkpoint: with the weights.
        identity: see :func:`origin_of`.

    Raises:
        ModelError: they do.
    """
    before = load_origin(checkpoint).get("identity", identity)
    for what, now in identity.items():
        was = before.get(what, now)
        if was != now and not (what == "model" and is_same_model(was, now)):
            shown = "" if what == "model" or len(f"{was}{now}") > 200 else f" ({was}, now {now})"
            raise ModelError(
                f"{run}: was begun with another {what}{shown}: go on with the same, or begin a "
                "new run"
            )


def _change(key: str, before: Any, now: Any) -> str:
    values = [json.dumps(value, ensure_ascii=False) for value in (before, now)]
    return f"{key} {' -> '.join(values)}" if max(map(len, values)) <= _SHOWN else key
