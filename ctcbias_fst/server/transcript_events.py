"""A transcript in server-sent events, as OpenAI's clients read them: words as they are known."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.audio_streams import AudioStream
from ctcbias_fst.output import entity_records
from ctcbias_fst.records import Word
from ctcbias_fst.server.api_errors import ApiError, failure
from ctcbias_fst.server.request_names import RequestNames
from ctcbias_fst.server.responses import log_probs, usage
from ctcbias_fst.server.service import Service
from ctcbias_fst.server.transcription_forms import Wanted
from ctcbias_fst.text.printable import json_text, one_line

_log = logging.getLogger(__name__)

_CHUNK_SECONDS = 1.0
"""Of a recording that is told as it is transcribed."""


async def events_of(
    service: Service, recording: Recording, wanted: Wanted, names: RequestNames
) -> Response:
    """The text as it is known, in server-sent events."""
    service.open_stream()
    try:
        stream = service.recognizer.stream(names.compiled, name=recording.id)
        events = _events(service, recording, stream, wanted, names)
        return _Events(events, service.close_stream)
    except BaseException:
        service.close_stream()
        raise


class _Events(StreamingResponse):
    """Events, at whose end something is done, also if the client goes before the first."""

    def __init__(self, events: AsyncIterator[str], done: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._done()


async def _events(
    service: Service,
    recording: Recording,
    stream: AudioStream,
    wanted: Wanted,
    names: RequestNames,
) -> AsyncIterator[str]:
    words: list[Word] = []
    text = ""
    warnings = [*wanted.warnings, *names.warnings]
    if recording.warning:
        warnings.append(f"{one_line(recording.id)}: {recording.warning}")
    size = round(_CHUNK_SECONDS * recording.sampling_rate)
    chunks = [recording.samples[at : at + size] for at in range(0, len(recording.samples), size)]
    try:
        for chunk in (*chunks, None):
            update = await (
                service.finish(stream) if chunk is None else service.accept(stream, chunk)
            )
            words += update.words
            warnings += update.warnings
            if len(update.committed) > len(text):
                event: dict[str, Any] = {"delta": update.committed[len(text) :]}
                if wanted.log_probs:
                    event["logprobs"] = log_probs(update.words)
                yield _event("transcript.text.delta", event)
                text = update.committed
    except ApiError as error:
        yield _event("error", error.content)
        return
    except Exception:
        _log.exception("a stream of events has failed")
        yield _event("error", failure().content)
        return
    service.metrics.audio_seconds.inc(recording.seconds)
    done: dict[str, Any] = {"text": text, "entities": entity_records(words), "warnings": warnings}
    if wanted.log_probs:
        done["logprobs"] = log_probs(words)
    yield _event("transcript.text.done", {**done, "usage": usage(recording.seconds)})


def _event(kind: str, content: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"data: {json_text({'type': kind, **content})}\n\n"
