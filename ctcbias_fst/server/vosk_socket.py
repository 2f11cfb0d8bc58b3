"""``WS /vosk``: the protocol of vosk-server, whose clients send ``phrase_list`` and audio, and read
one answer to each message of audio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from ctcbias_fst.audio.blocks import check_rate
from ctcbias_fst.audio.raw import RawSamples
from ctcbias_fst.audio_streams import AudioStream
from ctcbias_fst.errors import AudioError
from ctcbias_fst.output import entity_records
from ctcbias_fst.records import Word
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.audio_feed import Audio
from ctcbias_fst.server.conversation import Conversation, object_of, route
from ctcbias_fst.server.idle_fields import unknown_fields
from ctcbias_fst.server.request_names import OBJECT_FIELDS, RequestNames, compiled_names, of_object
from ctcbias_fst.server.service import Service
from ctcbias_fst.server.utterances import Part, parts_of
from ctcbias_fst.streaming.updates import Update
from ctcbias_fst.text.text_files import quoted

PATHS = ("/vosk", "/")
"""Its clients connect to the root of a port."""

_RATE = 8000
_PHRASES = "phrase_list"
_KNOWN = frozenset({"sample_rate", "words", "max_alternatives", _PHRASES}) | OBJECT_FIELDS
_UNKNOWN_WORD = "[unk]"


class _Config:
    """Settings that came, and whether they are in effect."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        self.content, self.done = content, asyncio.Event()


class _End:
    """Nothing follows."""


class VoskConversation(Conversation):
    """One stream; every message of audio has an answer: an utterance that has ended, or what is
    known of the one that has not."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        super().__init__(service, socket)
        self._rate, self._words, self._alternatives = _RATE, True, 0
        self._names = RequestNames()
        self._stream: AudioStream | None = None
        self._raw = RawSamples()
        self._begun = False
        self._ended: deque[list[Part]] = deque()
        self._open: list[Part] = []
        self._update = Update("", "")
        self._warnings: list[str] = []

    def error_of(self, error: ApiError) -> Mapping[str, Any]:
        """The last message, where there is no result."""
        return error.content

    async def take(self, message: str | bytes) -> None:
        """Audio in bytes; settings, or the end."""
        if isinstance(message, bytes):
            await self._put(message)
            return
        content = object_of(message)
        if isinstance(content.get("config"), dict):
            change = _Config(content["config"])
            await self.feed.put(change)
            await change.done.wait()  # how audio is read hangs on it
        elif content.get("eof"):
            self.ending = True
            await self.feed.put(_End())
        else:
            raise ApiError(
                400, f'a message is {{"config": {{...}}}} or {{"eof": 1}}, not {quoted(content)}'
            )

    async def _put(self, message: bytes) -> None:
        if not self._begun and message:
            self._begun = True
            message = self._without_header(message)
        try:
            samples = self._raw.add(message)
        except AudioError as error:
            raise ApiError.of(error) from None
        await self.feed.put(Audio(samples, len(samples) / self._rate))

    def _without_header(self, message: bytes) -> bytes:
        """Some of its clients send WAV files as they are."""
        at = message.find(b"data") if message.startswith(b"RIFF") else -1
        if at < 0:
            return message
        self._warnings.append(f"the header of a WAV file was left out: {self._rate} Hz are heard")
        return message[at + 8 :]

    async def do(self, item: Any) -> bool:
        """Answer what came."""
        if isinstance(item, _Config):
            await self._configure(item.content)
            item.done.set()
            return False
        if isinstance(item, Audio):
            self._know(await self.hear(await self._opened(), item))
            for _ in range(item.messages):
                ended = self._ended.popleft() if self._ended else None
                await self.tell(self._partial() if ended is None else self._result(ended))
            return False
        self._know(await self.service.finish(await self._opened()))
        notice = self._raw.notice()
        self._warnings += [] if notice is None else [notice]
        rest = [part for parts in (*self._ended, self._open) for part in parts]
        await self.tell(self._result(rest))
        return True

    async def _opened(self) -> AudioStream:
        if self._stream is None:
            self._stream = await self.opened(self._names, self._rate)
        return self._stream

    async def _configure(self, content: Mapping[str, Any]) -> None:
        """Take settings, all or none."""
        rate = _rate(content.get("sample_rate", self._rate))
        if rate != self._rate and self._begun:
            raise ApiError(409, "sample_rate comes before audio", param="sample_rate")
        words = bool(content.get("words", self._words))
        alternatives = _count(content.get("max_alternatives", self._alternatives))
        if _PHRASES in content or OBJECT_FIELDS & content.keys():
            phrases = _phrases(content.get(_PHRASES))
            own = {key: value for key, value in content.items() if key in OBJECT_FIELDS}
            if phrases:
                own["keyterms"] = [*phrases, *_phrases(own.get("keyterms"), "keyterms")]
            names = await compiled_names(self.service, of_object(own))
            if self._stream is not None:
                await self.service.aside(self._stream.update_entities, names.compiled)
            self._names = names
            self._warnings += names.warnings
        self._rate, self._words, self._alternatives = rate, words, alternatives
        self._warnings += _idle(content, alternatives)

    def _know(self, update: Update) -> None:
        """Take what is new apart."""
        for part in parts_of(update, len(self._update.committed)):
            self._open.append(part)
            if part.endpoint is not None:
                if any(one.text for one in self._open):
                    self._ended.append(self._open)
                self._open = []
        self._update = update
        self._warnings += update.warnings

    def _partial(self) -> dict[str, Any]:
        known = "".join(part.text for parts in (*self._ended, self._open) for part in parts)
        words = self._update.tentative
        glued = any(word.glued for word in self._update.tentative_words[:1])
        between = " " if known and words and not glued else ""
        return {"partial": (known + between + words).strip(" "), **self._notes()}

    def _result(self, parts: Sequence[Part]) -> dict[str, Any]:
        """An utterance; as one alternative where several were asked for."""
        text = "".join(part.text for part in parts).strip(" ")
        words = [word for part in parts for word in part.words]
        found: dict[str, Any] = {"text": text}
        if self._words and words:
            found["result"] = [_word(word) for word in words]
        if entities := entity_records(words):
            found["entities"] = entities
        if self._alternatives:
            sure = sum(word.confidence for word in words) / max(1, len(words))
            found = {"alternatives": [{"confidence": round(sure, 4), **found}]}
        return {**found, **self._notes()}

    def _notes(self) -> dict[str, Any]:
        """What is to be told beside an answer."""
        warnings, self._warnings = self._warnings, []
        return {"warnings": warnings} if warnings else {}


def _word(word: Word) -> dict[str, Any]:
    return {
        "conf": round(word.confidence, 6),
        "end": round(word.end, 3),
        "start": round(word.start, 3),
        "word": word.word,
    }


def _rate(value: Any) -> int:
    try:
        return check_rate(value, "sample_rate")
    except AudioError as error:
        raise ApiError.of(error, param="sample_rate") from None


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ApiError(
            400, f"max_alternatives is a number, not {quoted(value)}", param="max_alternatives"
        )
    return value


def _phrases(value: Any, field: str = _PHRASES) -> list[Any]:
    """Names; what vosk calls a word that it does not know is none."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ApiError(400, f"{field} is an array of names, not {quoted(value)}", param=field)
    return [name for name in value if name != _UNKNOWN_WORD]


def _idle(content: Mapping[str, Any], alternatives: int) -> Iterator[str]:
    """What is told of settings without effect."""
    if alternatives > 1 and "max_alternatives" in content:
        yield "max_alternatives: there is one, the best"
    phrases = content.get(_PHRASES)
    if isinstance(phrases, list) and _UNKNOWN_WORD in phrases:
        yield f"{_PHRASES}: {_UNKNOWN_WORD} has no effect: other words are heard anyway"
    yield from unknown_fields(content, _KNOWN)


def routes(service: Service) -> list[WebSocketRoute]:
    """The paths of vosk's clients."""
    return [route(path, service, VoskConversation) for path in PATHS]
