"""``POST /v1/audio/explain``: why something was written: without the list, n best, attention."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.errors import ConfigError, EntityListError, ModelError
from ctcbias_fst.explain import Explanation, NameAttention, cut, explain
from ctcbias_fst.output import notes, transcript_record
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import Hypothesis, Transcript
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.idle_fields import unknown_fields
from ctcbias_fst.server.json_response import JsonResponse
from ctcbias_fst.server.request_names import OBJECT_FIELDS, compiled_names, of_form
from ctcbias_fst.server.service import Service, while_there
from ctcbias_fst.server.transcription_forms import form_of, recording_of
from ctcbias_fst.text.text_files import as_number, quoted

PATH = "/v1/audio/explain"

_READ = frozenset({"file", "start", "end"})
_AROUND_SECONDS = 4.0
"""Of what was said before and after, as much is looked at."""

_MOST_SECONDS = 30.0
"""The adapter reads 32 s at once."""

_LONGEST_SECONDS = 1e9

_NBEST = 5
_TOP = 8
"""Names whose attention is told, those with the most."""


def routes(service: Service) -> list[Route]:
    """The path of explanations."""
    lock = asyncio.Lock()
    """For one at a time: they are for a person to look at, and not made in batches."""

    async def explanations(request: Request) -> Response:
        with service.in_hand():
            content, name, fields = await form_of(service, request)
            work = explained(content, name, fields)
            del content
            return await while_there(request.receive, work)

    async def explained(content: bytes, name: str, fields: list[tuple[str, str]]) -> Response:
        one = dict(fields)
        start, end = _seconds(one, "start"), _seconds(one, "end")
        if end is not None and (start is None or end < start):
            raise ApiError(
                400, "end is the end of what begins at start, and not before", param="end"
            )
        names = await compiled_names(service, await service.aside(of_form, fields))
        recording = await service.read(recording_of, service, content, name)
        part, begin = await service.aside(_stretch, recording, start, end)
        lists = (None,) if names.compiled is None else (None, names.compiled)
        found = await asyncio.gather(*(service.transcribe(part, one, _NBEST) for one in lists))
        attention, why = None, None
        if names.compiled is not None:
            async with lock:
                attention, why = await service.aside(
                    _attention, service.recognizer, part, names.compiled, found
                )
        told = [*unknown_fields(one, _READ | OBJECT_FIELDS), *names.warnings]
        told += [line for transcript in found for line in notes(transcript)]
        return JsonResponse(
            {
                "start": round(begin, 3),
                "end": round(begin + part.seconds, 3),
                "without": transcript_record(_moved(found[0], begin)),
                "with": transcript_record(_moved(found[-1], begin)) if len(found) > 1 else None,
                "attention": None if attention is None else _told(attention, begin),
                "no_attention": why,
                "warnings": list(dict.fromkeys(told)),
            }
        )

    return [Route(PATH, explanations, methods=["POST"])]


def _seconds(fields: dict[str, str], name: str) -> float | None:
    value = fields.get(name)
    if value is None:
        return None
    seconds = as_number(value)
    if not 0 <= seconds <= _LONGEST_SECONDS:
        raise ApiError(400, f"{name} is a time in seconds, not {quoted(value)}", param=name)
    return seconds


def _stretch(
    recording: Recording, start: float | None, end: float | None
) -> tuple[Recording, float]:
    """What is looked at, and where it begins: around a time or a word, or else from the beginning.

    Raises:
        AudioError: the recording ends before.
    """
    if start is None:
        return cut(recording, 0.0, _MOST_SECONDS), 0.0
    last = max(start, start if end is None else end)
    begin = max(0.0, start - _AROUND_SECONDS)
    if start >= recording.seconds:
        begin = start  # and so it is refused
    return cut(recording, begin, min(last + _AROUND_SECONDS - begin, _MOST_SECONDS)), begin


def _attention(
    recognizer: Recognizer,
    recording: Recording,
    names: CompiledEntities,
    found: Sequence[Transcript],
) -> tuple[Explanation | None, str | None]:
    """What the adapter looked at; or why there is nothing to tell."""
    words = found[0].best.words, found[-1].best.words
    try:
        return explain(recognizer, recording, names, words), None
    except (ConfigError, EntityListError, ModelError) as error:
        return None, str(error)


def _moved(transcript: Transcript, seconds: float) -> Transcript:
    """The transcript of a part with the times of the whole."""

    def moved(one: Hypothesis) -> Hypothesis:
        words = [
            replace(word, start=word.start + seconds, end=word.end + seconds) for word in one.words
        ]
        return replace(one, words=tuple(words))

    nbest = tuple(moved(one) for one in transcript.nbest)
    return replace(transcript, best=moved(transcript.best), nbest=nbest)


def _told(explanation: Explanation, begin: float) -> dict[str, Any]:
    none = NameAttention("", explanation.none, False)
    return {
        "frame_seconds": explanation.frame_seconds,
        "listed": explanation.listed,
        "names": [_row(one, explanation, begin) for one in explanation.names[:_TOP]],
        "none": _row(none, explanation, begin)["weights"],
    }


def _row(one: NameAttention, explanation: Explanation, begin: float) -> dict[str, Any]:
    at = int(one.weights.argmax()) * explanation.frame_seconds if len(one.weights) else 0.0
    return {
        "name": one.name,
        "written": one.written,
        "peak": round(one.peak, 3),
        "at": round(begin + at, 3),
        "weights": [round(float(weight), 3) for weight in one.weights],
    }
