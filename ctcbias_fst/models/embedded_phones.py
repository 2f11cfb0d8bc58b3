"""The phone head of a model of ours, listening beside another model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.devices import checked_device
from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.features import FRAME_SECONDS, LogMel, any_samples, framed
from ctcbias_fst.models.long_audio import LAG_SECONDS, LongAudio, Scores
from ctcbias_fst.models.package import Package, load_package
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.text.phones import PHONES


def no_phones(frame_seconds: float, device: torch.device) -> PhoneLogProbs:
    """What is heard of no recordings."""
    none = torch.zeros(0, 0, 1 + len(PHONES), device=device)
    return PhoneLogProbs(none, torch.zeros(0, dtype=torch.int64), frame_seconds)


class EmbeddedPhones:
    """Runs the encoder of a model of ours as far as its phone head; a
    :class:`ctcbias_fst.models.plug.PhoneListener`.

    Of short audio the log-probs are those of the whole model. Long audio is cut where the layers
    so far hear nothing, which may be elsewhere than the whole model cuts it.

    Args:
        package: the model.
        device: where to compute.

    Raises:
        ModelError: its phone head hears other phones, or no subwords are heard before it.
    """

    family = "ctcbias_fst"

    def __init__(self, package: Package, device: torch.device | str = "cpu") -> None:
        config = package.model.config
        encoder = config.encoder
        if config.phones != PHONES or not min(encoder.subword_taps) <= encoder.phone_tap:
            raise ModelError(
                f"{package.path}: its phone head cannot listen alone; it needs the 39 phones of "
                "CMUdict, and a tap of subwords below it"
            )
        self.path, self.device = package.path, torch.device(device)
        self.sampling_rate = config.sampling_rate
        self.frame_seconds = FRAME_SECONDS * encoder.subsampling
        self._model = package.model.to(self.device)
        self._extract = LogMel(encoder.mels, self.sampling_rate).to(self.device)
        vocabulary = package.tokenizer.vocabulary
        self._reader: LongAudio[None] = LongAudio(self._run, vocabulary, encoder.subsampling)

    @classmethod
    def load(cls, path: Path | None = None, device: torch.device | str = "cpu") -> EmbeddedPhones:
        """Load a model directory of ours (default: the model inside the package).

        Raises:
            ModelError: see :func:`ctcbias_fst.models.package.load_package`.
            ConfigError: there is no such device.
        """
        return cls(load_package(path, checked_device(device)), device)

    def __repr__(self) -> str:
        return f"<phone head of {self.path.name} at {self.sampling_rate} Hz>"

    @torch.inference_mode()
    def phone_log_probs(self, recordings: Sequence[Recording]) -> PhoneLogProbs:
        """See :meth:`ctcbias_fst.models.plug.PhoneListener.phone_log_probs`."""
        if not recordings:
            return no_phones(self.frame_seconds, self.device)
        features, lengths = self._extract([framed(one, self.device) for one in recordings])
        scores, lengths = self._reader.scores(features, lengths, [None] * len(recordings))
        lengths = lengths * any_samples(recordings)
        return PhoneLogProbs(scores.phones, lengths, self.frame_seconds, LAG_SECONDS)

    def _run(self, features: Tensor, lengths: Tensor, _: Sequence[None]) -> tuple[Scores, Tensor]:
        heard = self._model.heard_phones(self._model.normalise(features, lengths), lengths)
        subwords = heard.tap_log_probs[-1]
        return Scores(subwords, subwords, heard.phone_log_probs), heard.lengths
