"""The one place where the stages are wired together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Union

import numpy as np
import numpy.typing as npt
import soxr
import torch

from ctcbias_fst.acoustic.audio import Recording, check_samples, read_audio
from ctcbias_fst.acoustic.recognise import AcousticModel
from ctcbias_fst.decode.config import DecodeConfig
from ctcbias_fst.decode.decoder import Decoder
from ctcbias_fst.decode.segments import cut_at_pauses, join_segments
from ctcbias_fst.errors import AudioError
from ctcbias_fst.records import LogProbs, Transcript

__all__ = ["Failure", "Recognizer"]

Audio = Union[str, Path, npt.NDArray[np.float32]]
_BATCH_SECONDS = 120.0


@dataclass(frozen=True)
class Failure:
    """A recording that could not be used, and why."""

    id: str
    error: AudioError


class Recognizer:
    """Speech in, transcripts out.

    >>> recognizer = Recognizer.from_pretrained()                    # doctest: +SKIP
    >>> print(recognizer.transcribe("talk.wav").best.text)           # doctest: +SKIP
    """

    def __init__(self, model: AcousticModel, config: DecodeConfig = DecodeConfig()) -> None:  # noqa: B008
        self.model = model
        self.decoder = Decoder(model.tokenizer.vocabulary, config, model.device)
        self.audio_seconds = 0.0
        """How much audio was transcribed so far."""

    @classmethod
    def from_pretrained(
        cls,
        path: Path | None = None,
        *,
        device: torch.device | str = "cpu",
        config: DecodeConfig = DecodeConfig(),  # noqa: B008
    ) -> Recognizer:
        """Load a model directory, by default the model inside the package.

        Raises:
            ModelError: a file of the model is missing, damaged or of another model.
        """
        return cls(AcousticModel.load(path, device), config)

    def transcribe(self, audio: Audio, sampling_rate: int | None = None) -> Transcript:
        """Transcribe one recording.

        Args:
            audio: a path, or mono samples in [-1, 1] of shape ``(samples,)``.
            sampling_rate: of the samples; by default the model's. Not for paths.

        Raises:
            AudioError: the recording cannot be used.
        """
        return self.transcribe_batch([self._recording(audio, sampling_rate)])[0]

    def transcribe_batch(self, recordings: Sequence[Recording]) -> list[Transcript]:
        """Transcribe recordings at the model's rate, all at once."""
        self.audio_seconds += sum(recording.seconds for recording in recordings)
        return self.decode(self.model.log_probs(recordings))

    def decode(self, log_probs: LogProbs) -> list[Transcript]:
        """Decode log-probs of this model; long utterances are cut at pauses."""
        batch, segments = cut_at_pauses(log_probs)
        return join_segments(self.decoder.decode(batch), segments, log_probs.frame_seconds)

    def transcribe_files(self, paths: Iterable[Path | str]) -> Iterator[Transcript | Failure]:
        """Transcribe files in batches, in their order; one that cannot be used is no error."""
        batch: list[Recording | Failure] = []
        seconds = 0.0
        for path in paths:
            item: Recording | Failure
            try:
                item = read_audio(path, self.model.sampling_rate)
                seconds += item.seconds
            except AudioError as error:
                item = Failure(str(path), error)
            batch.append(item)
            if seconds >= _BATCH_SECONDS:
                yield from self._transcribe_good(batch)
                batch, seconds = [], 0.0
        yield from self._transcribe_good(batch)

    def _transcribe_good(
        self, batch: Sequence[Recording | Failure]
    ) -> Iterator[Transcript | Failure]:
        recordings = [item for item in batch if isinstance(item, Recording)]
        done = iter(self.transcribe_batch(recordings) if recordings else [])
        for item in batch:
            yield item if isinstance(item, Failure) else next(done)

    def _recording(self, audio: Audio, sampling_rate: int | None) -> Recording:
        target = self.model.sampling_rate
        if isinstance(audio, (str, Path)):
            return read_audio(audio, target)
        samples = np.asarray(audio, dtype=np.float32)
        rate = target if sampling_rate is None else sampling_rate
        samples = check_samples(samples, rate, "samples")
        if rate != target:
            samples = soxr.resample(samples, rate, target)
        return Recording("samples", samples, target)
