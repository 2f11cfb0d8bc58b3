"""The ends of streams, and of what is open in them: nothing is lost, told twice or cut too soon."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst.decoder import Decoder
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.streaming.second_pass import SecondPass
from tests.streaming.speech import FRAME_SECONDS, NAMES, TOKENS, decoder, say, silence, speech
from tests.streaming.test_bad_input import phones

SAID = "abba cab fade decade"


@pytest.fixture(scope="module")
def one() -> Decoder:
    return decoder()


def test_an_end_that_is_interrupted_may_be_tried_again(
    one: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = one.stream()
    stream.accept(say(SAID))
    commit = SecondPass.commit

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SecondPass, "commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stream.finish()
    assert SecondPass.commit is commit
    assert stream.finish().committed == SAID
    assert stream.finish().words == ()


def test_a_long_utterance_is_counted_from_its_first_sound(one: Decoder) -> None:
    stream = one.stream()
    quiet = stream.accept(silence(30.0))
    assert [end.rule for end in quiet.endpoints] == ["silence"]
    rules = []
    for _ in range(14):
        rules += [end.rule for end in stream.accept(say(SAID)).endpoints]
    seconds = 14 * len(say(SAID)) * FRAME_SECONDS
    assert seconds > 20
    assert rules == ["length"]


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_nothing_that_is_committed_is_tentative_too(seed: int) -> None:
    one = decoder(**{"stream.max_window": 2.0, "stream.step": 0.16})
    stream = one.stream(NAMES)
    rows = speech(np.random.default_rng(seed), 16, pause=0.1, noise=0.4)
    last = 0.0
    for begin in range(0, len(rows), 4):
        update = stream.accept(rows[begin : begin + 4])
        last = max([last, *(word.end for word in update.words)])
        assert all(word.end > last - 0.5 for word in update.tentative_words)
        assert all(word.start >= last - 0.3 for word in update.tentative_words)


@pytest.mark.parametrize("onset", range(26, 36))
def test_a_word_that_begins_where_a_silence_is_cut(one: Decoder, onset: int) -> None:
    """Its first token is less likely than blank: silence until more of it has come."""
    words = say("decaf bead")
    faint = words.copy()
    faint[0] = np.log(np.full(len(TOKENS), 1e-4))
    faint[0, 0], faint[0, TOKENS.index("▁d")] = np.log(0.55), np.log(0.45)
    unsure = silence(onset * FRAME_SECONDS)
    unsure[:, 0], unsure[:, 1] = np.log(0.9), np.log(0.1)  # quiet, and not surely blank
    rows = np.concatenate((unsure, faint))
    stream = one.stream(NAMES)
    for begin in range(0, len(rows), 8):
        stream.accept(rows[begin : begin + 8])
    assert (
        stream.finish().committed.split()[0]
        == one.decode(rows, entities=NAMES)[0].best.text.split()[0]
    )


@pytest.mark.parametrize("frames", [-20, -3, 3, 20])
def test_phones_that_end_elsewhere(frames: int) -> None:
    """They may be late on the way; at the end they are made as long, and it is told."""
    config = PipelineConfig(parts=("boost", "rescore"))
    one = Decoder(decoder().tokenizer, config, frame_seconds=FRAME_SECONDS, phones=True)
    rows = say(f"{SAID} bead face")
    heard = torch.from_numpy(phones(len(rows) + frames))

    def chunk(begin: int, end: int | None) -> PhoneLogProbs:
        part = heard[begin:end]
        return PhoneLogProbs(part[None], torch.tensor([len(part)]), FRAME_SECONDS)

    stream = one.stream(name="call")
    stream.accept(rows[:8], chunk(0, 8))
    stream.accept(rows[8:28], chunk(8, 28 + frames // 2))
    stream.accept(rows[28:], chunk(28 + frames // 2, None))
    last = stream.finish()
    assert last.committed.split()[0] == "abba"
    assert last.committed.split()[-1] == "face"
    told = [text for text in last.warnings if "at its end: 0.80 s" in text]
    assert len(told) == (abs(frames) == 20)
