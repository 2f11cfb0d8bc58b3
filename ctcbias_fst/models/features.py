"""Log-mel features, the same for training and recognition: Kaldi's, by lhotse's windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lhotse.features.kaldi.layers import Wav2FFT
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.audio.audio import Recording

FRAME_SECONDS = 0.01
"""Time from one feature frame to the next, in seconds."""

_LOWEST, _BELOW_NYQUIST = 20.0, 400.0
"""Hertz: where the first filter begins, and how far below the highest frequency the last ends."""


class LogMel(nn.Module):
    """Samples in [-1, 1] to log-mel energies, 25 ms windows every 10 ms, no dither.

    Utterances are transformed one by one, so that none sees another's padding.
    """

    bank: Tensor

    def __init__(self, mels: int = 80, sampling_rate: int = 16000) -> None:
        super().__init__()
        self.sampling_rate = sampling_rate
        self.spectrum = Wav2FFT(
            sampling_rate=sampling_rate,
            frame_length=0.025,
            frame_shift=FRAME_SECONDS,
            dither=0.0,
            snip_edges=False,
            use_energy=False,
        )
        bank = mel_bank(mels, self.spectrum.fft_length, sampling_rate)
        self.register_buffer("bank", bank, persistent=False)

    @torch.no_grad()
    def forward(self, samples: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Transform utterances.

        Args:
            samples: one tensor of shape ``(samples,)`` per utterance, float32.

        Returns:
            features ``(batch, frame, mel)`` padded with zeros, and lengths ``(batch,)`` in
            frames (int64, on the CPU).
        """
        frames = [self._one(wave) for wave in samples]
        lengths = torch.tensor([len(frame) for frame in frames], dtype=torch.int64)
        return pad_sequence(frames, batch_first=True), lengths

    def _one(self, wave: Tensor) -> Tensor:
        power = self.spectrum(wave.unsqueeze(0)).squeeze(0).abs().pow(2)
        energies: Tensor = torch.matmul(power, self.bank)
        return energies.clamp_min(torch.finfo(torch.float32).eps).log()


def framed(recording: Recording, device: torch.device) -> Tensor:
    """The samples of a recording, with silence behind them where there is no frame of features."""
    samples = np.asarray(recording.samples)
    least = round(FRAME_SECONDS * recording.sampling_rate)
    return torch.from_numpy(np.pad(samples, (0, max(0, least - len(samples))))).to(device)


def any_samples(recordings: Sequence[Recording]) -> Tensor:
    """Which recordings have any; of others no frame is theirs."""
    return torch.tensor([len(recording.samples) > 0 for recording in recordings])


def mel_bank(mels: int, fft_length: int, sampling_rate: int) -> Tensor:
    """Kaldi's triangular filters, to the bit those of lhotse.

    lhotse's own function gives tensors to numpy, of which numpy 2 warns.

    Args:
        mels: filters, from 20 Hz to 400 Hz below half the sampling rate.
        fft_length: of the windows, in samples.
        sampling_rate: in Hertz.

    Returns:
        float32 ``(1 + fft_length / 2, mels)``, to multiply power spectra with.
    """
    lowest, highest = (float(_mel(f)) for f in (_LOWEST, 0.5 * sampling_rate - _BELOW_NYQUIST))
    step = (highest - lowest) / (mels + 1)
    number = torch.arange(mels).unsqueeze(1)
    left, centre, right = (lowest + (number + edge) * step for edge in (0.0, 1.0, 2.0))
    hertz = sampling_rate / fft_length * torch.arange(fft_length / 2)
    mel = torch.from_numpy(_mel(hertz.numpy())).unsqueeze(0)
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    filters = torch.minimum(rising, falling).clamp_min(0.0)
    return nn.functional.pad(filters, (0, 1)).t()


def _mel(hertz: npt.ArrayLike) -> npt.NDArray[np.floating[Any]]:
    """The scale of mels, in the type of its argument."""
    scaled: npt.NDArray[np.floating[Any]] = 1127.0 * np.log(1 + np.asarray(hertz) / 700)
    return scaled
