"""Small random CTC models of Hugging Face, saved as their makers save them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from ctcbias_fst.models.adapted import ADAPTER_FILE, save_adapter
from ctcbias_fst.models.adapter import ContextualAdapter
from ctcbias_fst.models.find import load_model
from ctcbias_fst.models.model_config import AdapterConfig
from ctcbias_fst.models.scored import tapped

transformers = pytest.importorskip("transformers")

LETTERS = ["|", *"abcdefghijklmnopqrstuvwxyz'"]
CHARACTERS = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *LETTERS])}
"""As of wav2vec2-base-960h, in small letters."""
BLANK_LAST = {token: i for i, token in enumerate([*LETTERS, "<unk>", "<pad>"])}
SMALL = AdapterConfig(width=8, heads=2, head_size=4, fusion=8)

_TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "output_hidden_size": 16,
    "initializer_range": 0.5,  # or else all frames are the same
}
_CONV = {"conv_dim": (8,) * 7}
_SEW = {
    "conv_dim": (8,) * 13,
    "squeeze_factor": 2,
    "num_conv_pos_embeddings": 5,
}
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "wav2vec2": ("Wav2Vec2", _CONV),
    "hubert": ("Hubert", _CONV),
    "wavlm": ("WavLM", _CONV),
    "wav2vec2-conformer": ("Wav2Vec2Conformer", _CONV),
    "data2vec-audio": ("Data2VecAudio", _CONV),
    "unispeech": ("UniSpeech", _CONV),
    "unispeech-sat": ("UniSpeechSat", _CONV),
    "sew": ("SEW", _SEW),
    "wav2vec2-bert": ("Wav2Vec2Bert", {"feature_projection_input_dim": 160}),
}
"""The names of classes, and options of their configurations beside the common ones."""

Array = npt.NDArray[np.float32]


def noise(seconds: float, rate: int = 16000, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


def model_of(family: str, columns: int, **options: Any) -> Any:
    """A small random model."""
    name, own = FAMILIES[family]
    torch.manual_seed(len(name))
    config = getattr(transformers, f"{name}Config")(
        vocab_size=columns, **{**_TINY, **own, **options}
    )
    return getattr(transformers, f"{name}ForCTC")(config).eval()


def save(
    folder: Path,
    family: str = "wav2vec2",
    vocabulary: Mapping[str, Any] = CHARACTERS,
    *,
    columns: int | None = None,
    mask: bool = True,
    rate: int = 16000,
    tokenizer: Mapping[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Save a model, its preprocessor and its tokenizer in a folder.

    Args:
        folder: where.
        family: one of `FAMILIES`.
        vocabulary: token to id.
        columns: of the output; by default as many as tokens.
        mask: whether the preprocessor gives a mask.
        rate: sampling rate.
        tokenizer: options of the tokenizer.
        options: of the configuration.
    """
    options.setdefault("feat_extract_norm", "layer" if mask else "group")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vocab.json"
    path.write_text(json.dumps(vocabulary), encoding="utf-8")
    tokens = transformers.Wav2Vec2CTCTokenizer(str(path), **(tokenizer or {}))
    options.setdefault("pad_token_id", tokens.pad_token_id)
    model_of(family, columns or len(tokens), **options).save_pretrained(folder)
    tokens.save_pretrained(folder)
    if family == "wav2vec2-bert":
        extractor = transformers.SeamlessM4TFeatureExtractor(feature_size=80, sampling_rate=rate)
    else:
        extractor = transformers.Wav2Vec2FeatureExtractor(
            sampling_rate=rate, return_attention_mask=mask, do_normalize=True
        )
    extractor.save_pretrained(folder)
    return folder


def save_loud_adapter(model: Path, target: Path) -> Path:
    """A random adapter that says arbitrary things, in a folder."""
    base = tapped(load_model(model))
    torch.manual_seed(1)
    adapter = ContextualAdapter(SMALL, base.shape)
    adapter.start_from(base.head_weights, 20.0)
    torch.nn.init.constant_(adapter.no_bias_score, -8.0)
    torch.nn.init.zeros_(adapter.coverage)
    save_adapter(target / ADAPTER_FILE, adapter.state_dict(), SMALL, base)
    return target


def scored_by_transformers(folder: Path, samples: Array, rate: int = 16000) -> Array:
    """The log-probs of one recording, by the library itself."""
    model = transformers.AutoModelForCTC.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(samples, sampling_rate=rate, return_tensors="pt")
    with torch.no_grad():
        found: Array = model(**inputs).logits[0].log_softmax(-1).numpy()
    return found
