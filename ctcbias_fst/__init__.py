"""CTC speech recognition that writes the names on a user's list.

A `Recognizer` takes audio, a `Decoder` the log-probs of any CTC model; both take a list of names,
and give a `Transcript` of each recording. docs/api.md has an example of every name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ctcbias_fst.audio_streams import AudioStream
    from ctcbias_fst.compiled import CompiledEntities
    from ctcbias_fst.decoder import Decoder
    from ctcbias_fst.errors import (
        AudioError,
        ConfigError,
        CtcbiasError,
        CtcbiasWarning,
        EntityListError,
        LogProbsError,
        ModelError,
    )
    from ctcbias_fst.pyctcdecode import build_ctcdecoder
    from ctcbias_fst.recognizer import Recognizer
    from ctcbias_fst.records import Failure, Hypothesis, LogProbs, Mention, Transcript, Word
    from ctcbias_fst.scoring.score import score_transcripts
    from ctcbias_fst.settings import PipelineConfig
    from ctcbias_fst.streaming.stream import Stream
    from ctcbias_fst.streaming.updates import Update
    from ctcbias_fst.text.entities import EntityList, read_entities
    from ctcbias_fst.text.entity import Entity
    from ctcbias_fst.text.vocabulary import Vocabulary

__all__ = [
    "AudioError",
    "AudioStream",
    "CompiledEntities",
    "ConfigError",
    "CtcbiasError",
    "CtcbiasWarning",
    "Decoder",
    "Entity",
    "EntityList",
    "EntityListError",
    "Failure",
    "Hypothesis",
    "LogProbs",
    "LogProbsError",
    "Mention",
    "ModelError",
    "PipelineConfig",
    "Recognizer",
    "Stream",
    "Transcript",
    "Update",
    "Vocabulary",
    "Word",
    "__version__",
    "build_ctcdecoder",
    "read_entities",
    "score_transcripts",
]

__version__ = "0.2.0"

_MODULES = {
    "audio_streams": "AudioStream",
    "compiled": "CompiledEntities",
    "decoder": "Decoder",
    "errors": "AudioError ConfigError CtcbiasError CtcbiasWarning EntityListError LogProbsError "
    "ModelError",
    "pyctcdecode": "build_ctcdecoder",
    "recognizer": "Recognizer",
    "records": "Failure Hypothesis LogProbs Mention Transcript Word",
    "scoring.score": "score_transcripts",
    "settings": "PipelineConfig",
    "streaming.stream": "Stream",
    "streaming.updates": "Update",
    "text.entities": "EntityList read_entities",
    "text.entity": "Entity",
    "text.vocabulary": "Vocabulary",
}
_FOUND_IN = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import what takes seconds only when it is wanted (PEP 562)."""
    if name in _FOUND_IN:
        try:
            return getattr(import_module(f"{__name__}.{_FOUND_IN[name]}"), name)
        except ImportError as error:
            told = import_module(f"{__name__}.packages").missing_package(error)
            if told is None:
                raise
            raise told from error
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """What there is, imported or not."""
    return sorted(__all__)
