"""Formats of transcripts: golden text for each."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.errors import CtcbiasWarning
from ctcbias_fst.output import format_transcripts
from ctcbias_fst.records import Hypothesis, Mention, Transcript, Word
from ctcbias_fst.text.entity import Entity


def transcript(name: str, *words: tuple[str, float, float]) -> Transcript:
    best = Hypothesis(
        words=tuple(Word(word, start, end, 0.98765) for word, start, end in words),
        score=-1.0,
        token_ids=(),
    )
    return Transcript(name, best, (best,))


TALK = transcript("a talk.wav", ("take", 0.04, 0.3), ("St. John's wort", 0.36, 1.36))
PAUSE = transcript("b.wav", ("one", 0.0, 0.5), ("two", 2.0, 2.5), ("three", 3599.9994, 3661.5))
SILENCE = transcript("c.wav")
PLAIN = {
    "entities": [],
    "score": -1.0,
    "shares": {"acoustic": -1.0, "boost": 0.0, "lm": 0.0, "phone": 0.0},
}
"""What JSON says of a transcript without names besides."""


def test_text() -> None:
    assert format_transcripts([TALK], "text") == "take St. John's wort\n"
    assert format_transcripts([TALK, SILENCE], "text") == (
        "a talk.wav\ttake St. John's wort\nc.wav\t\n"
    )
    assert format_transcripts([], "text") == ""


def test_json_is_one_object_per_line() -> None:
    lines = format_transcripts([TALK, SILENCE], "json").splitlines()
    assert json.loads(lines[0]) == {
        "path": "a talk.wav",
        "text": "take St. John's wort",
        "words": [
            {"word": "take", "start": 0.04, "end": 0.3, "confidence": 0.9877},
            {"word": "St. John's wort", "start": 0.36, "end": 1.36, "confidence": 0.9877},
        ],
        **PLAIN,
    }
    assert json.loads(lines[1]) == {"path": "c.wav", "text": "", "words": [], **PLAIN}
    (line,) = format_transcripts([replace(SILENCE, warning="truncated")], "json").splitlines()
    assert json.loads(line)["warning"] == "truncated"


def test_json_says_which_entries_came_out_of_the_list() -> None:
    """And where, and why; of the words that were left out and of the other hypotheses, too."""
    ada = Entity("ada lovelace", "Ada Lovelace", 2.0, "person", line=7)
    read = Mention.of(ada, "boost", "adah lovelace", boost=4.56789)
    again = Mention.of(ada, "text", "ada lovelace")
    again = replace(again, phone=-0.98765)
    other = Mention.of(Entity("kim", "Kim"), "lookup", "came", lookup=12.34567)
    words = (
        Word("Ada", 1.0, 1.2, 0.9, entity=True, mentions=(read,)),
        Word("Lovelace", 1.2, 1.9, 0.9, entity=True, mentions=(read,)),
        Word("Ada", 2.0, 2.2, 0.9, entity=True, mentions=(again,)),
        Word("Lovelace-Kim", 2.2, 3.0004, 0.9, entity=True, mentions=(again, other)),
        Word("spoke", 3.1, 3.5, 0.9),
    )
    best = Hypothesis(words, -3.0, (), 4.56789, -2.00004, -30.0, -6.00004)
    second = Hypothesis(words[4:], -3.5, ())
    talk = Transcript("a.wav", best, (best, second), left_out=words[:2])
    (line,) = format_transcripts([talk], "json").splitlines()
    found = json.loads(line)
    first = {
        "name": "ada lovelace",
        "display": "Ada Lovelace",
        "category": "person",
        "weight": 2.0,
        "line": 7,
        "words": [0, 2],
        "start": 1.0,
        "end": 1.9,
        "found_by": "boost",
        "boost": 4.5679,
        "heard": "adah lovelace",
    }
    assert [word.get("entity", False) for word in found["words"]] == [True] * 4 + [False]
    assert found["entities"] == [
        first,
        {
            **{key: first[key] for key in ("name", "display", "category", "weight", "line")},
            **{"words": [2, 4], "start": 2.0, "end": 3.0, "found_by": "text", "boost": 0.0},
            "phone": -0.9877,
        },
        {
            **{"name": "kim", "display": "Kim", "weight": 1.0, "words": [3, 4]},
            **{"start": 2.2, "end": 3.0, "found_by": "lookup", "boost": 0.0},
            **{"lookup": 12.3457, "heard": "came"},
        },
    ]
    assert found["shares"] == {"acoustic": 0.4321, "boost": 4.5679, "lm": -2.0, "phone": -6.0}
    assert found["score"] == pytest.approx(sum(found["shares"].values()), abs=1e-12)
    assert [one["entities"] for one in found["nbest"]] == [found["entities"], []]
    assert found["nbest"][1]["score"] == found["nbest"][1]["shares"]["acoustic"] == -3.5
    assert found["left_out_entities"] == [first]


@given(st.lists(st.floats(-1e4, 1e4), min_size=4, max_size=4))
def test_shares_of_json_add_up_as_they_are_rounded(values: list[float]) -> None:
    score, boost, lm, phone = values
    best = Hypothesis((), score, (), boost, lm, phone_share=phone)
    assert sum(best.shares.values()) == pytest.approx(score, abs=1e-9)
    found = json.loads(format_transcripts([Transcript("a", best, (best,))], "json"))
    assert round(sum(found["shares"].values()), 4) == found["score"] == round(score, 4)


def test_ctm_splits_phrases_and_keeps_columns() -> None:
    assert format_transcripts([TALK], "ctm") == (
        "a_talk.wav 1 0.04 0.26 take 0.9877\n"
        "a_talk.wav 1 0.36 0.23 St. 0.9877\n"
        "a_talk.wav 1 0.59 0.46 John's 0.9877\n"
        "a_talk.wav 1 1.05 0.31 wort 0.9877\n"
    )


def test_ids_of_ctm_stay_apart() -> None:
    ids = ["a b", "a_b", "a\tb", ";;c", "_;;c", "d e"]
    with pytest.warns(CtcbiasWarning) as caught:
        text = format_transcripts([replace(TALK, id=name) for name in ids], "ctm")
    names = list(dict.fromkeys(line.split()[0] for line in text.splitlines()))
    assert names == ["a_b_2", "a_b", "a_b_3", "_;;c_2", "_;;c", "d_e"]
    assert [str(one.message) for one in caught] == [
        "'a b' is a_b_2 in the CTM file: a_b is another",
        "'a\\tb' is a_b_3 in the CTM file: a_b is another",
        "';;c' is _;;c_2 in the CTM file: _;;c is another",
    ]


def test_srt_breaks_at_pauses_and_long_stretches() -> None:
    assert format_transcripts([PAUSE], "srt") == (
        "1\n00:00:00,000 --> 00:00:00,500\none\n\n"
        "2\n00:00:02,000 --> 00:00:02,500\ntwo\n\n"
        "3\n00:59:59,999 --> 01:01:01,500\nthree\n\n"
    )
    words = [(f"word{i:02d}", 0.4 * i, 0.4 * i + 0.3) for i in range(40)]
    cues = format_transcripts([transcript("d", *words)], "srt").strip().split("\n\n")
    assert len(cues) > 2
    lines = [cue.splitlines()[2:] for cue in cues]
    assert " ".join(line for cue in lines for line in cue).split() == [w for w, _, _ in words]
    assert max(map(len, lines)) == 2
    assert max(len(line) for cue in lines for line in cue) <= 42


def test_vtt_is_escaped() -> None:
    talk = transcript("a.wav", ("AT&T", 0.0, 0.5), ("<b>", 0.5, 3725.25))
    assert format_transcripts([talk], "vtt") == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:00.500\nAT&amp;T\n\n"
        "00:00:00.500 --> 01:02:05.250\n&lt;b&gt;\n\n"
    )
    assert format_transcripts([SILENCE], "vtt") == "WEBVTT\n\n"


@given(st.lists(st.text(min_size=1, max_size=60), max_size=12), st.sampled_from(["srt", "vtt"]))
def test_subtitles_are_well_formed_whatever_is_said(words: list[str], style: str) -> None:
    """Every cue has its times and one line or more, and nothing in a text looks like times."""
    spoken = [(word, 0.5 * i, 0.5 * i + 0.4) for i, word in enumerate(words)]
    text = format_transcripts([transcript("a.wav", *spoken)], style)
    text.encode("utf-8")
    cues = text.removeprefix("WEBVTT\n\n").split("\n\n")
    times = re.compile(r"\d\d:\d\d:\d\d[,.]\d{3} --> \d\d:\d\d:\d\d[,.]\d{3}")
    for cue in cues[:-1]:
        lines = cue.split("\n")[1 if style == "srt" else 0 :]
        assert times.fullmatch(lines[0])
        assert 1 <= len(lines) - 1 <= 3
        assert not any("-->" in line for line in lines[1:])
