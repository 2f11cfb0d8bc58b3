"""Transcripts as text, JSON lines, CTM, SubRip or WebVTT."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ctcbias_fst.records import Hypothesis, Transcript, Word, mentions_of, text_of
from ctcbias_fst.text.printable import json_text, one_line, one_token, one_token_each
from ctcbias_fst.text.text_files import quoted

SUBTITLES = ("srt", "vtt")
"""The formats that have the times of one recording only."""

_CUE_SECONDS = 7.0
_LINE_CHARACTERS = 42
_CUE_LINES = 2
_CUE_PAUSE = 0.8
_SHOWN = 5


def as_text(transcripts: Sequence[Transcript], several: bool | None = None) -> Iterator[str]:
    """One line per recording; if there are several, its id and a tab come first.

    Args:
        several: whether there are, others among them; by default as many as these.
    """
    several = len(transcripts) > 1 if several is None else several
    for transcript in transcripts:
        prefix = f"{one_line(transcript.id)}\t" if several else ""
        yield prefix + one_line(transcript.best.text)


def transcript_record(transcript: Transcript) -> dict[str, Any]:
    """A transcript as a JSON object: text, words, entities, score and its shares.

    And where there is anything to say, the n best hypotheses (without their words), the words that
    were left out for want of evidence and the names among them, and a warning.
    """
    best = transcript.best
    record: dict[str, Any] = {
        "text": best.text,
        "words": [word_record(word) for word in best.words],
        "entities": entity_records(best.words),
        **_scores(best),
    }
    if len(transcript.nbest) > 1:
        record["nbest"] = [
            {"text": one.text, "entities": entity_records(one.words), **_scores(one)}
            for one in transcript.nbest
        ]
    if transcript.left_out:
        record["left_out"] = [
            {**word_record(word), "log_prob": _nats(word.log_prob)} for word in transcript.left_out
        ]
        record["left_out_entities"] = entity_records(transcript.left_out)
    if transcript.warning:
        record["warning"] = transcript.warning
    return record


def word_record(word: Word) -> dict[str, Any]:
    """A word as a JSON object: start and end in seconds, confidence."""
    record = {
        "word": word.word,
        "start": round(word.start, 3),
        "end": round(word.end, 3),
        "confidence": round(word.confidence, 4),
    }
    return {**record, "entity": True} if word.entity else record


def entity_records(words: Sequence[Word]) -> list[dict[str, Any]]:
    """What came out of the list of names: the entry, its extent, and what speaks for it."""
    records = []
    for mention, extent, start, end in mentions_of(words):
        entity = mention.entity
        record = {
            "name": entity.name,
            "display": entity.display,
            "category": entity.category,
            "weight": entity.weight,
            "line": entity.line,
            "words": list(extent),
            "start": round(start, 3),
            "end": round(end, 3),
            "found_by": mention.found_by,
            "boost": _nats(mention.boost),
            "phone": None if mention.phone is None else _nats(mention.phone),
            "lookup": None if mention.lookup is None else _nats(mention.lookup),
            "heard": mention.heard,
        }
        records.append({key: value for key, value in record.items() if value is not None})
    return records


def _scores(hypothesis: Hypothesis) -> dict[str, Any]:
    """The score of a hypothesis, and its shares, which add up to it as they are rounded."""
    score = _nats(hypothesis.score)
    shares = {name: _nats(share) for name, share in hypothesis.shares.items()}
    rest = sum(share for name, share in shares.items() if name != "acoustic")
    return {"score": score, "shares": {**shares, "acoustic": _nats(score - rest)}}


def _nats(value: float) -> float:
    return round(value, 4) + 0.0  # no minus before zero


def notes(transcript: Transcript, name: str | None = None) -> list[str]:
    """What a person should know of a transcript that is not in its text, in lines; ``name`` is
    what it is called there, by default its id."""
    lines = [transcript.warning] if transcript.warning else []
    if transcript.left_out:
        shown = ", ".join(quoted(word.word) for word in transcript.left_out[:_SHOWN])
        more = len(transcript.left_out) - _SHOWN
        also = f" and {more} more" if more > 0 else ""
        lines.append(f"left out, as hardly anything in the audio speaks for it: {shown}{also}")
    return [f"{one_line(name or transcript.id)}: {line}" for line in lines]


def as_json(
    transcripts: Sequence[Transcript], paths: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """One object per line: path, and what `transcript_record` says.

    The id comes first where that is not the path.
    """
    for transcript in transcripts:
        named = {"id": transcript.id} if transcript.id in paths else {}
        record: dict[str, Any] = {
            **named,
            "path": paths.get(transcript.id, transcript.id),
            **transcript_record(transcript),
        }
        yield json_text(record)


def as_ctm(transcripts: Sequence[Transcript]) -> Iterator[str]:
    """NIST CTM: recording, channel, start, duration, word, confidence."""
    names = one_token_each([one.id for one in transcripts], "the CTM file", _ctm_name)
    for transcript in transcripts:
        name = names[transcript.id]
        for word in transcript.best.words:
            for part, start, end in _parts(word):
                yield f"{name} 1 {start:.2f} {end - start:.2f} {part} {word.confidence:.4f}"


def _ctm_name(text: str) -> str:
    """One column, that begins no comment."""
    token = one_token(text)
    return f"_{token}" if token.startswith(";;") else token


def as_srt(transcripts: Sequence[Transcript]) -> Iterator[str]:
    """SubRip cues of one recording.

    A cue ends at a pause, after two lines of 42 characters, or after 7 s.
    """
    number = 0
    for transcript in transcripts:
        for cue, lines in _cues(transcript.best.words):
            number += 1
            yield str(number)
            yield f"{_clock(cue[0].start, ',')} --> {_clock(cue[-1].end, ',')}"
            # No line may look like the times of a cue.
            yield from (line.replace("-->", "->") for line in lines)
            yield ""


def as_vtt(transcripts: Sequence[Transcript]) -> Iterator[str]:
    """WebVTT cues of one recording, cut as those of SubRip."""
    yield "WEBVTT"
    yield ""
    for transcript in transcripts:
        for cue, lines in _cues(transcript.best.words):
            yield f"{_clock(cue[0].start, '.')} --> {_clock(cue[-1].end, '.')}"
            yield from (html.escape(line, quote=False) for line in lines)
            yield ""


FORMATS: dict[str, Callable[[Sequence[Transcript]], Iterator[str]]] = {
    "text": as_text,
    "json": as_json,
    "ctm": as_ctm,
    "srt": as_srt,
    "vtt": as_vtt,
}


def format_transcripts(
    transcripts: Sequence[Transcript],
    style: str,
    paths: Mapping[str, str] = MappingProxyType({}),
    *,
    several: bool | None = None,
) -> str:
    """All transcripts in one of ``FORMATS``, each line ended.

    Args:
        paths: of recordings whose ids are not their paths, for JSON.
        several: whether these are some of several recordings, for text.
    """
    if style == "json":
        lines = as_json(transcripts, paths)
    elif style == "text":
        lines = as_text(transcripts, several)
    else:
        lines = FORMATS[style](transcripts)
    return "".join(f"{line}\n" for line in lines)


def _parts(word: Word) -> Iterator[tuple[str, float, float]]:
    """A phrase as its words, sharing its time by their lengths: CTM has one word a line."""
    parts = one_line(word.word).split()
    characters = sum(map(len, parts))
    begin = word.start
    for part in parts:
        end = begin + (word.end - word.start) * len(part) / characters
        yield part, begin, end
        begin = end


def _cues(words: Sequence[Word]) -> Iterator[tuple[list[Word], list[str]]]:
    """The words of each cue, and its lines; none without text."""
    cue: list[Word] = []
    for word in words:
        if cue and (
            word.start - cue[-1].end > _CUE_PAUSE
            or word.end - cue[0].start > _CUE_SECONDS
            or len(_lines([*cue, word])) > _CUE_LINES
        ):
            yield cue, _lines(cue)
            cue = []
        if cue or _lines([word]):
            cue.append(word)
    if cue:
        yield cue, _lines(cue)


def _lines(cue: Sequence[Word]) -> list[str]:
    """The words of a cue in lines; a word that is longer than a line has one to itself."""
    text = one_line(text_of(cue))
    return textwrap.wrap(text, _LINE_CHARACTERS, break_long_words=False, break_on_hyphens=False)


def _clock(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"
