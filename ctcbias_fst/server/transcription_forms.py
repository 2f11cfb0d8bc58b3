"""What a request for a transcript has: its form, how the transcript is wanted, the recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from ctcbias_fst.audio.audio import Recording, read_audio, to_recording
from ctcbias_fst.server.api_errors import ApiError, short
from ctcbias_fst.server.idle_fields import other_language, other_model, unknown_fields
from ctcbias_fst.server.numbers import counted
from ctcbias_fst.server.request_names import OBJECT_FIELDS
from ctcbias_fst.server.responses import FORMATS, PLAIN
from ctcbias_fst.server.service import Service
from ctcbias_fst.text.printable import one_line
from ctcbias_fst.text.text_files import quoted

_GRANULARITIES = ("word", "segment")
_MOST_NBEST = 100
_FIELD_BYTES = 4_000_000
"""Of a field that is no file; 20,000 names have less."""

_SHOWN = 3
"""Values without effect that are named."""

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
        "max_part_size": _FIELD_BYTES,
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
        if "maximum size" in error.detail:
            raise ApiError(
                413,
                f"a field is longer than {_FIELD_BYTES / 1e6:g} MB: store the names "
                "of a longer list (PUT /v1/lists/ID), and send list_id",
                code="request_too_large",
            ) from None
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
    unknown = dict.fromkeys(value for value in include if value != "logprobs")
    warnings += [f"include {quoted(value)} is not known" for value in islice(unknown, _SHOWN)]
    if len(unknown) > _SHOWN:
        warnings.append(f"include has {len(unknown) - _SHOWN} other values that are not known")
    if stream and style != "json":
        warnings.append(f"response_format {style} has no effect on a stream of events")
    if "logprobs" in include and style in PLAIN and not stream:
        warnings.append(f"include logprobs has no effect on {style}")
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
