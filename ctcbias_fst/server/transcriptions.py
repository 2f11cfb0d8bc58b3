"""``POST /v1/audio/transcriptions``, as OpenAI's clients send it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.output import notes
from ctcbias_fst.records import Transcript
from ctcbias_fst.server.json_response import JsonResponse
from ctcbias_fst.server.request_names import RequestNames, compiled_names, of_form
from ctcbias_fst.server.responses import PLAIN, brief, log_probs, plain, verbose
from ctcbias_fst.server.service import Service, while_there
from ctcbias_fst.server.transcript_events import events_of
from ctcbias_fst.server.transcription_forms import Wanted, form_of, recording_of, wanted_of
from ctcbias_fst.text.printable import one_line

PATH = "/v1/audio/transcriptions"

_IN_HEADER = 10
"""Warnings that are told there."""

_LONGEST = 200
"""Letters of each."""


def routes(service: Service) -> list[Route]:
    """The path of recordings."""

    async def transcriptions(request: Request) -> Response:
        return await _answer(service, request)

    return [Route(PATH, transcriptions, methods=["POST"])]


async def _answer(service: Service, request: Request) -> Response:
    with service.in_hand():
        content, name, fields = await form_of(service, request)
        work = _transcribed(service, content, name, fields)
        del content
        return await while_there(request.receive, work)


async def _transcribed(
    service: Service, content: bytes, name: str, fields: Sequence[tuple[str, str]]
) -> Response:
    wanted = await service.aside(wanted_of, fields, service.name, service.language)
    names = await compiled_names(service, await service.aside(of_form, fields))
    recording = await service.read(recording_of, service, content, name)
    if wanted.stream:
        return await events_of(service, recording, wanted, names)
    transcript = await service.transcribe(recording, names.compiled, wanted.nbest)
    return _response(transcript, recording, wanted, names, service.language)


def _response(
    transcript: Transcript,
    recording: Recording,
    wanted: Wanted,
    names: RequestNames,
    language: str | None,
) -> Response:
    own = names.warnings if wanted.style == "json" else names.all_warnings
    warnings = [*wanted.warnings, *own, *notes(transcript)]
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
    told = [_cut(one_line(text)) for text in warnings[:_IN_HEADER]]
    if len(warnings) > _IN_HEADER:
        told.append(f"and {len(warnings) - _IN_HEADER} more: verbose_json has all")
    return json.dumps(told)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
