"""What ONNX models are given: the features that each family was trained on.

Each is a frozen class that is called with mono samples, full scale 1, so that it can be compared
and copied, and returns float32 ``(frame, feature)``; `RawSamples` returns ``(sample,)``. Those of
models that keep states make any frames of a stream, too (`StreamFeatures`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.models.onnx_session import kaldi_native_fbank

Array = npt.NDArray[np.float32]
Features = Callable[[Samples], Array]

_INT16 = 32768.0
_RATE = 16000
_HOP = 160
_WINDOW = 400
_FFT = 512


class StreamFeatures(Protocol):
    """Features of a stream: any frames of it, without those before.

    Attributes:
        hop: samples from one frame to the next.
    """

    @property
    def hop(self) -> int: ...

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Which samples ``[begin, end)`` of a stream frames ``[first, last)`` are made of."""

    def frames(self, wave: Samples, first: int, last: int) -> Array:
        """Frames ``[first, last)`` of a stream, ``(frame, feature)``, as they would be of all of
        it.

        Args:
            wave: the samples of :meth:`span`.
        """


@dataclass(frozen=True)
class KaldiFbank:
    """Kaldi's log-mel filterbank, without dither.

    Attributes:
        bins: filters.
        high: where the last ends, in Hertz; of 0 or less, so far below half the rate.
        snip_edges: whether only whole windows count.
        window: its name in Kaldi.
        scale: of the samples that it was trained on, 32768 for those of int16.
    """

    bins: int = 80
    high: float = -400.0
    snip_edges: bool = False
    window: str = "povey"
    scale: float = 1.0
    hop = _HOP

    def span(self, first: int, last: int) -> tuple[int, int]:
        """See `StreamFeatures`."""
        begin, end = self._ends(first, last)
        return max(0, begin), end

    def frames(self, wave: Samples, first: int, last: int) -> Array:
        """See `StreamFeatures`: the audio is mirrored where it begins, as Kaldi does."""
        before = max(0, -self._ends(first, last)[0])
        return replace(self, snip_edges=True)(np.concatenate((wave[:before][::-1], wave)))

    def _ends(self, first: int, last: int) -> tuple[int, int]:
        before = 0 if self.snip_edges else (_WINDOW - _HOP) // 2
        return first * _HOP - before, (last - 1) * _HOP - before + _WINDOW

    def __call__(self, wave: Samples) -> Array:
        options = kaldi_native_fbank().FbankOptions()
        options.frame_opts.samp_freq = _RATE
        options.frame_opts.dither = 0.0
        options.frame_opts.snip_edges = self.snip_edges
        options.frame_opts.window_type = self.window
        options.mel_opts.num_bins = self.bins
        options.mel_opts.high_freq = self.high
        fbank = kaldi_native_fbank().OnlineFbank(options)
        fbank.accept_waveform(_RATE, np.asarray(wave * self.scale, dtype=np.float32))
        fbank.input_finished()
        frames = [fbank.get_frame(i) for i in range(fbank.num_frames_ready)]
        return np.stack(frames) if frames else np.zeros((0, self.bins), dtype=np.float32)


@dataclass(frozen=True)
class LowFrameRate:
    """FunASR's features: several frames of a filterbank at once, shifted and scaled.

    Attributes:
        size, shift: frames at once, and from one row to the next.
        shifts, scales: of each feature, ``size`` times as many as there are filters.
        fbank: makes the frames.
    """

    size: int
    shift: int
    shifts: tuple[float, ...]
    scales: tuple[float, ...]
    fbank: KaldiFbank

    def __call__(self, wave: Samples) -> Array:
        frames = self.fbank(wave)
        if not len(frames):
            return np.zeros((0, len(self.shifts)), dtype=np.float32)
        rows = -(-len(frames) // self.shift)
        before = (self.size - 1) // 2
        behind = max(0, (rows - 1) * self.shift + self.size - before - len(frames))
        padded = np.pad(frames, ((before, behind), (0, 0)), mode="edge")
        at = np.arange(rows)[:, None] * self.shift + np.arange(self.size)
        stacked = padded[at].reshape(rows, -1)
        found = (stacked + np.array(self.shifts)) * np.array(self.scales)
        return np.asarray(found, dtype=np.float32)


@dataclass(frozen=True)
class NemoMel:
    """NeMo's log-mel energies: 25 ms every 10 ms, FFT of 512, pre-emphasis, Slaney's filters.

    Attributes:
        bins: filters.
        normalise: whether each feature is shifted and scaled to mean 0 and variance 1.
    """

    bins: int = 80
    normalise: bool = True

    hop = _HOP

    def span(self, first: int, last: int) -> tuple[int, int]:
        """See `StreamFeatures`; one sample more, for the pre-emphasis."""
        return max(0, first * _HOP - _FFT // 2 - 1), (last - 1) * _HOP + _FFT // 2

    def frames(self, wave: Samples, first: int, last: int) -> Array:
        """See `StreamFeatures`; they are not normalised."""
        before = _FFT // 2 - first * _HOP
        emphasised = _emphasised(wave) if before >= 0 else _emphasised(wave)[1:]
        return self._log_mel(np.pad(emphasised, (max(0, before), 0)), last - first)

    def __call__(self, wave: Samples) -> Array:
        found = self._log_mel(np.pad(_emphasised(wave), _FFT // 2), len(wave) // _HOP)
        return normalised(found) if self.normalise and len(found) > 1 else found

    def _log_mel(self, emphasised: npt.NDArray[np.float32], frames: int) -> Array:
        window = np.pad(np.hanning(_WINDOW), (_FFT - _WINDOW) // 2)
        power = _power(emphasised, window, frames)
        found = np.log(power @ _slaney_filters(self.bins) + 2.0**-24)
        return np.asarray(found, dtype=np.float32)


def normalised(features: Array) -> Array:
    """Each feature of ``(frame, feature)`` shifted and scaled to mean 0 and variance 1."""
    wide = features.astype(np.float64)
    spread = wide.std(axis=0, ddof=1) + 1e-5
    return np.asarray((wide - wide.mean(axis=0)) / spread, dtype=np.float32)


def _emphasised(wave: Samples) -> npt.NDArray[np.float32]:
    return np.append(wave[:1], wave[1:] - np.float32(0.97) * wave[:-1])


@dataclass(frozen=True)
class GigaamMel:
    """GigaAM's log-mel energies of 64 filters, not normalised.

    Attributes:
        third: as of version 3, whose windows are shorter, not centred, and in bfloat16.
    """

    third: bool = False

    def __call__(self, wave: Samples) -> Array:
        size = 320 if self.third else 400
        window = np.hanning(size + 1)[:-1]
        filters = _htk_filters(64, size)
        if self.third:
            frames = max(0, (len(wave) - size) // _HOP + 1)
            power = _power(wave, _bfloat16(window), frames) @ _bfloat16(filters)
        else:
            power = _power(np.pad(wave, 200, mode="reflect"), window, len(wave) // _HOP + 1)
            power = power @ filters
        return np.asarray(np.log(power.clip(1e-9, 1e9)), dtype=np.float32)


@dataclass(frozen=True)
class RawSamples:
    """The samples themselves.

    Attributes:
        normalise: whether they are shifted and scaled to mean 0 and variance 1.
    """

    normalise: bool = False

    def __call__(self, wave: Samples) -> Array:
        if not self.normalise:
            return np.asarray(wave, dtype=np.float32)
        wide = np.asarray(wave, dtype=np.float64)
        found = (wide - wide.mean()) / np.sqrt(wide.var() + 1e-7)
        return np.asarray(found, dtype=np.float32)


@dataclass(frozen=True)
class WholeNumbers:
    """The samples as whole numbers of ``(sample, 1)``, as T-one takes them.

    Attributes:
        scale: of full scale.
    """

    scale: int = 32767
    hop = 1

    def span(self, first: int, last: int) -> tuple[int, int]:
        """See `StreamFeatures`."""
        return first, last

    def frames(self, wave: Samples, first: int, last: int) -> Array:
        """See `StreamFeatures`."""
        return self(wave)

    def __call__(self, wave: Samples) -> Array:
        scaled = np.asarray(wave, dtype=np.float32)[:, None] * self.scale
        return np.asarray(np.trunc(scaled), dtype=np.float32)


FUNASR_FBANK = KaldiFbank(high=0.0, snip_edges=True, window="hamming", scale=_INT16)
ICEFALL_FBANK = KaldiFbank()
WENET_FBANK = KaldiFbank(high=0.0, snip_edges=True, scale=_INT16)


def _power(wave: npt.NDArray[Any], window: npt.NDArray[Any], frames: int) -> npt.NDArray[Any]:
    """Power spectra ``(frame, frequency)`` of windows that begin every 10 ms."""
    views = np.lib.stride_tricks.sliding_window_view(wave, len(window))[::_HOP][:frames]
    spectrum: npt.NDArray[Any] = np.abs(np.fft.rfft(views * window, axis=1)) ** 2
    return spectrum


@lru_cache(maxsize=4)
def _slaney_filters(bins: int) -> npt.NDArray[np.float64]:
    """Filters of equal area on Slaney's scale, from 0 Hz to half the rate, for an FFT of 512."""
    bend, per_mel, steepness = 1000.0, 200.0 / 3.0, np.log(6.4) / 27.0
    top = bend / per_mel + np.log(_RATE / 2 / bend) / steepness
    mels = np.linspace(0.0, top, bins + 2)
    above = bend * np.exp(steepness * (mels - bend / per_mel))
    edges = np.where(mels < bend / per_mel, mels * per_mel, above)
    found: npt.NDArray[np.float64] = _triangles(edges, 512) * (2.0 / (edges[2:] - edges[:-2]))
    return found


@lru_cache(maxsize=4)
def _htk_filters(bins: int, fft: int) -> npt.NDArray[np.float64]:
    """Filters of equal height on HTK's scale of mels, from 0 Hz to half the rate."""
    mels = np.linspace(0.0, 2595.0 * np.log10(1.0 + _RATE / 2 / 700.0), bins + 2)
    return _triangles(700.0 * (10.0 ** (mels / 2595.0) - 1.0), fft)


def _triangles(edges: npt.NDArray[np.float64], fft: int) -> npt.NDArray[np.float64]:
    """Triangles between edges in Hertz, ``(frequency, filter)``."""
    hertz = np.linspace(0.0, _RATE / 2, fft // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    slopes = np.minimum((hertz - left) / (centre - left), (right - hertz) / (right - centre))
    found: npt.NDArray[np.float64] = slopes.clip(min=0.0)
    return found


def _bfloat16(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    rounded = torch.from_numpy(values.astype(np.float32)).to(torch.bfloat16).float()
    found: npt.NDArray[np.float32] = rounded.numpy()
    return found
