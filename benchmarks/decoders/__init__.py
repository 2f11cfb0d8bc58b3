"""Decoders that take a list of names, each behind the same small protocol.

To add one: a module with a class like the others', and a line in ``DECODERS``. Modules are imported
when they are wanted, so that not every package need be installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ctcbias_fst.config import load_config, merge, read_toml
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.settings import PipelineConfig, settings_of
from ctcbias_fst.text.tokens import Tokenizer

__all__ = ["DECODERS", "Biaser", "Setting", "Speech", "load"]


@dataclass(frozen=True)
class Setting:
    """What a decoder may use.

    Attributes:
        tokenizer: of the model; its vocabulary is the columns of the log-probs, blank first.
        frame_seconds: how long a frame of the log-probs is.
        words: the words of the training text, the commonest first (for decoders with a lexicon).
        config: settings of ours, a TOML file.
        model: the directory of the model, if it has settings of its own.
        lm: the language model's file, for ours with all parts.
        boost: of ours where nothing but the boosting FST acts, instead of these settings.
    """

    tokenizer: Tokenizer
    frame_seconds: float
    words: tuple[str, ...] = ()
    config: Path | None = None
    model: Path | None = None
    lm: Path | None = None
    boost: BoostConfig | None = None

    @property
    def labels(self) -> list[str]:
        """The tokens as pyctcdecode wants them: an empty blank, a space between words."""
        vocabulary = self.tokenizer.vocabulary
        labels = ["", *vocabulary.tokens[1:]]
        if vocabulary.separator_id is not None:
            labels[vocabulary.separator_id] = " "
        return labels

    def ours(self) -> PipelineConfig:
        """The settings of ours: the model's own, with those of ``config`` on top."""
        own = {} if self.model is None else settings_of(self.model)
        changes = {} if self.config is None else read_toml(self.config)
        return load_config(PipelineConfig, merge(own, changes))


class Speech(NamedTuple):
    """An utterance as the model heard it.

    Attributes:
        log_probs: (frames, tokens).
        phones: (frames, 1 + phones) of a phone head, if it was saved.
        phone_seconds: how long a frame of the phones is.
    """

    log_probs: npt.NDArray[np.float32]
    phones: npt.NDArray[np.float32] | None = None
    phone_seconds: float = 0.04


class Biaser(Protocol):
    """A decoder.

    Attributes:
        weights: the values of its one knob to choose among; the first is its own default.
        version: of the package.
        batches: whether it wants all utterances at once; others get a few at a time, and are
            stopped at the time limit.
    """

    weights: Sequence[float]
    version: str
    batches: bool

    def __init__(self, setting: Setting) -> None: ...

    def use(self, names: Sequence[str], weight: float) -> None:
        """Take a list of normalised names, empty for none; its time is not decoding's."""
        ...

    def decode(self, speech: Sequence[Speech]) -> list[str]:
        """The texts of utterances."""
        ...


# Name: module and class.
DECODERS = {
    "ctcbias_fst": ("ours", "Ours"),
    "ctcbias_fst, all parts": ("joint", "Joint"),
    "k2 topology": ("topology", "K2Topology"),
    "ctc-beam-decoder": ("ctc_beam", "CtcBeam"),
    "pyctcdecode": ("pyctc", "PyCtc"),
    "asr-decoder": ("asr", "AsrDecoder"),
    "flashlight-text": ("flashlight_text", "FlashlightText"),
    "NeMo word spotter": ("nemo", "WordSpotter"),
    "NeMo phrase boosting": ("nemo", "PhraseBoosting"),
}


def load(name: str, setting: Setting) -> Biaser:
    """Make a decoder; ImportError if its package is not installed."""
    module, cls = DECODERS[name]
    made: Biaser = getattr(importlib.import_module(f"{__name__}.{module}"), cls)(setting)
    return made
