"""Transcripts of a corpus as JSON objects and as lhotse's supervisions."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lhotse import CutSet, SupervisionSegment, SupervisionSet
from lhotse.cut import Cut
from lhotse.cut.data import DataCut
from lhotse.supervision import AlignmentItem

from ctcbias_fst.errors import ConfigError
from ctcbias_fst.output import transcript_record
from ctcbias_fst.records import Transcript
from ctcbias_fst.text.printable import json_text

Write = Callable[[Iterable[Mapping[str, Any]], Path], None]
"""Writes transcripts, in the order of their utterances, to a file."""


def record_of(transcript: Transcript) -> dict[str, Any]:
    """A transcript as a JSON object: its id, and what `transcript_record` says."""
    return {"id": transcript.id, **transcript_record(transcript)}


def write_records(records: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write JSON objects, one a line."""
    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(json_text(record) + "\n" for record in records)


def write_supervisions(cuts: CutSet, records: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write a lhotse SupervisionSet: a segment for each cut that was decoded, with its id.

    Words are its alignment ``word``, with their confidences as scores; what came out of a list of
    names is in the custom field ``entities``, the score and its shares are in others. As lhotse has
    it, times are those of the recording, not of the cut.

    Raises:
        ConfigError: see `check_supervisions`.
    """
    check_supervisions(path)
    by_id = {record["id"]: record for record in records}
    found = SupervisionSet.from_segments(
        _supervision(cut, by_id[cut.id]) for cut in cuts if cut.id in by_id
    )
    if ".yaml" in path.suffixes:
        found.to_file(path)
        return
    # Not by lhotse, which writes control characters and halves of characters as they are.
    rows = list(found.to_dicts())
    text = "".join(f"{json_text(row)}\n" for row in rows)
    if ".json" in path.suffixes:
        text = json_text(rows, indent=2) + "\n"
    content = text.encode("utf-8")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def check_supervisions(path: Path) -> None:
    """Refuse a name that lhotse could not read a SupervisionSet from.

    Raises:
        ConfigError: it has none of lhotse's endings.
    """
    if not {".jsonl", ".json", ".yaml"} & {*path.suffixes}:
        raise ConfigError(f"{path}: name it .jsonl, .jsonl.gz, .json or .yaml, as lhotse has it")


def _supervision(cut: Cut, record: Mapping[str, Any]) -> SupervisionSegment:
    of_one_recording = isinstance(cut, DataCut) and cut.has_recording
    start = cut.start if of_one_recording else 0.0
    speakers = {supervision.speaker for supervision in cut.supervisions}
    words = [
        AlignmentItem(
            symbol=word["word"],
            start=round(start + word["start"], 3),
            duration=round(word["end"] - word["start"], 3),
            score=word["confidence"],
        )
        for word in record["words"]
    ]
    return SupervisionSegment(
        id=cut.id,
        recording_id=cut.recording_id if of_one_recording else cut.id,
        start=start,
        duration=cut.duration,
        text=record["text"],
        speaker=speakers.pop() if len(speakers) == 1 else None,
        alignment={"word": words},
        custom={
            "score": record["score"],
            "shares": record["shares"],
            "entities": [_later(entity, start) for entity in record["entities"]],
        },
    )


def _later(entity: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """What came out of a list, on a clock that was started so much earlier."""
    return {**entity, **{edge: round(entity[edge] + seconds, 3) for edge in ("start", "end")}}
