"""A conversation over a websocket: what comes is read while the model works."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from anyio import create_task_group, fail_after
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from ctcbias_fst.audio_streams import AudioStream
from ctcbias_fst.errors import InputError
from ctcbias_fst.server.access import subprotocols
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.audio_feed import Audio, AudioFeed
from ctcbias_fst.server.request_names import RequestNames
from ctcbias_fst.server.service import Service
from ctcbias_fst.streaming.updates import Update
from ctcbias_fst.text.printable import json_text, one_line
from ctcbias_fst.text.text_files import parse_json, quoted

_log = logging.getLogger(__name__)

MOST_BYTES = 1_000_000
"""Of a message; the server under it refuses longer ones before they are here."""

_SEND_SECONDS = 60.0
"""A client that takes nothing for so long has gone."""

_CLOSE_SECONDS = 5.0

_CODES = {408: 1008, 409: 1008, 413: 1009, 415: 1003, 429: 1013, 503: 1013}
"""How websockets are closed, by the status of the error; 1007 is a message that is wrong, 1011 a
failure of the server."""

_REASON_BYTES = 120
"""Of what is told where a websocket is closed."""


class Conversation(ABC):
    """What all protocols have in common: audio in, what is known of it out, until one of both
    sides has enough. What a client sends waits in :attr:`feed`, within bounds.

    Args:
        service: has the recogniser, and counts streams.
        socket: to the client.
    """

    subprotocol: str | None = None
    """What browsers that offer it must be told to be spoken here."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self.service, self.socket = service, socket
        self.feed = AudioFeed()
        self.ending = False
        """Whether the client has said that nothing follows."""

    async def begin(self) -> None:  # noqa: B027  (most protocols wait for the client)
        """Tell what comes before all else."""

    @abstractmethod
    async def take(self, message: str | bytes) -> None:
        """Take a message of the client, and put what is to be done into :attr:`feed`.

        Raises:
            ApiError: it is wrong, which ends the conversation.
        """

    @abstractmethod
    async def do(self, item: Any) -> bool:
        """Do what waits next, and tell of it; returns whether all is done.

        Raises:
            ApiError: it cannot be done, which ends the conversation.
        """

    @abstractmethod
    def error_of(self, error: ApiError) -> Mapping[str, Any]:
        """How the client is told why the conversation ends."""

    async def tell(self, content: Mapping[str, Any]) -> None:
        """Send an object.

        Raises:
            WebSocketDisconnect: the client has gone, or takes nothing.
        """
        try:
            with fail_after(_SEND_SECONDS):
                await self.socket.send_text(json_text(content))
        except TimeoutError:
            raise WebSocketDisconnect(1006, "takes nothing") from None

    async def hear(self, stream: AudioStream, audio: Audio) -> Update:
        """Have samples heard.

        Raises:
            ApiError: they are none.
        """
        update = await self.service.accept(stream, audio.samples)
        self.service.metrics.audio_seconds.inc(audio.seconds)
        return update

    async def opened(
        self, names: RequestNames, sampling_rate: Any = None, channels: Any = None
    ) -> AudioStream:
        """Open a stream.

        Raises:
            ApiError: there is no such rate, or there are no such channels.
        """

        def make() -> AudioStream:
            return self.service.recognizer.stream(
                names.compiled, sampling_rate=sampling_rate, channels=channels, name="audio"
            )

        return await self.service.aside(make)

    async def run(self) -> None:
        """Talk until it is over; whatever happens, the stream is not counted then any more."""
        try:
            spoken = self.subprotocol in subprotocols(self.socket)
            await self.socket.accept(self.subprotocol if spoken else None)
            self.service.open_stream()
        except WebSocketDisconnect:
            return
        except ApiError as error:
            await self._refuse(error)
            return
        try:
            await self._talk()
        except WebSocketDisconnect:
            return
        except ApiError as error:
            await self._refuse(error)
        except Exception:
            _log.exception("a stream has failed")
            failure = ApiError(500, "the server has failed on this stream; its log has why")
            await self._refuse(failure)
        finally:
            self.service.close_stream()

    async def _talk(self) -> None:
        """Read and work side by side, until the work is done or the client has gone."""
        await self.begin()
        ends: list[Exception] = []
        done = False

        async def until_end(work: Callable[[], Awaitable[bool]]) -> None:
            nonlocal done
            try:
                if await work():
                    done = True
                    await self.socket.close()
            except Exception as error:
                ends.append(error)
            group.cancel_scope.cancel()

        async with create_task_group() as group:
            group.start_soon(until_end, self._work)
            group.start_soon(until_end, self._read)
        for end in ends:
            if not (done and isinstance(end, ApiError)):  # it came while the end was told
                raise end

    async def _work(self) -> bool:
        """Do what waits, until all is done."""
        while not await self.do(await self.feed.next()):
            pass
        return True

    async def _read(self) -> bool:
        """Take what comes, until the client has gone; then there is nobody to tell."""
        while True:
            message = await self._received()
            if message["type"] == "websocket.disconnect":
                return False
            text = message.get("text")
            content: str | bytes = message.get("bytes") or b"" if text is None else text
            if len(content) > MOST_BYTES:
                raise ApiError(
                    413,
                    f"a message is longer than {MOST_BYTES / 1e6:g} MB: send audio in parts, and "
                    "store long lists (PUT /v1/lists/ID)",
                    code="message_too_large",
                )
            if self.ending:
                raise ApiError(409, "nothing may follow the end of a stream", code="ended")
            await self.take(content)

    async def _received(self) -> Any:
        seconds = None if self.ending else self.service.config.idle_seconds
        try:
            with fail_after(seconds):
                return await self.socket.receive()
        except TimeoutError:
            raise ApiError(408, f"nothing has come for {seconds:g} s", code="idle") from None

    async def _refuse(self, error: ApiError) -> None:
        """Tell why it ends here, and end it."""
        code = _CODES.get(error.status, 1011 if error.status >= 500 else 1007)
        reason = one_line(error.message).encode()[:_REASON_BYTES].decode(errors="ignore")
        with suppress(WebSocketDisconnect, TimeoutError), fail_after(_CLOSE_SECONDS):
            await self.tell(self.error_of(error))
            await self.socket.close(code, reason)


def route(
    path: str, service: Service, kind: Callable[[Service, WebSocket], Conversation]
) -> WebSocketRoute:
    """A path at which clients talk so."""

    async def talk(socket: WebSocket) -> None:
        await kind(service, socket).run()

    return WebSocketRoute(path, talk)


def object_of(text: str) -> dict[str, Any]:
    """The object that a message of text is.

    Raises:
        ApiError: it is none.
    """
    try:
        found = parse_json(text, "message", InputError)
    except InputError as error:
        raise ApiError(400, str(error), code="invalid_json") from None
    if not isinstance(found, dict):
        raise ApiError(
            400, f"a message is an object of JSON, not {quoted(found)}", code="invalid_json"
        )
    return found
