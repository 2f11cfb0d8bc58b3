"""Phone scores against brute force, and what rescoring does with them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import collapse

from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.g2p_ngram import Ngram
from ctcbias_fst.pronunciation.lexicon import Lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.pronunciation.pronunciation_table import Pronunciation
from ctcbias_fst.pronunciation.readings import LETTER_NAMES
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word
from ctcbias_fst.rescore.phone_frames import check_phones, phone_frames
from ctcbias_fst.rescore.phonetic import PhoneAligner, RescoreConfig, Unit, rescore
from ctcbias_fst.rescore.word_pronunciations import (
    EntityPronunciations,
    WordPronunciations,
)
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.phones import PHONE_ID, PHONES
from ctcbias_fst.text.vocabulary import Vocabulary
from tests.tiny_g2p import UNITS, tiny_model

VOCABULARY = Vocabulary.from_tokens(("<blk>", "▁a", "b"), blank=0)
COLUMNS = 1 + len(PHONES)
WIDE = RescoreConfig(
    cost_scale=0.5, blank_threshold=1.0, search_beam=1e4, output_beam=1e3, max_active=100_000
)
USED = 3
"""Phones that brute force tries: the first ones."""


@pytest.fixture(scope="module")
def words() -> WordPronunciations:
    tiny_g2p = G2P(Ngram(tuple(tiny_model()), UNITS))
    lexicon = Lexicon({"at": "AE T", "eight": "EY T", "cake": "K EY K", "tack": "T AE K"})
    return WordPronunciations(Pronouncer(lexicon, tiny_g2p))


def phone_batch(arrays: Sequence[np.ndarray]) -> LogProbs:
    """A batch with these phone log-probs, (T, columns) each, and no matter what else."""
    longest = max(map(len, arrays))
    phones = torch.full((len(arrays), longest, arrays[0].shape[1]), float("nan"))
    for row, array in enumerate(arrays):
        phones[row, : len(array)] = torch.from_numpy(array)
    return LogProbs(
        log_probs=torch.zeros(len(arrays), longest, VOCABULARY.size),
        lengths=torch.tensor([len(array) for array in arrays]),
        frame_seconds=0.04,
        ids=tuple(f"utt{row}" for row in range(len(arrays))),
        vocabulary=VOCABULARY,
        phones=phones,
    )


@st.composite
def arrays(draw: st.DrawFn, max_frames: int = 5) -> np.ndarray:
    """Phone log-probs whose first columns have nearly all the probability."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames = draw(st.integers(0, max_frames))
    sharpness = draw(st.sampled_from([0.2, 1.0]))
    likely = random.dirichlet(np.full(1 + USED, sharpness), size=frames) + 1e-4
    rare = np.full((frames, COLUMNS - 1 - USED), 1e-9)
    table = np.concatenate([likely, rare], axis=1)
    return np.log(table / table.sum(1, keepdims=True)).astype(np.float32)


pronunciations = st.builds(
    Pronunciation,
    st.lists(st.integers(1, USED), min_size=1, max_size=2).map(tuple),
    st.sampled_from([0.0, 0.8]),
)
units = st.builds(
    lambda found: Unit(0, 1, tuple(found), False), st.lists(pronunciations, max_size=2, unique=True)
)
sequences = st.lists(units, max_size=3)


def brute_force(array: np.ndarray, sequence: Sequence[Unit], cost_scale: float) -> float:
    """The best alignment of any pronunciation, from the definition; -inf if there is none."""
    wanted: dict[tuple[int, ...], float] = {}
    spoken = [unit.pronunciations for unit in sequence if unit.pronunciations]
    for choice in itertools.product(*spoken):
        phones = tuple(phone for sound in choice for phone in sound.phones)
        cost = sum(sound.cost for sound in choice)
        wanted[phones] = min(cost, wanted.get(phones, cost))
    best = -np.inf
    for labels in itertools.product(range(1 + USED), repeat=len(array)):
        cost = wanted.get(collapse(labels))
        if cost is not None:
            score = sum(float(array[t, label]) for t, label in enumerate(labels))
            best = max(best, score - cost_scale * cost)
    return best - float(array.max(axis=1).sum()) if len(array) else best


@settings(max_examples=40)
@given(data=st.data())
def test_scores_equal_brute_force(data: st.DataObject, device: torch.device) -> None:
    """Trees over shared beginnings lose nothing, whatever the hypotheses of a batch are."""
    tables = [data.draw(arrays(max_frames=4)) for _ in range(2)]
    pairs = data.draw(
        st.lists(st.tuples(sequences, st.integers(0, 1)), min_size=1, max_size=5), label="pairs"
    )
    frames = phone_frames(phone_batch(tables).to(device))
    aligner = PhoneAligner(WIDE, words=None)  # type: ignore[arg-type]
    found = aligner.scores(frames, [s for s, _ in pairs], [u for _, u in pairs])
    expected = [brute_force(tables[u], sequence, WIDE.cost_scale) for sequence, u in pairs]
    best = [
        max([e for e, (_, other) in zip(expected, pairs) if other == u] or [-np.inf])
        for _, u in pairs
    ]
    for score, wanted, top in zip(found.tolist(), expected, best):
        if wanted > -np.inf:
            assert score == pytest.approx(wanted, abs=1e-4)
        else:
            floor = max(top, -1e3) - WIDE.output_beam
            assert score == pytest.approx(floor, abs=1e-3)


@settings(max_examples=30)
@given(table=arrays(max_frames=5), sequence=sequences)
def test_spans_hold_the_phones_of_their_words(table: np.ndarray, sequence: list[Unit]) -> None:
    frames = phone_frames(phone_batch([table]))
    aligner = PhoneAligner(WIDE, words=None)  # type: ignore[arg-type]
    begin, end = (part[0].tolist() for part in aligner.spans(frames, [sequence])[:2])
    spoken = [place for place, unit in enumerate(sequence) if unit.pronunciations]
    if brute_force(table, sequence, WIDE.cost_scale) == -np.inf:
        assert all(at == -1 for at in begin)
        return
    # In order, inside the audio, and each word's frames explain it as well alone as together.
    assert [begin[place] for place in spoken] == sorted(begin[place] for place in spoken)
    for place, following in itertools.pairwise(spoken):
        assert 0 <= begin[place] < end[place] <= begin[following] < len(table)
    assert all(begin[p] == -1 for p in range(len(sequence)) if p not in spoken)
    total = 0.0
    edges = [0, *(begin[place] for place in spoken[1:]), len(table)] if spoken else [0, len(table)]
    for place, low, high in zip(spoken, edges, edges[1:]):
        total += brute_force(table[low:high], [sequence[place]], WIDE.cost_scale)
    if spoken:
        whole = brute_force(table, sequence, WIDE.cost_scale)
        assert total >= whole - 1e-4
        # Apart, words need no blank between equal phones.
        lasts = [{sound.phones[-1] for sound in sequence[place].pronunciations} for place in spoken]
        firsts = [{sound.phones[0] for sound in sequence[place].pronunciations} for place in spoken]
        if not any(last & first for last, first in zip(lasts, firsts[1:])):
            assert total == pytest.approx(whole, abs=1e-4)


def sharp(text: str, sure: float = 0.9) -> np.ndarray:
    """Phone log-probs of which each frame is all but sure; ``-`` is blank."""
    labels = [0 if phone == "-" else PHONE_ID[phone] for phone in text.split()]
    table = np.full((len(labels), COLUMNS), (1 - sure) / (COLUMNS - 1))
    table[np.arange(len(labels)), labels] = sure
    return np.log(table).astype(np.float32)


@pytest.mark.parametrize("threshold", [0.8, 1.0])
def test_runs_of_blanks_may_be_left_out(words: WordPronunciations, threshold: float) -> None:
    """Of a run one frame stays: it parts equal phones. Scores are those of all frames."""
    table = sharp("- - - K - - EY K - - - K EY K - -")
    cake = Unit(0, 1, words.word("cake"), False)
    frames = phone_frames(phone_batch([table]), threshold)
    assert frames.log_probs.shape[1] == (10 if threshold < 1 else 16)
    aligner = PhoneAligner(WIDE, words)
    scores = aligner.scores(frames, [[cake, cake], [cake]], [0, 0])
    assert scores[0] == pytest.approx(0.0, abs=1e-5)
    assert scores[1] < -10
    begin, end, score = aligner.spans(frames, [[cake, cake]])
    assert begin.tolist() == [[3, 11]]
    assert end.tolist() == [[8, 14]]
    assert score[0].tolist() == pytest.approx([0.0, 0.0], abs=1e-5)


def test_a_word_that_nobody_lists_has_its_cost(words: WordPronunciations) -> None:
    frames = phone_frames(phone_batch([sharp("K EY K")]))
    cake = Unit(0, 1, words.word("cake"), False)
    aligner = PhoneAligner(replace(WIDE, unlisted_cost=7.0), words)
    scores = aligner.scores(frames, [[cake], [cake._replace(listed=False)]], [0, 0])
    assert scores.tolist() == pytest.approx([0.0, -7.0], abs=1e-5)


def hypothesis(text: str, score: float, names: str = "") -> Hypothesis:
    return Hypothesis(
        tuple(Word(word, 0.0, 0.0, 1.0, word in names.split()) for word in text.split()), score, ()
    )


def test_the_n_best_are_ranked_by_what_was_heard(words: WordPronunciations) -> None:
    table = sharp("AE T - K EY K")
    nbest = (hypothesis("eight cake", -1.0), hypothesis("at cake", -1.5), hypothesis("", -9.0))
    transcripts = [Transcript("a", nbest[0], nbest), Transcript("b", nbest[0], nbest[:1])]
    batch = phone_batch([table, table])
    for scale, first in ((0.0, "eight cake"), (1.0, "at cake")):
        config = RescoreConfig(phone_scale=scale)
        aligner = PhoneAligner(config, words)
        found = rescore(transcripts, phone_frames(batch, 0.99), aligner, [None, None], keep=3)
        assert [item.best.text for item in found] == [first, "eight cake"]
        assert found[0].nbest[0] is found[0].best
        assert {h.text for h in found[0].nbest} == {"eight cake", "at cake", ""}
        for item in found[0].nbest:
            before = next(h for h in nbest if h.text == item.text)
            assert item.phone is not None
            assert item.phone <= 0
            assert item.score == pytest.approx(before.score + scale * item.phone)


@pytest.mark.parametrize("letter", sorted(LETTER_NAMES))
def test_letters_are_words(words: WordPronunciations, letter: str) -> None:
    """Nobody guesses how they sound; *a* and *I* are words. Said beside a name, they stay."""
    assert words.is_listed(letter)
    said = ["AH", "EY"] if letter == "a" else [LETTER_NAMES[letter]]
    assert [sound.phones for sound in words.word(letter)] == [
        tuple(PHONE_ID[phone] for phone in phones.split()) for phones in said
    ]
    names = EntityPronunciations(
        entities_from_names([{"name": "Tikay", "sounds_like": ["tack"]}]), words
    )
    nbest = tuple(hypothesis(f"at {x} Tikay", -1.0, "Tikay") for x in ("", letter))
    batch = phone_batch([sharp(f"AE T - {phones} - T AE K") for phones in said])
    transcripts = [Transcript(name, nbest[0], nbest) for name in batch.ids]
    aligner = PhoneAligner(RescoreConfig(), words)
    for found in rescore(transcripts, phone_frames(batch), aligner, [names] * len(said)):
        assert found.best == replace(nbest[1], phone=0.0, score=-1.0)


@settings(max_examples=20)
@given(data=st.data())
def test_the_best_alone_is_the_best_of_all(words: WordPronunciations, data: st.DataObject) -> None:
    """What cannot win is not aligned; it would not have won."""
    texts = ["at", "eight", "at cake", "tack", "cat", "cat teck", "eight ace", ""]
    nbest = tuple(
        hypothesis(text, data.draw(st.floats(-3, 0)))
        for text in data.draw(st.lists(st.sampled_from(texts), min_size=1, unique=True))
    )
    frames = phone_frames(phone_batch([sharp("EY T - T AE K", 0.6)]))
    config = RescoreConfig(phone_scale=data.draw(st.sampled_from([0.0, 0.05, 0.3])))
    aligner = PhoneAligner(config, words)
    said = [Transcript("a", nbest[0], nbest)]
    every = rescore(said, frames, aligner, [None], keep=9)[0]
    alone = rescore(said, frames, aligner, [None])[0]
    assert alone.best.score == pytest.approx(every.best.score)
    assert alone.nbest == (alone.best,)
    assert len(every.nbest) == len(nbest)


@pytest.mark.parametrize("lead", [5.9, 6.5, 8.0, 15.0])
def test_the_best_alone_is_the_best_of_all_where_scores_are_limited(
    words: WordPronunciations, lead: float
) -> None:
    """Words that fit far worse than others count as no worse than a limit; so do they alone."""
    frames = phone_frames(phone_batch([sharp("K - AE - T -", 1 - 1e-9)]))
    nbest = (hypothesis("dog", lead), hypothesis("cat", 0.0))
    aligner = PhoneAligner(RescoreConfig(), words)
    said = [Transcript("a", nbest[0], nbest)]
    alone, several = (rescore(said, frames, aligner, [None], keep=n)[0].best for n in (1, 2))
    assert alone.text == several.text
    assert alone.score <= several.score


def test_names_have_their_own_sounds(words: WordPronunciations) -> None:
    """Those of the list, as one, with a possessive or without; others are words like any."""
    listed = entities_from_names(
        [{"name": "Xy Zz", "pronunciations": ["T EY T"]}, {"name": "cake", "display": "Cake"}]
    )
    names = EntityPronunciations(listed, words)
    aligner = PhoneAligner(RescoreConfig(), words)
    units = aligner.units(hypothesis("at Xy Zz's Cake cake", 0.0, "Xy Zz's Cake"), names)
    assert [(unit.begin, unit.end, unit.name) for unit in units] == [
        (0, 1, False),
        (1, 3, True),
        (3, 4, True),
        (4, 5, False),
    ]
    said = [unit.pronunciations[0].text for unit in units]
    assert said == ["AE T", "T EY T S", "K EY K", "K EY K"]


def test_other_phone_heads_are_refused() -> None:
    with pytest.raises(LogProbsError, match="found 3 columns: leave out the parts"):
        check_phones(phone_batch([np.zeros((2, 3), dtype=np.float32)]))
    table = sharp("AE T")
    table[1, 4] = np.nan
    with pytest.raises(LogProbsError, match="utt0, phone frame 1: the phone log-probs have NaN"):
        check_phones(phone_batch([table]))
