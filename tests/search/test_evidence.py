"""What nothing in the audio speaks for is left out, and told."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import VOCABULARIES, batch, log_prob_arrays, path_lists, tree

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import CtcbiasWarning
from ctcbias_fst.output import format_transcripts, notes
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import Hypothesis, LogProbs, Mention, Transcript, Word
from ctcbias_fst.search.evidence import EvidenceConfig, leave_out_unheard
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.text.entity import Entity

VOCABULARY = VOCABULARIES[0]
NAMES = Path(__file__).parents[2] / "ctcbias_fst/pretrained/clips/names.txt"
RATE = 16000


def _log_probs(sure: list[bool]) -> LogProbs:
    """Frames of 0.1 s, each either certain or flat."""
    array = np.full((len(sure), 5), np.log(0.2), dtype=np.float32)
    array[sure] = np.log(np.array([0.999, 0.00025, 0.00025, 0.00025, 0.00025]))
    return replace(batch([array], VOCABULARY), frame_seconds=0.1)


def _transcript(*words: Word, others: tuple[Hypothesis, ...] = ()) -> Transcript:
    best = Hypothesis(words, -1.0, ())
    return Transcript("utt0", best, (best, *others))


def _word(start: float, log_prob: float, *, entity: bool = False, confidence: float = 1.0) -> Word:
    return Word(f"spoken{start}", start, start + 0.2, confidence, entity, log_prob)


FLAT, CERTAIN = [False] * 30, [True] * 30


@pytest.mark.parametrize(
    ("frames", "words", "kept"),
    [
        (FLAT, [_word(1.0, -0.5)], 1),  # the model says it clearly
        (FLAT, [_word(1.0, -2.0)], 0),
        (CERTAIN, [_word(1.0, -2.0)], 1),  # misheard, but something was said
        (FLAT, [_word(1.0, -2.0), _word(1.3, -0.11)], 0),  # the mean is -1.055
        (FLAT, [_word(1.0, -2.0), _word(1.3, -0.09)], 1),  # but what is clear by itself stays
        (FLAT, [_word(1.0, -1.8), _word(1.3, -0.1)], 2),
        (FLAT, [_word(0.2, -3.0), _word(2.0, -0.1)], 1),  # a pause parts them
        (FLAT, [_word(1.0, -2.0, entity=True), _word(1.3, -0.01)], 1),
        (FLAT, [_word(1.0, -2.0, entity=True), _word(1.3, -0.2)], 1),
        (FLAT, [_word(1.0, -2.0, entity=True), _word(1.3, -1.1)], 0),
        (FLAT, [_word(1.0, -1.9, entity=True), _word(1.3, -0.09)], 1),  # not heard by itself
        (CERTAIN, [_word(1.0, -2.0, entity=True, confidence=0.3)], 1),
        (CERTAIN * 2, [replace(_word(1.0, -2.0, entity=True, confidence=0.3), end=5.5)], 0),
        (CERTAIN, [Word("Al", 1.0, 2.8, 0.3, True, -2.0)], 1),  # drawn out, and yet surely heard
        (CERTAIN, [_word(1.0, -2.0, entity=True, confidence=0.01), _word(1.3, -0.1)], 1),
        (CERTAIN, [_word(1.0, -0.5, entity=True, confidence=0.01)], 1),
    ],
)
def test_what_counts_as_heard(frames: list[bool], words: list[Word], kept: int) -> None:
    config = EvidenceConfig()
    (found,) = leave_out_unheard([_transcript(*words)], _log_probs(frames), config)
    assert len(found.best.words) == kept
    assert sorted([*found.best.words, *found.left_out], key=lambda w: w.start) == words


@pytest.mark.parametrize(("plain", "kept"), [(0.5, 1), (0.3, 0)])
@pytest.mark.parametrize("entity", [False, True])
def test_a_list_takes_nothing_away(plain: float, kept: int, entity: bool) -> None:
    """The model would have written something else there, and clearly enough."""
    frames = _log_probs(FLAT)
    frames.log_probs[0, 11] = torch.tensor(
        [(1 - plain) / 4] * 3 + [plain] + [(1 - plain) / 4]
    ).log()
    word = _word(1.0, -2.5, entity=entity)
    (found,) = leave_out_unheard([_transcript(word)], frames, EvidenceConfig())
    assert len(found.best.words) == kept


def test_a_token_speaks_where_it_begins() -> None:
    """What the model writes for five frames it may be unsure of in all but the first."""
    frames = _log_probs(FLAT)
    frames.log_probs[0, 10:15] = torch.tensor([0.195, 0.195, 0.195, 0.22, 0.195]).log()
    frames.log_probs[0, 10] = torch.tensor([0.01, 0.01, 0.01, 0.96, 0.01]).log()
    name = replace(_word(1.0, -2.5, entity=True, confidence=0.01), end=1.5)
    (found,) = leave_out_unheard([_transcript(name)], frames, EvidenceConfig())
    assert found.best.words == (name,)


def test_a_pause_within_a_name_does_not_part_it() -> None:
    mentions = (Mention(Entity("oh two", "O2"), "boost"),)
    words = [
        Word("oh", 0.5, 0.7, 0.9, True, -0.05, mentions=mentions),
        Word("two", 1.8, 2.0, 0.9, True, -1.9, mentions=mentions),
    ]
    (found,) = leave_out_unheard([_transcript(*words)], _log_probs(FLAT), EvidenceConfig())
    assert list(found.best.words) == words


def test_what_the_model_writes_takes_the_place_of_a_name() -> None:
    """In a quiet place nothing does."""
    frames = _log_probs(FLAT)
    frames.log_probs[0, 11] = torch.tensor([0.01, 0.01, 0.01, 0.96, 0.01]).log()
    names = [_word(start, -2.5, entity=True) for start in (1.0, 2.5)]
    config = EvidenceConfig(min_plain_log_prob=-0.01)
    (found,) = leave_out_unheard([_transcript(*names)], frames, config)
    (word,) = found.best.words
    assert (word.word, word.start, word.entity) == (
        VOCABULARY.tokens[3].strip("\u2581"),
        1.1,
        False,
    )
    assert list(found.left_out) == names


def test_words_beside_a_name_that_was_not_heard() -> None:
    """They stay as they are, and what was said stands there once."""
    frames = _log_probs(FLAT)
    token = next(i for i, text in enumerate(VOCABULARY.tokens) if text.startswith("\u2581"))
    frames.log_probs[0, [10, 13]] = np.log(0.01)
    frames.log_probs[0, [10, 13], token] = np.log(0.96)
    names = [_word(start, -4.5, entity=True, confidence=0.0) for start in (1.15, 1.35)]
    before = _word(0.9, -1.5)
    config = EvidenceConfig(min_plain_log_prob=-0.01)
    (found,) = leave_out_unheard([_transcript(before, *names)], frames, config)
    text = VOCABULARY.tokens[token].strip("\u2581")
    assert found.best.text.split() == [before.word, text]


def test_a_name_stays_or_goes_as_a_whole() -> None:
    names = [_word(start, -4.5, entity=True, confidence=0.01) for start in (1.0, 1.2)]
    frames = _log_probs(FLAT)
    # The model is sure of a token below the first word, but not of the second.
    frames.log_probs[0, 10] = torch.tensor([0.01, 0.96, 0.01, 0.01, 0.01]).log()
    frames.log_probs[0, 13] = torch.tensor([0.16, 0.16, 0.16, 0.36, 0.16]).log()
    config = EvidenceConfig(min_plain_log_prob=-0.1)
    (found,) = leave_out_unheard([_transcript(*names)], frames, config)
    assert not any(word.entity for word in found.best.words)
    assert list(found.left_out) == names


@pytest.mark.parametrize(("said", "end", "kept"), [(0.6, 1.4, 2), (0.3, 1.4, 1), (0.6, 2.8, 1)])
def test_a_name_in_music_after_speech(said: float, end: float, kept: int) -> None:
    """What was said before does not speak for it, nor what is heard here and there for 1.8 s."""
    frames = _log_probs(FLAT)
    token = next(i for i, text in enumerate(VOCABULARY.tokens) if text.startswith("\u2581"))
    frames.log_probs[0, 11] = np.log((1 - said) / 4)
    frames.log_probs[0, 11, token] = np.log(said)
    name = Word("O2", 1.0, end, 0.9, True, -1.9)
    (found,) = leave_out_unheard([_transcript(_word(0.5, 0.0), name)], frames, EvidenceConfig())
    assert len(found.best.words) == kept
    assert (name in found.left_out) == (kept == 1)


@st.composite
def words_and_names(draw: st.DrawFn) -> tuple[list[Word], list[Word]]:
    """Words, and names between them."""
    log_probs, free = st.sampled_from([-4.0, -1.2, -0.7, -0.3, -0.05]), 0.0
    words, names = [], []
    for _ in range(draw(st.integers(1, 7))):
        begin = round(free + draw(st.sampled_from([0.0, 0.2, 0.7, 2.0])), 1)
        name = draw(st.booleans())
        word = Word(
            draw(st.sampled_from(["no", "tomorrow", "a"])),
            begin,
            round(begin + draw(st.sampled_from([0.1, 0.4, 1.0])), 1),
            draw(st.sampled_from([0.0, 0.9])) if name else 1.0,
            name,
            draw(log_probs),
        )
        (names if name else words).append(word)
        free = word.end
    return words, names


def _gap(one: list[Word], other: list[Word]) -> float:
    """Seconds between two runs of words; below 0 if they are the same."""
    return max(one[0].start - other[-1].end, other[0].start - one[-1].end)


@given(found=words_and_names(), data=st.data())
def test_a_name_far_away_or_not_heard_is_no_reason_to_keep_words(
    found: tuple[list[Word], list[Word]], data: st.DataObject
) -> None:
    """Words stay or go as they do without a list, but for those near a name that is written."""
    words, names = found
    sure = data.draw(st.lists(st.booleans(), min_size=150, max_size=150))
    frames, config = _log_probs(sure), EvidenceConfig(min_short_log_prob=-0.5)
    alone, among = (
        leave_out_unheard([_transcript(*sorted(some, key=lambda w: w.start))], frames, config)[0]
        for some in (words, words + names)
    )
    written = [word for word in among.best.words if word.entity]
    groups: list[list[Word]] = []
    for word in sorted(words + written, key=lambda w: w.start):
        if groups and word.start - groups[-1][-1].end < config.pause:
            groups[-1].append(word)
        else:
            groups.append([word])
    for at, group in enumerate(groups):
        close = [g for g in groups[max(0, at - 1) : at + 2] if _gap(g, group) <= 1.5]
        if not any(word.entity for g in close for word in g):
            for word in group:
                assert (word in among.best.words) == (word in alone.best.words)
    assert list(among.best.words) == sorted(among.best.words, key=lambda w: w.start)
    for name in names:
        assert (name in among.best.words) != (name in among.left_out)


@given(data=st.data())
def test_no_list_takes_away_what_was_said(data: st.DataObject) -> None:
    """Wherever a word stays without names, a word stays with them."""
    vocabulary = data.draw(st.sampled_from(VOCABULARIES))
    array = data.draw(log_prob_arrays(vocabulary.size))
    graph = tree(data.draw(path_lists(vocabulary)), vocabulary)
    decoder, frames = LatticeDecoder(vocabulary), batch([array], vocabulary)
    config = EvidenceConfig(min_plain_log_prob=data.draw(st.sampled_from([-1.0, -0.3, 0.0])))
    without, with_names = (
        leave_out_unheard(decoder.decode(frames, graphs), frames, config)[0].best.words
        for graphs in (None, graph)
    )
    for word in without:
        assert any(
            other.start <= word.end + config.pause and other.end >= word.start - config.pause
            for other in with_names
        )


@pytest.mark.parametrize(
    ("text", "log_prob", "kept"),
    [
        ("no", -0.2, 1),
        ("no", -0.3, 0),
        ("home", -0.45, 1),
        ("home", -0.55, 0),
        ("tomorrow", -0.95, 1),
        ("\u4e0d", -0.3, 1),
        ("\u4e0d", -0.4, 0),
    ],
)
def test_a_short_word_by_itself_needs_more(text: str, log_prob: float, kept: int) -> None:
    word = replace(_word(1.0, log_prob), word=text)
    (found,) = leave_out_unheard([_transcript(word)], _log_probs(FLAT), EvidenceConfig())
    assert len(found.best.words) == kept
    # Not so as a name of the list, or beside another word, be it after a pause.
    for words in [
        [replace(word, entity=True)],
        [word, _word(1.3, log_prob)],
        [word, _word(2.3, log_prob)],
    ]:
        (found,) = leave_out_unheard([_transcript(*words)], _log_probs(FLAT), EvidenceConfig())
        assert list(found.best.words) == words


def test_n_best_stay_distinct_and_best_leads() -> None:
    low, high = _word(0.2, -3.0), _word(2.0, -0.1)
    other = Hypothesis((high,), -2.0, ())
    third = Hypothesis((replace(high, word="else"),), -3.0, ())
    transcript = _transcript(low, high, others=(other, third))
    (found,) = leave_out_unheard([transcript], _log_probs(FLAT), EvidenceConfig())
    assert found.nbest[0] is found.best
    assert [hypothesis.text for hypothesis in found.nbest] == [high.word, "else"]


@given(data=st.data())
def test_everything_stays_if_asked(data: st.DataObject) -> None:
    array = data.draw(log_prob_arrays(VOCABULARY.size))
    transcript = _transcript(_word(0.0, data.draw(st.sampled_from([-9.0, -0.1]))))
    config = EvidenceConfig(max_entropy=1.0)
    assert leave_out_unheard([transcript], batch([array], VOCABULARY), config) == [transcript]


def test_it_is_told() -> None:
    (found,) = leave_out_unheard(
        [_transcript(_word(0.2, -3.0), _word(2.0, -0.1))], _log_probs(FLAT), EvidenceConfig()
    )
    record = json.loads(format_transcripts([found], "json"))
    assert record["text"] == "spoken2.0"
    assert record["left_out"] == [
        {"word": "spoken0.2", "start": 0.2, "end": 0.4, "confidence": 1.0, "log_prob": -3.0}
    ]


def test_it_is_told_in_a_line() -> None:
    words = [_word(float(start), -3.0) for start in range(7)]
    (found,) = leave_out_unheard([_transcript(*words)], _log_probs(FLAT * 3), EvidenceConfig())
    (line,) = notes(found)
    assert line.startswith("utt0: left out, as hardly anything in the audio speaks for it: ")
    assert line.endswith("'spoken4.0' and 2 more")
    assert notes(replace(found, left_out=())) == []


def _colour(exponent: float) -> Callable[[np.random.Generator, int], np.ndarray]:
    def noise(rng: np.random.Generator, count: int) -> np.ndarray:
        spectrum = np.fft.rfft(rng.normal(size=count))
        frequency = np.fft.rfftfreq(count)
        frequency[0] = frequency[1]
        return np.fft.irfft(spectrum / frequency ** (exponent / 2), count)

    return noise


def _tone(rng: np.random.Generator, count: int) -> np.ndarray:
    return np.sin(2 * np.pi * rng.uniform(80, 3000) / RATE * np.arange(count))


def _clicks(rng: np.random.Generator, count: int) -> np.ndarray:
    samples = np.zeros(count)
    samples[rng.integers(0, count, size=30)] = 1.0
    return samples


def _chords(rng: np.random.Generator, count: int) -> np.ndarray:
    """Chords of decaying tones with harmonics, two a second."""
    samples = np.zeros(count)
    for begin in range(0, count, RATE // 2):
        time = np.arange(min(RATE, count - begin)) / RATE
        for step in rng.choice([0, 3, 4, 7, 12], size=3):
            pitch = 110 * 2 ** (step / 12) * rng.choice([1, 2])
            for harmonic in range(1, 7):
                samples[begin : begin + len(time)] += (
                    np.exp(-3 * time) * np.sin(2 * np.pi * pitch * harmonic * time) / harmonic
                )
    return samples


KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "white": _colour(0),
    "pink": _colour(1),
    "brown": _colour(2),
    "tone": _tone,
    "chords": _chords,
    "clicks": _clicks,
    "silence": lambda rng, count: 1e-3 * rng.normal(size=count),
}


def _noise(kind: str, seconds: float, seed: int) -> Recording:
    rng = np.random.default_rng(seed)
    samples = KINDS[kind](rng, round(seconds * RATE))
    samples *= 10 ** rng.uniform(-2.5, -0.7) / max(float(np.std(samples)), 1e-6)
    return Recording(f"{kind}-{seed}", np.clip(samples, -1, 1).astype(np.float32), RATE)


def _with_names(recognizer: Recognizer, recordings: list[Recording]) -> list[Transcript]:
    names = recognizer.compile(NAMES.read_text(encoding="utf-8").splitlines())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CtcbiasWarning)  # some are very quiet
        return recognizer.transcribe(recordings, entities=names)


def test_noise_is_no_name(recognizer: Recognizer) -> None:
    recordings = [_noise(kind, 5.0, seed) for kind in KINDS for seed in range(2)]
    transcripts = _with_names(recognizer, recordings)
    named = [t.id for t in transcripts if any(word.entity for word in t.best.words)]
    assert named == []
    # Without the check there are names: the test would notice if it were gone.
    assert any(word.entity for t in transcripts for word in t.left_out)
    white = [t for t in transcripts if t.id.startswith(("white", "pink", "brown", "silence"))]
    assert [t.best.text for t in white] == [""] * len(white)


@pytest.mark.slow
def test_noise_is_no_name_in_hundreds(recognizer: Recognizer) -> None:
    """And hardly a word: what is left is counted."""
    recordings = [_noise(kind, 5.0 + seed % 10, seed) for kind in KINDS for seed in range(60)]
    named = words = 0
    for begin in range(0, len(recordings), 20):
        for transcript in _with_names(recognizer, recordings[begin : begin + 20]):
            named += any(word.entity for word in transcript.best.words)
            words += len(transcript.best.words)
    seconds = sum(recording.seconds for recording in recordings)
    print(f"{len(recordings)} clips: {named} with a name, {words / seconds:.4f} words a second")
    assert named == 0
    assert words / seconds < 0.03
