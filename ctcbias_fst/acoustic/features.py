"""Log-mel features, the same for training and recognition (lhotse's Kaldi-like ``Fbank``)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lhotse.features.kaldi.layers import Wav2LogFilterBank
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

__all__ = ["FRAME_SECONDS", "LogMel"]

FRAME_SECONDS = 0.01
"""Time from one feature frame to the next, in seconds."""


class LogMel(nn.Module):
    """Samples in [-1, 1] to log-mel energies, 25 ms windows every 10 ms, no dither.

    Utterances are transformed one by one, so that none sees another's padding.
    """

    def __init__(self, mels: int = 80, sampling_rate: int = 16000) -> None:
        super().__init__()
        self.sampling_rate = sampling_rate
        self.filterbank = Wav2LogFilterBank(
            sampling_rate=sampling_rate,
            frame_length=0.025,
            frame_shift=FRAME_SECONDS,
            dither=0.0,
            snip_edges=False,
            num_filters=mels,
        )

    @torch.no_grad()
    def forward(self, samples: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Transform utterances.

        Args:
            samples: one tensor of shape ``(samples,)`` per utterance, float32.

        Returns:
            features ``(batch, frame, mel)`` padded with zeros, and lengths ``(batch,)`` in
            frames (int64, on the CPU).
        """
        frames = [self.filterbank(wave.unsqueeze(0)).squeeze(0) for wave in samples]
        lengths = torch.tensor([len(frame) for frame in frames], dtype=torch.int64)
        return pad_sequence(frames, batch_first=True), lengths
