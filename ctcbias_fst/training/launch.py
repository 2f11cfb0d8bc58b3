"""Starting a training run on one or several processes."""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from ctcbias_fst.config import load_config, merge, parse_overrides, read_toml
from ctcbias_fst.devices import checked_device
from ctcbias_fst.errors import CtcbiasError
from ctcbias_fst.models.checkpoint import checkpoints
from ctcbias_fst.models.find import HUB_NAME
from ctcbias_fst.models.package import PACKAGED
from ctcbias_fst.training.adapt import adapt
from ctcbias_fst.training.loop import Place
from ctcbias_fst.training.train import train
from ctcbias_fst.training.training_config import AdaptConfig, RunConfig, TrainConfig

Config = TypeVar("Config", bound=RunConfig)

_PATHS = ("train", "validation", "tokenizer", "initial", "model")
_AUGMENT_PATHS = ("noise", "rirs")


def launch(
    kind: type[RunConfig],
    config: Path,
    run: Path,
    *,
    device: str = "cpu",
    processes: int = 1,
    settings: Sequence[str] = (),
    data: Path | None = None,
) -> Path:
    """Train as ``config`` says, with ``settings`` (``key=value``) laid over it.

    ``kind`` is the class of the configuration, and says what is trained: a model
    (:class:`TrainConfig`) or an adapter (:class:`AdaptConfig`).

    Relative paths in the configuration start at ``data``, by default the file's folder.
    Under ``torchrun`` this process joins its group; with ``processes > 1`` that many are
    started here.

    Returns:
        the last checkpoint.

    Raises:
        ConfigError: the configuration is wrong, differs from the one that the run was begun
            with in its architecture, or the device is not there.
        ModelError: the run was begun on another model, or with another tokenizer.
    """
    mapping = merge(read_toml(config), parse_overrides(settings))
    mapping = _absolute(mapping, (data or config.parent).resolve())
    checked = load_config(kind, mapping)
    checked_device(device, search=False)
    if "WORLD_SIZE" in os.environ:
        group = (int(os.environ["WORLD_SIZE"]), "env://")
        return _worker(int(os.environ["RANK"]), group, checked, run, device)
    if processes == 1:
        return _train_here(checked, run, torch.device(device), 0, 1)
    address = f"tcp://127.0.0.1:{_free_port()}"
    refused = mp.get_context("spawn").SimpleQueue()
    arguments = (refused, (processes, address), checked, run, device)
    try:
        mp.spawn(_spawned, args=arguments, nprocs=processes)
    except (mp.ProcessExitedException, mp.ProcessRaisedException):
        if not refused.empty():
            raise refused.get() from None
        raise
    return checkpoints(run)[-1]


def _spawned(rank: int, refused: Any, *arguments: Any) -> None:
    """One of several processes; an error of ours goes back to the first, as it is."""
    try:
        _worker(rank, *arguments)
    except CtcbiasError as error:
        refused.put(error)
        sys.exit(1)


def _worker(rank: int, group: tuple[int, str], config: RunConfig, run: Path, device: str) -> Path:
    place = torch.device(device)
    if place.type == "cuda":
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank)))
        torch.cuda.set_device(place)
    backend = "nccl" if place.type == "cuda" else "gloo"
    size, address = group
    dist.init_process_group(backend, init_method=address, rank=rank, world_size=size)
    try:
        return _train_here(config, run, place, rank, size)
    finally:
        dist.destroy_process_group()


def _train_here(config: RunConfig, run: Path, device: torch.device, rank: int, size: int) -> Path:
    place = Place(device, rank, size)
    with _log_to(run / "train.log") if rank == 0 else nullcontext():
        if isinstance(config, AdaptConfig):
            return adapt(config, run, place)
        assert isinstance(config, TrainConfig)
        return train(config, run, place)


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Send the package's messages to a file, and to standard error if nobody shows them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("ctcbias_fst")
    handlers: list[logging.Handler] = [logging.FileHandler(path, encoding="utf-8")]
    if not logger.hasHandlers():
        handlers.append(logging.StreamHandler())
    level = logger.level
    logger.setLevel(min(level or logging.INFO, logging.INFO))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(level)
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def _absolute(mapping: dict[str, Any], base: Path) -> dict[str, Any]:
    def anchored(value: Any) -> Any:
        if isinstance(value, list):
            return [anchored(item) for item in value]
        return str(base / Path(value).expanduser()) if isinstance(value, str) else value

    absolute = {key: anchored(value) if key in _PATHS else value for key, value in mapping.items()}
    name = mapping.get("model")
    named = isinstance(name, str) and (HUB_NAME.fullmatch(name) or name in PACKAGED)
    if named and not Path(absolute["model"]).exists():
        absolute["model"] = name
    if isinstance(absolute.get("augment"), dict):
        absolute["augment"] = {
            key: anchored(value) if key in _AUGMENT_PATHS else value
            for key, value in absolute["augment"].items()
        }
    return absolute


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
