"""What goes into and out of layers of somebody's module, while a thread runs it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, NamedTuple

from torch import nn


class LayerCall(NamedTuple):
    """What went into a layer, by position, and what came out."""

    inputs: tuple[Any, ...]
    output: Any


@contextmanager
def recorded_calls(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, list[LayerCall]]]:
    """Record the calls of layers by this thread.

    Their hooks are gone afterwards, whatever happens, and record nothing of other threads.

    Args:
        layers: by names.

    Yields:
        what fills with the calls of each layer, in their order; layers that do not run are not in
        it.
    """
    calls: dict[str, list[LayerCall]] = {}
    own = threading.get_ident()

    def note(name: str, layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if threading.get_ident() == own:
            calls.setdefault(name, []).append(LayerCall(inputs, output))

    with ExitStack() as hooks:
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(partial(note, name)).remove)
        yield calls
