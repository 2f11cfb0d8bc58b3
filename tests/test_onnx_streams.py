"""Streams and recordings through a model that keeps states, from audio to names."""

from __future__ import annotations

import gc
import json
import math
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

tiny = pytest.importorskip("tiny_streaming")

from ctcbias_fst import Recognizer  # noqa: E402
from ctcbias_fst.audio.audio import to_recording  # noqa: E402
from ctcbias_fst.cli import main  # noqa: E402
from ctcbias_fst.errors import ConfigError, ModelError  # noqa: E402
from ctcbias_fst.model_info import model_info  # noqa: E402
from ctcbias_fst.models.package import DEFAULT  # noqa: E402
from ctcbias_fst.phone_log_probs import PhoneLogProbs  # noqa: E402
from tests.test_recognizer_streams import NAMES, chunks, samples_of, streamed, told  # noqa: E402

NAME = ["Imiglucerase"]
SAID = "my father takes Imiglucerase and feels fine"


def known(folder: Path, clip: str, loud: float = math.inf) -> None:
    """A model that gives what the embedded one hears of a clip, 0.16 s late, as such models do."""
    embedded = Recognizer.from_pretrained().model
    recording = to_recording(samples_of(clip), 16000, 16000, "clip")
    rows = embedded.log_probs([recording]).log_probs[0].numpy()
    tiny.known(folder, rows, embedded.tokenizer.vocabulary, late=4, loud=loud)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("known")
    known(folder, "medical-2", loud=30.0)
    return folder


@pytest.fixture(scope="module")
def recognizer(folder: Path) -> Recognizer:
    """With the phone head inside the package beside it."""
    return Recognizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def alone(folder: Path) -> Recognizer:
    """Without phones."""
    return Recognizer.from_pretrained(folder, settings={"parts": ["boost", "g2g"]})


def test_words_come_while_they_are_said(alone: Recognizer) -> None:
    samples = samples_of("medical-2")
    updates = streamed(alone.stream(NAME), samples, chunks(samples, 1600))
    text, words = told(updates)
    assert text == SAID == " ".join(word for word, *_ in words)
    assert alone.phone_seconds == 0
    assert not [one for update in updates for one in update.warnings]
    # "my" is heard in the first second, with what the model waits for.
    first = next(i for i, update in enumerate(updates) if update.committed + update.tentative)
    assert first * 0.1 < 1.5
    offline = alone.transcribe(samples, sampling_rate=16000, entities=NAME).best.words
    for (word, start, end, entity), other in zip(words, offline):
        assert (word, entity) == (other.word, other.entity)
        assert (start, end) == pytest.approx((other.start, other.end), abs=0.1)


def test_a_recording_goes_through_the_steps_of_a_stream(recognizer: Recognizer) -> None:
    """A long one, too, whatever its pauses."""
    samples = samples_of("medical-2")
    long = np.concatenate((samples, np.zeros(40 * 16000, np.float32)))
    whole = recognizer.log_probs([to_recording(long, 16000, 16000, "long")])
    short = recognizer.log_probs([to_recording(samples, 16000, 16000, "short")])
    frames = int(short.lengths[0])
    assert int(whole.lengths[0]) > 1000
    torch.testing.assert_close(whole.log_probs[0, :frames], short.log_probs[0, :frames])
    assert recognizer.transcribe(long, sampling_rate=16000, entities=NAMES).best.text == SAID


def test_phones_are_heard_beside_it(recognizer: Recognizer) -> None:
    """In windows, which tokens wait for; nothing is told of those behind the end."""
    samples = samples_of("medical-2")
    updates = streamed(recognizer.stream(NAMES), samples, chunks(samples, 2560))
    assert told(updates)[0] == SAID
    assert recognizer.phone_seconds > 0
    assert not [one for update in updates for one in update.warnings]
    uneven = np.random.default_rng(0).integers(0, len(samples), 30).tolist()
    for cuts in ([], uneven, [0, 1, 2]):
        assert told(streamed(recognizer.stream(NAMES), samples, cuts)) == told(updates)
    state: Any = recognizer.stream(NAMES)._state
    assert (state.kept.beside is not None, state.listens) == (True, True)


@pytest.mark.parametrize("chunk", [16, 64, 128])
@pytest.mark.parametrize("window", [(0.64, 0.2), (0.64, 0.64), (0.32, 2.0)])
def test_steps_of_any_length_have_their_phones(
    tmp_path: Path, chunk: int, window: tuple[float, float]
) -> None:
    """The phones beside them come in steps of their own, and are heard earlier or later."""
    tiny.zipformer(tmp_path, chunk=chunk)
    step, right = window
    settings = {"stream_window": {"step": step, "right": right}}
    recognizer = Recognizer.from_pretrained(tmp_path, phones="embedded", settings=settings)
    samples = samples_of("medical-2")
    stream = recognizer.stream(["bade"])
    updates = streamed(stream, samples, chunks(samples, 1600))
    state: Any = stream._state
    tokens, phones = state.words.heard
    assert tokens * 0.04 >= len(samples) / 16000
    assert abs(tokens - phones) * 0.04 <= 0.3
    assert not [one for update in updates for one in update.warnings]
    assert told(streamed(recognizer.stream(["bade"]), samples)) == told(updates)


def test_streams_at_once_are_streams_alone(recognizer: Recognizer) -> None:
    """With lists of their own and none, which begin and end at other times."""
    samples = samples_of("medical-2")
    lists = [NAMES, None, ["imiglucerase"]]
    streams = [recognizer.stream(one, name=str(i)) for i, one in enumerate(lists)]
    late = [8000, 0, 3000]
    updates: list[list[Any]] = [[], [], []]
    for begin in range(0, len(samples) + 8000, 4000):
        parts = [samples[max(0, begin - at) : max(0, begin + 4000 - at)] for at in late]
        for found, one in zip(updates, recognizer.accept_all(streams, parts)):
            found.append(one)
    for found, one in zip(updates, recognizer.finish_all(streams)):
        found.append(one)
    for found, names in zip(updates, lists):
        assert told(found) == told(streamed(recognizer.stream(names), samples))


@pytest.mark.parametrize("with_phones", [False, True])
def test_what_fails_in_between_is_told_again(
    folder: Path, with_phones: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C within the decoder: nothing is lost, and nothing doubled."""
    parts = {} if with_phones else {"settings": {"parts": ["boost"]}}
    recognizer: Any = Recognizer.from_pretrained(folder, **parts)
    samples = samples_of("medical-2")
    for place in ("accept_all", "finish_all"):
        stream = recognizer.stream(NAMES)
        stream.accept(samples[:20000])
        with monkeypatch.context() as patch:
            patch.setattr(recognizer.decoder, place, _interrupted)
            with pytest.raises(KeyboardInterrupt):
                stream.accept(samples[20000:])
                stream.finish()
        assert stream.finish().committed == SAID


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("parts", [["boost"], ["boost", "rescore"]])
def test_a_step_that_fails_costs_its_time_alone(tmp_path: Path, parts: list[str]) -> None:
    """The model gives NaN in the step of the loudest sound; phones go on."""
    known(tmp_path, "medical-2", loud=5.0)
    recognizer = Recognizer.from_pretrained(tmp_path, settings={"parts": parts})
    samples = samples_of("medical-2")
    stream = recognizer.stream(NAME)
    updates = streamed(stream, samples, chunks(samples, 4000))
    (warned,) = [one for update in updates for one in update.warnings]
    assert warned.startswith("stream 1 from 0.32 s on, frame 0: the log-probs have NaN")
    assert warned.endswith("0.32 s are taken for silence")
    # Its states are those before the step, so this model, which counts, goes on there; what it
    # knows of the last 0.32 s is not asked for.
    assert updates[-1].committed == SAID.removesuffix("ine")


def test_a_model_that_never_works(tmp_path: Path) -> None:
    known(tmp_path, "medical-2", loud=5.0)
    recognizer = Recognizer.from_pretrained(tmp_path, settings={"parts": ["boost"]})
    stream = recognizer.stream()
    with pytest.raises(ModelError, match="have NaN"):
        stream.accept(np.random.default_rng(0).normal(0, 1.0, 16000).astype(np.float32))
    last = stream.finish()
    assert last.committed == ""
    assert last.seconds == pytest.approx(31 * 0.04)
    assert ["0.32 s are taken for silence" in one for one in last.warnings] == [True] * 4


class Deaf:
    """A phone listener that never works."""

    family, sampling_rate, frame_seconds = "deaf", 16000, 0.02

    def phone_log_probs(self, recordings: Any) -> PhoneLogProbs:
        raise RuntimeError("I am deaf")


def test_streams_do_not_wait_for_phones_of_others(folder: Path) -> None:
    """Nor do tokens in the end, if nobody ever hears their phones."""
    settings = {"parts": ["boost"], "shortlist": {"shorten_above": 1}}
    recognizer = Recognizer.from_pretrained(folder, phones=Deaf(), settings=settings)
    samples = np.concatenate((samples_of("medical-2"), np.zeros(16 * 16000, np.float32)))
    long, short = recognizer.stream(["feels", "Imiglucerase"]), recognizer.stream(NAME)
    told: list[str] = []
    for begin in range(0, len(samples), 16000):
        chunk = samples[begin : begin + 16000]
        waiting, other = recognizer.accept_all([long, short], [chunk, chunk])
        told += waiting.warnings
        assert other.warnings == ()
    assert other.committed == SAID
    assert waiting.committed.startswith("my father takes")
    assert all("I am deaf" in one for one in told)
    assert "s are taken for silence" in told[-1]
    alone = recognizer.stream(["feels", "Imiglucerase"])
    assert alone.accept(samples[:32000]).warnings
    again = Recognizer.from_pretrained(folder, phones=Deaf(), settings=settings)
    with pytest.raises(ModelError, match=r"^stream 1 from 0\.00 s on: .*I am deaf$"):
        again.stream(["feels", "Imiglucerase"]).accept(samples[:32000])


def test_silence_and_no_sound(recognizer: Recognizer, alone: Recognizer) -> None:
    for one in (recognizer, alone):
        assert one.stream(NAMES).finish().committed == ""
        empty = one.stream(NAMES)
        empty.accept([])
        assert empty.finish() == one.stream(NAMES).finish()
        tiny_bit = one.stream(NAMES)
        tiny_bit.accept([0.1])
        assert tiny_bit.finish().warnings == ()
        with pytest.raises(ConfigError, match="finished"):
            tiny_bit.accept([0.1])


def test_the_list_may_change(alone: Recognizer) -> None:
    samples = samples_of("medical-2")
    stream = alone.stream(None)
    first = stream.accept(samples[:8000])
    stream.update_entities(["Imiglucerase"])
    stream.accept(samples[8000:])
    assert stream.finish().committed == SAID
    assert "Imiglucerase" not in first.committed + first.tentative


def test_streams_that_are_dropped_leave_nothing(recognizer: Recognizer) -> None:
    samples = samples_of("medical-2")[:9000]
    names = recognizer.compile(NAMES)
    left = []
    for _ in range(100):
        stream = recognizer.stream(names)
        stream.accept(samples[:2000])
        state: Any = stream._state
        left += [weakref.ref(stream), weakref.ref(state.kept)]
    del stream, state
    gc.collect()
    assert not [one for one in left if one() is not None]


def test_other_rates(alone: Recognizer) -> None:
    samples = (samples_of("medical-2")[::2] * 32767).astype(np.int16)
    stream = alone.stream(NAME, sampling_rate=8000)
    assert streamed(stream, samples, chunks(samples, 999), 8000)[-1].committed == SAID


def test_what_it_is_is_told(folder: Path, tmp_path: Path) -> None:
    found = model_info(folder)
    assert (found.family, found.streaming) == ("icefall, streaming (ONNX)", "states")
    assert found.chunk_seconds == pytest.approx(0.32)
    assert found.latency_seconds == pytest.approx(1.28)  # that of the phones beside it
    assert found.own_latency_seconds == pytest.approx(0.4575)
    recognizer = Recognizer.from_pretrained(folder, settings={"parts": ["boost"]})
    assert recognizer.stream_seconds == pytest.approx((0.32, 0.4575, 0.4575))
    assert recognizer.stream_seconds.own_latency == recognizer.stream_seconds.latency
    assert found.fault is None
    (line,) = [one for one in found.lines() if one.startswith("streams")]
    assert (
        line
        == "streams      keeps states, 0.32 s at a time, latency 1.28 s with phones, 0.46 s without"
    )
    ours = model_info()
    assert (ours.streaming, ours.chunk_seconds, ours.latency_seconds) == ("states", 0.64, 1.2)
    tiny.nemo(tmp_path)
    (line,) = [one for one in model_info(tmp_path).lines() if one.startswith("streams")]
    assert line == "streams      keeps states, 0.16 s at a time, latency 0.17 s"


@pytest.mark.parametrize("command", ["transcribe", "stream"])
def test_commands_take_it(command: str, folder: Path) -> None:
    clip = DEFAULT.parent / "clips" / "medical-2.flac"
    arguments = [command, "--model", folder, "--entities", NAMES, clip]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{SAID}\n"
    told = CliRunner().invoke(main, ["model", "info", str(folder), "--format", "json"])
    assert json.loads(told.stdout)["streaming"] == "states"
