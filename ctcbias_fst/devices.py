"""Where to compute, checked before anything is loaded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch

from ctcbias_fst.errors import ConfigError

_Function = TypeVar("_Function", bound=Callable[..., Any])


def with_versions(function: _Function) -> _Function:
    """Let callers be in ``torch.inference_mode``: k2 needs tensors that count their versions."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_inference_mode_enabled():
            return function(*args, **kwargs)
        with torch.inference_mode(mode=False), torch.no_grad():
            return function(*args, **kwargs)

    return cast(_Function, wrapped)


def checked_device(device: torch.device | str, *, search: bool = True) -> torch.device:
    """The device of this name, if it is there.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        search: whether k2 is to compute there, too.

    Raises:
        ConfigError: there is no such device.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"device {device}: must be cpu, cuda or cuda:N") from error
    if found.type == "cpu":
        return found
    if found.type != "cuda":
        raise ConfigError(f"device {device}: must be cpu, cuda or cuda:N")
    if not torch.cuda.is_available():
        raise ConfigError(f"device {device}: torch sees no CUDA device; use cpu")
    count = torch.cuda.device_count()
    if (found.index or 0) >= count:
        raise ConfigError(f"device {device}: there are only {count}, the first is cuda:0")
    if search and not _k2_has_cuda():
        raise ConfigError(
            f"device {device}: k2 was built without CUDA; install one with it, or use cpu"
        )
    return found


def _k2_has_cuda() -> bool:
    from ctcbias_fst.k2_import import k2  # noqa: PLC0415  (training goes without it)

    return bool(getattr(k2, "with_cuda", True))
