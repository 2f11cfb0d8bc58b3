"""Names in the place of words that sound like them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.g2p_ngram import Ngram
from ctcbias_fst.pronunciation.lexicon import Lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.records import Hypothesis, Transcript, Word
from ctcbias_fst.rescore.lookup import LookupConfig, _Candidate, _choose, look_up
from ctcbias_fst.rescore.near_names import edit_distances
from ctcbias_fst.rescore.phone_frames import PhoneFrames, phone_frames
from ctcbias_fst.rescore.phonetic import PhoneAligner, RescoreConfig, Unit
from ctcbias_fst.rescore.word_pronunciations import EntityPronunciations, WordPronunciations
from ctcbias_fst.text.entities import entities_from_names
from tests.rescore.test_phonetic import phone_batch, sharp
from tests.tiny_g2p import UNITS, tiny_model

HEARD = "S IY - T EY K K EY T - AE T - T"
"""See, something, at, and a slip of the phone head; equal frames are one phone."""

_LEXICON = {
    "see": "S IY",
    "at": "AE T",
    "take": "T EY K",
    "ate": "EY T",
    "cat": "K AE T",
    "sea": "S IY",
}


@pytest.fixture(scope="module")
def words() -> WordPronunciations:
    return WordPronunciations(Pronouncer(Lexicon(_LEXICON), G2P(Ngram(tuple(tiny_model()), UNITS))))


def transcript(text: str, names: str = "", **scores: Any) -> Transcript:
    spoken = tuple(
        Word(word, 0.5 * place, 0.5 * place + 0.4, 0.9 - 0.1 * place, word in names.split())
        for place, word in enumerate(text.split())
    )
    best = Hypothesis(spoken, -3.0, (), **scores)
    return Transcript("a", best, (best,))


def looked_up(
    words: WordPronunciations,
    said: Transcript,
    listed: list[Any],
    heard: str = HEARD,
    rescoring: RescoreConfig | None = None,
    **settings: Any,
) -> Transcript:
    frames: PhoneFrames = phone_frames(phone_batch([sharp(heard)]))
    names = EntityPronunciations(entities_from_names(listed), words)
    aligner = PhoneAligner(rescoring or RescoreConfig(unlisted_cost=0.0), words)
    found = look_up(
        [said],
        frames,
        aligner,
        [names],
        LookupConfig(**{"margin": 5.0, "unlisted_margin": 0.0, **settings}),
    )
    assert len(found) == 1
    return found[0]


TAKEIT: dict[str, Any] = {"name": "Taykkate", "pronunciations": ["T EY K EY T"]}


def test_words_that_sound_exactly_like_a_name_become_the_name(words: WordPronunciations) -> None:
    """Of one word or of two; times are those of the words, confidence the least."""
    said = transcript("see tak kat at")
    found = looked_up(words, said, [TAKEIT], max_distance=0.0)
    assert found.best.text == "see Taykkate at"
    name = found.best.words[1]
    assert (name.start, name.end, name.entity) == (0.5, 1.4, True)
    assert name.confidence == pytest.approx(0.7)
    assert found.best.words[0] == said.best.words[0]
    assert found.best.words[2] == said.best.words[3]
    assert found.nbest == (found.best,)
    two = {"name": "Tay Kkate", "pronunciations": ["T EY K EY T"]}
    again = looked_up(words, transcript("see takkat at"), [two], max_distance=0.0)
    assert again.best.text == "see Tay Kkate at"
    assert [(w.start, w.end) for w in again.best.words[1:3]] == [(0.5, 0.65), (0.65, 0.9)]


def test_words_that_are_more_likely_are_never_replaced(words: WordPronunciations) -> None:
    """The sounds of the words fit better, or just as well and the words are in the lexicon."""
    near = {"name": "Takkad", "pronunciations": ["T EY K EY D"]}
    assert looked_up(words, transcript("see take ate at"), [near]).best.text == "see take ate at"
    said = transcript("see take ate at")
    assert looked_up(words, said, [TAKEIT], max_distance=0.0) is said
    assert looked_up(words, said, [TAKEIT], margin=0.0).best.text == "see Taykkate at"


def test_a_name_that_fits_better_by_the_margin_takes_the_place(words: WordPronunciations) -> None:
    said = transcript("see cat at")
    for margin, text in ((5.0, "see Taykkate at"), (1000.0, "see cat at")):
        assert looked_up(words, said, [TAKEIT], margin=margin).best.text == text


def test_distance_decides_what_is_tried(words: WordPronunciations) -> None:
    """Two of six phones are others: the phone head must not be asked about strangers."""
    far = {"name": "Takkeb", "pronunciations": ["T EY K EY B AE"]}
    for distance, text in ((0.25, "see cat at"), (0.34, "see Takkeb at")):
        found = looked_up(words, transcript("see cat at"), [far], max_distance=distance)
        assert found.best.text == text


def test_short_names_and_long_stretches_are_left_alone(words: WordPronunciations) -> None:
    said = transcript("see tak kat at")
    assert looked_up(words, said, [TAKEIT], min_phones=6) is said
    assert looked_up(words, said, [TAKEIT], max_words=1).best.text == "see tak kat at"
    named = transcript("see Tak kat at", names="Tak")
    assert looked_up(words, named, [TAKEIT, "tak"]) is named


def test_several_names_in_one_utterance(words: WordPronunciations) -> None:
    cities = [TAKEIT, {"name": "Eetta", "pronunciations": ["S IY"]}]
    config = RescoreConfig(unlisted_cost=0.0, phone_scale=0.5)
    said = transcript("ce tak kat at", phone=-20.0)
    found = looked_up(words, said, cities, rescoring=config, min_phones=2, max_distance=0.0)
    assert found.best.text == "Eetta Taykkate at"
    assert found.best.phone is not None
    assert found.best.phone > -20.0
    assert found.best.score == pytest.approx(-3.0 + 0.5 * (found.best.phone + 20.0))
    assert found.best.shares["phone"] == pytest.approx(0.5 * (found.best.phone + 20.0))
    first, second = found.best.mentions
    assert (first.words, second.words) == ((0, 1), (1, 2))
    assert [one.mention.entity.line for one in (first, second)] == [2, 1]
    assert [one.mention.heard for one in (first, second)] == ["ce", "tak kat"]
    assert {one.mention.found_by for one in (first, second)} == {"lookup"}
    gains = [one.mention.lookup or 0.0 for one in (first, second)]
    assert gains[1] > gains[0] >= 0
    assert sum(gains) == pytest.approx(found.best.phone + 20.0, abs=1e-3)


def test_long_lists_are_not_looked_up(words: WordPronunciations) -> None:
    said = transcript("see tak kat at")
    assert looked_up(words, said, [TAKEIT, "cake"], max_names=2) is not said
    assert looked_up(words, said, [TAKEIT, "cake"], max_names=1) is said


def test_nothing_to_do(words: WordPronunciations) -> None:
    for said in (transcript(""), transcript("see at")):
        assert looked_up(words, said, [TAKEIT], heard="- -") is said
    frames = phone_frames(phone_batch([sharp(HEARD)]))
    aligner = PhoneAligner(RescoreConfig(), words)
    said = transcript("see tak kat at")
    assert look_up([said], frames, aligner, [None], LookupConfig()) == [said]


@given(
    pairs=st.lists(
        st.tuples(st.text("abc", max_size=6), st.text("abc", max_size=6)), min_size=1, max_size=6
    )
)
def test_edit_distances_are_those_of_levenshtein(pairs: list[tuple[str, str]]) -> None:
    def pack(texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(map(len, texts))
        rows = [[ord(c) for c in text] + [0] * (longest - len(text)) for text in texts]
        return torch.tensor(rows).view(len(texts), longest).long(), torch.tensor(
            [len(text) for text in texts]
        )

    def naive(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        return min(naive(a[1:], b[1:]) + (a[0] != b[0]), naive(a[1:], b) + 1, naive(a, b[1:]) + 1)

    firsts, seconds = pack([a for a, _ in pairs]), pack([b for _, b in pairs])
    assert edit_distances(*firsts, *seconds).tolist() == [naive(a, b) for a, b in pairs]


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(
        ValueError, match="margin must be 0 or more, found -1.0: below, words would"
    ):
        LookupConfig(margin=-1.0)
    with pytest.raises(ValueError, match="max_distance must be at least 0 and below 1"):
        LookupConfig(max_distance=1.0)


def test_of_names_that_overlap_the_one_that_gains_most_is_taken() -> None:
    (entity,) = entities_from_names(["take"])
    units = [Unit(at, at + 1, (), False) for at in range(4)]
    spans = {(0, 2): 20.0, (1, 3): 30.0, (2, 4): 25.0, (3, 4): 12.0}
    for left in range(len(spans) + 1):  # whichever are there
        some = dict(list(spans.items())[left:])
        found = [_Candidate(0, *span, entity, 0, gain) for span, gain in some.items()]
        chosen = _choose(found, [units], LookupConfig(margin=10.0)).get(0, [])
        expected = {0: [(1, 3), (3, 4)], 1: [(1, 3), (3, 4)], 2: [(2, 4)], 3: [(3, 4)], 4: []}
        assert [(one.first, one.end) for one in chosen] == expected[left]
