"""Long audio of other people's models: cut at pauses, nothing lost, every word at its time."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.models.function import FunctionScorer
from ctcbias_fst.models.pieces import PiecesConfig
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.models.windows import spans_of, windows_of
from ctcbias_fst.text.tokens import tokenizer_of

RATE = 8000
TOKENS = ["<blank>", "|", *"abcdefghijklmnop"]
PITCHES = [400.0 + 200.0 * i for i in range(16)]
LETTER_SECONDS = 0.1
HOP = 160
Array = npt.NDArray[np.float32]


def spoken(words: list[str]) -> Array:
    """Every letter a tone of 0.1 s, with 40 ms between words: they are parted by no pause."""
    count = round(LETTER_SECONDS * RATE)
    window = np.minimum(1.0, 0.02 * np.minimum(np.arange(count) + 1, np.arange(count, 0, -1)))
    gap = np.zeros(round(0.04 * RATE))
    parts = []
    for word in words:
        for letter in word:
            pitch = PITCHES[ord(letter) - ord("a")]
            parts.append(window * np.sin(2 * np.pi * pitch * np.arange(count) / RATE))
        parts.append(gap)
    wave: Array = (0.3 * np.concatenate(parts[:-1])).astype(np.float32)
    return wave


def tones(late: int = 0) -> Callable[[Array], Array]:
    """A recogniser of tones: a letter in the middle of each, so many frames late, and the separator
    where there is silence between two."""

    def model(samples: Array) -> Array:
        frames = len(samples) // HOP
        scores = np.full((frames, len(TOKENS)), 1e-4)
        blocks = samples[: frames * HOP].reshape(frames, HOP) * np.hanning(HOP)
        spectrum = np.abs(np.fft.rfft(blocks, n=800, axis=1))
        loud = np.sqrt((blocks**2).mean(axis=1)) > 0.03
        heard = spectrum[:, [round(pitch / 10) for pitch in PITCHES]].argmax(axis=1) + 2
        best = np.zeros(frames, dtype=np.int64)
        at = 0
        while at < frames:
            if not loud[at]:
                at += 1
                continue
            end = at
            while end < frames and loud[end] and heard[end] == heard[at]:
                end += 1
            place = min(frames - 1, (at + end) // 2 + late)
            best[place] = heard[at]
            if end < frames and not loud[end] and place + 1 < frames:
                rest = np.flatnonzero(loud[end:])
                if len(rest):
                    best[min(frames - 1, end + int(rest[0]) // 2 + late)] = 1
            at = end
        scores[np.arange(frames), best] = 1.0
        found: Array = np.log(scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        return found

    return model


def of_sentences(model: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """One that has learnt from sentences, and hears nothing behind 7 s."""

    def deaf(samples: Array) -> Array:
        scores = model(samples)
        last = round(7.0 * RATE / HOP)
        scores[last:] = np.log(1e-6)
        scores[last:, 0] = 0.0
        return scores

    return deaf


def garbling(model: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """One that hears other letters in what is longer than 7 s."""

    def garbled(samples: Array) -> Array:
        scores = model(samples)
        return scores[:, _OTHERS] if len(samples) > 7.0 * RATE else scores

    return garbled


_OTHERS = [0, 1, len(TOKENS) - 1, *range(2, len(TOKENS) - 1)]
"""Blank and separator, and the letters by one column further."""


def talk(
    sentences: list[list[str]], pauses: list[float], noise: float = 1e-4
) -> tuple[Array, list[tuple[str, float]]]:
    """A recording of sentences, and when every word begins."""
    parts: list[Array] = []
    words = []
    at = 0
    for sentence, pause in zip(sentences, pauses):
        begin = at / RATE
        for word in sentence:
            words.append((word, begin))
            begin += len(word) * LETTER_SECONDS + 0.04
        wave = spoken(sentence)
        silence = np.zeros(round(pause * RATE), np.float32)
        parts += [wave, silence]
        at += len(wave) + len(silence)
    whole = np.concatenate(parts)
    whole = whole + noise * np.random.default_rng(0).normal(size=len(whole))
    return whole.astype(np.float32), words


def recognizer_of(model: Callable[[Array], Array], **options: Any) -> Recognizer:
    options = {"settings": {"parts": "none"}, "phones": None, **options}
    return Recognizer(
        model, tokens=TOKENS, blank=0, frame_seconds=HOP / RATE, sampling_rate=RATE, **options
    )


def some_talk(seed: int, count: int, shortest: float = 0.35) -> tuple[list[list[str]], list[float]]:
    chance = random.Random(seed)
    sentences = [
        ["".join(chance.sample("abcdefghijklmnop", chance.randint(2, 6))) for _ in range(n)]
        for n in (chance.randint(1, 6) for _ in range(count))
    ]
    return sentences, [chance.uniform(shortest, 1.6) for _ in range(count)]


@pytest.mark.parametrize("late", [0, 8])
@pytest.mark.parametrize("seed", range(3))
def test_a_model_of_sentences_hears_all_of_a_long_recording(seed: int, late: int) -> None:
    """As if each sentence were alone, each word where it is said."""
    samples, words = talk(*some_talk(seed, 40))
    lag = {"decode.times.lag": late * HOP / RATE, "decode.times.burst": 0.0, "parts": "none"}
    recognizer = recognizer_of(of_sentences(tones(late)), settings=lag)
    found = recognizer.transcribe(samples, sampling_rate=RATE)
    assert found.warning is None
    assert [word.word for word in found.best.words] == [word for word, _ in words]
    starts = [word.start for word in found.best.words]
    assert starts == sorted(starts)
    assert np.abs(np.array(starts) - [begin for _, begin in words]).max() < 0.15


def test_where_there_is_no_pause_windows_overlap() -> None:
    """Two minutes without one, between sentences with pauses."""
    sentences, pauses = some_talk(5, 12)
    sentences.insert(6, [word for group in some_talk(6, 120)[0] for word in group])
    pauses.insert(6, 0.8)
    samples, words = talk(sentences, pauses)
    assert len(samples) > 150 * RATE
    seen = []
    model = tones()

    def watched(wave: Array) -> Array:
        seen.append(len(wave) / RATE)
        return model(wave)

    found = recognizer_of(watched, longest_seconds=20.0).transcribe(samples, sampling_rate=RATE)
    assert [word.word for word in found.best.words] == [word for word, _ in words]
    assert max(seen) <= 20.0


@pytest.mark.parametrize("names", [None, ["abed"]])
def test_where_no_pause_is_heard_they_are_where_nothing_is_read(
    names: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in music."""
    monkeypatch.setattr("ctcbias_fst.models.windows.quiet_pauses", lambda *_: [])
    samples, words = talk(*some_talk(11, 30, shortest=0.5))
    recognizer = recognizer_of(garbling(tones()))
    found = recognizer.transcribe(samples, sampling_rate=RATE, entities=names)
    assert [word.word for word in found.best.words] == [word for word, _ in words]
    starts = np.array([word.start for word in found.best.words])
    assert np.abs(starts - [begin for _, begin in words]).max() < 0.15
    seen: list[int] = []
    model = tones()

    def watched(wave: Array) -> Array:
        seen.append(len(wave))
        return model(wave)

    # A model of half a minute is not asked twice.
    recognizer_of(watched, settings={"pieces.longest_seconds": 30}).transcribe(
        samples, sampling_rate=RATE, entities=names
    )
    assert len(seen) <= 1 + len(samples) / RATE / 22


def silent(samples: Array) -> Array:
    scores = np.full((len(samples) // HOP, len(TOKENS)), np.log(1e-6 / (len(TOKENS) - 1)))
    scores[:, 0] = np.log1p(-1e-6)
    return scores.astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 999),
    st.floats(0.5, 40.0),
    st.floats(1.0, 40.0),
    st.sampled_from([0.0, 1e-4, 1e-2, 0.3]),
    st.floats(0.0, 2.0),
)
def test_every_sample_that_is_not_quiet_is_scored(
    seed: int, piece: float, longest: float, noise: float, lead: float
) -> None:
    """In windows that are not longer than the model takes, whatever is asked for, in order; and
    there are as many frames as of the whole."""
    samples, _ = talk(*some_talk(seed, 10, shortest=0.1), noise)
    samples = np.concatenate([np.zeros(round(lead * RATE), np.float32), samples])
    scorer = FunctionScorer(
        silent,
        tokenizer_of(TOKENS, blank=0),
        frame_seconds=HOP / RATE,
        sampling_rate=RATE,
        longest_seconds=longest,
    )
    model, recording, config = (
        ScoredModel(scorer),
        Recording("t", samples, RATE),
        PiecesConfig(piece),
    )
    spans = spans_of(0, recording, scorer, config)
    windows = [window for at, span in enumerate(spans) for window in windows_of(at, span, scorer)]
    scored = np.zeros(len(samples), dtype=bool)
    for window in windows:
        assert 0 < window.end - window.begin <= longest * RATE
        scored[window.begin : window.end] = True
    assert scored[np.abs(samples) > (0.02 + 6 * noise if noise < 0.3 else 0.0)].all()
    assert [window.first for window in windows] == sorted({window.first for window in windows})
    found = model.log_probs([recording], pieces=config)
    assert found.lengths.tolist() == [len(samples) // HOP]
    assert bool((found.log_probs[0, :, 0] > -1e-3).all())


def model_of(function: Callable[[Array], Array]) -> ScoredModel:
    tokenizer = tokenizer_of(TOKENS, blank=0)
    return ScoredModel(
        FunctionScorer(function, tokenizer, frame_seconds=HOP / RATE, sampling_rate=RATE)
    )


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 99),
    st.integers(0, 2),
    st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 20.0), st.floats(0.0, 20.0)),
    st.sampled_from([0.0, 1e-4, 1e-2]),
)
def test_frames_cover_silence_before_between_and_behind(
    seed: int, count: int, silence: tuple[float, float, float], noise: float
) -> None:
    before, between, behind = silence
    sentence = ["".join(random.Random(seed).sample("abcdefghijklmnop", 4))]
    samples, words = np.zeros(0, np.float32), []
    if count:
        samples, words = talk([sentence] * count, [between] * count, 0.0)
    lead, tail = (np.zeros(round(x * RATE), np.float32) for x in (before, behind))
    samples = np.concatenate([lead, samples, tail])
    samples += (noise * np.random.default_rng(seed).normal(size=len(samples))).astype(np.float32)
    found = model_of(tones()).log_probs([Recording("t", samples, RATE)])
    assert found.lengths.tolist() == [len(samples) // HOP]
    read = found.log_probs[0].argmax(dim=1).tolist()
    letters = [TOKENS[token] for token in read if token > 1]
    assert letters == [letter for word, _ in words for letter in word]


@pytest.mark.parametrize("before", [0.0, 9.0])
@pytest.mark.parametrize("behind", [5.0, 14.0])
def test_a_second_ear_may_hear_silence_behind_speech(before: float, behind: float) -> None:
    samples, words = talk([["abed", "beda"]], [behind])
    samples = np.concatenate([np.zeros(round(before * RATE), np.float32), samples])

    recognizer = recognizer_of(tones(), phones="embedded", settings={})
    found = recognizer.transcribe(samples, sampling_rate=RATE, entities=["abed"])
    assert [word.word for word in found.best.words] == [word for word, _ in words]


def test_a_minute_of_digital_silence_is_given_to_no_model() -> None:
    given_to: list[int] = []

    def watched(wave: Array) -> Array:
        given_to.append(len(wave))
        return silent(wave)

    model = model_of(watched)
    found = model.log_probs([Recording("t", np.zeros(60 * RATE, np.float32), RATE)])
    assert not given_to
    assert found.lengths.tolist() == [60 * RATE // HOP]
    assert bool((found.log_probs[0, :, 0] > -1e-3).all())


def test_long_pieces_are_a_setting() -> None:
    """Pieces of half a minute, for a model that has learnt from such; no pause parts less."""
    sentences, pauses = some_talk(9, 40)
    samples, words = talk(sentences, pauses)
    seen: list[float] = []
    model = tones()

    def watched(wave: Array) -> Array:
        seen.append(len(wave) / RATE)
        return model(wave)

    for longest, least, most in ((None, 0.0, 7.0), (30.0, 8.0, 30.0), (300.0, 8.0, 30.0)):
        seen.clear()
        changes = {"parts": "none", **({"pieces.longest_seconds": longest} if longest else {})}
        found = recognizer_of(watched, settings=changes).transcribe(samples, sampling_rate=RATE)
        assert [word.word for word in found.best.words] == [word for word, _ in words]
        assert least <= min(seen) and max(seen) <= most


def test_silence_takes_no_time() -> None:
    """The middle of long pauses is not scored, and words behind them are at their times. More than
    15 s from all speech it is not known that background is no speech."""
    sentences, pauses = some_talk(3, 4)
    pauses[1] = 28.0
    samples, words = talk(sentences, pauses)
    seen: list[float] = []
    model = tones()

    def watched(wave: Array) -> Array:
        seen.append(len(wave) / RATE)
        return model(wave)

    recognizer = recognizer_of(watched)
    found = recognizer.transcribe(samples, sampling_rate=RATE)
    assert [word.word for word in found.best.words] == [word for word, _ in words]
    assert sum(seen) < len(samples) / RATE - 26.0
    (last,) = [begin for word, begin in words[-1:]]
    assert found.best.words[-1].start == pytest.approx(last, abs=0.15)
