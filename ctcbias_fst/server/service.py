"""What all paths of a server share: the recogniser, its work in batches, lists, limits."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any, Protocol, TypeVar

from anyio import CapacityLimiter, to_thread

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.audio_streams import AudioStream
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.errors import AudioError, CtcbiasError
from ctcbias_fst.models.outcomes import failure, of_each
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import Transcript
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.batches import Batches, ClosedError, FullError
from ctcbias_fst.server.compiled_cache import CompiledCache
from ctcbias_fst.server.config import ServerConfig
from ctcbias_fst.server.metrics import Metrics
from ctcbias_fst.streaming.updates import Update
from ctcbias_fst.wanted import UnwantedError, while_wanted

_log = logging.getLogger(__name__)

_SIDE_THREADS = 4
_READERS = 4
"""Files that are read side by side."""

_READ_SECONDS = 60.0
"""Until one must be read: an hour takes a few; with many channels at a high rate, minutes."""

_COMPILERS = 2
"""Long lists that are compiled side by side, and short ones beside them."""

_SHORT_LIST = 1000
"""Names of a list that does not wait behind longer ones."""

_WAITING_SECONDS = 4 * 3600.0
"""Of audio that may wait: less than 1 GB of samples at 16 kHz."""

T = TypeVar("T")
R = TypeVar("R")


class Lists(Protocol):
    """What a service asks of the lists that are kept on the server."""

    async def compiled(self, list_id: str) -> CompiledEntities:
        """A list that was stored, compiled.

        Raises:
            ApiError: there is none of this name (404).
        """

    async def count_entries(self) -> int:
        """How many names all lists have in sum."""

    async def close(self) -> None:
        """Let go of what keeps them."""


@dataclass(frozen=True)
class _Job:
    recording: Recording
    names: CompiledEntities | None
    nbest: int | None


@dataclass(frozen=True)
class _Chunk:
    """What is new of a stream; None where it ends."""

    stream: AudioStream
    samples: Any


class _Making:
    """A list that is being compiled, and how many want it."""

    def __init__(self) -> None:
        self.wanted = 0
        self.task: asyncio.Task[CompiledEntities] | None = None


class Service:
    """A recogniser for many clients. Made, used and closed in one event loop.

    Args:
        recognizer: transcribes.
        config: limits.
        name: of its model, for clients.
        language: of the model, if it is known (``english``).

    Attributes:
        recognizer, config, name, language: as they were given.
        metrics: what is counted.
        cache: of compiled lists.
        lists: those that are stored, if any are.
        streams: how many are open.
        closing: whether the server is about to stop, so that nothing new is taken.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        config: ServerConfig,
        name: str,
        language: str | None = None,
    ) -> None:
        self.recognizer, self.config, self.name, self.language = recognizer, config, name, language
        self.metrics = Metrics()
        self.cache = CompiledCache(round(config.cache_megabytes * 1e6), self._count_cache)
        self.lists: Lists | None = None
        self.streams = 0
        self.closing = False
        self._in_hand = 0
        self._threads, self._readers = CapacityLimiter(_SIDE_THREADS), CapacityLimiter(_READERS)
        self._compilers = {short: CapacityLimiter(_COMPILERS) for short in (False, True)}
        self._compiling: dict[Hashable, _Making] = {}
        self._pace = 0.1
        """Seconds that a second of audio takes, lately."""
        self._work = Batches(
            self._transcribe,
            cost=lambda job: job.recording.seconds,
            most=config.batch,
            most_cost=config.batch_seconds,
            wait=config.batch_wait,
            waiting=config.max_waiting,
            waiting_cost=_WAITING_SECONDS,
            workers=config.workers,
            name="transcribe",
        )
        self._advance = Batches(
            self._advanced,
            cost=lambda chunk: 1.0,
            most=config.max_streams,
            most_cost=math.inf,
            wait=config.batch_wait,
            waiting=2 * config.max_streams,
            name="stream",
        )

    @contextmanager
    def in_hand(self) -> Iterator[None]:
        """What is done for one client, from before its recording is read until it is answered.

        Raises:
            ApiError: as much is in hand as may wait or be in work, or the server stops and has no
                time left for it.
        """
        if self.closing:
            raise stopping()
        if self.full:
            raise self.busy()
        self._in_hand += 1
        try:
            yield
        except asyncio.CancelledError:
            if not self.closing:
                raise
            raise stopping() from None
        finally:
            self._in_hand -= 1

    @property
    def full(self) -> bool:
        """Whether as much is in hand as may."""
        config = self.config
        return self._in_hand >= config.max_waiting + config.workers * config.batch

    async def transcribe(
        self, recording: Recording, names: CompiledEntities | None, nbest: int | None = None
    ) -> Transcript:
        """Transcribe a recording, together with those of other clients.

        Cancelled before its turn it takes no time of the model. A long one may take longer: by as
        much as it is long.

        Raises:
            ApiError: too many wait (429), it took too long (503), or it cannot be transcribed.
        """
        job = _Job(recording, names, nbest)
        most = self.config.request_seconds + recording.seconds
        found = await self._done(self._work, job, most)
        self.metrics.audio_seconds.inc(recording.seconds)
        return found

    def _transcribe(self, jobs: Sequence[_Job]) -> list[Transcript | Exception]:
        """Several at a time, with the same number of hypotheses; one never costs the others."""
        begin = perf_counter()
        found: dict[int, Transcript | Exception] = {}
        for nbest in {job.nbest for job in jobs}:
            rows = [i for i, job in enumerate(jobs) if job.nbest == nbest]
            found |= zip(rows, of_each(self._at_once, [jobs[i] for i in rows], _failure))
        seconds = sum(job.recording.seconds for job in jobs)
        self._pace += 0.1 * ((perf_counter() - begin) / max(seconds, 0.1) - self._pace)
        return [found[i] for i in range(len(jobs))]

    def _at_once(self, jobs: Sequence[_Job]) -> list[Transcript | CtcbiasError]:
        recordings, names = [job.recording for job in jobs], [job.names for job in jobs]
        return [*self.recognizer.transcribe_recordings(recordings, names, jobs[0].nbest)]

    async def accept(self, stream: AudioStream, samples: Any) -> Update:
        """Take the next chunk of a stream, together with those of other streams.

        Args:
            stream: of the recogniser; who waits for one chunk does not send another.
            samples: see :meth:`ctcbias_fst.audio_streams.AudioStream.accept`.

        Raises:
            ApiError: they are no samples, too much waits, or the server stops.
        """
        return await self._done(self._advance, _Chunk(stream, samples))

    async def finish(self, stream: AudioStream) -> Update:
        """Commit what is left of a stream.

        Raises:
            ApiError: too much waits.
        """
        return await self._done(self._advance, _Chunk(stream, None))

    def _advanced(self, chunks: Sequence[_Chunk]) -> list[Update | Exception]:
        """What is known of streams; a chunk that is none leaves its stream, and the others."""
        going = [i for i, one in enumerate(chunks) if one.samples is not None]
        ending = [i for i, one in enumerate(chunks) if one.samples is None]
        found: dict[int, Update | Exception] = {}
        if going:
            found |= zip(going, self._accepted([chunks[i] for i in going]))
        if ending:
            streams = [chunks[i].stream for i in ending]
            found |= zip(ending, self.recognizer.finish_all(streams))
        return [found[i] for i in range(len(chunks))]

    def _accepted(self, chunks: Sequence[_Chunk]) -> Sequence[Update | Exception]:
        streams, samples = [one.stream for one in chunks], [one.samples for one in chunks]
        try:
            return self.recognizer.accept_all(streams, samples)
        except AudioError as error:  # then none was taken
            if len(chunks) == 1:
                return [error]
            return [found for one in chunks for found in self._accepted([one])]

    async def _done(self, batches: Batches[T, R], item: T, seconds: float | None = None) -> R:
        try:
            future: Future[R] = batches.submit(item)
        except FullError:
            raise self.busy() from None
        except ClosedError:
            raise stopping() from None
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), seconds)
        except (TimeoutError, asyncio.TimeoutError):
            raise ApiError(
                503, f"it took longer than {seconds:.3g} s: try again later", code="timeout"
            ) from None
        except CtcbiasError as error:
            raise ApiError.of(error) from error

    def busy(self) -> ApiError:
        """What is told if too many wait."""
        wait = self._work.waiting_cost * self._pace / self.config.workers
        seconds = min(max(1, math.ceil(wait)), 600)
        return ApiError(
            429,
            f"{self._in_hand} recordings are in hand, {self._work.waiting} of them wait: as many "
            f"as may; try again in {seconds} s",
            code="too_many_requests",
            headers={"Retry-After": str(seconds)},
        )

    async def aside(self, work: Callable[..., T], *args: Any) -> T:
        """Do what takes a while in a thread of its own; not what the model does.

        Raises:
            ApiError: an error of the package.
        """
        try:
            return await to_thread.run_sync(work, *args, limiter=self._threads)
        except CtcbiasError as error:
            raise ApiError.of(error) from error

    async def read(self, work: Callable[..., T], *args: Any) -> T:
        """Read what a client sent, in a thread of its own; streams do not wait behind it.

        Raises:
            ApiError: an error of the package, or it takes too long (413).
        """
        end = monotonic() + _READ_SECONDS

        def reading() -> T:
            with while_wanted(lambda: monotonic() < end):
                return work(*args)

        try:
            return await to_thread.run_sync(reading, limiter=self._readers)
        except UnwantedError:
            raise ApiError(
                413,
                f"decoding the audio took longer than {_READ_SECONDS:g} s: send fewer channels, at "
                "a lower rate",
                param="file",
                code="too_much",
            ) from None
        except CtcbiasError as error:
            raise ApiError.of(error) from error

    async def compiled(
        self, key: Hashable, make: Callable[[], CompiledEntities], size: int
    ) -> CompiledEntities:
        """A list that is compiled, or will be; who wants one in the making waits for it. Once
        nobody does it is given up.

        Args:
            key: of the list.
            make: compiles it.
            size: how many names it has.

        Raises:
            ApiError: it cannot be compiled, or takes too long (503).
        """
        while True:
            found = self.cache.find(key)
            if found is not None:
                return found
            with suppress(UnwantedError):  # others gave it up a moment ago
                return await self._made(key, make, size)

    async def _made(
        self, key: Hashable, make: Callable[[], CompiledEntities], size: int
    ) -> CompiledEntities:
        making = self._compiling.get(key)
        if making is None:
            making = self._compiling[key] = _Making()
            # It is not this client's alone.
            work = self._compile(key, make, size, making)
            making.task = Context().run(asyncio.create_task, work)
            making.task.add_done_callback(lambda done: done.cancelled() or done.exception())
        assert making.task is not None
        making.wanted += 1
        seconds = self.config.request_seconds
        try:
            # Who goes does not take it from those who stay.
            return await asyncio.wait_for(asyncio.shield(making.task), seconds)
        except (TimeoutError, asyncio.TimeoutError):
            raise ApiError(
                503,
                f"compiling {size} names took longer than {seconds:g} s: send fewer, or store them "
                "(PUT /v1/lists/ID)",
                code="timeout",
            ) from None
        finally:
            making.wanted -= 1

    async def _compile(
        self, key: Hashable, make: Callable[[], CompiledEntities], size: int, making: _Making
    ) -> CompiledEntities:
        def kept() -> CompiledEntities:
            with while_wanted(lambda: making.wanted > 0):
                made = make()
            self.cache.keep(key, made)
            return made

        try:
            limiter = self._compilers[size <= _SHORT_LIST]
            return await to_thread.run_sync(kept, limiter=limiter)
        except CtcbiasError as error:
            raise ApiError.of(error) from error
        finally:
            del self._compiling[key]

    def _count_cache(self, hit: bool) -> None:
        (self.metrics.cache_hits if hit else self.metrics.cache_misses).inc()

    @property
    def waiting(self) -> int:
        """How many recordings wait."""
        return self._work.waiting

    def open_stream(self) -> None:
        """Count a stream; whoever opened it calls `close_stream` in the end.

        Raises:
            ApiError: as many are open as may, or the server stops.
        """
        if self.closing:
            raise stopping()
        if self.streams >= self.config.max_streams:
            raise ApiError(
                429,
                f"{self.streams} streams are open, as many as may: try again later",
                code="too_many_streams",
                headers={"Retry-After": "5"},
            )
        self.streams += 1
        self.metrics.streams.set(self.streams)

    def close_stream(self) -> None:
        """A stream is not open any more."""
        self.streams -= 1
        self.metrics.streams.set(self.streams)

    async def close(self, seconds: float) -> None:
        """Take nothing new, and finish what was taken, for so many seconds."""
        self.closing = True

        def wait() -> bool:
            return self._work.close(seconds) & self._advance.close(1.0)

        if not await to_thread.run_sync(wait):
            _log.warning("stopped with work undone")
        if self.lists is not None:
            await self.lists.close()


def _failure(job: _Job, error: Exception) -> CtcbiasError:
    return failure(job.recording.id, job.recording.id, error)


def stopping() -> ApiError:
    """What is told while the server stops."""
    return ApiError(
        503,
        "the server is about to stop: try another one, or again later",
        code="stopping",
        headers={"Retry-After": "10"},
    )


async def while_there(receive: Callable[[], Awaitable[Any]], work: Awaitable[T]) -> T:
    """Do something for the client of a request, whose body is read, unless it goes.

    Raises:
        ApiError: it has gone (499).
    """
    left = False
    with while_wanted(lambda: not left):
        working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_until_gone(receive))
    try:
        await asyncio.wait((working, gone), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ApiError(499, "the client has gone", code="client_gone")
        return await working
    finally:
        left = True
        for one in (working, gone):
            one.cancel()
        for one in (working, gone):
            with suppress(asyncio.CancelledError, Exception):
                await one


async def _until_gone(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
