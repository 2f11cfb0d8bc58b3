"""``build_ctcdecoder``, where pyctcdecode's users begin."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ctcbias_fst.errors import warn_caller
from ctcbias_fst.pyctcdecode.alphabet import Alphabet
from ctcbias_fst.pyctcdecode.arguments import warn_of
from ctcbias_fst.pyctcdecode.beam_decoder import BeamSearchDecoderCTC
from ctcbias_fst.pyctcdecode.language_model import LanguageModel

__all__ = ["build_ctcdecoder"]


def build_ctcdecoder(
    labels: Sequence[str] | Mapping[str, int],
    kenlm_model_path: str | os.PathLike[str] | None = None,
    unigrams: Collection[str] | None = None,
    alpha: float = 0.5,
    beta: float = 1.5,
    unk_score_offset: float = -10.0,
    lm_score_boundary: bool = True,
    *,
    frame_seconds: float = 0.02,
    settings: Mapping[str, Any] | None = None,
    device: torch.device | str = "cpu",
) -> BeamSearchDecoderCTC:
    """Make a decoder of logits; see :mod:`ctcbias_fst.pyctcdecode`.

    Args:
        labels: of the columns, in their order or mapped to them. The blank is "", ``<pad>``,
            ``[PAD]``, ``_`` (of letters), ``<blk>`` or the like, or a column behind them; ``|`` or
            a space parts words, or pieces begin with U+2581 or go on with ``##``.
        kenlm_model_path: an ARPA file; kenlm's binary files cannot be read.
        unigrams: has no effect: the words of the language model are known, and no others.
        alpha: factor on the language model's log-probs.
        beta: nats for each word, if there is a language model.
        unk_score_offset: added to the log-prob (log10) of words that it does not know.
        lm_score_boundary: False has no effect.
        frame_seconds: how long a frame is; 0.02 is what wav2vec 2.0 has.
        settings: changes of the decoder's, see :func:`ctcbias_fst.settings.changed`.
        device: where to search.

    Raises:
        ModelError: labels are wrong, or nothing tells how words begin.
        LanguageModelError: it is missing, damaged, binary or does not fit.
        ConfigError: a number or a setting is wrong, or there is no such device.
    """
    warn_of(unigrams=unigrams)
    model = None
    if kenlm_model_path is not None:
        path = Path(kenlm_model_path)
        model = LanguageModel(path, alpha, beta, unk_score_offset, lm_score_boundary)
    elif (alpha, beta, unk_score_offset, lm_score_boundary) != (0.5, 1.5, -10.0, True):
        warn_caller(
            "alpha, beta, unk_score_offset and lm_score_boundary have no effect without a language "
            "model (kenlm_model_path)"
        )
    alphabet = Alphabet.build_alphabet(labels)
    options = {"frame_seconds": frame_seconds, "settings": settings, "device": device}
    return BeamSearchDecoderCTC(alphabet, model, **options)
