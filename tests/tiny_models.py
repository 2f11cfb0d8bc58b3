"""A model of a few thousand weights and a corpus of a few seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from ctcbias_fst.models.model_config import EncoderConfig, ModelConfig
from ctcbias_fst.text.phones import PHONES

# these models are too small to share among threads
torch.set_num_threads(1)

TINY = EncoderConfig(
    mels=80, subsampling_channels=4, layers=4, width=16, heads=2, feedforward=16, kernel=3,
    subword_taps=(1, 3), phone_tap=2,
)  # fmt: skip

SENTENCES = (
    ("she takes metformin", "SH IY | T EY K S | M EH T F AO R M IH N"),
    ("the doctor spoke", "DH AH | D AA K T ER | S P OW K"),
    ("new york", "N UW | Y AO R K"),
    ("peace", "P IY S"),
    ("john smith's brother", "JH AA N | S M IH TH S | B R AH DH ER"),
    ("a jumpy knight", ""),
)


def speechlike(seconds: float, seed: int, rate: int = 16000) -> np.ndarray:
    """Tones that change every 100 ms: something with a spectrum to look at."""
    rng = np.random.default_rng(seed)
    steps = rng.uniform(100.0, 3000.0, size=int(seconds * 10) + 1)
    pitch = np.repeat(steps, rate // 10)[: int(seconds * rate)]
    wave = np.sin(2 * np.pi * np.cumsum(pitch) / rate) + 0.1 * rng.standard_normal(len(pitch))
    return (0.2 * wave).astype(np.float32)


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    return ModelConfig(encoder=TINY, tokens=80, phones=PHONES)


@pytest.fixture(scope="session")
def tiny_cuts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CutSet of six clips; the last has no phones."""
    folder = tmp_path_factory.mktemp("cuts")
    cuts = []
    for index, (text, phones) in enumerate(SENTENCES):
        path = folder / f"clip{index}.flac"
        soundfile.write(path, speechlike(1.2 + 0.3 * index, index), 16000)
        recording = Recording.from_file(path)
        custom = {"phones": phones} if phones else None
        supervision = SupervisionSegment(
            f"clip{index}", recording.id, 0.0, recording.duration, text=text, custom=custom
        )
        cuts.append(
            MonoCut(recording.id, 0.0, recording.duration, 0, [supervision], recording=recording)
        )
    CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    return folder / "cuts.jsonl.gz"


NAMES = (["metformin"], ["doctor"], ["new york"], ["peace"], ["smith"], [])
"""The names in `SENTENCES`."""


@pytest.fixture
def named_cuts(tiny_cuts: Path, tmp_path: Path) -> Path:
    """The same CutSet with the names of each utterance, to train an adapter on."""
    named = []
    for cut, names in zip(CutSet.from_file(tiny_cuts), NAMES):
        supervision = cut.supervisions[0]
        supervision.custom = {**(supervision.custom or {}), "entities": names}
        named.append(cut)
    CutSet.from_cuts(named).to_file(tmp_path / "named.jsonl.gz")
    return tmp_path / "named.jsonl.gz"


TINY_ADAPTER = """
[adapter]
width = 8
heads = 2
head_size = 4
fusion = 8
"""
"""The table of an adapter of a few hundred weights."""


def training_toml(cuts: Path, tables: str, **values: Any) -> str:
    """Settings of a training that takes a second.

    Args:
        cuts: trained and validated with.
        tables: more of TOML.
        values: other values at the top.
    """
    usual = {"steps": 4, "batch_seconds": 4.0, "save_every": 2, "validate_every": 4, "average": 2}
    top = {"train": [str(cuts)], "validation": [str(cuts)], **usual, "workers": 0, **values}
    lines = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
    return "\n".join([*lines, tables, _QUIET])


_QUIET = """
[augment]
specaugment_probability = 0.0
lowpass_probability = 0.0
volume_probability = 0.0
speed = [1.0]

[optimiser]
warmup_steps = 1
"""


@pytest.fixture
def train_config(tmp_path: Path, tiny_cuts: Path, tokenizer_path: Path) -> Path:
    """A TrainConfig in TOML that runs in a second."""
    path = tmp_path / "train.toml"
    encoder = """
[encoder]
subsampling_channels = 4
layers = 4
width = 16
heads = 2
feedforward = 16
kernel = 3
subword_taps = [1, 3]
phone_tap = 2
"""
    text = training_toml(tiny_cuts, encoder, tokenizer=str(tokenizer_path), log_every=1, keep=2)
    path.write_text(text, encoding="utf-8")
    return path
