"""One stream: log-probs in as they come, words out as soon as no later frame can change them."""

from __future__ import annotations

from typing import Any, Protocol

from ctcbias_fst.streaming.state import StreamState
from ctcbias_fst.streaming.updates import Update


class Advances(Protocol):
    """What advances streams: :class:`ctcbias_fst.streaming.streams.StreamDecoder`."""

    def accept_all(
        self, streams: list[Stream], chunks: list[Any], *, phones: list[Any]
    ) -> list[Update]: ...

    def finish_all(self, streams: list[Stream]) -> list[Update]: ...

    def update_entities(self, stream: Stream, entities: Any) -> None: ...


class Stream:
    """A stream of log-probs; :meth:`ctcbias_fst.decoder.Decoder.stream` opens one.

    Decisions are made every ``step`` seconds of the stream, counted from its beginning: the same
    log-probs give the same text, whatever chunks they come in. A stream is for one thread at a
    time; one that is not needed any more is dropped like any object, finished or not.

    Args:
        advances: what advances it.
        state: how it stands.
    """

    def __init__(self, advances: Advances, state: StreamState) -> None:
        self._advances, self._state = advances, state

    def __repr__(self) -> str:
        state = self._state
        seconds = state.seconds(state.searched)
        return f"<Stream {state.name}, {seconds:g} s{', finished' if state.finished else ''}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """A stream stays where it is: a copy would go on from the same audio.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{self!r} cannot be copied or pickled: open one where it is needed")

    def accept(self, log_probs: Any, phones: Any = None) -> Update:
        """Take the next chunk.

        Args:
            log_probs: of numpy or torch, ``(frame, token)``, any number of frames; or a `LogProbs`
                of one utterance.
            phones: log-probs of phones, ``(frame, phone)`` of the same frames or a
                :class:`ctcbias_fst.phone_log_probs.PhoneLogProbs`, where the decoder needs them.

        Returns:
            what is known now.

        Raises:
            LogProbsError: shape, type, vocabulary or values are wrong; the chunk is left out, and
                the stream is as it was.
            ConfigError: the stream is finished.
        """
        return self._advances.accept_all([self], [log_probs], phones=[phones])[0]

    def finish(self) -> Update:
        """Commit what is left; a second time it gives the same text, and nothing new."""
        return self._advances.finish_all([self])[0]

    def update_entities(self, entities: Any) -> None:
        """Take another list for what is not committed yet.

        Args:
            entities: what :meth:`ctcbias_fst.decoder.Decoder.compile` takes or returned, or None.

        Raises:
            EntityListError: it is no list, or no entry of it can have an effect.
            GraphError: it was compiled for another model.
            ConfigError: the stream is finished, or the list needs phones, and none came so far.
        """
        self._advances.update_entities(self, entities)

    @property
    def heard(self) -> tuple[int, int]:
        """How many frames have come, and how many of phones."""
        frames = self._state.frames
        return frames.tokens.end, 0 if frames.phones is None else frames.phones.end

    def state_of(self, advances: Advances) -> StreamState | None:
        """How it stands, for what advances it; None for another one."""
        return self._state if self._advances is advances else None
