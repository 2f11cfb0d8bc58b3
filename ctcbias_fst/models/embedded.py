"""From samples to log-probs with a trained model, long audio piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.devices import checked_device
from ctcbias_fst.models.acoustic_model import ModelOutput
from ctcbias_fst.models.attended import Attended, Glance, check_length, gathered
from ctcbias_fst.models.embedded_steps import EmbeddedSteps
from ctcbias_fst.models.features import FRAME_SECONDS, LogMel, any_samples, framed
from ctcbias_fst.models.listed import ListedNames, keys_of_batch
from ctcbias_fst.models.long_audio import LAG_SECONDS, LongAudio, Scores
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.package import Package, load_package
from ctcbias_fst.models.pieces import Piece, PiecesConfig
from ctcbias_fst.models.plug import require_any
from ctcbias_fst.models.stream_windows import WindowConfig
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.phones import PHONES


class AcousticModel:
    """A model package on a device, ready to score speech; a
    :class:`ctcbias_fst.models.plug.SpeechModel`."""

    family = "ctcbias_fst"
    blank_known = True

    def __init__(self, package: Package, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.model = package.model.to(self.device)
        self.adapter = package.adapter
        self.tokenizer = package.tokenizer
        self.lm = package.lm
        """The language model's file, if it has one."""
        self.config = package.model.config
        self.sampling_rate = self.config.sampling_rate
        self.frame_seconds = FRAME_SECONDS * self.config.encoder.subsampling
        self.hears_phones = self.config.phones == PHONES
        self.attends = self.adapter is not None
        self._extract = LogMel(self.config.encoder.mels, self.sampling_rate).to(self.device)

    @classmethod
    def load(cls, path: Path | None = None, device: torch.device | str = "cpu") -> AcousticModel:
        """Load a model directory (default: the model inside the package).

        Raises:
            ModelError: see :func:`ctcbias_fst.models.package.load_package`.
            ConfigError: there is no such device.
        """
        return cls(load_package(path, checked_device(device)), device)

    @torch.inference_mode()
    def listed(self, entities: EncodedEntities, most: int) -> ListedNames | None:
        """Read a list of names once for the adapter; ``None`` without an adapter or names.

        Args:
            most: an utterance attends to so many spellings of names at most.
        """
        if self.adapter is None or not len(entities):
            return None
        return ListedNames(self.adapter, entities, most)

    def stream_steps(self, window: WindowConfig, config: AttentionConfig | None) -> EmbeddedSteps:
        """See :meth:`ctcbias_fst.models.plug.SpeechModel.stream_steps`."""
        return EmbeddedSteps(self.model, self._extract, partial(self._biased, config), window)

    @torch.inference_mode()
    def log_probs(
        self,
        recordings: Sequence[Recording],
        names: Sequence[ListedNames | None] = (),
        config: AttentionConfig = AttentionConfig(),  # noqa: B008  (frozen)
        pieces: PiecesConfig = PiecesConfig(),  # noqa: B008
    ) -> LogProbs:
        """Score a batch of recordings.

        Args:
            recordings: at the model's rate (as :func:`read_audio` gives them); similar
                durations waste the least padding.
            names: for the adapter, as :meth:`listed` gives them: one list per recording, or
                none at all. Long audio is given its names window by window.
            config: how far the adapter is trusted; ``config.names`` acts in :meth:`listed`.
            pieces: how long audio is cut.

        Returns:
            subword and phone log-probs on the model's device.

        Raises:
            AudioError: there are no recordings.
        """
        require_any(recordings)
        features, lengths = self._extract([framed(one, self.device) for one in recordings])
        lists = list(names) or [None] * len(recordings)
        if config.scale == 0.0:
            lists = [None] * len(recordings)
        scores, lengths = self._reader(config, pieces).scores(features, lengths, lists)
        lengths = lengths * any_samples(recordings)
        biased = any(one is not None for one in lists)
        ids = tuple(one.id for one in recordings)
        return self._records(scores, lengths, ids, biased=biased)

    @torch.inference_mode()
    def attend(
        self,
        recording: Recording,
        names: ListedNames,
        config: AttentionConfig = AttentionConfig(),  # noqa: B008  (frozen)
        pieces: PiecesConfig = PiecesConfig(),  # noqa: B008
    ) -> Attended:
        """Tell which names the adapter hears in a recording, and when.

        Raises:
            AudioError: it is longer than one window of the model.
        """
        check_length(recording)
        features, lengths = self._extract([framed(recording, self.device)])
        picture = features[0]
        reader = self._reader(config, pieces)
        long = reader.is_long(features.shape[1])
        if long:
            (row,), (whole,) = reader.evened([picture])
            features = row[None]
        else:
            (whole,) = reader.wholes([(None, picture)])
        frames = len(whole.plain)
        spans = reader.pieces(whole.plain, whole.phones) if long else [Piece(0, frames)]
        rate = self.config.encoder.subsampling
        glances = []
        for span in spans:
            part = features[:, span.begin * rate : span.end * rate]
            lengths = torch.tensor([part.shape[1]])
            output = self.model(self.model.normalise(part, lengths), lengths)
            (keys,) = names.keys(output)
            adapted = names.adapter(output, keys, None, config.scale, config.coverage_margin)
            seen = adapted.attention[0, : int(output.lengths)]
            glances.append(Glance(span.begin, seen, keys.entity))
        return gathered(glances, frames, picture, self.frame_seconds)

    def _records(
        self, scores: Scores, lengths: Tensor, ids: tuple[str, ...], *, biased: bool
    ) -> LogProbs:
        return LogProbs(
            log_probs=scores.biased if biased else scores.plain,
            lengths=lengths,
            frame_seconds=self.frame_seconds,
            ids=ids,
            vocabulary=self.tokenizer.vocabulary,
            phones=PhoneLogProbs(scores.phones, lengths, self.frame_seconds, LAG_SECONDS),
            lag=LAG_SECONDS,
            unbiased=scores.plain if biased else None,
        )

    def _reader(self, config: AttentionConfig, pieces: PiecesConfig) -> LongAudio[ListedNames]:
        """Scores utterances of any length with an adapter that is trusted so far."""
        rate = self.config.encoder.subsampling
        return LongAudio(partial(self._run, config), self.tokenizer.vocabulary, rate, pieces)

    def _run(
        self,
        config: AttentionConfig,
        features: Tensor,
        lengths: Tensor,
        names: Sequence[ListedNames | None],
    ) -> tuple[Scores, Tensor]:
        output = self.model(self.model.normalise(features, lengths), lengths)
        biased, plain = self._biased(config, names, output), output.log_probs
        return Scores(
            plain if biased is None else biased, plain, output.phone_log_probs
        ), output.lengths

    def _biased(
        self,
        config: AttentionConfig | None,
        names: Sequence[ListedNames | None],
        output: ModelOutput,
    ) -> Tensor | None:
        """The log-probs of tokens with the adapter; None where it attends to nothing."""
        if config is None or self.adapter is None or not config.scale:
            return None
        attended = keys_of_batch(names, output)
        if attended is None:
            return None
        adapted = self.adapter(output, *attended, config.scale, config.coverage_margin)
        return self.model.token_log_probs(adapted.states)
