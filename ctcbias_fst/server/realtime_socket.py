"""``WS /v1/realtime``: transcription as OpenAI's realtime clients know it."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from ctcbias_fst.audio.raw import RawSamples
from ctcbias_fst.audio_streams import AudioStream
from ctcbias_fst.errors import AudioError
from ctcbias_fst.output import entity_records, word_record
from ctcbias_fst.records import Word
from ctcbias_fst.server.access import subprotocols
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.audio_feed import Audio
from ctcbias_fst.server.conversation import Conversation, object_of, route
from ctcbias_fst.server.idle_fields import other_model
from ctcbias_fst.server.realtime_settings import Settings, change_of, session_of
from ctcbias_fst.server.request_names import RequestNames, compiled_names, of_object
from ctcbias_fst.server.responses import log_probs, usage
from ctcbias_fst.server.service import Service
from ctcbias_fst.server.utterances import Part, parts_of
from ctcbias_fst.streaming.updates import Update, later
from ctcbias_fst.text.text_files import quoted

PATH = "/v1/realtime"

_TRANSCRIPTION = "conversation.item.input_audio_transcription"
_APPEND, _COMMIT, _CLEAR = (f"input_audio_buffer.{one}" for one in ("append", "commit", "clear"))
_BETA_PROTOCOL = "openai-beta.realtime-v1"
_UPDATES = {"session.update": False, "transcription_session.update": True}
"""What changes settings, and whether it is the beta's."""


class _Update:
    """Settings that came, and whether they were looked at."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        self.event, self.done = event, asyncio.Event()


@dataclass(frozen=True)
class _End:
    """The client ends what it has said, or takes it back; ``notice`` is of the audio before."""

    event: Mapping[str, Any]
    notice: str | None


@dataclass
class _Item:
    """What is being said: one item of the conversation.

    Attributes:
        begin: seconds of the session at which it began to be heard.
        text, words: what is known of it.
        started: whether the client knows that somebody speaks.
    """

    begin: float
    id: str = field(default_factory=lambda: f"item_{secrets.token_hex(10)}")
    text: str = ""
    words: list[Word] = field(default_factory=list)
    started: bool = False


class RealtimeConversation(Conversation):
    """A session: audio in events, items as they are said. What is wrong in an event is told, and
    the session goes on."""

    subprotocol = "realtime"

    def __init__(self, service: Service, socket: WebSocket) -> None:
        super().__init__(service, socket)
        self._beta = "realtime=v1" in socket.headers.get(
            "openai-beta", ""
        ) or _BETA_PROTOCOL in subprotocols(socket)
        self._session = f"sess_{secrets.token_hex(10)}"
        self._settings = Settings()
        self._raw = RawSamples(self._settings.encoding)
        self._names = RequestNames()
        self._stream: AudioStream | None = None
        self._offset = self._heard = 0.0
        """Seconds of the session before the stream, and of the stream."""
        self._told = 0
        self._item = _Item(0.0)
        self._previous: str | None = None
        self._warnings: list[str] = []

    def error_of(self, error: ApiError) -> Mapping[str, Any]:
        """The last event of a session that fails."""
        return self._error(error, {})

    async def begin(self) -> None:
        """Tell what is in effect.

        Raises:
            ApiError: something else than a transcription is asked for.
        """
        query = self.socket.query_params
        intent = query.get("intent", "transcription")
        if intent != "transcription":
            raise ApiError(400, f"intent is transcription here, not {quoted(intent)}")
        note = other_model(query.get("model", self.service.name), self.service.name)
        kind = "transcription_session.created" if self._beta else "session.created"
        await self._tell_session(kind, [] if note is None else [note], beta=self._beta)

    async def take(self, message: str | bytes) -> None:
        """Take an event."""
        event: Mapping[str, Any] = {}
        try:
            if isinstance(message, bytes):
                raise ApiError(
                    415, f"events are text; audio comes in {_APPEND}, in base64", code="binary"
                )
            event = object_of(message)
            await self._take(event)
        except ApiError as error:
            await self.tell(self._error(error, event))
        except AudioError as error:
            await self.tell(self._error(ApiError.of(error, param="audio"), event))

    async def _take(self, event: Mapping[str, Any]) -> None:
        told = event.get("event_id")
        if told is not None and not isinstance(told, str):
            raise ApiError(400, f"event_id is text, not {quoted(told)}", param="event_id")
        kind = event.get("type")
        if kind == _APPEND:
            await self._put(self._raw.add(_decoded(event.get("audio"))))
        elif kind in (_COMMIT, _CLEAR):
            raw, self._raw = self._raw, RawSamples(self._settings.encoding)
            await self._put(raw.add(b"", last=True))
            await self.feed.put(_End(event, raw.notice()))
        elif kind in tuple(_UPDATES):
            update = _Update(event)
            await self.feed.put(update)
            await update.done.wait()  # how audio is read hangs on it
        else:
            known = ", ".join((_APPEND, _COMMIT, _CLEAR, *_UPDATES))
            raise ApiError(
                400,
                f"type is one of {known} here, not {quoted(kind)}",
                param="type",
                code="unknown_event",
            )

    async def _put(self, samples: Any) -> None:
        if len(samples):
            await self.feed.put(Audio(samples, len(samples) / self._settings.rate))

    async def do(self, item: Any) -> bool:
        """Tell what becomes of an event."""
        try:
            if isinstance(item, Audio):
                await self._hear(item)
            elif isinstance(item, _Update):
                await self._change(item.event)
            elif item.event["type"] == _COMMIT:
                await self._commit(item)
            else:
                await self._clear()
        except ApiError as error:
            if isinstance(item, Audio) or error.status >= 500:
                raise
            await self.tell(self._error(error, item.event))
        finally:
            if isinstance(item, _Update):
                item.done.set()
        return False

    async def _hear(self, audio: Audio) -> None:
        if self._stream is None:
            self._stream = await self.opened(self._names, self._settings.rate)
        self._heard += audio.seconds
        await self._news(await self.hear(self._stream, audio))

    async def _change(self, event: Mapping[str, Any]) -> None:
        """Take settings, all or none."""
        change = change_of(event.get("session"), self._settings, self.service)
        settings = change.settings
        same = (settings.form, settings.rate) == (self._settings.form, self._settings.rate)
        if not same and (self._stream is not None or self._raw.left):
            raise ApiError(
                409, "the format cannot change while audio is open: commit or clear it first"
            )
        warnings = list(change.warnings)
        if change.names is not None:
            names = await compiled_names(self.service, of_object(change.names))
            if self._stream is not None:
                await self.service.aside(self._stream.update_entities, names.compiled)
            self._names = names
            warnings += names.warnings
        self._settings = settings
        if not same:
            self._raw = RawSamples(settings.encoding)
        beta = _UPDATES[event["type"]]
        kind = "transcription_session.updated" if beta else "session.updated"
        await self._tell_session(kind, warnings, beta=beta)

    async def _commit(self, end: _End) -> None:
        """Decide all that was said."""
        stream, begun = self._stream, self._offset + self._heard > self._item.begin
        if stream is None or not begun:
            raise ApiError(
                400, "nothing has come to be committed", code="input_audio_buffer_commit_empty"
            )
        self._warnings += [] if end.notice is None else [end.notice]
        await self._news(await self.service.finish(stream))
        await self._complete(self._offset + self._heard)
        self._drop()

    async def _clear(self) -> None:
        """Forget what was said and is not committed."""
        self._drop()
        await self._tell("input_audio_buffer.cleared")

    def _drop(self) -> None:
        """What comes is another stream."""
        self._offset += self._heard
        self._stream, self._heard, self._told = None, 0.0, 0
        self._item = _Item(self._offset)

    async def _news(self, update: Update) -> None:
        self._warnings += update.warnings
        for part in parts_of(update, self._told):
            await self._part(part)
        self._told = len(update.committed)
        if update.tentative_words:
            await self._start(update.tentative_words[0])

    async def _part(self, part: Part) -> None:
        """Tell new text, and the end of an utterance."""
        item = self._item
        words = [later(word, self._offset) for word in part.words]
        if part.words:
            await self._start(part.words[0])
        if part.text:
            delta = part.text if item.text else part.text.lstrip(" ")
            item.text += delta
            item.words += words
            told = {"item_id": item.id, "content_index": 0, "delta": delta}
            await self._tell(f"{_TRANSCRIPTION}.delta", {**told, **self._log_probs(words)})
        if part.endpoint is not None and self._settings.detects and (item.started or item.text):
            await self._complete(self._offset + part.endpoint.seconds)

    async def _start(self, word: Word) -> None:
        """Tell, once for an item, that somebody speaks."""
        if self._settings.detects and not self._item.started:
            self._item.started = True
            begin = round(1000 * (self._offset + word.start))
            content = {"item_id": self._item.id, "audio_start_ms": begin}
            await self._tell("input_audio_buffer.speech_started", content)

    async def _complete(self, end: float) -> None:
        """Tell that an item is complete, ``end`` seconds into the session; another one begins."""
        item, previous = self._item, {"previous_item_id": self._previous}
        if item.started:
            stopped = {"item_id": item.id, "audio_end_ms": round(1000 * end)}
            await self._tell("input_audio_buffer.speech_stopped", stopped)
        await self._tell("input_audio_buffer.committed", {"item_id": item.id, **previous})
        message = {
            "id": item.id,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        for kind in ("created",) if self._beta else ("added", "done"):
            await self._tell(f"conversation.item.{kind}", {**previous, "item": message})
        warnings, self._warnings = self._warnings, []
        completed = {
            "item_id": item.id,
            "content_index": 0,
            "transcript": item.text,
            **self._log_probs(item.words),
            "usage": usage(end - item.begin),
            "words": [word_record(word) for word in item.words],
            "entities": entity_records(item.words),
            "warnings": warnings,
        }
        await self._tell(f"{_TRANSCRIPTION}.completed", completed)
        self._previous, self._item = item.id, _Item(end)

    def _log_probs(self, words: list[Word]) -> dict[str, Any]:
        return {"logprobs": log_probs(words)} if self._settings.log_probs else {}

    async def _tell_session(self, kind: str, warnings: list[str], *, beta: bool) -> None:
        session = session_of(self._settings, self.service, beta=beta)
        more = {"id": self._session, "entries": self._names.entries, "warnings": warnings}
        await self._tell(kind, {"session": {**session, **more}})

    async def _tell(self, kind: str, content: Mapping[str, Any] | None = None) -> None:
        await self.tell({"type": kind, "event_id": _event_id(), **(content or {})})

    def _error(self, error: ApiError, event: Mapping[str, Any]) -> dict[str, Any]:
        told = event.get("event_id")
        content = {**error.content["error"], "event_id": told if isinstance(told, str) else None}
        return {"type": "error", "event_id": _event_id(), "error": content}


def _event_id() -> str:
    return f"event_{secrets.token_hex(10)}"


def _decoded(audio: Any) -> bytes:
    """The bytes of audio."""
    try:
        if not isinstance(audio, str):
            raise ValueError
        return base64.b64decode(audio, validate=True)
    except (ValueError, binascii.Error):
        raise ApiError(
            400, f"audio is base64, not {quoted(audio)}", param="audio", code="invalid_audio"
        ) from None


def routes(service: Service) -> list[WebSocketRoute]:
    """The path of realtime sessions."""
    return [route(PATH, service, RealtimeConversation)]
