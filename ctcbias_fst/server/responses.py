"""Transcripts as clients of OpenAI's interface know them, with the names that were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ctcbias_fst.output import entity_records, format_transcripts, transcript_record
from ctcbias_fst.records import Transcript, Word, text_of

PLAIN = {
    "text": "text/plain; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
}
FORMATS = ("json", "verbose_json", *PLAIN)

_PAUSE_SECONDS = 0.8
"""Where nothing was said for so long, a segment ends."""

_SEGMENT_SECONDS = 30.0


def plain(transcript: Transcript, style: str) -> str:
    """One of :data:`PLAIN`."""
    return format_transcripts([transcript], style)


def brief(transcript: Transcript, seconds: float, warnings: Sequence[str]) -> dict[str, Any]:
    """The format ``json``: text, names, warnings; the n best where more were asked for."""
    record = transcript_record(transcript)
    found = {"text": transcript.best.text, "entities": record["entities"]}
    if "nbest" in record:
        found["nbest"] = record["nbest"]
    return {**found, "warnings": list(warnings), "usage": usage(seconds)}


def verbose(
    transcript: Transcript,
    seconds: float,
    warnings: Sequence[str],
    *,
    language: str,
    words: bool,
    segments: bool,
) -> dict[str, Any]:
    """The format ``verbose_json``: the same with words and segments, as they are wanted."""
    record = transcript_record(transcript)
    found: dict[str, Any] = {
        "task": "transcribe",
        "language": language,
        "duration": round(seconds, 3),
        **brief(transcript, seconds, warnings),
        "score": record["score"],
        "shares": record["shares"],
    }
    if words:
        found["words"] = [_word(word) for word in transcript.best.words]
    if segments:
        found["segments"] = [
            _segment(number, part) for number, part in enumerate(_parts(transcript.best.words))
        ]
    for key in ("left_out", "left_out_entities"):
        if key in record:
            found[key] = record[key]
    return found


def usage(seconds: float) -> dict[str, Any]:
    """How much audio was transcribed."""
    return {"type": "duration", "seconds": round(seconds, 3)}


def log_probs(words: Sequence[Word]) -> list[dict[str, Any]]:
    """What the model says of words, as ``include[]=logprobs`` wants it: of each the mean of its
    tokens, natural log."""
    return [
        {
            "token": word.word,
            "logprob": round(word.log_prob, 4),
            "bytes": list(word.word.encode("utf-8", "replace")),
        }
        for word in words
    ]


def _word(word: Word) -> dict[str, Any]:
    found: dict[str, Any] = {
        "word": word.word,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "probability": round(word.confidence, 4),
    }
    return {**found, "entity": True} if word.entity else found


def _segment(number: int, words: Sequence[Word]) -> dict[str, Any]:
    """A segment. What a model of another kind would tell of it, has the values of speech that is
    sure: clients leave segments out by them."""
    mean = sum(word.log_prob for word in words) / len(words)
    return {
        "id": number,
        "seek": 0,
        "start": round(words[0].start, 3),
        "end": round(words[-1].end, 3),
        "text": f" {text_of(words)}",
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": round(mean, 4),
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
        "entities": entity_records(words),
    }


def _parts(words: Sequence[Word]) -> list[list[Word]]:
    """Words up to a pause, or to half a minute."""
    parts: list[list[Word]] = []
    for word in words:
        last = parts[-1] if parts else []
        pause = bool(last) and word.start - last[-1].end >= _PAUSE_SECONDS
        if not last or pause or word.end - last[0].start > _SEGMENT_SECONDS:
            parts.append([])
        parts[-1].append(word)
    return parts
