"""The settings of a realtime session, as OpenAI's clients write them: those of today
(``session.update``) and those of the beta (``transcription_session.update``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ctcbias_fst.audio.blocks import check_rate
from ctcbias_fst.errors import AudioError
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.idle_fields import other_language, other_model, unknown_fields
from ctcbias_fst.server.request_names import OBJECT_FIELDS
from ctcbias_fst.server.service import Service
from ctcbias_fst.text.text_files import quoted

_BETA_FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
_ENCODINGS = {"audio/pcm": "s16le", "audio/pcmu": "mulaw", "audio/pcma": "alaw"}
_RATES = {"audio/pcm": 24000, "audio/pcmu": 8000, "audio/pcma": 8000}
_LOG_PROBS = "item.input_audio_transcription.logprobs"

_BETA = {
    "input_audio_format": "format",
    "input_audio_transcription": "transcription",
    "input_audio_noise_reduction": "noise_reduction",
    "turn_detection": "turn_detection",
}
"""Fields of the beta, and what they are called in ``audio.input`` today."""

_SESSION = frozenset({"type", "id", "object", "audio", "include", "modalities", *_BETA})
_TRANSCRIPTION = frozenset({"model", "language", "prompt"}) | OBJECT_FIELDS


@dataclass(frozen=True)
class Settings:
    """What is in effect.

    Attributes:
        form: of audio, as it is called today.
        rate: samples per second.
        detects: whether utterances end where the server finds that they do; else where the client
            says so.
        log_probs: whether words come with theirs.
    """

    form: str = "audio/pcm"
    rate: int = 24000
    detects: bool = True
    log_probs: bool = False

    @property
    def encoding(self) -> str:
        """How samples are written."""
        return _ENCODINGS[self.form]


@dataclass(frozen=True)
class Change:
    """What a client asks for.

    Attributes:
        settings: all of them, as they are to be.
        names: the fields of a list; None where none is named, and the one before stays.
        warnings: what has no effect.
    """

    settings: Settings
    names: Mapping[str, Any] | None
    warnings: tuple[str, ...]


def change_of(session: Any, now: Settings, service: Service) -> Change:
    """What a client asks for; fields that it does not name stay as they are.

    Args:
        session: of its event.
        now: what is in effect.
        service: whose model and language it is.

    Raises:
        ApiError: a value is wrong, or cannot be had.
    """
    session = _object(session, "session")
    kind = session.get("type", "transcription")
    if kind != "transcription":
        raise ApiError(
            400,
            f"session.type is transcription here, not {quoted(kind)}",
            param="session.type",
        )
    given = _object(_object(session.get("audio"), "session.audio").get("input"), "audio.input")
    given = {**given, **{new: session[old] for old, new in _BETA.items() if old in session}}
    transcription: Mapping[str, Any] = {}
    if "transcription" in given:
        if given["transcription"] is None:
            raise ApiError(400, "transcription cannot be turned off: there is nothing else here")
        transcription = _object(given["transcription"], "transcription")
    names = {
        name: value
        for one in (session, transcription)
        for name, value in one.items()
        if name in OBJECT_FIELDS
    }
    settings = replace(_with_format(now, given), **_with_detection(given), **_with_include(session))
    warnings = (
        *unknown_fields(session, _SESSION | OBJECT_FIELDS),
        *unknown_fields(given, frozenset(_BETA.values())),
        *_of_format(given.get("format")),
        *_idle(given, transcription, service),
    )
    return Change(settings, names or None, warnings)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if value is not None and not isinstance(value, dict):
        raise ApiError(400, f"{where} is an object, not {quoted(value)}", param=where)
    return value or {}


def _with_format(now: Settings, given: Mapping[str, Any]) -> Settings:
    if given.get("format") is None:
        return now
    found = given["format"]
    if isinstance(found, str):
        found = {"type": _BETA_FORMATS.get(found, found)}
    kind = _object(found, "format").get("type", "audio/pcm")
    if kind not in tuple(_ENCODINGS):
        told = ", ".join((*_ENCODINGS, *_BETA_FORMATS))
        raise ApiError(400, f"format is one of {told}, not {quoted(kind)}", param="format")
    try:
        rate = found.get("rate")
        rate = check_rate(_RATES[kind] if rate is None else rate, "format")
    except AudioError as error:
        raise ApiError.of(error, param="format") from None
    return replace(now, form=kind, rate=rate)


def _of_format(form: Any) -> Iterator[str]:
    """What is told of a format's fields that nobody knows."""
    names = form if isinstance(form, dict) else {}
    return unknown_fields((f"format.{name}" for name in names), ("format.type", "format.rate"))


def _with_detection(given: Mapping[str, Any]) -> dict[str, Any]:
    if "turn_detection" not in given:
        return {}
    return {"detects": bool(_object(given["turn_detection"], "turn_detection"))}


def _with_include(session: Mapping[str, Any]) -> dict[str, Any]:
    if "include" not in session:
        return {}
    include = session["include"] or []
    if not isinstance(include, list) or any(one != _LOG_PROBS for one in include):
        raise ApiError(
            400, f"include is an array of {_LOG_PROBS}, not {quoted(include)}", param="include"
        )
    return {"log_probs": bool(include)}


def _idle(
    given: Mapping[str, Any], transcription: Mapping[str, Any], service: Service
) -> Iterator[str]:
    """What is told of fields without effect."""
    detection = given.get("turn_detection") or {}
    if detection.get("type", "server_vad") != "server_vad":
        yield f"turn_detection {quoted(detection['type'])} is not here: server_vad is in effect"
    for name, value in detection.items():
        if name != "type" and value is not None:
            yield f"turn_detection.{name} has no effect: the server's endpoints are in effect"
    if given.get("noise_reduction") is not None:
        yield "noise_reduction has no effect: the audio is heard as it is"
    for note in (
        other_model(str(transcription.get("model") or service.name), service.name),
        other_language(str(transcription.get("language") or ""), service.language),
    ):
        if note is not None:
            yield note
    if transcription.get("prompt"):
        yield "prompt has no effect: names to listen for go into keywords"
    set_ones = (name for name, value in transcription.items() if value is not None)
    yield from unknown_fields(set_ones, _TRANSCRIPTION)


def session_of(settings: Settings, service: Service, *, beta: bool) -> dict[str, Any]:
    """What is in effect, as a client reads it."""
    endpoints = service.recognizer.config.stream.endpoints
    transcription = {"model": service.name}
    if service.language == "english":
        transcription["language"] = "en"
    detection = None
    if settings.detects:
        silence = round(1000 * endpoints.silence_after_words)
        detection = {"type": "server_vad", "silence_duration_ms": silence}
    include = [_LOG_PROBS] if settings.log_probs else []
    if beta:
        old = next(old for old, new in _BETA_FORMATS.items() if new == settings.form)
        return {
            "object": "realtime.transcription_session",
            "modalities": ["text"],
            "input_audio_format": old,
            "input_audio_transcription": transcription,
            "turn_detection": detection,
            "include": include,
        }
    form: dict[str, Any] = {"type": settings.form}
    if settings.form == "audio/pcm":
        form["rate"] = settings.rate
    given = {"format": form, "transcription": transcription, "turn_detection": detection}
    return {
        "object": "realtime.transcription_session",
        "type": "transcription",
        "audio": {"input": {**given, "noise_reduction": None}},
        "include": include,
    }
