"""pyctcdecode: beam search in Python; names are hot words, phrases are taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
from pyctcdecode import build_ctcdecoder

from decoders import Setting


class PyCtc:
    """The knob is ``hotword_weight``."""

    weights = (10.0, 2.0, 5.0, 15.0)
    version = version("pyctcdecode")

    def __init__(self, setting: Setting) -> None:
        tokens = setting.tokenizer.vocabulary.tokens
        # Its sign of the blank is the empty string.
        self._decoder = build_ctcdecoder(["", *tokens[1:]])
        self._names: list[str] | None = None
        self._weight = 10.0

    def use(self, names: Sequence[str], weight: float) -> None:
        self._names, self._weight = list(names) or None, weight

    def decode(self, log_probs: Sequence[npt.NDArray[np.float32]]) -> list[str]:
        return [
            self._decoder.decode(array, hotwords=self._names, hotword_weight=self._weight)
            for array in log_probs
        ]
