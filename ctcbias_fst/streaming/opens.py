"""What a decoder of utterances, and a recogniser of recordings, need to be ones of streams."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock
from typing import Any, Generic, Protocol, TypeVar

from ctcbias_fst.streaming.second_pass import PieceDecoder
from ctcbias_fst.streaming.stream import Stream
from ctcbias_fst.streaming.streams import StreamDecoder
from ctcbias_fst.streaming.updates import Update

_LOCK = RLock()


class AdvancesMany(Protocol):
    """What advances many streams at a time."""

    def finish_all(self, streams: Sequence[Any]) -> list[Update]: ...


S = TypeVar("S")
A = TypeVar("A", bound=AdvancesMany)


class OpensMany(Generic[S, A]):
    """Has what advances its streams, made when the first of them is opened."""

    _opened: A | None = None

    def _made(self) -> A:
        """What advances streams, anew."""
        raise NotImplementedError

    @property
    def _streams(self) -> A:
        with _LOCK:
            if self._opened is None:
                self._opened = self._made()
            return self._opened

    def finish_all(self, streams: Sequence[S]) -> list[Update]:
        """Commit what is left of each of many streams.

        Args:
            streams: of this one, none of them twice, finished or not.

        Returns:
            what is known of each; of one that was finished before, nothing new.

        Raises:
            ConfigError: a stream is of another one, or comes twice.
        """
        return self._streams.finish_all(streams)


class OpensStreams(OpensMany[Stream, StreamDecoder], PieceDecoder):
    """Opens streams, and advances many at a time."""

    def stream(
        self, entities: Any = None, *, name: str = "1", first_step: float | None = None
    ) -> Stream:
        """Open a stream: log-probs in as they come, words out as soon as nothing can change them.

        Args:
            entities: one list, as :meth:`decode` takes it; it may be changed later.
            name: of the stream, for messages.
            first_step: seconds until the first decision, by default ``stream.step``: less where a
                model gives its frames later than their audio comes, so that decisions fall on
                the ends of its chunks.

        Raises:
            EntityListError: it is no list, or no entry of it can have an effect.
            GraphError: it was compiled for another model.
            ConfigError: tokens are phones, of which a lexicon makes words; or the first step is
                none.
        """
        return self._streams.open(entities, name, first_step)

    def accept_all(
        self,
        streams: Sequence[Stream],
        chunks: Sequence[Any],
        *,
        phones: Sequence[Any] | None = None,
    ) -> list[Update]:
        """Take the next chunk of each of many streams: much faster than one after the other.

        Args:
            streams: of this decoder, none of them twice.
            chunks: of log-probs, one for each; see :meth:`Stream.accept`.
            phones: likewise, where they are needed.

        Raises:
            LogProbsError: a chunk is wrong; then none of them is taken.
            ConfigError: a stream is finished or of another decoder, or there are not as many
                chunks.
        """
        return self._streams.accept_all(streams, chunks, phones=phones)

    def _made(self) -> StreamDecoder:
        return StreamDecoder(self)
