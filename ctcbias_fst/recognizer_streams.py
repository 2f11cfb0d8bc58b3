"""What makes a recogniser of recordings one of streams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.audio_streams import AudioStream, AudioStreams
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import CtcbiasError
from ctcbias_fst.models.heard_streams import HearsStreams
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.outcomes import failure, of_each
from ctcbias_fst.models.plug import PhoneListener, ScoresEach, SpeechModel, Steps
from ctcbias_fst.models.stream_steps import StreamSteps
from ctcbias_fst.models.stream_windows import Scores, StreamWindows
from ctcbias_fst.records import LogProbs
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.streaming.opens import OpensMany
from ctcbias_fst.streaming.updates import Update
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

_NO_TOKENS = Vocabulary(("<blk>",), 0, WordBoundary.NONE)
"""Of phones alone: nothing but the blank, which is sure."""


class StreamSeconds(NamedTuple):
    """How streams of a recogniser take their time, in seconds.

    Attributes:
        chunk: how much the model hears at a time.
        latency: how long after it was said audio is scored at most, when it comes at once, with the
            parts that are configured.
        own_latency: that of the model alone, where nobody hears phones beside it.
    """

    chunk: float
    latency: float
    own_latency: float


class OpensAudioStreams(OpensMany[AudioStream, AudioStreams]):
    """What a recogniser of recordings needs to be one of streams."""

    model: SpeechModel
    config: PipelineConfig
    decoder: Decoder

    @property
    def phones(self) -> PhoneListener | None:
        """Who hears phones instead of the model."""
        raise NotImplementedError

    def _heard(
        self, recordings: Sequence[Recording], listed: Sequence[ListedNames | None]
    ) -> LogProbs:
        """What the model makes of recordings, with the list of each for the adapter, if it acts."""
        acting = listed if "adapter" in self.config.parts else []
        return self.model.log_probs(recordings, acting, self.config.adapter, self.config.pieces)

    def _with_phones(self, log_probs: LogProbs, recordings: Sequence[Recording]) -> LogProbs:
        raise NotImplementedError

    def _count(self, seconds: float) -> None:
        raise NotImplementedError

    def _each_heard(
        self, recordings: Sequence[Recording], listed: Sequence[ListedNames | None]
    ) -> list[LogProbs | CtcbiasError]:
        """What the model makes of each recording; it may raise where one of them fails."""
        if not isinstance(self.model, ScoresEach):
            return [*_apart(self._heard(recordings, listed))]
        acting = listed if "adapter" in self.config.parts else []
        config = self.config
        return self.model.log_probs_of_each(recordings, acting, config.adapter, config.pieces)

    def _each_with_phones(
        self, recordings: Sequence[Recording], listed: Sequence[ListedNames | None]
    ) -> list[LogProbs | CtcbiasError]:
        """The same with phones."""
        return self._beside(self._each_heard(recordings, listed), recordings)

    def _each_of_phones(
        self, recordings: Sequence[Recording], listed: Sequence[ListedNames | None]
    ) -> list[LogProbs | CtcbiasError]:
        """The phones of recordings, beside blank frames of the model's length."""
        del listed
        return self._beside([*_apart(self._blank(recordings))], recordings)

    def _beside(
        self, heard: Sequence[LogProbs | CtcbiasError], recordings: Sequence[Recording]
    ) -> list[LogProbs | CtcbiasError]:
        """The same with what the phone listener hears, if there is one; the model does not hear
        again what that fails on."""
        good = [(one, own) for one, own in zip(heard, recordings) if isinstance(one, LogProbs)]
        if self.phones is None or not good:
            return list(heard)

        def score(some: Sequence[tuple[LogProbs, Recording]]) -> list[LogProbs | CtcbiasError]:
            own = [recording for _, recording in some]
            found = _apart(self._with_phones(self._blank(own), own))
            return [replace(one, phones=beside.phones) for (one, _), beside in zip(some, found)]

        def why(one: tuple[LogProbs, Recording], error: Exception) -> CtcbiasError:
            return failure(one[1].id, one[1].id, error)

        both = iter(of_each(score, good, why))
        return [next(both) if isinstance(one, LogProbs) else one for one in heard]

    def _blank(self, recordings: Sequence[Recording]) -> LogProbs:
        """Frames of the model's length with nothing but the blank."""
        frame = self.model.frame_seconds
        lengths = torch.tensor([math.ceil(round(one.seconds / frame, 6)) for one in recordings])
        blank = torch.zeros(len(recordings), int(lengths.max()), 1, device=self.model.device)
        return LogProbs(blank, lengths, frame, tuple(one.id for one in recordings), _NO_TOKENS)

    def stream(
        self,
        entities: Any = None,
        *,
        sampling_rate: int | None = None,
        channels: int | None = None,
        name: str = "1",
    ) -> AudioStream:
        """Open a stream: audio in as it comes, words out as soon as nothing can change them.

        Args:
            entities: one list, as :meth:`transcribe` takes it; it may be changed later.
            sampling_rate: of the samples, by default that of the model.
            channels: of the samples; by default the first chunk tells, the much shorter axis of
                which is that of channels. Where chunks are as short as that, it must be said; a
                chunk that fits both ways is ``(frames, channels)``.
            name: of the stream, for messages.

        Raises:
            EntityListError: it is no list, or no entry of it can have an effect.
            GraphError: it was compiled for another model.
            AudioError: the rate is none, or there cannot be so many channels.
            ConfigError: tokens are phones, of which a lexicon makes words.
        """
        return self._streams.open(entities, sampling_rate, channels, name)

    def accept_all(
        self,
        streams: Sequence[AudioStream],
        chunks: Sequence[Any],
        *,
        sampling_rate: int | None = None,
    ) -> list[Update]:
        """Take the next chunk of each of many streams: faster than one after the other.

        Args:
            streams: of this recogniser, none of them twice.
            chunks: of samples, one for each; see :meth:`AudioStream.accept`.
            sampling_rate: of all of them, if it is to be checked.

        Raises:
            AudioError: a chunk is wrong; then none of them is taken.
            ConfigError: a stream is finished or of another recogniser, or there are not as many
                chunks.
            ModelError: the model has failed on all that it was given so far. If it fails later,
                what it fails on is taken for silence, and `Update.warnings` tells.
        """
        return self._streams.accept_all(streams, chunks, sampling_rate=sampling_rate)

    @property
    def stream_seconds(self) -> StreamSeconds:
        """How much of a stream the model hears at a time, and how late. Where phones are needed
        beside a model that keeps states, what is heard waits for the windows of theirs
        (``stream_window``); so it does for a long list, whatever the parts."""
        steps = self._steps
        chunk = self.config.stream_window.step if steps is None else steps.seconds
        needed = self.decoder.needs_phones([])
        latency, own = (self._hears(phones=one).latest_seconds for one in (needed, False))
        return StreamSeconds(chunk, latency, own)

    @property
    def streams_keep_states(self) -> bool:
        """Whether the model goes through streams step by step, from states that it keeps, and not
        in windows."""
        return self._steps is not None

    def _made(self) -> AudioStreams:
        with_phones = self._hears(phones=True)
        without = with_phones if self.phones is None else self._hears(phones=False)
        return AudioStreams(self.decoder, with_phones, without, self._count)

    def _hears(self, *, phones: bool) -> HearsStreams[Any]:
        """How the model hears streams: step by step if it keeps states, else in windows."""
        steps, vocabulary = self._steps, self.model.tokenizer.vocabulary
        if steps is None:
            score = self._each_with_phones if phones else self._each_heard
            return self._windows(score, vocabulary, self._phone_seconds(listens=phones))
        beside = None
        if phones and not steps.phones:
            beside = self._windows(
                self._each_of_phones, _NO_TOKENS, self._phone_seconds(listens=True)
            )
        return StreamSteps(steps, self.model, beside)

    def _phone_seconds(self, *, listens: bool) -> float | None:
        """How long a frame of the phones is that are heard; None if none are."""
        if listens and self.phones is not None:
            return self.phones.frame_seconds
        return self.model.frame_seconds if self.model.hears_phones else None

    @property
    def _steps(self) -> Steps | None:
        """The steps of the model, if it keeps states; None where it hears phones itself and others
        are to count."""
        acting = self.config.adapter if "adapter" in self.config.parts else None
        steps = self.model.stream_steps(self.config.stream_window, acting)
        return None if steps is not None and steps.phones and self.phones is not None else steps

    def _windows(
        self,
        score: Scores,
        vocabulary: Vocabulary,
        phone_seconds: float | None,
    ) -> StreamWindows:
        return StreamWindows(
            score,
            vocabulary,
            self.model.frame_seconds,
            self.model.sampling_rate,
            self.config.stream_window,
            phone_seconds=phone_seconds,
        )


def _apart(batch: LogProbs) -> list[LogProbs]:
    """The utterances of a batch, each a batch of one."""
    return [batch.select([row]) for row in range(batch.size)]
