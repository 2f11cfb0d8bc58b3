"""Transcripts as JSON objects and supervisions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment, SupervisionSet

from ctcbias_fst.corpus.transcript_files import record_of, write_supervisions
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.records import Hypothesis, Mention, Transcript, Word
from ctcbias_fst.text.entity import Entity


def transcript(name: str, text: str, entity: Entity | None = None) -> Transcript:
    """A word a second, the last of them out of a list."""
    words = tuple(Word(w, i + 0.1, i + 0.9, 0.5) for i, w in enumerate(text.split()))
    if entity is not None:
        words = (*words[:-1], replace(words[-1], mentions=(Mention(entity, "text"),)))
    best = Hypothesis(words, -1.5, ())
    return Transcript(name, best, (best,))


def texts(path: Path) -> dict[str, str]:
    """What a file of records says, by utterance."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row["text"] for row in rows}


def test_records_say_what_there_is() -> None:
    ada = Mention(Entity("ada", "Ada", line=3), "boost", 0.5)
    named = Word("Ada", 0.1, 0.5, 0.87654, entity=True, mentions=(ada,))
    best = Hypothesis((named,), -1.23456, (1,), 0.5)
    other = Hypothesis((Word("ad", 0.1, 0.5, 0.1),), -3.0, (2,))
    record = record_of(Transcript("u", best, (best, other), "something happened"))
    entities = [
        {
            **{"name": "ada", "display": "Ada", "weight": 1.0, "line": 3, "words": [0, 1]},
            **{"start": 0.1, "end": 0.5, "found_by": "boost", "boost": 0.5},
        }
    ]
    scores = {
        "score": -1.2346,
        "shares": {"acoustic": -1.7346, "boost": 0.5, "lm": 0.0, "phone": 0.0},
    }
    lower = {
        "score": -3.0,
        "shares": {"acoustic": -3.0, "boost": 0.0, "lm": 0.0, "phone": 0.0},
    }
    assert record == {
        "id": "u",
        "text": "Ada",
        "words": [{"word": "Ada", "start": 0.1, "end": 0.5, "confidence": 0.8765, "entity": True}],
        "entities": entities,
        **scores,
        "nbest": [
            {"text": "Ada", "entities": entities, **scores},
            {"text": "ad", "entities": [], **lower},
        ],
        "warning": "something happened",
    }
    assert "nbest" not in record_of(Transcript("u", best, (best,)))


def cut(name: str, start: float = 0.0) -> MonoCut:
    recording = Recording(f"r-{name}", [], 16000, 160_000, 10.0)
    supervision = SupervisionSegment(f"s-{name}", recording.id, 0, 2.0, text="x", speaker="ada")
    return MonoCut(name, start, 2.0, 0, supervisions=[supervision], recording=recording)


def test_supervisions_are_on_the_recordings_clock(tmp_path: Path) -> None:
    cuts = CutSet.from_cuts([cut("a", start=3.0), cut("b")])
    path = tmp_path / "supervisions.jsonl.gz"
    record = record_of(transcript("a", "two words", Entity("words", "words", line=2)))
    write_supervisions(cuts, [record], path)
    (segment,) = SupervisionSet.from_file(path)
    assert (segment.id, segment.recording_id, segment.text) == ("a", "r-a", "two words")
    assert (segment.start, segment.duration, segment.speaker) == (3.0, 2.0, "ada")
    first, second = segment.alignment["word"]
    assert (first.symbol, first.start, first.duration, first.score) == ("two", 3.1, 0.8, 0.5)
    assert second.start == 4.1
    (entity,) = segment.custom["entities"]
    assert entity == {**record["entities"][0], "start": 4.1, "end": 4.9}
    assert (entity["line"], entity["words"], segment.custom["score"]) == (2, [1, 2], -1.5)
    assert segment.custom["shares"] == record["shares"]


def test_names_that_lhotse_does_not_know_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.txt: name it \.jsonl"):
        write_supervisions(CutSet.from_cuts([cut("a")]), [], tmp_path / "x.txt")
    for name in ("x.json", "x.yaml", "x.json.gz"):
        records = [record_of(transcript("a", "two words"))]
        write_supervisions(CutSet.from_cuts([cut("a")]), records, tmp_path / name)
        (segment,) = SupervisionSet.from_file(tmp_path / name)
        assert segment.text == "two words"
