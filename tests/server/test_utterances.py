"""New text, utterance by utterance."""

from __future__ import annotations

from ctcbias_fst.records import Word
from ctcbias_fst.server.utterances import parts_of
from ctcbias_fst.streaming.updates import Endpoint, Update, joined


def test_words_belong_to_their_utterance() -> None:
    words = [Word(text, i, i + 0.5, 1.0) for i, text in enumerate(["a", "bc", "d", "e", "f"])]
    words[2] = Word("d", 2, 2.5, 1.0, glued=True)
    text = joined("so", words)
    assert text == "so a bcd e f"
    ends = (Endpoint(1.0, "silence", 4), Endpoint(2.9, "length", 8), Endpoint(3.5, "silence", 8))
    parts = parts_of(Update(text, "", tuple(words), endpoints=ends), len("so"))
    told = [("".join(word.word for word in one.words), one.text) for one in parts]
    assert told == [("a", " a"), ("bcd", " bcd"), ("", ""), ("ef", " e f")]
    assert [one.endpoint for one in parts] == [*ends, None]
    (first,) = parts_of(Update("a", "b", tuple(words[:1])), 0)
    assert (first.text, first.words, first.endpoint) == ("a", tuple(words[:1]), None)
    assert parts_of(Update("a", "b"), 1) == []
