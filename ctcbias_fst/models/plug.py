"""What a recogniser needs of a model: the embedded one, other people's, a function of the user's.

A model of ours is a `SpeechModel` itself. Every other is made of a `Scorer`, the small part in
which families differ: :class:`ctcbias_fst.models.scored.ScoredModel` does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from ctcbias_fst.audio.audio import Recording, Samples
from ctcbias_fst.errors import AudioError, CtcbiasError
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.pieces import PiecesConfig
from ctcbias_fst.models.stream_windows import WindowConfig
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.tokens import Tokenizer


class Listener(Protocol):
    """What hears audio, frame by frame.

    Attributes:
        family: what it is, for people: ``embedded``, ``wav2vec2 (Hugging Face)``.
        sampling_rate: of the audio that it takes.
        frame_seconds: how much audio a row of its output stands for.
    """

    @property
    def family(self) -> str: ...
    @property
    def sampling_rate(self) -> int: ...
    @property
    def frame_seconds(self) -> float: ...


class TokenListener(Listener, Protocol):
    """What hears tokens.

    Attributes:
        tokenizer: of its tokens, with the vocabulary: what the columns are.
        device: where it computes.
    """

    @property
    def tokenizer(self) -> Tokenizer: ...
    @property
    def device(self) -> torch.device: ...


class Step(NamedTuple):
    """What a model is given at a time, of one stream.

    Attributes:
        number: which step of the stream, from 0.
        samples: those of :meth:`Steps.samples`, with silence where the stream has ended.
        length: so many of them are the stream's.
        states: what the step before left; None before the first.
        names: the list of the stream, for the adapter.
    """

    number: int
    samples: Samples
    length: int
    states: Any = None
    names: ListedNames | None = None


class Stepped(NamedTuple):
    """What comes of a step.

    Attributes:
        scores: ``(frame, token)``.
        states: for the next step.
        phones: log-probs ``(frame, phone)``, if the model hears them.
        unbiased: the scores without the adapter, if they are not the same.
    """

    scores: Tensor
    states: Any
    phones: Tensor | None = None
    unbiased: Tensor | None = None


class Steps(Protocol):
    """How a model that keeps states goes through streams: in steps of one length, counted from the
    beginning. Threads may share it.

    Attributes:
        seconds: from one step to the next.
        latest_seconds: how long after it was said a frame is scored, at most, when audio comes at
            once.
        phones: of how many it makes log-probs beside those of tokens, the blank among them; 0 if
            it hears none.
        lag: seconds by which it writes tokens after their sounds, if that is known.
    """

    @property
    def seconds(self) -> float: ...
    @property
    def latest_seconds(self) -> float: ...
    @property
    def phones(self) -> int: ...
    @property
    def lag(self) -> float | None: ...

    def samples(self, number: int) -> tuple[int, int]:
        """Which samples ``[begin, end)`` of a stream a step is given."""

    def frames(self, number: int) -> tuple[int, int]:
        """Which frames ``[first, last)`` of a stream a step scores."""

    def count(self, samples: int) -> int:
        """How many frames a stream of so many samples has: those of its audio, and some behind, as
        tokens are written late."""

    def score(self, steps: Sequence[Step]) -> list[Stepped]:
        """Score a step of each of several streams: natural log, each frame normalised.

        Raises:
            ModelError: the model failed.
        """


class SpeechModel(TokenListener, Protocol):
    """Makes log-probs of recordings. Threads may share it.

    Attributes:
        family: what it is, for people: ``embedded``, ``wav2vec2 (Hugging Face)``.
        sampling_rate: of the recordings that it takes.
        frame_seconds: how much audio a row of its log-probs stands for.
        tokenizer: of its tokens, with the vocabulary: what the columns are.
        device: where it computes.
        lm: the language model's file, if it has one.
        hears_phones: whether its log-probs come with those of
            :data:`ctcbias_fst.text.phones.PHONES`.
        attends: whether it has an adapter, so that :meth:`listed` gives something.
        blank_known: whether it was told which column is the blank, so that nobody need look.
    """

    @property
    def lm(self) -> Path | None: ...
    @property
    def hears_phones(self) -> bool: ...
    @property
    def attends(self) -> bool: ...
    @property
    def blank_known(self) -> bool: ...

    def stream_steps(self, window: WindowConfig, config: AttentionConfig | None) -> Steps | None:
        """How it goes through streams, if it keeps states; None if it hears recordings.

        Args:
            window: what is heard at once, where that can be chosen.
            config: how far the adapter is trusted; None where it does not act.
        """

    def listed(self, entities: EncodedEntities, most: int) -> ListedNames | None:
        """Read a list of names once for the adapter; None without one.

        Args:
            entities: their tokens.
            most: spellings of names that an utterance attends to.
        """

    def log_probs(
        self,
        recordings: Sequence[Recording],
        names: Sequence[ListedNames | None] = (),
        config: AttentionConfig = ...,
        pieces: PiecesConfig = ...,
    ) -> LogProbs:
        """Score recordings of any length.

        Args:
            recordings: at the model's rate; similar durations waste the least padding.
            names: for the adapter: what :meth:`listed` gave for each, or none at all.
            config: how far the adapter is trusted.
            pieces: how long audio is cut at pauses.

        Raises:
            AudioError: there are none, or one cannot be scored.
            ModelError: the model gave what cannot be log-probs of them.
        """


@runtime_checkable
class ScoresEach(Protocol):
    """A `SpeechModel` that knows what came of each recording where it failed on one of them."""

    def log_probs_of_each(
        self,
        recordings: Sequence[Recording],
        names: Sequence[ListedNames | None] = (),
        config: AttentionConfig = ...,
        pieces: PiecesConfig = ...,
    ) -> list[LogProbs | CtcbiasError]:
        """Score recordings as :meth:`SpeechModel.log_probs` does, each a batch of one; of those
        that cannot be scored the error."""


class Scorer(TokenListener, Protocol):
    """The part of a model that a family of models has for its own.

    Attributes:
        family: as of `SpeechModel`.
        sampling_rate: of the samples that it takes.
        frame_seconds: how much audio a row of its scores stands for.
        tokenizer: of its tokens.
        device: where it computes.
        piece_seconds: what it hears best: longer audio is cut at pauses to pieces of so many
            seconds, unless settings say other.
        batches: whether several waves at once give the same scores as each alone.
        shortest_seconds: what it cannot score with less; shorter waves get silence behind them.
        longest_seconds: what it is given at once; longer audio without a pause is scored in windows
            that overlap.
        is_function: whether it is a function of the user's, who can say what a file says of other
            models.
    """

    @property
    def piece_seconds(self) -> float: ...
    @property
    def batches(self) -> bool: ...
    @property
    def shortest_seconds(self) -> float: ...
    @property
    def longest_seconds(self) -> float: ...
    @property
    def is_function(self) -> bool: ...

    def scores(self, waves: Sequence[Samples]) -> list[Tensor]:
        """Score waves.

        Args:
            waves: mono float32 each, full scale 1; one at a time unless ``batches``.

        Returns:
            of each, ``(frame, token)``: natural log, each frame normalised.
        """


def require_any(recordings: Sequence[Recording]) -> None:
    """Refuse to score nothing.

    Raises:
        AudioError: there are no recordings.
    """
    if not recordings:
        raise AudioError("no recordings: pass at least one")


class PhoneListener(Listener, Protocol):
    """Makes log-probs of phones of recordings, beside a model that hears none or instead of its
    own. Threads may share it.

    Attributes:
        family: what it is, for people.
        sampling_rate: of the recordings that it takes.
        frame_seconds: how much audio a row of its log-probs stands for.
    """

    def phone_log_probs(self, recordings: Sequence[Recording]) -> PhoneLogProbs:
        """Listen to recordings of any length.

        Args:
            recordings: at the listener's rate, or none.

        Returns:
            log-probs of a blank and of :data:`ctcbias_fst.text.phones.PHONES`, in this order.

        Raises:
            AudioError: a recording cannot be scored.
        """
