"""Noise for augmentation: music that has pitches and a beat, and clips as configured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from lhotse import CutSet

from recipes.synthetic.noise import coloured, music, write_noises
from recipes.synthetic.settings import Noise


def peakiness(wave: np.ndarray) -> float:
    """How far single frequencies stand out of their surroundings within half a second."""
    spectra = [np.abs(np.fft.rfft(wave[i : i + 8000] * np.hanning(8000)))[50:2000]
               for i in range(0, len(wave) - 8000, 8000)]  # fmt: skip
    return float(np.median([spectrum.max() / np.median(spectrum) for spectrum in spectra]))


def test_music_has_pitches() -> None:
    rng = np.random.default_rng(0)
    noise = peakiness(coloured(rng, 80000, 0.0))
    for seed in range(5):
        wave = music(np.random.default_rng(seed), 80000, 16000)
        assert wave.shape == (80000,)
        assert np.isfinite(wave).all()
        assert abs(np.sqrt(np.mean(wave**2)) - 0.1) < 1e-3
        assert peakiness(wave) > 3 * noise
        assert np.array_equal(wave, music(np.random.default_rng(seed), 80000, 16000))


def test_as_many_clips_of_each_kind_as_asked_for(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "speech.wav", np.full(4000, 0.1), 16000)
    settings = Noise(clip_seconds=1.0, stationary=2, babble=1, music=3, rooms=0, babble_sources=1)
    path = write_noises(tmp_path, settings, 16000, [tmp_path / "speech.wav"], 1)
    cuts = list(CutSet.from_file(path))
    assert [cut.duration for cut in cuts] == [1.0] * 6
