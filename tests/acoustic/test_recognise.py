"""Samples to log-probs: batches, long windows, frame counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ctcbias_fst.acoustic import recognise
from ctcbias_fst.acoustic.audio import Recording
from ctcbias_fst.acoustic.config import ModelConfig
from ctcbias_fst.acoustic.model import CtcModel
from ctcbias_fst.acoustic.package import save_package
from ctcbias_fst.acoustic.recognise import AcousticModel
from tests.acoustic.conftest import speechlike


@pytest.fixture
def model(
    tiny_config: ModelConfig, tokenizer_path: Path, tmp_path: Path, device: torch.device
) -> AcousticModel:
    torch.manual_seed(0)
    save_package(tmp_path / "m", CtcModel(tiny_config).state_dict(), tiny_config, tokenizer_path)
    return AcousticModel.load(tmp_path / "m", device)


def recording(seconds: float, seed: int) -> Recording:
    return Recording(f"r{seed}", speechlike(seconds, seed), 16000)


def test_batch_equals_alone(model: AcousticModel) -> None:
    clips = [recording(seconds, seed) for seed, seconds in enumerate((1.0, 0.4, 2.3))]
    batch = model.log_probs(clips)
    assert batch.ids == ("r0", "r1", "r2")
    assert batch.frame_seconds == pytest.approx(0.04)
    assert batch.lengths.tolist() == [25, 10, 58]
    for row, clip in enumerate(clips):
        alone = model.log_probs([clip])
        size = int(alone.lengths)
        torch.testing.assert_close(
            batch.log_probs[row, :size], alone.log_probs[0], atol=1e-4, rtol=0
        )


def test_long_audio_has_every_frame_once(
    model: AcousticModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [recording(9.0, 1), recording(2.0, 2), recording(6.43, 3)]
    whole = model.log_probs(clips)
    monkeypatch.setattr(recognise, "_WINDOW", 400)
    monkeypatch.setattr(recognise, "_CONTEXT", 120)
    windowed = model.log_probs(clips)
    assert windowed.lengths.tolist() == whole.lengths.tolist()
    # attention sees a window instead of everything, so nearly, but frame for frame
    for row, length in enumerate(whole.lengths.tolist()):
        difference = (windowed.log_probs[row, :length] - whole.log_probs[row, :length]).abs()
        assert difference.mean() < 0.05
        shifted = (windowed.log_probs[row, 1:length] - whole.log_probs[row, : length - 1]).abs()
        assert difference.mean() < 0.5 * shifted.mean()
