"""ctc-beam-decoder: pyctcdecode's search in C++."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
from ctc_beam_decoder import BeamSearchDecoder

from decoders import Setting


class CtcBeam:
    """The knob is ``hotword_weight``."""

    weights = (10.0, 2.0, 5.0, 15.0)
    version = version("ctc-beam-decoder")

    def __init__(self, setting: Setting) -> None:
        self._decoder = BeamSearchDecoder(["", *setting.tokenizer.vocabulary.tokens[1:]])
        self._names: list[str] | None = None
        self._weight = 10.0

    def use(self, names: Sequence[str], weight: float) -> None:
        self._names, self._weight = list(names) or None, weight

    def decode(self, log_probs: Sequence[npt.NDArray[np.float32]]) -> list[str]:
        return [
            self._decoder.decode(array, hotwords=self._names, hotword_weight=self._weight)
            for array in log_probs
        ]
