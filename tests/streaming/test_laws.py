"""The laws of streams, on log-probs that are made up."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ctcbias_fst.records import LogProbs, Transcript, Word, text_of
from ctcbias_fst.streaming.cuts import Gap
from ctcbias_fst.streaming.state import StreamState
from ctcbias_fst.streaming.stream import Stream
from ctcbias_fst.streaming.updates import Update
from tests.streaming.speech import NAMES, TOKENS, decoder, frames, pieces, say, silence, speech

seeds = st.integers(0, 2**32 - 1)


def chunks(array: np.ndarray, sizes: Iterator[int]) -> list[np.ndarray]:
    found, at = [], 0
    while at < len(array):
        size = next(sizes)
        found.append(array[at : at + size])
        at += size
    return found


def every(size: int) -> Iterator[int]:
    while True:
        yield size


def run(stream: Stream, several: Sequence[np.ndarray]) -> list[Update]:
    return [*(stream.accept(chunk) for chunk in several), stream.finish()]


Heard = tuple[str, float, float, bool]


def outcome(updates: Sequence[Update]) -> tuple[str, list[Heard], list[object]]:
    """What does not depend on the chunks."""
    several = [word for update in updates for word in update.words]
    words = [(word.word, word.start, word.end, word.entity) for word in several]
    return updates[-1].committed, words, [end for update in updates for end in update.endpoints]


@settings(max_examples=6)
@given(seed=seeds)
def test_any_chunks_give_the_same_text(seed: int) -> None:
    one = _BOOSTING
    random = np.random.default_rng(seed)
    array = speech(random, words=8)
    expected = outcome(run(one.stream(NAMES), [array]))
    for sizes in (every(8), every(1), iter(lambda: int(random.integers(0, 40)), -1)):
        assert outcome(run(one.stream(NAMES), chunks(array, sizes))) == expected


_BOOSTING = decoder()


@settings(max_examples=4)
@given(seed=seeds, first=st.sampled_from([0.04, 0.16, 0.5]))
def test_decisions_fall_where_they_are_asked_for_whatever_the_chunks(
    seed: int, first: float
) -> None:
    array = speech(np.random.default_rng(seed), words=4)
    one = _BOOSTING.stream(NAMES, first_step=first)
    updates = run(one, chunks(array, every(1)))
    step = _BOOSTING.config.stream.step
    seconds = [update.seconds for update in updates[:-1]]
    decided = sorted({round(at, 6) for at in seconds} - {0.0})
    frame = _BOOSTING.frame_seconds
    assert decided == pytest.approx(
        [round(first / frame) * frame + i * step for i in range(len(decided))]
    )
    expected = outcome(run(_BOOSTING.stream(NAMES, first_step=first), [array]))
    assert outcome(updates) == expected


@settings(max_examples=6)
@given(seed=seeds)
def test_committed_text_only_grows_and_is_all_at_the_end(seed: int) -> None:
    array = speech(np.random.default_rng(seed), noise=0.4)
    updates = run(_BOOSTING.stream(NAMES), chunks(array, every(7)))
    before = ""
    words: list[Word] = []
    for update in updates:
        assert update.committed.startswith(before)
        words += update.words
        assert text_of(words) == update.committed
        before = update.committed
    assert updates[-1].tentative == ""
    assert updates[-1].tentative_words == ()
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    assert all(word.start <= word.end <= len(array) * 0.04 + 1e-6 for word in words)


@settings(max_examples=4)
@example(seed=8532)  # its first word would sound before the stream begins
@given(seed=seeds)
def test_words_are_shown_when_their_tokens_are_over_whatever_the_lag(seed: int) -> None:
    """A model that writes late is not known sooner by it."""
    array = speech(np.random.default_rng(seed), words=6, noise=0.3)
    shown = []
    for lag in (0.0, 0.24):
        late = decoder(**{"decode.times.lag": lag})
        updates = run(late.stream(NAMES), chunks(array, every(16)))
        shown.append([(update.committed, update.tentative) for update in updates])
    assert shown[0] == shown[1]


@settings(max_examples=4)
@given(seed=seeds)
def test_streams_of_a_batch_are_as_alone(seed: int) -> None:
    random = np.random.default_rng(seed)
    arrays = [speech(random, words=int(random.integers(0, 9))) for _ in range(4)]
    lists = [NAMES, None, ["Decaf"], NAMES]
    alone = [
        outcome(run(_BOOSTING.stream(names), chunks(array, every(16))))
        for array, names in zip(arrays, lists)
    ]
    streams = [_BOOSTING.stream(names, name=str(at)) for at, names in enumerate(lists)]
    updates: list[list[Update]] = [[] for _ in streams]
    for at in range(0, max(map(len, arrays)), 16):
        found = _BOOSTING.accept_all(streams, [array[at : at + 16] for array in arrays])
        for several, update in zip(updates, found):
            several.append(update)
    for several, update in zip(updates, _BOOSTING.finish_all(streams)):
        several.append(update)
    assert [outcome(several) for several in updates] == alone


def test_streams_of_a_batch_have_lags_of_their_own() -> None:
    """What is shown before it is committed, too."""
    array = say("abba cab fade decade")

    def chunk(begin: int, lag: float | None) -> LogProbs:
        rows = torch.from_numpy(array[begin : begin + 16])[None]
        size = [rows.shape[1]]
        return LogProbs(rows, size, 0.04, ("x",), _BOOSTING.vocabulary, lag=lag)

    def shown(update: Update) -> list[tuple[str, float, float]]:
        several = (*update.words, *update.tentative_words)
        return [(word.word, word.start, word.end) for word in several]

    lags = [None, 0.24, 0.08, 0.24]
    alone = []
    for lag in lags:
        stream = _BOOSTING.stream(NAMES)
        alone.append([stream.accept(chunk(at, lag)) for at in range(0, len(array), 16)])
    streams = [_BOOSTING.stream(NAMES, name=str(at)) for at in range(len(lags))]
    for at in range(0, len(array), 16):
        found = _BOOSTING.accept_all(streams, [chunk(at, lag) for lag in lags])
        assert [shown(one) for one in found] == [shown(updates[at // 16]) for updates in alone]
    assert len({tuple(shown(updates[0])) for updates in alone}) == 3


@dataclass
class Piece:
    """What was decoded to commit a part of it, and what was committed."""

    log_probs: LogProbs
    begin: int
    words: tuple[str, ...] = ()
    cut: int = -1


@settings(max_examples=6)
@given(seed=seeds)
def test_what_is_committed_is_the_offline_text_of_the_pieces(seed: int) -> None:
    """Of each piece, with what is open behind it, the words before its cut."""
    one = decoder()
    array = speech(np.random.default_rng(seed))
    stream = one.stream(NAMES)
    state = stream.state_of(one._streams)
    assert state is not None
    pieces: list[Piece] = []
    decode, commit = one.decode_unplaced, state.commit

    def decoded(log_probs: LogProbs, names: Any) -> list[Transcript]:
        pieces.append(Piece(log_probs, state.begin))
        return decode(log_probs, names)

    def committed(words: Sequence[Word], cut: int, warning: str | None) -> None:
        pieces[-1].words, pieces[-1].cut = tuple(word.word for word in words), cut
        commit(words, cut, warning)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one, "decode_unplaced", decoded)
        patch.setattr(state, "commit", committed)
        text = run(stream, chunks(array, every(16)))[-1].committed
    done = [piece for piece in pieces if piece.cut >= 0]
    for piece, after in zip(done, [*done[1:], None]):
        values = piece.log_probs.log_probs[0].numpy()
        assert np.array_equal(values, array[piece.begin : piece.begin + len(values)])
        assert after is None or piece.cut <= after.begin
        (offline,) = _BOOSTING.decode(piece.log_probs, entities=NAMES)
        words = [word.word for word in offline.best.words]
        assert tuple(words[: len(piece.words)]) == piece.words
        seconds = (piece.cut - piece.begin) * 0.04
        assert all(word.end > seconds for word in offline.best.words[len(piece.words) :])
    assert " ".join(word for piece in done for word in piece.words) == text


def test_all_of_a_piece_between_pauses_is_its_offline_text() -> None:
    """Where nothing is unclear, a stream says what the decoder makes of each piece."""
    text = ["abba cab", "decaf fade", "bead"]
    array = np.concatenate([np.concatenate([say(one), silence(1.6)]) for one in text])
    updates = run(_BOOSTING.stream(NAMES), chunks(array, every(16)))
    offline = _BOOSTING.decode([say(one) for one in text], entities=NAMES)
    expected = " ".join(transcript.best.text for transcript in offline)
    assert updates[-1].committed == expected == "abba cab Decaf fade bead"


def test_words_are_committed_long_before_the_end() -> None:
    array = say("abba cab fade decade bead face scarf")
    stream = _BOOSTING.stream(NAMES)
    updates = [stream.accept(chunk) for chunk in chunks(array, every(8))]
    assert updates[-1].committed.startswith("abba cab fade decade")
    latest = {}
    for update in updates:
        for word in update.words:
            latest[word.word] = update.seconds - word.end
    assert max(latest.values()) < 1.5


def test_a_name_is_committed_as_one_and_shown_when_it_is_whole() -> None:
    array = say("abba cabba fade decade bead")
    stream = _BOOSTING.stream(NAMES)
    texts = [stream.accept(chunk) for chunk in chunks(array, every(4))]
    for update in texts:
        assert ("Cabba" in update.committed) == ("Cabba Fade" in update.committed)
    assert stream.finish().committed == "abba Cabba Fade decade bead"


def test_another_list_counts_for_what_is_not_committed() -> None:
    array = np.concatenate([say("abba decaf"), silence(2.0), say("decaf cab")])
    half = len(say("abba decaf")) + 25
    for size in (3, 8, 50):
        stream = _BOOSTING.stream(None)
        for chunk in chunks(array[:half], every(size)):
            stream.accept(chunk)
        stream.update_entities(["DeCaf"])
        for chunk in chunks(array[half:], every(size)):
            stream.accept(chunk)
        assert stream.finish().committed == "abba decaf DeCaf cab"


def test_a_stream_that_is_dropped_leaves_nothing_behind() -> None:
    gc.collect()
    before = sum(type(one) is StreamState for one in gc.get_objects())
    names = _BOOSTING.compile(NAMES)
    array = say("abba cab fade decade")
    streams = [_BOOSTING.stream(names, name=str(at)) for at in range(1000)]
    for stream in streams[:20]:
        stream.accept(array)
    streams[0].finish()
    known = [weakref.ref(stream) for stream in streams]
    del streams, stream
    gc.collect()
    assert not any(one() for one in known)
    assert sum(type(one) is StreamState for one in gc.get_objects()) == before


def test_an_hour_of_silence_is_kept_nowhere() -> None:
    stream = _BOOSTING.stream(NAMES)
    state = stream.state_of(_BOOSTING._streams)
    assert state is not None
    quiet = silence(60.0)
    endpoints = 0
    for _ in range(60):
        update = stream.accept(quiet)
        endpoints += len(update.endpoints)
        assert state.end - state.begin < 25
    assert (update.committed, update.tentative, update.seconds) == ("", "", 3600.0)
    assert endpoints == 1  # it is told once that nothing is said
    assert stream.accept(say("abba cab")).committed == ""
    assert stream.finish().committed == "abba cab"


@pytest.mark.filterwarnings("ignore:the blank")
def test_what_is_open_is_bounded() -> None:
    """Something that is never settled: one word without an end, no pause, no blank."""
    random = np.random.default_rng(1)
    labels = [TOKENS.index("a"), TOKENS.index("b")] * 150
    array = frames(random, labels, 0.0)
    one = decoder(**{"stream.max_window": 4.0})
    stream = one.stream(NAMES)
    state = stream.state_of(one._streams)
    assert state is not None
    updates = []
    for chunk in chunks(array, every(10)):
        updates.append(stream.accept(chunk))
        assert state.end - state.begin <= 100 + 16
    warnings = [warning for update in updates for warning in update.warnings]
    assert warnings
    assert all("where no word ends" in warning for warning in warnings)
    assert stream.finish().committed.replace(" ", "") == "ab" * 150


def test_endpoints() -> None:
    words = np.concatenate([say("abba cab fade"), silence(1.6), say("bead face")])
    stream = _BOOSTING.stream()
    found = [end for chunk in chunks(words, every(5)) for end in stream.accept(chunk).endpoints]
    (end,) = found
    assert end.rule == "silence_after_words"
    assert stream.finish().committed[: end.text_end] == "abba cab fade"
    spoken = len(say("abba cab fade")) * 0.04
    assert spoken + 1.0 < end.seconds < spoken + 1.2 + 0.4

    off = {f"stream.endpoints.{name}": 0.0 for name in ("silence", "silence_after_words", "length")}
    assert run(decoder(**off).stream(), [words, silence(9.0)])[0].endpoints == ()

    long = np.concatenate([say("abba cab fade decade") for _ in range(8)])
    stream = decoder(**{"stream.endpoints.length": 5.0}).stream()
    found = [end for chunk in chunks(long, every(5)) for end in stream.accept(chunk).endpoints]
    assert {end.rule for end in found} == {"length"}
    assert np.diff([0.0, *(end.seconds for end in found)]) == pytest.approx(5.12, abs=0.3)
    text = stream.finish().committed
    assert all(text[end.text_end] == " " for end in found)


def test_cuts_are_in_the_middle() -> None:
    assert Gap(3, 8).cut == 6
    assert Gap(4, 4).cut == 4
    assert pieces("cab") == [TOKENS.index("▁c"), TOKENS.index("a"), TOKENS.index("b")]
