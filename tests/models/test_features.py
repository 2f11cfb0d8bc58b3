"""Log-mel features: lhotse's, to the bit, without what newer libraries warn of."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from lhotse.features.kaldi.layers import Wav2LogFilterBank

from ctcbias_fst.models.features import LogMel, mel_bank
from tests.tiny_models import speechlike


def lhotses(mels: int, rate: int) -> Wav2LogFilterBank:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Wav2LogFilterBank(
            sampling_rate=rate, frame_length=0.025, frame_shift=0.01, dither=0.0,
            snip_edges=False, num_filters=mels,
        )  # fmt: skip


@pytest.mark.parametrize("mels", [4, 23, 40, 80, 128])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
def test_filters_are_lhotses(mels: int, rate: int) -> None:
    right = lhotses(mels, rate)
    assert torch.equal(mel_bank(mels, right.fft_length, rate), right._fb)


def test_features_are_lhotses() -> None:
    right, extract = lhotses(80, 16000), LogMel(80, 16000)
    waves = [torch.from_numpy(speechlike(seconds, 3)) for seconds in (0.011, 0.5, 1.3)]
    waves += [torch.zeros(4000), torch.full((4000,), 1e-7)]
    features, lengths = extract(waves)
    for row, length, wave in zip(features, lengths.tolist(), waves):
        expected = right(wave.unsqueeze(0))[0]
        assert torch.equal(row[:length], expected)
        assert not row[length:].any()


def test_no_tensor_is_given_to_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy 2 warns of it; here it is an error with every numpy."""

    def refused(*arguments: object) -> None:
        raise DeprecationWarning(arguments)

    monkeypatch.setattr(torch.Tensor, "__array_wrap__", refused)
    with pytest.raises(DeprecationWarning):
        np.log(torch.ones(2))
    LogMel(80, 16000)([torch.zeros(4000)])
