"""What streams refuse, and what they take as it is meant."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import (
    ConfigError,
    CtcbiasError,
    CtcbiasWarning,
    EntityListError,
    GraphError,
    LogProbsError,
)
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.shortlist.phone_index import ShortlistConfig
from ctcbias_fst.text.phones import PHONES
from tests.streaming.speech import NAMES, TOKENS, decoder, say, silence

TEXT = "abba cab Decaf face"


@pytest.fixture(scope="module")
def one() -> Decoder:
    return decoder()


@pytest.fixture(scope="module")
def phonetic() -> Decoder:
    """A decoder that needs phones."""
    config = PipelineConfig(parts=("boost", "rescore"))
    return Decoder(decoder().tokenizer, config, frame_seconds=0.04, phones=True)


def phones(frames: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.log(random.dirichlet(np.full(1 + len(PHONES), 0.05), size=frames) + 1e-9).astype("f4")


def test_chunks_of_no_frame_one_frame_and_a_minute(one: Decoder) -> None:
    array = say(TEXT)
    stream = one.stream(NAMES)
    assert stream.accept(array[:0]).committed == stream.accept([], []).committed == ""
    stream.accept(array[:1])
    stream.accept(np.concatenate([array[1:], silence(60.0)]))
    assert stream.accept(array[:0]).committed == TEXT
    assert stream.finish().committed == TEXT


def test_nothing_at_all(one: Decoder) -> None:
    update = one.stream(NAMES).finish()
    assert (update.committed, update.tentative, update.words, update.seconds) == ("", "", (), 0.0)
    assert one.accept_all([], []) == one.finish_all([]) == []


def test_a_chunk_that_is_refused_leaves_the_stream_as_it_was(one: Decoder) -> None:
    array = say(TEXT)
    broken = array[10:20].copy()
    broken[3, 2] = np.nan
    stream = one.stream(NAMES, name="call 7")
    stream.accept(array[:10])
    with pytest.raises(LogProbsError, match=r"stream call 7, chunk at frame 10.*frame 3.*NaN"):
        stream.accept(broken)
    stream.accept(array[10:])
    assert stream.finish().committed == TEXT


def test_a_chunk_that_is_refused_stops_none_of_the_others(one: Decoder) -> None:
    array = say(TEXT)
    streams = [one.stream(NAMES, name=name) for name in "ab"]
    with pytest.raises(LogProbsError, match="stream b"):
        one.accept_all(streams, [array, array[:, :-1]])
    for stream, text in zip(streams, [TEXT, TEXT]):
        stream.accept(array)
        assert stream.finish().committed == text


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.zeros((3, 4), dtype="f4"), r"4 columns, the vocabulary has"),
        (np.zeros((3, len(TOKENS)), dtype="f4"), "no natural log-probs"),
        (np.zeros((3, len(TOKENS)), dtype=int), "floating-point"),
        (np.zeros(len(TOKENS), dtype="f4"), "shape"),
        ("talk.npy", "no array"),
        (None, "log-probs"),
        (np.zeros((2, 3, len(TOKENS)), dtype="f4"), "2 utterances"),
        (np.full((2, len(TOKENS)), -np.inf, dtype="f4"), "only -inf"),
    ],
)
def test_what_is_no_chunk(one: Decoder, chunk: Any, message: str) -> None:
    with pytest.raises(LogProbsError, match=message) as error:
        one.stream(name="x").accept(chunk)
    assert str(error.value).startswith("stream x, chunk at frame 0")
    assert "\n" not in str(error.value)


def test_finished_streams(one: Decoder) -> None:
    stream = one.stream(NAMES)
    stream.accept(say(TEXT))
    last = stream.finish()
    again = stream.finish()
    assert (again.committed, again.tentative) == (last.committed, "")
    assert last.words
    assert again.words == ()
    for act in (lambda: stream.accept(say("a")), lambda: stream.update_entities(["Bea"])):
        with pytest.raises(ConfigError, match="stream 1 is finished: open another one"):
            act()
    assert stream.finish().committed == TEXT


def test_streams_of_many_calls(one: Decoder) -> None:
    stream, other = one.stream(), decoder().stream()
    for streams, several, message in (
        ([stream, stream], [say("a")] * 2, "stream 1 comes twice in one call"),
        ([stream, other], [say("a")] * 2, "no stream of this decoder"),
        ([stream, "b"], [say("a")] * 2, "'b' is no stream of this decoder"),
        ([stream], [], "1 streams, 0 chunks"),
        (stream, [say("a")], "streams are a list, found <Stream 1.* pass .stream."),
        ([stream], None, "chunks are a list, one for each stream, found None"),
        ([stream], (say(one) for one in "a"), "chunks are a list, .* found <generator"),
    ):
        with pytest.raises(ConfigError, match=message):
            one.accept_all(streams, several)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no stream of this decoder"):
        one.finish_all([other])
    with pytest.raises(ConfigError, match="streams are a list"):
        one.finish_all(stream)  # type: ignore[arg-type]


def test_lists(one: Decoder) -> None:
    with pytest.raises(EntityListError, match="none of its 1 entries"):
        one.stream(["東京"])
    for several in ([NAMES, None], {"1": NAMES}):
        with pytest.raises(EntityListError, match="one list of names, not several"):
            one.stream(several)
    with pytest.raises(CtcbiasError):
        one.stream("no such file")
    foreign = Decoder.from_tokens(["<blk>", "▁a", "b"], frame_seconds=0.04).compile(["ab"])
    with pytest.raises(GraphError, match="compiled for another model"):
        one.stream(foreign)
    stream = one.stream(NAMES)
    stream.accept(say("abba cab"))
    with pytest.raises(EntityListError):
        stream.update_entities(["東京"])
    stream.accept(say("decaf"))
    assert stream.finish().committed == "abba cab Decaf"  # with the list that it had
    with pytest.warns(CtcbiasWarning, match="東京"):
        assert one.stream(["東京", "Bea"]).finish().committed == ""


def test_a_list_that_needs_phones_on_a_stream_that_got_none() -> None:
    """Refused at once: it could not be finished with it."""
    plain = PipelineConfig(parts=("boost",), shortlist=ShortlistConfig(shorten_above=1))
    several = Decoder(decoder().tokenizer, plain, frame_seconds=0.04, phones=True)
    long = several.compile(NAMES, warn=False)
    assert several.needs_phones([long])
    stream = several.stream(["Decaf"], name="call")
    stream.accept(say("abba cab"))
    with pytest.raises(ConfigError, match="^stream call: so long a list needs phones"):
        stream.update_entities(long)
    stream.accept(say("decaf"))
    assert stream.finish().committed == "abba cab Decaf"
    stream = several.stream(["Decaf"])
    stream.update_entities(long)  # nothing has come, so phones may
    stream.accept(say("abba cab decaf"), phones(len(say("abba cab decaf"))))
    assert stream.finish().committed == "abba cab Decaf"


def test_torch_half_precision_and_records(one: Decoder) -> None:
    array = torch.from_numpy(say(TEXT))
    vocabulary = one.vocabulary
    record = LogProbs(array[None], [len(array)], 0.04, ("x",), vocabulary)
    for chunk in (array, array.half(), array.double().requires_grad_(), record):
        stream = one.stream(NAMES)
        stream.accept(chunk)
        assert stream.finish().committed == TEXT
    with pytest.raises(LogProbsError, match="frames of 0.02 s"):
        one.stream().accept(LogProbs(array[None], [len(array)], 0.02, ("x",), vocabulary))
    with torch.inference_mode():
        stream = one.stream(NAMES)
        stream.accept(array)
        assert stream.finish().committed == TEXT


def test_a_caller_may_use_its_array_again(one: Decoder) -> None:
    whole = torch.from_numpy(say(TEXT))
    buffer = torch.empty_like(whole[:5])
    stream = one.stream(NAMES)
    for at in range(0, len(whole), 5):
        rows = whole[at : at + 5]
        buffer[: len(rows)] = rows
        stream.accept(buffer[: len(rows)])
    assert stream.finish().committed == TEXT


def test_phones_that_are_missing_or_others(phonetic: Decoder) -> None:
    array = say(TEXT)
    stream = phonetic.stream(NAMES, name="p")
    with pytest.raises(LogProbsError, match="stream p, chunk at frame 0: .* phones= with every"):
        stream.accept(array)
    with pytest.raises(LogProbsError, match="columns"):
        stream.accept(array, phones(len(array))[:, :7])
    with pytest.raises(LogProbsError, match="expected"):
        stream.accept(array, phones(len(array) - 1))
    stream.accept(array[:8], phones(8))
    half = PhoneLogProbs(torch.from_numpy(phones(16))[None], torch.tensor([16]), 0.02)
    with pytest.raises(LogProbsError, match="not as in the chunks before"):
        stream.accept(array[8:16], half)
    stream.accept(array[8:], phones(len(array) - 8))
    assert stream.finish().committed == TEXT


def test_phones_of_other_frames(phonetic: Decoder) -> None:
    """They come a little later or earlier than the tokens: it does not matter when."""
    array = np.concatenate([say(TEXT), silence(2.0), say("fade bead")])
    heard = torch.from_numpy(phones(2 * len(array)))

    def chunk(rows: torch.Tensor) -> PhoneLogProbs:
        return PhoneLogProbs(rows[None], torch.tensor([len(rows)]), 0.02, lag=0.04)

    texts = []
    for size, ahead in ((16, 0), (5, 7), (16, -9)):
        stream = phonetic.stream(NAMES)
        sent = 0
        for at in range(0, len(array), size):
            until = min(max(2 * (at + size) + ahead, 0), len(heard))
            until = len(heard) if at + size >= len(array) else until
            stream.accept(array[at : at + size], chunk(heard[sent:until]))
            sent = max(sent, until)
        words = stream.finish()
        texts.append(words.committed)
    assert texts == [f"{TEXT} fade bead"] * 3
    stream = phonetic.stream(NAMES)
    with pytest.raises(LogProbsError, match="those of phones 1.00 s"):
        stream.accept(array, chunk(heard[:50]))
    stream.accept(array[:16], chunk(heard[:10]))
    stream.accept(array[16:32], chunk(heard[10:20]))
    with pytest.raises(LogProbsError, match="last 1.92 s, those of phones 0.60 s"):
        stream.accept(array[32:48], chunk(heard[20:30]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stream.step": 0.0}, "step must be positive"),
        ({"stream.pause": 2.0}, "name_pause must be at least pause"),
        ({"stream.max_window": 0.4}, "max_window must be at least two steps"),
        ({"stream.wait": -1.0}, "wait must be 0 or more"),
        ({"stream.endpoints.length": float("nan")}, "finite"),
        ({"stream.endpoint": 1}, "unknown key stream.endpoint"),
    ],
)
def test_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decoder(**changes)


def test_no_stream_where_a_lexicon_makes_words() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CtcbiasWarning)
        lexical = Decoder.from_tokens(
            ["<blk>", "AH", "B", "K"], lexicon={"cub": ["K AH B"]}, frame_seconds=0.04
        )
    with pytest.raises(ConfigError, match="through a lexicon yet"):
        lexical.stream()


def test_help_shows_what_a_person_wants(one: Decoder) -> None:
    stream = one.stream(NAMES, name="call")
    update = stream.accept(say(TEXT))
    assert repr(stream).startswith("<Stream call, ")
    assert repr(update).startswith("<Update at ")
    stream.finish()
    assert "finished" in repr(stream)
    shown = [name for name in dir(stream) if not name.startswith("_")]
    assert shown == ["accept", "finish", "heard", "state_of", "update_entities"]


@pytest.mark.parametrize("first", [0.0, -1.0, 0.65, float("nan"), float("inf")])
def test_a_first_step_is_a_step_at_most(first: float) -> None:
    with pytest.raises(ConfigError, match="first_step must be above 0 and at most stream.step"):
        decoder().stream(first_step=first)
