"""A contextual adapter on a model of another family: in one file, and at work."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.config import load_config, to_mapping
from ctcbias_fst.errors import ConfigError, ModelError
from ctcbias_fst.files import atomic_path
from ctcbias_fst.models.adapter import ContextualAdapter
from ctcbias_fst.models.attended import Glance
from ctcbias_fst.models.checkpoint import load_weights, read_tensors
from ctcbias_fst.models.listed import ListedNames, keys_of_batch
from ctcbias_fst.models.model_config import AdapterConfig, AttentionConfig
from ctcbias_fst.models.model_identity import digests_of_model, is_same_model
from ctcbias_fst.models.plug import Scorer
from ctcbias_fst.models.tapped import TappedModel
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.text_files import quoted

ADAPTER_FILE = "ctcbias_adapter.safetensors"
"""An adapter's file in the folder of its model."""

_FORMAT = 2
_KEY = "ctcbias_adapter"


class AdaptedScores(NamedTuple):
    """Of a wave, log-probs ``(frame, token)`` in the model's own order, without a list and with it,
    and where the adapter looked, if there is a list."""

    plain: Tensor
    biased: Tensor
    glance: Glance | None


class AdaptedModel:
    """A model with its adapter.

    Args:
        base: the model.
        adapter: trained on it, in evaluation mode.
    """

    def __init__(self, base: TappedModel, adapter: ContextualAdapter) -> None:
        self.base, self.adapter = base, adapter.to(base.device).eval()

    @torch.inference_mode()
    def listed(self, entities: EncodedEntities, most: int) -> ListedNames | None:
        """See :meth:`ctcbias_fst.models.plug.SpeechModel.listed`."""
        if not len(entities):
            return None
        columns = self.base.columns.cpu().numpy()
        moved = replace(entities, values=columns[entities.values].astype(entities.values.dtype))
        return ListedNames(self.adapter, moved, most)

    @torch.inference_mode()
    def scores(
        self,
        waves: Sequence[Samples],
        names: Sequence[ListedNames | None],
        config: AttentionConfig,
    ) -> list[AdaptedScores]:
        """Score waves.

        Args:
            waves: as :meth:`ctcbias_fst.models.plug.Scorer.scores` takes them.
            names: the list of each, or None.
            config: how far the adapter is trusted.

        Returns:
            of each wave.
        """
        output = self.base.outputs(waves)
        plain = output.log_probs[:, :, self.base.columns]
        attended = keys_of_batch(names, output)
        lengths = output.lengths.tolist()
        if attended is None:
            return [AdaptedScores(own[:n], own[:n], None) for own, n in zip(plain, lengths)]
        adapted = self.adapter(output, *attended, config.scale, config.coverage_margin)
        biased = self.base.token_log_probs(adapted.states)[:, :, self.base.columns]
        rows = attended[0].entity.expand(len(plain), -1)
        return [
            AdaptedScores(own[:n], own[:n], None)
            if listed is None
            else AdaptedScores(own[:n], other[:n], Glance(0, looked[:n], entities))
            for own, other, looked, entities, listed, n in zip(
                plain, biased, adapted.attention, rows, names, lengths
            )
        ]


def save_adapter(
    target: Path, tensors: Mapping[str, Tensor], config: AdapterConfig, base: TappedModel
) -> None:
    """Write an adapter, and what it was trained on, into one file (float16).

    Args:
        target: the file; the folder that it is in is made if need be.

    Raises:
        ModelError: a number of it is too large.
    """
    header = {
        "format": _FORMAT,
        "model": base.scorer.family,
        "model_sha256": base.digests,
        "head": base.head,
        "taps": list(base.taps),
        "config": to_mapping(config),
    }
    halves = {name: tensor.half().contiguous() for name, tensor in tensors.items()}
    if large := [name for name, half in halves.items() if not bool(half.isfinite().all())]:
        raise ModelError(
            f"{target}: {large[0]} of the adapter is not finite in half precision: the training "
            "went astray; train with a lower rate"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(target) as temporary:
        save_file(halves, temporary, metadata={_KEY: json.dumps(header)})
        temporary.chmod(0o644)


def load_adapter(path: str | os.PathLike[str], scorer: Scorer, module: nn.Module) -> AdaptedModel:
    """Read an adapter's file, and put the adapter on its model.

    Args:
        path: the file, or a folder with `ADAPTER_FILE`.
        scorer, module: of the model, see `TappedModel`.

    Raises:
        ModelError: there is none, it is damaged, or of another model.
    """
    file = adapter_file(path)
    header = _header(file)
    own = digests_of_model(module, scorer.tokenizer.vocabulary)
    if not is_same_model(header["model_sha256"], own):
        raise ModelError(
            f"{file}: the adapter was trained on another model ({header.get('model')}); train one "
            "on this with ctcbias adapt, or take the file away to go without"
        )
    try:
        config = load_config(AdapterConfig, header["config"])
    except (ConfigError, KeyError) as error:
        raise ModelError(f"{file}: {error}; it is damaged, or needs another version") from error
    tensors = read_tensors(file)
    base = TappedModel(scorer, module, header["head"], header["taps"])
    adapter = ContextualAdapter(config, base.shape)
    load_weights(adapter, tensors, str(file))
    return AdaptedModel(base, adapter)


def adapter_file(path: str | os.PathLike[str]) -> Path:
    """The file of an adapter: what is named, or what is in the folder that is named.

    Raises:
        ModelError: there is none.
    """
    check_adapter_path(path)
    try:
        file = Path(path)
        file = file / ADAPTER_FILE if file.is_dir() else file
        there = file.is_file()
    except OSError as error:  # a name that is too long
        raise ModelError(f"{quoted(str(path))}: cannot be read ({error.strerror})") from error
    if not there:
        fault = "is no file" if os.path.lexists(file) else "no such file"
        raise ModelError(f"{file}: {fault}; ctcbias adapt and ctcbias export make one")
    return file


def check_adapter_path(path: Any) -> None:
    """Refuse what is no path.

    Raises:
        ModelError: it is none.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ModelError(f"{quoted(path)} is no path of an adapter")


def _header(file: Path) -> dict[str, Any]:
    try:
        with safe_open(str(file), "pt") as tensors:
            told = (tensors.metadata() or {}).get(_KEY)
        header = json.loads(told or "{}")
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{file}: not a complete safetensors file; copy it again") from error
    known = isinstance(header, dict) and header.get("format") == _FORMAT
    if not known or not isinstance(header.get("head"), str):
        raise ModelError(
            f"{file}: no adapter of format {_FORMAT}: is it what ctcbias export wrote of a run of "
            "ctcbias adapt?"
        )
    if not isinstance(header.get("model_sha256"), dict):
        raise ModelError(f"{file}: names no model; it is damaged")
    taps = header.get("taps")
    if not isinstance(taps, list) or not all(isinstance(one, str) for one in taps):
        raise ModelError(f"{file}: names no taps; it is damaged")
    return dict(header)
