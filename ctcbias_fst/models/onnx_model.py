"""CTC models in ONNX files: opened, told apart, and scored."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.errors import ModelError, warn_caller
from ctcbias_fst.models.frame_length import measured_frame_seconds
from ctcbias_fst.models.onnx_families import family_of
from ctcbias_fst.models.onnx_family import Family, SteppingFamily
from ctcbias_fst.models.onnx_files import config_of, model_file, sentencepiece_of, tokens_file
from ctcbias_fst.models.onnx_scores import kind_of, log_probs_of
from ctcbias_fst.models.onnx_session import Array, Session
from ctcbias_fst.models.onnx_steps import OnnxSteps
from ctcbias_fst.models.pieces import LONG_SECONDS
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.models.stepping import stepped
from ctcbias_fst.text.token_lists import checked_tokens, read_tokens
from ctcbias_fst.text.token_marks import WordBoundary, boundary_of_model, look_like_phones
from ctcbias_fst.text.tokens import Tokenizer, tokenizer_of

_SAY_FACTOR = "say its subsampling_factor in a config.json beside it"
_BYTES = frozenset(map(chr, range(0x180, 0x1A6))) - {"\u01a0", "\u01a1"}
_FEW = 12
"""Letters that stand for bytes in icefall, of which no language has so many."""


def load(
    path: str | os.PathLike[str], device: torch.device | str, language: str | None
) -> ScoredModel:
    """Load a CTC model from an ONNX file, or from the folder that it is in.

    Args:
        path: of either.
        device: where to compute.
        language: of a model of several.

    Raises:
        ModelError: it is none, is damaged, of a family that is not known, or lacks its tokens.
        MissingDependencyError: the extra ``onnx`` is not installed.
        ConfigError: onnxruntime cannot use the device.
    """
    file = model_file(Path(path))
    session = Session(file, torch.device(device))
    config = {**config_of(file, "preprocessor_config.json"), **config_of(file)}
    family = family_of(session, config, language)
    if isinstance(family, SteppingFamily):
        stepping = SteppingScorer(session, family)
        return ScoredModel(stepping, blank_known=True, steps=stepping.steps)
    return ScoredModel(OnnxScorer(session, family, language), blank_known=True)


class OnnxScorer:
    """An ONNX model as a `Scorer`. Each recording is scored by itself, as padding would change it.

    Args:
        session: the model.
        family: how it is used.
        language: which tokens, if there are those of several.

    Raises:
        ModelError: it gives nothing that can be scores, or its tokens are missing or another's.
    """

    batches = is_function = False
    longest_seconds = LONG_SECONDS

    def __init__(self, session: Session, family: Family, language: str | None = None) -> None:
        self.session, self.how = session, family
        self.family, self.device = family.name, session.device
        self.sampling_rate, self.shortest_seconds = family.sampling_rate, family.shortest_seconds
        self.piece_seconds = family.piece_seconds
        noise = np.random.default_rng(0).normal(0.0, 0.01, self.sampling_rate).astype(np.float32)
        found = self._rows(noise)
        self.kind = kind_of(found, session.path)
        self.tokenizer = _tokenizer(session, family, found.shape[1], language)
        self.frame_seconds = family.frame_seconds or measured_frame_seconds(
            self.scores, self.sampling_rate, self.shortest_seconds, remedy=_SAY_FACTOR
        )

    def scores(self, waves: Sequence[Samples]) -> list[Tensor]:
        """See :meth:`ctcbias_fst.models.plug.Scorer.scores`."""
        return [log_probs_of(self._rows(wave), self.kind) for wave in waves]

    def _rows(self, wave: Samples) -> Array:
        return np.ascontiguousarray(self.how.scores(self.session, wave))


class SteppingScorer:
    """An ONNX model that keeps states as a `Scorer`: it goes through recordings from their
    beginning to their end, as through streams.

    Args:
        session: the model.
        family: how it is used.

    Attributes:
        steps: how it goes through streams.

    Raises:
        ModelError: it gives nothing that can be scores, or its tokens are missing or another's.
    """

    batches = True
    is_function = False
    shortest_seconds = 0.0
    piece_seconds = longest_seconds = math.inf

    def __init__(self, session: Session, family: SteppingFamily) -> None:
        self.family, self.device = family.name, session.device
        self.sampling_rate = family.sampling_rate
        self.steps = OnnxSteps(session, family.features, family.sampling_rate, family.plan)
        self.frame_seconds = self.steps.frame_seconds
        self.tokenizer = _tokenizer(session, family, self.steps.columns, None)

    def scores(self, waves: Sequence[Samples]) -> list[Tensor]:
        """See :meth:`ctcbias_fst.models.plug.Scorer.scores`."""
        return stepped(self.steps, waves, self.steps.columns)


def _tokenizer(
    session: Session, family: Family | SteppingFamily, columns: int, language: str | None
) -> Tokenizer:
    """The tokens of a model, of as many columns."""
    options: dict[str, Any] = {"columns": columns}
    if family.blank is not None:
        options["blank"] = family.blank if family.blank >= 0 else columns - 1
    if family.tokens is not None:
        return _fitting(tokenizer_of(family.tokens, **options), columns, str(session.path))
    path = tokens_file(session.path)
    language = None if family.more else language
    tokens = checked_tokens(read_tokens(path, language, warn=False))
    if path.suffix != ".json" and not -2 <= len(tokens) - columns <= 2:
        raise ModelError(_of_another(str(path), len(tokens), columns))
    if look_like_phones(tokens) and boundary_of_model(tokens) is WordBoundary.NONE:
        options["boundary"] = WordBoundary.NONE
    found = tokenizer_of(path, sentencepiece_of(session.path, path), language=language, **options)
    return _fitting(found, columns, str(path))


def _fitting(found: Tokenizer, columns: int, where: str) -> Tokenizer:
    if found.vocabulary.size != columns:
        raise ModelError(_of_another(where, found.vocabulary.size, columns))
    if len([one for one in found.vocabulary.letters if one in _BYTES]) > _FEW:
        warn_caller(
            f"{where}: the tokens are bytes, as of icefall's byte-level BPE: only letters of ASCII "
            "are written and found as they are"
        )
    return found


def _of_another(where: str, count: int, columns: int) -> str:
    return (
        f"{where}: has {count} tokens, and the model gives {columns} columns: these are the tokens "
        "of another model"
    )
