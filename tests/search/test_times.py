"""Words are placed where they sound, not where their tokens are written."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path
from random import Random

import pytest
import torch

import ctcbias_fst
from ctcbias_fst.audio.audio import read_audio
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word
from ctcbias_fst.search.times import TimesConfig, place_words, written_frames
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("<blk>", "\u2581a", "b"), 0, WordBoundary.PREFIX, None)
CLIPS = Path(ctcbias_fst.__file__).parent / "pretrained/clips"


def heard(tokens: list[int], lag: float = 0.0) -> LogProbs:
    values = torch.full((1, len(tokens), 3), -9.0)
    values[0, torch.arange(len(tokens)), torch.tensor(tokens)] = 0.0
    lengths = torch.tensor([len(tokens)])
    return LogProbs(values.log_softmax(-1), lengths, 0.04, ("u",), VOCABULARY, lag=lag)


def placed(
    tokens: list[int], words: list[tuple[float, float]], lag: float, config: TimesConfig
) -> list[tuple[float, float]]:
    hypothesis = Hypothesis(tuple(Word("a", start, end, 1.0) for start, end in words), 0.0, ())
    transcript = Transcript("u", hypothesis, (hypothesis,))
    (found,) = place_words([transcript], heard(tokens, lag), config)
    assert found.nbest[0] == found.best
    return [(word.start, word.end) for word in found.best.words]


def test_words_widen_to_the_middle_between_them_and_no_further_in_pauses() -> None:
    tokens = [0] * 10 + [1, 2, 0, 1, 0] + [0] * 20 + [1, 0, 0, 0, 0]
    words = [(0.4, 0.48), (0.52, 0.56), (1.4, 1.44)]
    found = placed(tokens, words, 0.0, TimesConfig(widen=0.08))
    assert found == [(0.32, 0.5), (0.5, 0.64), (1.32, 1.52)]
    later = placed(tokens, words, 0.2, TimesConfig(widen=0.08))
    assert later == [(0.12, 0.3), (0.3, 0.44), (1.12, 1.32)]
    assert placed(tokens, words, 0.2, TimesConfig(lag=0.0, widen=0.0)) == words


@pytest.mark.parametrize(("before", "quiet"), [(0, 13), (12, 13)])
def test_the_first_token_of_a_piece_is_moved_to_its_sound(before: int, quiet: int) -> None:
    begin = before + (2 if before else 0)
    lead = [1, *[0] * before, 0] if before else []
    tokens = [*lead, 1, *[0] * quiet, 2, 0, 2, 0, 1, 0]
    word = (begin * 0.04, (begin + quiet + 4) * 0.04)
    words = [(0.0, 0.04), word] if before else [word]
    found = placed(tokens, words, 0.0, TimesConfig(widen=0.0))
    assert found[-1] == pytest.approx(((begin + quiet) * 0.04, word[1]))
    assert placed(tokens, words, 0.0, TimesConfig(widen=0.0, burst=0.0)) == words


def test_a_word_after_a_pause_that_goes_on_at_once_stays() -> None:
    tokens = [0] * 20 + [1, 0, 2, 0, 0, 2, 0]
    assert placed(tokens, [(0.8, 1.04)], 0.0, TimesConfig(widen=0.0)) == [(0.8, 1.04)]


def test_words_stay_in_order_and_in_the_audio() -> None:
    random = Random(1)
    for _ in range(300):
        tokens = random.choices([0, 0, 0, 1, 2], k=random.randrange(1, 60))
        frames = sorted(random.sample(range(len(tokens)), random.randrange(len(tokens) // 3 + 1)))
        words = [(0.04 * frame, 0.04 * frame + 0.04) for frame in frames]
        config = TimesConfig(lag=random.choice([None, 0.0, 0.3]), widen=random.choice([0, 0.1]))
        found = placed(tokens, words, random.choice([0.0, 0.24]), config)
        before = 0.0
        for start, end in found:
            assert before <= start <= end <= 0.04 * len(tokens) + 1e-6
            before = end


def test_frames_that_write() -> None:
    batch = heard([0, 1, 1, 0, 2])
    assert written_frames(batch) == [[1, 2, 4]]


def test_frames_in_which_phones_are_heard_write() -> None:
    """A frame of tokens writes if any frame of phones, of whatever length, is heard in it."""
    random = Random(3)
    for frame, own in product([0.01, 0.02, 0.03, 0.04, 0.08], repeat=2):
        later = random.choice([0.0, 0.24, -0.04])
        said = [random.random() < 0.2 for _ in range(round(2.4 / own) + random.choice([-3, 0, 3]))]
        tokens = [int(random.random() < 0.05) for _ in range(round(2.4 / frame))]
        phones = torch.tensor([[[-3.0, -0.05] if one else [-0.05, -3.0] for one in said]])
        batch = replace(
            heard(tokens, 0.1),
            frame_seconds=frame,
            phones=PhoneLogProbs(phones, torch.tensor([len(said)]), own, 0.1 + later),
        )
        expected = [
            at
            for at, token in enumerate(tokens)
            if token
            or any(
                min((at + 1) * frame, (j + 1) * own - later) - max(at * frame, j * own - later)
                > 1e-6
                for j, one in enumerate(said)
                if one
            )
        ]
        assert written_frames(batch) == [expected]


def test_no_negative_times_in_settings() -> None:
    with pytest.raises(ValueError, match="lag"):
        TimesConfig(lag=-0.1)
    with pytest.raises(ValueError, match="widen"):
        TimesConfig(widen=-0.1)
    with pytest.raises(ValueError, match="burst"):
        TimesConfig(burst=-0.1)


def test_the_first_words_of_the_clips_begin_where_they_sound() -> None:
    """The first word of each began at 0.00, though speech starts later."""
    recognizer = Recognizer.from_pretrained()
    for path in sorted(CLIPS.glob("*.flac")):
        recording = read_audio(path, 16000)
        power = torch.from_numpy(recording.samples).unfold(0, 400, 160).pow(2).mean(dim=1)
        loud = (power > 0.001 * power.max()).nonzero().flatten() * 0.01
        words = recognizer.transcribe(recording).best.words
        assert abs(words[0].start - float(loud[0])) < 0.2, path.name
        assert abs(words[-1].end - float(loud[-1])) < 0.25, path.name
