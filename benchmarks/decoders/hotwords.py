"""What pyctcdecode and its C++ twin have in common: hot words with one weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from decoders import Speech

__all__ = ["HotwordDecoder"]


class HotwordDecoder:
    """Decodes arrays one by one; the knob is ``hotword_weight``.

    Args:
        decoder: has ``decode(array, hotwords=, hotword_weight=)``.
    """

    batches = False
    weights = (10.0, 2.0, 5.0, 15.0, 20.0, 30.0)

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._names: list[str] | None = None
        self._weight = 10.0

    def use(self, names: Sequence[str], weight: float) -> None:
        self._names, self._weight = list(names) or None, weight

    def decode(self, speech: Sequence[Speech]) -> list[str]:
        return [
            self._decoder.decode(one.log_probs, hotwords=self._names, hotword_weight=self._weight)
            for one in speech
        ]
