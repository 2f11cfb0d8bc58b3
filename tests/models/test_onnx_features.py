"""Features for ONNX models, compared with their definitions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from reference_features import gigaam_mel, kaldi_fbank, low_frame_rate, nemo_mel

from ctcbias_fst.models.onnx_features import (
    FUNASR_FBANK,
    ICEFALL_FBANK,
    WENET_FBANK,
    GigaamMel,
    KaldiFbank,
    LowFrameRate,
    NemoMel,
    RawSamples,
)

pytest.importorskip("kaldi_native_fbank")
Array = npt.NDArray[np.float32]


def speech_like(seconds: float, seed: int = 0) -> Array:
    """Noise whose level and colour change."""
    random = np.random.default_rng(seed)
    count = round(seconds * 16000)
    noise = random.normal(0, 0.1, count + 8)
    colour = np.convolve(noise, [1, 0.9, 0.5, 0.2, 0.1, 0, 0, 0, 0.2], mode="valid")[:count]
    level = 0.05 + np.abs(np.sin(np.arange(count) / 3000.0))
    return (colour * level).astype(np.float32)


LENGTHS = [0.3, 0.7031, 1.00625]


@pytest.mark.parametrize("seconds", LENGTHS)
@pytest.mark.parametrize(
    ("features", "arguments"),
    [
        (ICEFALL_FBANK, (-400.0, False, "povey")),
        (WENET_FBANK, (0.0, True, "povey")),
        (FUNASR_FBANK, (0.0, True, "hamming")),
    ],
    ids=["icefall", "wenet", "funasr"],
)
def test_kaldi(features: KaldiFbank, arguments: tuple[float, bool, str], seconds: float) -> None:
    wave = speech_like(seconds)
    scale = 1.0 if features is ICEFALL_FBANK else 32768.0
    wanted = kaldi_fbank(wave * np.float32(scale), *arguments)
    found = features(wave)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=3e-3)


@pytest.mark.parametrize("seconds", LENGTHS)
def test_low_frame_rate(seconds: float) -> None:
    random = np.random.default_rng(1)
    shifts, scales = random.normal(0, 3, 560), random.uniform(0.1, 0.3, 560)
    features = LowFrameRate(7, 6, tuple(shifts), tuple(scales), FUNASR_FBANK)
    wave = speech_like(seconds)
    fbank = kaldi_fbank(wave * np.float32(32768), 0.0, True, "hamming")
    wanted = (low_frame_rate(fbank, 7, 6) + shifts) * scales
    np.testing.assert_allclose(features(wave), wanted, atol=1e-3)


@pytest.mark.parametrize("seconds", LENGTHS)
@pytest.mark.parametrize(("bins", "normalise"), [(80, True), (128, True), (80, False)])
def test_nemo(bins: int, normalise: bool, seconds: float) -> None:
    wave = speech_like(seconds)
    found = NemoMel(bins, normalise)(wave)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, nemo_mel(wave, bins, normalise), atol=2e-3)


@pytest.mark.parametrize("seconds", LENGTHS)
def test_gigaam(seconds: float) -> None:
    wave = speech_like(seconds)
    np.testing.assert_allclose(GigaamMel()(wave), gigaam_mel(wave, centred=True), atol=1e-3)
    third = GigaamMel(third=True)(wave)
    np.testing.assert_allclose(third, gigaam_mel(wave, centred=False), atol=0.06)
    assert np.abs(third - gigaam_mel(wave, centred=False)).max() > 1e-4  # bfloat16


def test_samples() -> None:
    wave = speech_like(0.3) + np.float32(0.2)
    assert (RawSamples()(wave) == wave).all()
    found = RawSamples(normalise=True)(wave)
    assert found.dtype == np.float32
    assert abs(found.mean()) < 1e-5
    assert found.std() == pytest.approx(1.0, abs=1e-4)
    assert RawSamples(normalise=True)(np.zeros(100, np.float32)).tolist() == [0.0] * 100


def test_silence_is_finite() -> None:
    silence = np.zeros(8000, np.float32)
    for features in (ICEFALL_FBANK, WENET_FBANK, NemoMel(), GigaamMel(), GigaamMel(True)):
        assert np.isfinite(features(silence)).all()
