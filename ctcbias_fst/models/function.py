"""A function of the user's as a model: samples in, log-probs out."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from inspect import Parameter, signature
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ctcbias_fst.arrays import as_float32, checked_frame_seconds
from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.audio.blocks import check_rate
from ctcbias_fst.devices import checked_device
from ctcbias_fst.errors import AudioError, ConfigError, ModelError
from ctcbias_fst.models.frame_length import measured_frame_seconds
from ctcbias_fst.models.pieces import SENTENCE_SECONDS
from ctcbias_fst.models.plug import SpeechModel
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.variants.phone_models import tokenizer_for

_LEAST_WINDOW = 0.1
"""Seconds: a window has several frames, and their context."""


class FunctionScorer:
    """A function that scores one recording, or several, as a `Scorer`.

    Args:
        function: is given float32 samples ``(sample,)``, full scale 1, and returns log-probs
            ``(frame, token)`` of numpy or torch: natural log, each frame normalised. With
            ``batches`` a list of these, for a list of these.
        tokenizer: of its tokens.
        frame_seconds: how long a frame is; by default it is measured on noise.
        sampling_rate: of the samples that it wants.
        batches: whether it takes several recordings at once.
        shortest_seconds, longest_seconds: see :class:`ctcbias_fst.models.plug.Scorer`.
        device: where the log-probs go.

    Raises:
        ConfigError: one of these cannot be.
        ModelError: the function gives no log-probs, or is a module.
    """

    is_function = True

    def __init__(
        self,
        function: Callable[[Any], Any],
        tokenizer: Tokenizer,
        *,
        frame_seconds: float | None = None,
        sampling_rate: int = 16000,
        batches: bool = False,
        shortest_seconds: float = 0.1,
        longest_seconds: float = 30.0,
        device: torch.device | str = "cpu",
    ) -> None:
        if isinstance(function, nn.Module):
            raise ModelError(
                f"a {type(function).__name__} is a torch module: wrap it in a function from the "
                "samples of a recording to log-probs (docs/your-model.md)"
            )
        self.function, self.tokenizer = function, tokenizer
        self.piece_seconds = SENTENCE_SECONDS
        self.family = f"function {getattr(function, '__name__', type(function).__name__)}"
        self.batches, self.device = _checked_batches(batches), checked_device(device)
        self.sampling_rate = _checked_rate(sampling_rate)
        self.shortest_seconds = _checked_seconds("shortest_seconds", shortest_seconds, 0.0)
        self.longest_seconds = _checked_seconds(
            "longest_seconds", longest_seconds, max(_LEAST_WINDOW, self.shortest_seconds)
        )
        if frame_seconds is None:
            self.frame_seconds = measured_frame_seconds(
                self.scores, self.sampling_rate, self.shortest_seconds, self.longest_seconds
            )
        else:
            self.frame_seconds = checked_frame_seconds(frame_seconds, ConfigError)

    def scores(self, waves: Sequence[Samples]) -> list[Tensor]:
        """See :meth:`ctcbias_fst.models.plug.Scorer.scores`."""
        if self.batches:
            found = self.function(list(waves))
            if not isinstance(found, (list, tuple)):
                raise ModelError(
                    f"{self.family}: returned a {type(found).__name__} for a list of recordings; "
                    "with batches=True it returns a list of arrays (frames, tokens)"
                )
            return [self._array(one) for one in found]
        # Each is copied before the next call, which may write into the same array.
        return [self._array(self.function(wave)) for wave in waves]

    def _array(self, values: Any) -> Tensor:
        if isinstance(values, Sequence) or not hasattr(values, "shape"):
            raise ModelError(
                f"{self.family}: returned a {type(values).__name__}; an array of log-probs "
                "(frames, tokens) is wanted"
            )
        array = as_float32(values)
        array = array.clone() if isinstance(values, Tensor) else array  # numpy's is copied
        array = array[0] if array.ndim == 3 and len(array) == 1 else array
        columns = self.tokenizer.vocabulary.size
        if array.ndim == 2 and array.shape[0] == columns != array.shape[1]:
            raise ModelError(
                f"{self.family}: returned the shape {tuple(array.shape)}, which is transposed: "
                f"(frames, {columns} tokens) is wanted"
            )
        return array


def _checked_batches(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigError(f"batches must be True or False, found {quoted(value)}")
    return bool(value)


def _checked_rate(value: Any) -> int:
    try:
        return check_rate(value, "sampling_rate")
    except AudioError as error:
        raise ConfigError(str(error)) from None


def _checked_seconds(name: str, value: Any, least: float) -> float:
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not float(value) >= least or (name != "longest_seconds" and value == math.inf):
        raise ConfigError(f"{name} must be a number of at least {least:g}, found {quoted(value)}")
    return float(value)


def _check_names(options: Mapping[str, Any]) -> None:
    """Refuse options that a function does not have."""
    both = [
        *signature(function_model).parameters.values(),
        *signature(FunctionScorer).parameters.values(),
    ]
    known = {one.name for one in both if one.kind is Parameter.KEYWORD_ONLY}
    for name in options:
        if name not in known:
            near = get_close_matches(name, known, 1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigError(
                f"{name}: a function has no such option{meant}; it has {', '.join(sorted(known))}"
            )


def function_model(
    function: Callable[[Any], Any],
    tokens: str | os.PathLike[str] | Sequence[str] | Mapping[str, int] | Tokenizer,
    /,
    *,
    blank: str | int | None = None,
    boundary: str | None = None,
    separator: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    lexicon: Any = None,
    **options: Any,
) -> ScoredModel:
    """Make a model of a function.

    Args:
        function: see `FunctionScorer`.
        tokens: what the columns are; see :meth:`ctcbias_fst.decoder.Decoder.from_tokens`, as of
            ``blank``, ``boundary``, ``separator``, ``tokenizer`` and ``lexicon``.
        options: of `FunctionScorer`.

    Raises:
        ModelError: the tokens cannot be read, or the function gives no log-probs.
        ConfigError: there is no such option, or its value cannot be.
    """
    _check_names(options)
    form = {"blank": blank, "boundary": boundary, "separator": separator}
    if not isinstance(tokens, Tokenizer):
        tokens = tokenizer_for(tokens, tokenizer, lexicon, language=None, **form)
    elif said := [
        name
        for name, one in {**form, "tokenizer": tokenizer, "lexicon": lexicon}.items()
        if one is not None
    ]:
        raise ConfigError(f"{said[0]} belongs to a list of tokens; a tokenizer says it itself")
    return ScoredModel(FunctionScorer(function, tokens, **options))


def model_of(model: Any, tokens: Any, options: Mapping[str, Any]) -> SpeechModel:
    """A model as it is, or one made of a function.

    Args:
        model: a `SpeechModel`, or a function.
        tokens, options: see `function_model`.

    Raises:
        ModelError: it is neither, or the tokens cannot be read.
        ConfigError: options are given with a model that says these things itself, or are none.
    """
    if hasattr(model, "log_probs") and hasattr(model, "tokenizer"):
        if tokens is not None or options:
            named = "tokens" if tokens is not None else min(options)
            raise ConfigError(f"{named} belongs to a function; this model says it itself")
        return model  # type: ignore[no-any-return]
    if isinstance(model, (str, os.PathLike)):
        raise ModelError(f"{quoted(model)} is a path: Recognizer.from_pretrained loads it")
    if not callable(model):
        raise ModelError(
            f"a {type(model).__name__} is no model: pass what Recognizer.from_pretrained takes, or "
            "a function from samples to log-probs with tokens="
        )
    if tokens is None:
        raise ModelError(
            "a function needs tokens=: what the columns of its log-probs are, as a list or a file"
        )
    return function_model(model, tokens, **options)
