"""``POST /v1/audio/transcriptions``, as OpenAI's clients send it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from ctcbias_fst.audio.audio import Recording, read_audio, to_recording
from ctcbias_fst.audio_streams import AudioStream
from ctcbias_fst.output import entity_records, notes
from ctcbias_fst.records import Transcript, Word
from ctcbias_fst.server.api_errors import ApiError, failure, short
from ctcbias_fst.server.idle_fields import other_language, other_model, unknown_fields
from ctcbias_fst.server.json_response import JsonResponse
from ctcbias_fst.server.numbers import counted
from ctcbias_fst.server.request_names import OBJECT_FIELDS, RequestNames, compiled_names, of_form
from ctcbias_fst.server.responses import FORMATS, PLAIN, brief, log_probs, plain, usage, verbose
from ctcbias_fst.server.service import Service, until_gone
from ctcbias_fst.text.printable import json_text, one_line
from ctcbias_fst.text.text_files import quoted

PATH = "/v1/audio/transcriptions"

_GRANULARITIES = ("word", "segment")
_MOST_NBEST = 100
_CHUNK_SECONDS = 1.0
"""Of a recording that is told as it is transcribed."""

_IDLE = {
    "prompt": "names to listen for go into keywords",
    "temperature": "the same audio always gives the same text",
    "chunking_strategy": "long audio is cut at pauses anyway",
    "known_speaker_names": "nobody tells who speaks; names to listen for go into keywords",
    "known_speaker_references": "nobody tells who speaks",
}
"""Fields of OpenAI's that have no effect, and what to do instead."""

_SINGLE = frozenset({"language", "model", "nbest", "response_format", "stream"})

_READ = frozenset(
    {
        "file",
        "model",
        "language",
        "response_format",
        "timestamp_granularities",
        "include",
        "stream",
        "nbest",
    }
)


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """How a request wants its transcript.

    Attributes:
        style: of :data:`ctcbias_fst.server.responses.FORMATS`.
        granularities: of ``word`` and ``segment``, what ``verbose_json`` has.
        log_probs: whether words come with theirs.
        stream: whether the text is told as it is known.
        nbest: hypotheses; None as the settings say.
        warnings: fields without effect.
    """

    style: str
    granularities: frozenset[str]
    log_probs: bool
    stream: bool
    nbest: int | None
    warnings: tuple[str, ...]


def routes(service: Service) -> list[Route]:
    """The path of recordings."""

    async def transcriptions(request: Request) -> Response:
        return await _answer(service, request)

    return [Route(PATH, transcriptions, methods=["POST"])]


async def _answer(service: Service, request: Request) -> Response:
    with service.in_hand():
        return await _transcribed(service, request)


async def _transcribed(service: Service, request: Request) -> Response:
    content, name, fields = await form_of(service, request)
    wanted = wanted_of(fields, service.name, service.language)
    names = await compiled_names(service, of_form(fields))
    recording = await service.aside(recording_of, service, content, name)
    del content
    if wanted.stream:
        return await _told(service, recording, wanted, names)
    work = asyncio.ensure_future(service.transcribe(recording, names.compiled, wanted.nbest))
    gone = asyncio.ensure_future(until_gone(request.receive))
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ApiError(499, "the client has gone", code="client_gone")
        transcript = await work
    finally:
        for one in (work, gone):
            one.cancel()
        with suppress(asyncio.CancelledError):
            await gone
    return _response(transcript, recording, wanted, names, service.language)


async def form_of(service: Service, request: Request) -> tuple[bytes, str, list[tuple[str, str]]]:
    """The file of a request, its name, and the other fields: without the ``[]`` that several of a
    name may have; those of the address, which are of no use, begin with ``?``.

    Raises:
        ApiError: it has no such form.
    """
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise ApiError(
            415,
            f"send multipart/form-data with the recording as file, not {quoted(kind)}",
            code="content_type",
        )
    limits = {
        "max_files": 2,
        "max_fields": 100 + service.config.max_inline_names,
        "max_part_size": round(service.config.max_megabytes * 1e6),
    }
    try:
        async with request.form(**limits) as form:
            files = [
                (field, value)
                for field, value in form.multi_items()
                if isinstance(value, UploadFile)
            ]
            fields = [
                (field.removesuffix("[]"), value)
                for field, value in form.multi_items()
                if isinstance(value, str)
            ]
            fields += [(f"?{field}", value) for field, value in request.query_params.multi_items()]
            stray = [field for field, _ in files if field != "file"]
            if stray or len(files) != 1:
                told = f"and {quoted(stray[0])}" if stray else f"not {len(files)}"
                raise ApiError(400, f"send one recording, as file, {told}", param="file")
            file = files[0][1]
            return await file.read(), file.filename or "audio", fields
    except HTTPException as error:
        raise ApiError(error.status_code, f"the form cannot be read: {error.detail}") from None
    except OSError as error:  # long files are kept in the temporary folder meanwhile
        raise short(error) from error


def wanted_of(fields: Sequence[tuple[str, str]], model: str, language: str | None) -> Wanted:
    """How a request wants its transcript.

    Args:
        fields: names and values, in their order.
        model: what the server's is called.
        language: of it, if that is known.

    Raises:
        ApiError: a value is wrong.
    """
    one = dict(fields)
    style = one.get("response_format", "json")
    if style not in FORMATS:
        raise ApiError(
            400,
            f"response_format is one of {', '.join(FORMATS)}, not {quoted(style)}",
            param="response_format",
        )
    several = _values(fields, "timestamp_granularities")
    wrong = next((value for value in several if value not in _GRANULARITIES), None)
    if wrong is not None:
        raise ApiError(
            400,
            f"timestamp_granularities[] are word and segment, not {quoted(wrong)}",
            param="timestamp_granularities[]",
        )
    include = _values(fields, "include")
    stream = _truth("stream", one.get("stream", "false"))
    warnings = list(_idle(fields, one, model, language))
    warnings += [
        f"include {quoted(value)} is not known" for value in include if value != "logprobs"
    ]
    if stream and style != "json":
        warnings.append(f"response_format {style} has no effect on a stream of events")
    if several and style != "verbose_json":
        warnings.append("timestamp_granularities[] has an effect with verbose_json only")
    if "nbest" in one and (stream or style in PLAIN):
        warnings.append("nbest has an effect on json and verbose_json only")
    return Wanted(
        style,
        frozenset(several) or frozenset({"segment"}),
        "logprobs" in include,
        stream,
        _nbest(one.get("nbest")),
        tuple(warnings),
    )


def _idle(
    fields: Sequence[tuple[str, str]], one: dict[str, str], model: str, language: str | None
) -> Iterator[str]:
    """What is told of fields without effect."""
    for note in (
        other_model(one.get("model", model), model),
        other_language(one.get("language", ""), language),
    ):
        if note is not None:
            yield note
    for name, times in Counter(name for name, _ in fields).items():
        if times > 1 and name in _SINGLE:
            yield f"{name} is given {times} times: the last one counts"
        if name in _IDLE:
            yield f"{name} has no effect: {_IDLE[name]}"
        else:
            yield from unknown_fields([name], _READ | OBJECT_FIELDS)


def _values(fields: Sequence[tuple[str, str]], field: str) -> list[str]:
    """The values of a field that may be repeated, or hold several with commas between."""
    values = [value for name, value in fields if name == field]
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _truth(name: str, value: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False, "": False}
    if value.lower() not in known:
        raise ApiError(400, f"{name} is true or false, not {quoted(value)}", param=name)
    return known[value.lower()]


def _nbest(value: str | None) -> int | None:
    return None if value is None else counted("nbest", value, _MOST_NBEST)


def recording_of(service: Service, content: bytes, name: str) -> Recording:
    """The recording of a file, at the model's rate.

    Raises:
        ApiError: it is empty or too long.
        AudioError: it cannot be read.
    """
    name, most = one_line(name), service.config.max_seconds
    if not content:
        raise ApiError(400, f"{name}: the file is empty", param="file")
    rate = service.recognizer.model.sampling_rate
    found = read_audio(content, rate, seconds=most + 1.0, name=name)
    if found.seconds > most:
        raise ApiError(
            413, f"{name}: longer than {most:g} s: send it in parts", param="file", code="too_long"
        )
    return to_recording(found, rate)


def _response(
    transcript: Transcript,
    recording: Recording,
    wanted: Wanted,
    names: RequestNames,
    language: str | None,
) -> Response:
    warnings = [*wanted.warnings, *names.warnings, *notes(transcript)]
    if wanted.style in PLAIN:
        # There is no room for warnings in the text itself.
        return PlainTextResponse(
            plain(transcript, wanted.style),
            media_type=PLAIN[wanted.style],
            headers=None if not warnings else {"X-Warnings": _header(warnings)},
        )
    if wanted.style == "json":
        found = brief(transcript, recording.seconds, warnings)
    else:
        found = verbose(
            transcript,
            recording.seconds,
            warnings,
            language=language or "unknown",
            words="word" in wanted.granularities,
            segments="segment" in wanted.granularities,
        )
    if wanted.log_probs:
        found["logprobs"] = log_probs(transcript.best.words)
    return JsonResponse(found)


def _header(warnings: Sequence[str]) -> str:
    """Warnings for a header, which is ASCII and not long."""
    return json.dumps([one_line(text)[:200] for text in warnings[:10]])


async def _told(
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
