"""pyctcdecode: beam search in Python; names are hot words, phrases are taken apart."""

from __future__ import annotations

from importlib.metadata import version

from pyctcdecode import build_ctcdecoder

from decoders import Setting
from decoders.hotwords import HotwordDecoder


class PyCtc(HotwordDecoder):
    """The knob is ``hotword_weight``."""

    version = version("pyctcdecode")

    def __init__(self, setting: Setting) -> None:
        super().__init__(build_ctcdecoder(setting.labels))
