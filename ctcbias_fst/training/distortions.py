"""What happens to speech on its way to a recogniser, on samples, for training.

In the order of the world: whispering, a microphone that overloads, a telephone or a codec, and a
level far too low. Room and noise come before all of these, from :class:`Augmentation`.
"""

from __future__ import annotations

import io
import random

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch
from torch import Tensor

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.training.training_config import AugmentConfig, Codec

Samples = npt.NDArray[np.float32]

_FORMATS: dict[Codec, tuple[str, str, int, tuple[float, float] | None]] = {
    "mu-law": ("WAV", "ULAW", 8000, None),
    "a-law": ("WAV", "ALAW", 8000, None),
    "gsm": ("WAV", "GSM610", 8000, None),
    "g721": ("AU", "G721_32", 8000, None),
    "adpcm": ("WAV", "IMA_ADPCM", 16000, None),
    "opus": ("OGG", "OPUS", 16000, (0.9, 1.0)),
    "vorbis": ("OGG", "VORBIS", 16000, (0.7, 1.0)),
    "mp3": ("MP3", "MPEG_LAYER_III", 16000, (0.7, 0.9)),
}
"""Format, subtype, rate in Hz, and range of libsndfile's level of compression."""

_FRAME, _HOP, _ENVELOPE = 512, 128, 40


class Distortions:
    """Draws for every utterance what happens to it.

    Raises:
        ConfigError: libsndfile lacks a codec.
    """

    def __init__(self, config: AugmentConfig, generator: random.Random) -> None:
        self.config = config
        self.random = generator
        if config.codec_probability:
            for codec in config.codecs:
                _check(codec)

    def __call__(self, samples: Tensor, rate: int) -> Tensor:
        """Distort ``(samples,)`` float32; the result has as many samples."""
        config, draw = self.config, self.random
        wave: Samples = samples.numpy()
        if draw.random() < config.whisper_probability:
            wave = whispered(wave, draw.getrandbits(32))
        if draw.random() < config.clip_probability:
            wave = clipped(wave, draw.uniform(*config.clip_share))
        if draw.random() < config.telephone_probability:
            band = (draw.uniform(200.0, 400.0), draw.uniform(3000.0, 3700.0))
            wave = narrowband(wave, rate, band)
            wave = coded(wave, rate, draw.choice(("mu-law", "a-law", "gsm")), draw.random())
        elif draw.random() < config.codec_probability:
            wave = coded(wave, rate, draw.choice(config.codecs), draw.random())
        if draw.random() < config.quiet_probability:
            wave = quiet(wave, draw.uniform(*config.quiet_db))
        return torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))


def narrowband(wave: Samples, rate: int, band: tuple[float, float]) -> Samples:
    """What lies within ``band`` (Hz), with edges that fall over a tenth of their frequency."""
    spectrum = np.fft.rfft(wave)
    frequencies = np.fft.rfftfreq(len(wave), 1.0 / rate)
    low, high = band
    rise = np.clip((frequencies - 0.9 * low) / (0.1 * low), 0.0, 1.0)
    fall = np.clip((1.1 * high - frequencies) / (0.1 * high), 0.0, 1.0)
    return np.fft.irfft(spectrum * rise * fall, n=len(wave)).astype(np.float32)


def coded(wave: Samples, rate: int, codec: Codec, strength: float) -> Samples:
    """Through a real codec of libsndfile and back.

    Args:
        wave: full scale 1; louder samples are limited, as codecs do.
        rate: in Hz.
        codec: which one; those of telephones run at 8 kHz.
        strength: 0 to 1, of compression where a codec lets one choose.
    """
    kind, subtype, own_rate, levels = _FORMATS[codec]
    inner = soxr.resample(np.clip(wave, -1.0, 1.0), rate, own_rate)
    level = {} if levels is None else {"compression_level": levels[0] + strength * np.ptp(levels)}
    content = io.BytesIO()
    with soundfile.SoundFile(
        content, "w", own_rate, 1, subtype=subtype, format=kind, **level
    ) as out:
        out.write(inner)
    content.seek(0)
    decoded, _ = soundfile.read(content, dtype="float32")
    return _as_long(soxr.resample(decoded, own_rate, rate), len(wave))


def clipped(wave: Samples, share: float) -> Samples:
    """Limited so that ``share`` of the samples is at the limit, which becomes full scale."""
    limit = float(np.quantile(np.abs(wave), 1.0 - share)) if len(wave) else 0.0
    if limit <= 0.0:
        return wave
    cut: Samples = np.clip(wave / limit, -1.0, 1.0).astype(np.float32)
    return cut


def quiet(wave: Samples, decibels: float) -> Samples:
    """At another level, rounded to 16 bits as a sound card does."""
    steps = np.round(wave * 10.0 ** (decibels / 20.0) * 32768.0)
    rounded: Samples = (steps / 32768.0).astype(np.float32)
    return rounded


def whispered(wave: Samples, seed: int) -> Samples:
    """The same spectral envelope with noise for a voice, and less of the low frequencies.

    The envelope is the low part of the cepstrum of each frame (of 32 ms at 16 kHz).
    """
    if len(wave) < _FRAME:
        return wave
    spectrum = _transform(torch.from_numpy(wave))
    cepstrum = torch.fft.irfft(spectrum.abs().clamp_min(1e-5).log(), dim=0)
    cepstrum[_ENVELOPE:-_ENVELOPE] = 0.0
    envelope = torch.fft.rfft(cepstrum, dim=0).real.exp()
    noise = torch.randn(len(wave), generator=torch.Generator().manual_seed(seed))
    bins = torch.arange(len(envelope))[:, None] / len(envelope)
    breath = _transform(noise) * envelope * (bins / 0.15).clamp(0.1, 1.0)
    result: Samples = torch.istft(
        breath, _FRAME, _HOP, window=torch.hann_window(_FRAME), length=len(wave)
    ).numpy()
    before, after = (float(np.sqrt(np.mean(part**2))) for part in (wave, result))
    return (result * (0.5 * before / max(after, 1e-9))).astype(np.float32)


def _transform(wave: Tensor) -> Tensor:
    window = torch.hann_window(_FRAME)
    return torch.stft(wave, _FRAME, _HOP, window=window, return_complex=True)


def _check(codec: Codec) -> None:
    """Whether libsndfile has it; versions before 1.1 write no MP3, for example."""
    try:
        coded(np.zeros(1600, dtype=np.float32), 16000, codec, 0.5)
    except (soundfile.LibsndfileError, ValueError, TypeError) as error:
        raise ConfigError(
            f"augment.codecs: {codec!r} is not in this soundfile {soundfile.__version__} "
            f"(libsndfile {soundfile.__libsndfile_version__}): {error}; leave it out, or install "
            "soundfile 0.13 or newer"
        ) from error


def _as_long(wave: Samples, length: int) -> Samples:
    return wave[:length] if len(wave) >= length else np.pad(wave, (0, length - len(wave)))
