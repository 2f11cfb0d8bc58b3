"""A function of the user's as a model: samples in, log-probs out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.arrays import as_float32
from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.errors import ConfigError, ModelError
from ctcbias_fst.models.plug import SpeechModel
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.tokens import Tokenizer, tokenizer_of

_PROBE_SECONDS = (2.0, 12.0)
"""Of noise, of which the frames are counted where nobody says how long one is."""

_STEP_SECONDS = 0.0025
"""Frames are a multiple of it, if that is near."""


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
    """

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
        self.function, self.tokenizer, self.batches = function, tokenizer, batches
        self.sampling_rate, self.device = sampling_rate, torch.device(device)
        self.shortest_seconds, self.longest_seconds = shortest_seconds, longest_seconds
        self.family = f"function {getattr(function, '__name__', type(function).__name__)}"
        self.frame_seconds = frame_seconds or measured_frame_seconds(self.scores, sampling_rate)

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
        return array[0] if array.ndim == 3 and len(array) == 1 else array


def measured_frame_seconds(scores: Callable[[Sequence[Samples]], list[Tensor]], rate: int) -> float:
    """How long a model's frames are, by how many more it gives of more audio.

    Args:
        scores: of a `Scorer`.
        rate: its sampling rate.

    Raises:
        ModelError: it gives as many of more audio.
    """
    random = np.random.default_rng(0)
    noise = random.normal(0.0, 0.01, int(_PROBE_SECONDS[1] * rate)).astype(np.float32)
    few, many = (len(scores([noise[: int(s * rate)]])[0]) for s in _PROBE_SECONDS)
    if many <= few:
        raise ModelError(
            f"the model gave {few} frames for {_PROBE_SECONDS[0]:g} s and {many} for "
            f"{_PROBE_SECONDS[1]:g} s of audio: it must give log-probs (frames, tokens) of what it "
            "is given"
        )
    seconds = (_PROBE_SECONDS[1] - _PROBE_SECONDS[0]) / (many - few)
    near = round(seconds / _STEP_SECONDS) * _STEP_SECONDS
    return near if near and abs(near - seconds) < 0.02 * seconds else seconds


def function_model(
    function: Callable[[Any], Any],
    tokens: str | os.PathLike[str] | Sequence[str] | Mapping[str, int] | Tokenizer,
    *,
    blank: str | int | None = None,
    boundary: str | None = None,
    separator: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    **options: Any,
) -> ScoredModel:
    """Make a model of a function.

    Args:
        function: see `FunctionScorer`.
        tokens: what the columns are; see :meth:`ctcbias_fst.decoder.Decoder.from_tokens`, as of
            ``blank``, ``boundary``, ``separator`` and ``tokenizer``.
        options: of `FunctionScorer`.

    Raises:
        ModelError: the tokens cannot be read, or the function gives no log-probs.
    """
    if not isinstance(tokens, Tokenizer):
        tokens = tokenizer_of(
            tokens, tokenizer, blank=blank, boundary=boundary, separator=separator
        )
    return ScoredModel(FunctionScorer(function, tokens, **options), blank_known=blank is not None)


def model_of(model: Any, tokens: Any, options: Mapping[str, Any]) -> SpeechModel:
    """A model as it is, or one made of a function.

    Args:
        model: a `SpeechModel`, or a function.
        tokens, options: see `function_model`.

    Raises:
        ModelError: it is neither, or the tokens cannot be read.
        ConfigError: options are given with a model that says these things itself.
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
