"""CTC models of Hugging Face: wav2vec 2.0 and its relatives, w2v-BERT, MMS, Parakeet, …"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.audio.blocks import check_rate
from ctcbias_fst.errors import AudioError, CtcbiasError, MissingDependencyError, ModelError
from ctcbias_fst.models.adapted import ADAPTER_FILE
from ctcbias_fst.models.frame_length import measured_frame_seconds
from ctcbias_fst.models.hugging_face_files import (
    NO_CODE,
    PREPROCESSORS,
    check_config,
    check_files,
    config_of,
    first_line,
    folder_of,
    lm_beside,
    missing,
    quiet,
    read_object,
    unread,
)
from ctcbias_fst.models.hugging_face_tokens import (
    check_padding,
    default_language,
    language_in,
    tokenizer_in,
)
from ctcbias_fst.models.hugging_face_weights import (
    adapter_columns,
    load_adapter,
    load_weights,
)
from ctcbias_fst.models.pieces import LONG_SECONDS, SENTENCE_SECONDS
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.text.text_files import quoted
from ctcbias_fst.text.tokens import Tokenizer

_LENGTHS = ("_get_feat_extract_output_lengths", "_get_subsampling_output_length")
"""Functions by which models tell how many frames they make of so many samples or features."""

_OF_LONG_AUDIO = frozenset({"parakeet_ctc"})
"""Types of models that have learnt from segments of up to half a minute."""

_PROBE_SECONDS = (0.6, 1.0)
_SAME = 0.05
"""Log-probs of a recording alone and in a batch may differ so much and count as the same: by
rounding on some devices they differ by 0.01, by padding that leaks in by 1."""

_RATIO_SLACK = 0.02
_BY_FUNCTION = "call it by a function (docs/your-model.md)"
_REMEDY = "pip install -U 'ctcbias_fst[hf]', with torch 1.13 pip install 'transformers<4.46'"


class HuggingFaceScorer:
    """A model of ``AutoModelForCTC`` as a `Scorer`. Threads take turns.

    Args:
        model: in evaluation mode, float32.
        extractor: makes the model's input of samples.
        tokenizer: of the model's tokens.
    """

    longest_seconds = LONG_SECONDS
    is_function = False

    def __init__(self, model: Any, extractor: Any, tokenizer: Tokenizer) -> None:
        self.model, self.extractor, self.tokenizer = model, extractor, tokenizer
        self.family = f"{model.config.model_type} (Hugging Face)"
        long = model.config.model_type in _OF_LONG_AUDIO
        self.piece_seconds = LONG_SECONDS if long else SENTENCE_SECONDS
        self.sampling_rate = int(extractor.sampling_rate)
        self.device = torch.device(model.device)
        self._raw = model.main_input_name == "input_values"
        self._lengths = next((getattr(model, n) for n in _LENGTHS if hasattr(model, n)), None)
        self._turn = Lock()
        self.frame_seconds = self._frame_seconds()
        self.shortest_seconds = max(0.1, 3 * self.frame_seconds)

    @property
    def module(self) -> torch.nn.Module:
        """The model itself, for an adapter."""
        return self.model  # type: ignore[no-any-return]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_turn"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _turn=Lock())

    @cached_property
    def batches(self) -> bool:
        """Whether padding changes nothing, as two waves of noise show.

        Group norm is over padding, too (``feat_extract_norm``), some convolutions take it in, and
        a preprocessor may say that its model wants no mask.
        """
        if self._lengths is None or not getattr(self.extractor, "return_attention_mask", False):
            return False
        if getattr(self.model.config, "feat_extract_norm", "layer") == "group":
            return False
        random = np.random.default_rng(0)
        noise = [
            random.normal(0.0, 0.1, int(seconds * self.sampling_rate)).astype(np.float32)
            for seconds in _PROBE_SECONDS
        ]
        try:
            alone, batch = [self.scores([wave])[0] for wave in noise], self.scores(noise)
        except Exception:  # whatever the model raises: with each alone it is told of its recording
            return False
        return all(
            one.shape == other.shape and bool((one - other).abs().max() < _SAME)
            for one, other in zip(alone, batch)
        )

    def scores(self, waves: Sequence[Samples]) -> list[Tensor]:
        """See :meth:`ctcbias_fst.models.plug.Scorer.scores`."""
        inputs, counts = self._inputs(waves)
        with self._turn, torch.inference_mode():
            logits = self.model(**inputs).logits.float().log_softmax(-1)
        if counts is None:
            return list(logits)
        return [row[:frames] for row, frames in zip(logits, counts)]

    def _inputs(self, waves: Sequence[Samples]) -> tuple[dict[str, Tensor], list[int] | None]:
        """What the model is given, and how many frames it makes of each wave, if it tells."""
        found = self.extractor(
            list(waves),
            sampling_rate=self.sampling_rate,
            padding=True,
            return_attention_mask=len(waves) > 1 or not self._raw,
            return_tensors="pt",
        )
        inputs = {name: value.to(self.device) for name, value in found.items() if value is not None}
        if self._lengths is None:
            return inputs, None
        if self._raw:
            lengths = torch.tensor([len(wave) for wave in waves])
        else:
            mask = inputs.get("attention_mask")
            shape = inputs[self.model.main_input_name].shape
            lengths = torch.full(shape[:1], shape[1]) if mask is None else mask.sum(-1).cpu()
        return inputs, [max(0, int(count)) for count in self._lengths(lengths)]

    def _frame_seconds(self) -> float:
        """By the model's own account of lengths; of a model without one, by what it makes."""
        if self._lengths is None:
            return measured_frame_seconds(self.scores, self.sampling_rate, remedy=_BY_FUNCTION)

        def frames(waves: Sequence[Samples]) -> list[Tensor]:
            counts = self._inputs(waves)[1]
            assert counts is not None
            return [torch.empty(count) for count in counts]

        measured = measured_frame_seconds(frames, self.sampling_rate, remedy=_BY_FUNCTION)
        ratio = getattr(self.model.config, "inputs_to_logits_ratio", None)
        exact = ratio / self.sampling_rate if self._raw and ratio else measured
        return exact if abs(exact - measured) < _RATIO_SLACK * measured else measured


def load(
    path: str | os.PathLike[str],
    device: torch.device | str,
    language: str | None = None,
    adapter: str | os.PathLike[str] | None = None,
) -> ScoredModel:
    """Load a CTC model of Hugging Face.

    Args:
        path: its folder, or its name on the hub.
        device: where to compute, in float32.
        language: of a model that has adapters for several languages (MMS).
        adapter: the file of a contextual adapter, or its folder; by default the one beside the
            weights, if there is one.

    Raises:
        ModelError: it is no CTC model, or not all of one; or the adapter is not its own.
        MissingDependencyError: transformers, or what the model needs besides, is not installed.
    """
    with _installed(path):
        from transformers import AutoModelForCTC  # noqa: PLC0415

        folder = folder_of(Path(path), language)
        check_config(folder)
        check_files(folder)
        spoken = language_in(folder, language)
        extractor = _extractor(folder)
        config_of(folder)  # what is wrong there is not told of the weights
        model = load_weights(folder, AutoModelForCTC)
        if language is not None and language != default_language(folder):
            load_adapter(folder, model, language)
        config = model.config
        expected = list(extractor.model_input_names)[:1]
        if expected != [model.main_input_name]:
            raise ModelError(
                f"{folder}: its preprocessor makes {expected[0]}, and the model takes "
                f"{model.main_input_name}: it is the preprocessor of another model"
            )
        path = next(folder / name for name in PREPROCESSORS if (folder / name).is_file())
        _check_extractor(extractor, path, model.main_input_name == "input_values")
        tokenizer, agreed = tokenizer_in(folder, config.vocab_size, config.pad_token_id, spoken)
        model = model.float().eval().to(torch.device(device))
        try:
            scorer = HuggingFaceScorer(model, extractor, tokenizer)
        except ModelError as error:
            raise ModelError(f"{folder}: {error}") from error
    check_padding(tokenizer, _of_noise(scorer), folder)
    loaded = ScoredModel(scorer, blank_known=agreed)
    loaded.lm_beside = lm_beside(folder)
    if adapter is None and os.path.lexists(folder / ADAPTER_FILE):
        adapter = folder
    return loaded if adapter is None else loaded.with_adapter(adapter)


def _of_noise(scorer: HuggingFaceScorer) -> Tensor:
    """Log-probs ``(frame, token)`` of a second of noise, where columns lack tokens."""
    if not scorer.tokenizer.vocabulary.unnamed:
        return torch.empty((0, scorer.tokenizer.vocabulary.size))
    noise = np.random.default_rng(0).normal(0.0, 0.1, scorer.sampling_rate).astype(np.float32)
    return scorer.scores([noise])[0]


def load_tokenizer(path: str | os.PathLike[str], language: str | None = None) -> Tokenizer:
    """The tokenizer alone, without reading the weights; see `load`."""
    with _installed(path):
        folder = folder_of(Path(path), language)
        check_config(folder)
        check_files(folder)
        config = read_object(folder / "config.json")
        spoken = language_in(folder, language)
        own = language in (None, default_language(folder))
        columns = None if own else adapter_columns(folder, str(language))
        if columns is None:
            whole = config_of(folder)
            columns, config = whole.vocab_size, whole.to_dict()
        return tokenizer_in(folder, columns, config.get("pad_token_id"), spoken)[0]


@contextmanager
def _installed(path: str | os.PathLike[str]) -> Iterator[None]:
    """Tell which package is missing."""
    try:
        with quiet():
            import transformers.models.auto  # noqa: PLC0415
    except ImportError as error:
        if find_spec("transformers") is None:
            raise missing("transformers", os.fspath(path)) from error
        raise MissingDependencyError(
            f"{os.fspath(path)}: transformers is installed, but cannot be used "
            f"({first_line(error)}): {_REMEDY}"
        ) from error
    try:
        yield
    except CtcbiasError:
        raise
    except ImportError as error:
        if "PyTorch" in str(error):
            raise MissingDependencyError(
                f"{os.fspath(path)}: transformers {transformers.__version__} does not work with "
                f"torch {torch.__version__}: {_REMEDY}"
            ) from error
        raise missing(_needed(error), os.fspath(path)) from error


def _needed(error: ImportError) -> str:
    """The package that transformers asks for: ``Foo requires the bar library but …``."""
    _, found, rest = str(error).partition("requires the ")
    return rest.split()[0].strip("'`") if found else error.name or "transformers"


def _extractor(folder: Path) -> Any:
    from transformers import AutoFeatureExtractor  # noqa: PLC0415

    try:
        with quiet():
            return AutoFeatureExtractor.from_pretrained(str(folder), **NO_CODE)
    except ImportError:
        raise
    except Exception as error:  # whatever a damaged file makes the library raise
        raise unread(folder, "its preprocessor_config.json", error) from error


def _check_extractor(extractor: Any, path: Path, raw: bool) -> None:
    """Refuse a preprocessor that can be of no model.

    Args:
        extractor: as transformers reads it.
        path: of its file, for messages.
        raw: whether the model takes samples.

    Raises:
        ModelError: its sampling rate is none, or it makes something else of samples.
    """
    try:
        check_rate(getattr(extractor, "sampling_rate", None), str(path))
    except AudioError as error:
        raise ModelError(f"{error}: put the model's own file there") from None
    size = getattr(extractor, "feature_size", 1)
    if raw and size != 1:
        raise ModelError(
            f"{path}: its feature_size is {quoted(size)}, and the model takes samples, of which it "
            "is 1: put the model's own file there"
        )
