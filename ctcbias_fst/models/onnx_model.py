"""CTC models in ONNX files: opened, told apart, and scored."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.arrays import is_one, sum_of_probabilities
from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.errors import ModelError, warn_caller
from ctcbias_fst.models.frame_length import measured_frame_seconds
from ctcbias_fst.models.onnx_families import Family, family_of
from ctcbias_fst.models.onnx_files import config_of, model_file, sentencepiece_of, tokens_file
from ctcbias_fst.models.onnx_session import Array, Session
from ctcbias_fst.models.pieces import LONG_SECONDS
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.text.token_lists import checked_tokens, read_tokens
from ctcbias_fst.text.token_marks import WordBoundary, boundary_of_model, look_like_phones
from ctcbias_fst.text.tokens import Tokenizer, tokenizer_of

_SAY_FACTOR = "say its subsampling_factor in a config.json beside it"
_LOGITS, _LOG_PROBS, _PROBS = "logits", "log-probs", "probabilities"
_BYTES = frozenset(map(chr, range(0x180, 0x1A6))) - {"\u01a0", "\u01a1"}
_FEW = 12
"""Letters that stand for bytes in icefall, of which no language has so many."""

_LEAST = 1e-30
"""Of probabilities, before their logarithm."""


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

    batches = False
    longest_seconds = LONG_SECONDS

    def __init__(self, session: Session, family: Family, language: str | None = None) -> None:
        self.session, self.how = session, family
        self.family, self.device = family.name, session.device
        self.sampling_rate, self.shortest_seconds = family.sampling_rate, family.shortest_seconds
        self.piece_seconds = family.piece_seconds
        noise = np.random.default_rng(0).normal(0.0, 0.01, self.sampling_rate).astype(np.float32)
        found = self._rows(noise)
        self.kind = _kind(found, session.path)
        self.tokenizer = _tokenizer(session, family, found.shape[1], language)
        self.frame_seconds = family.frame_seconds or measured_frame_seconds(
            self.scores, self.sampling_rate, self.shortest_seconds, remedy=_SAY_FACTOR
        )

    def scores(self, waves: Sequence[Samples]) -> list[Tensor]:
        """See :meth:`ctcbias_fst.models.plug.Scorer.scores`."""
        return [self._normalised(torch.from_numpy(self._rows(wave))) for wave in waves]

    def _rows(self, wave: Samples) -> Array:
        return np.ascontiguousarray(self.how.scores(self.session, wave))

    def _normalised(self, rows: Tensor) -> Tensor:
        if self.kind == _LOGITS:
            return rows.log_softmax(dim=-1)
        return rows.clamp_min(_LEAST).log() if self.kind == _PROBS else rows


def _kind(rows: Array, path: Path) -> str:
    """What the model gives, by whether its rows sum to one."""
    if not len(rows) or not np.isfinite(rows).any():
        raise ModelError(f"{path}: gave no frames, or no finite scores, for a second of noise")
    values = torch.from_numpy(rows)
    if bool(is_one(sum_of_probabilities(values)).all()):
        return _LOG_PROBS
    if float(values.min()) >= 0 and bool(is_one(values.sum(dim=-1)).all()):
        return _PROBS
    return _LOGITS


def _tokenizer(session: Session, family: Family, columns: int, language: str | None) -> Tokenizer:
    """The tokens of a model, of as many columns."""
    options: dict[str, Any] = {"columns": columns}
    if family.blank is not None:
        options["blank"] = family.blank if family.blank >= 0 else columns - 1
    if family.tokens is not None:
        return _fitting(tokenizer_of(family.tokens, **options), columns, str(session.path))
    path = tokens_file(session.path)
    language = None if family.more else language
    tokens = checked_tokens(read_tokens(path, language))
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
