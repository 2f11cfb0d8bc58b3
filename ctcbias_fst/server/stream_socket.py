"""``WS /v1/stream``: the server's own protocol (docs/server.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from ctcbias_fst.audio.blocks import check_rate
from ctcbias_fst.audio.channels import checked_channels
from ctcbias_fst.audio.raw import ENCODINGS, LAWS, RawSamples
from ctcbias_fst.audio_streams import AudioStream
from ctcbias_fst.errors import AudioError
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.audio_feed import Audio
from ctcbias_fst.server.conversation import Conversation, object_of, route
from ctcbias_fst.server.idle_fields import unknown_fields
from ctcbias_fst.server.request_names import OBJECT_FIELDS, RequestNames, compiled_names, of_object
from ctcbias_fst.server.service import Service
from ctcbias_fst.streaming.update_records import update_record
from ctcbias_fst.streaming.updates import Update
from ctcbias_fst.text.text_files import quoted

PATH = "/v1/stream"

_KEYS = {
    "start": frozenset({"type", "sampling_rate", "encoding", "channels"}) | OBJECT_FIELDS,
    "list": frozenset({"type"}) | OBJECT_FIELDS,
    "finish": frozenset({"type"}),
}


@dataclass(frozen=True)
class _Change:
    """Another list is asked for; the fields of the message."""

    content: Mapping[str, Any]


class _Finish:
    """Nothing follows."""


class StreamConversation(Conversation):
    """One stream: a start, audio and lists, an end."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        super().__init__(service, socket)
        self._stream: AudioStream | None = None
        self._raw = RawSamples()
        self._rate = service.recognizer.model.sampling_rate
        self._entries = 0
        self._told = 0
        self._tentative = ""

    def error_of(self, error: ApiError) -> Mapping[str, Any]:
        """The last message of a stream that fails."""
        return {"type": "error", **error.content}

    async def take(self, message: str | bytes) -> None:
        """Audio in bytes, all else as text."""
        if isinstance(message, bytes):
            if self._stream is None:
                raise ApiError(
                    415, 'audio comes behind {"type": "start"}, sent as text', code="not_started"
                )
            await self._put(message)
            return
        content = object_of(message)
        kind = content.get("type")
        if not isinstance(kind, str) or kind not in _KEYS:
            raise ApiError(
                400, f"type is one of {', '.join(_KEYS)}, not {quoted(kind)}", param="type"
            )
        if (kind == "start") != (self._stream is None):
            why = "start comes once, and first" if kind == "start" else f"{kind} comes behind start"
            raise ApiError(409, why, param="type", code="out_of_order")
        if kind == "start":
            await self._start(content)
        elif kind == "list":
            await self.feed.put(_Change(content))
        else:
            self.ending = True
            await self._put(b"", last=True)
            await self.feed.put(_Finish())

    async def _start(self, content: Mapping[str, Any]) -> None:
        rate = content.get("sampling_rate")
        encoding, channels = content.get("encoding", "s16le"), content.get("channels")
        channels = 1 if channels is None else channels
        known = (*ENCODINGS, *LAWS)
        if not isinstance(encoding, str) or encoding not in known:
            raise ApiError(
                400,
                f"encoding is one of {', '.join(known)}, not {quoted(encoding)}",
                param="encoding",
            )
        try:
            checked_channels(channels, "stream")
            self._rate = self._rate if rate is None else check_rate(rate, "stream")
        except AudioError as error:
            raise ApiError.of(error) from None
        names = await compiled_names(self.service, of_object(content))
        self._raw = RawSamples(encoding, channels)
        self._stream = await self.opened(names, self._rate, channels)
        self._entries = names.entries
        await self.tell(
            {
                "type": "ready",
                "sampling_rate": self._rate,
                "encoding": encoding,
                "channels": channels,
                "entries": names.entries,
                "warnings": [*unknown_fields(content, _KEYS[content["type"]]), *names.warnings],
            }
        )

    async def _put(self, data: bytes, *, last: bool = False) -> None:
        try:
            samples = self._raw.add(data, last=last)
        except AudioError as error:
            raise ApiError.of(error) from None
        if len(samples):
            await self.feed.put(Audio(samples, len(samples) / self._rate))

    async def do(self, item: Any) -> bool:
        """Tell whatever is new."""
        assert self._stream is not None
        if isinstance(item, _Change):
            await self._change(self._stream, item.content)
            return False
        if isinstance(item, Audio):
            await self._tell(await self.hear(self._stream, item))
            return False
        update = await self.service.finish(self._stream)
        await self._tell(update)
        notice = self._raw.notice()
        await self.tell(
            {
                "type": "done",
                "text": update.committed,
                "seconds": round(update.seconds, 3),
                "warnings": [] if notice is None else [notice],
            }
        )
        return True

    async def _change(self, stream: AudioStream, content: Mapping[str, Any]) -> None:
        """Take another list; one that is refused leaves that before in effect, and the stream."""
        refused: Mapping[str, Any] = {}
        try:
            names = await compiled_names(self.service, of_object(content))
            await self.service.aside(stream.update_entities, names.compiled)
            self._entries = names.entries
        except ApiError as error:
            names = RequestNames(None, (f"the list before stays: {error.message}",))
            refused = error.content
        warnings = [*unknown_fields(content, _KEYS[content["type"]]), *names.warnings]
        await self.tell({"type": "list", "entries": self._entries, "warnings": warnings, **refused})

    async def _tell(self, update: Update) -> None:
        new = update.committed[self._told :]
        news = new or update.endpoints or update.warnings or update.tentative != self._tentative
        self._told, self._tentative = len(update.committed), update.tentative
        if not news:
            return
        record = update_record(update, new)
        del record["text"]
        await self.tell(
            {
                "type": "update",
                "committed": new,
                **record,
                "endpoints": [
                    {"seconds": round(one.seconds, 3), "rule": one.rule, "text_end": one.text_end}
                    for one in update.endpoints
                ],
                "warnings": list(update.warnings),
            }
        )


def routes(service: Service) -> list[WebSocketRoute]:
    """The path of streams."""
    return [route(PATH, service, StreamConversation)]
