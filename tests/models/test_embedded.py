"""Samples to log-probs: batches, long windows, frame counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.models import long_audio
from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.model_config import ModelConfig
from ctcbias_fst.models.package import save_package
from ctcbias_fst.models.pieces import Piece, PiecesConfig
from tests.tiny_models import speechlike


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
    whole = model.log_probs(clips, pieces=PiecesConfig(60.0))
    monkeypatch.setattr(long_audio, "WINDOW", 400)
    monkeypatch.setattr(long_audio, "_CONTEXT", 120)
    monkeypatch.setattr(long_audio, "pieces_of", lambda *_: [])
    windowed = model.log_probs(clips, pieces=PiecesConfig(1.0))
    assert windowed.lengths.tolist() == whole.lengths.tolist()
    # attention sees a window instead of everything, so nearly, but frame for frame
    for row, length in enumerate(whole.lengths.tolist()):
        difference = (windowed.log_probs[row, :length] - whole.log_probs[row, :length]).abs()
        assert difference.mean() < 0.05
        shifted = (windowed.log_probs[row, 1:length] - whole.log_probs[row, : length - 1]).abs()
        assert difference.mean() < 0.5 * shifted.mean()


def test_long_audio_is_encoded_piece_by_piece(
    model: AcousticModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece is scored as if it were alone; what is in none, as in the whole."""
    clips = [recording(9.0, 1), recording(2.0, 2)]
    whole = model.log_probs(clips, pieces=PiecesConfig(60.0))
    monkeypatch.setattr(long_audio, "_BATCH", 200)
    pieces = [Piece(0, 50), Piece(50, 150), Piece(170, 225)]
    monkeypatch.setattr(long_audio, "pieces_of", lambda *_: pieces)
    found = model.log_probs(clips, pieces=PiecesConfig(3.0))
    assert found.lengths.tolist() == whole.lengths.tolist() == [225, 50]
    assert found.phones is not None and whole.phones is not None
    torch.testing.assert_close(found.log_probs[1, :50], whole.log_probs[1, :50])
    torch.testing.assert_close(found.log_probs[0, 150:170], whole.log_probs[0, 150:170])
    for piece in pieces:
        samples = clips[0].samples[piece.begin * 640 : piece.end * 640]
        alone = model.log_probs([Recording("piece", samples, 16000)], pieces=PiecesConfig(60.0))
        assert alone.phones is not None
        # the first and last frames of a piece of audio see no samples beyond it
        inner = slice(4, piece.end - piece.begin - 4)
        for values, expected in (
            (found.log_probs, alone.log_probs),
            (found.phones.log_probs, alone.phones.log_probs),
        ):
            part = values[0, piece.begin : piece.end][inner]
            assert (part - expected[0][inner]).abs().max() < 0.1
