"""ctc-beam-decoder: pyctcdecode's search in C++."""

from __future__ import annotations

from importlib.metadata import version

from ctc_beam_decoder import BeamSearchDecoder

from decoders import Setting
from decoders.hotwords import HotwordDecoder


class CtcBeam(HotwordDecoder):
    """The knob is ``hotword_weight``."""

    version = version("ctc-beam-decoder")

    def __init__(self, setting: Setting) -> None:
        super().__init__(BeamSearchDecoder(setting.labels))
