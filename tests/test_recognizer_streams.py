"""Streams of audio: the same text in whatever chunks it comes, alone or beside others."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import read_audio
from ctcbias_fst.audio_streams import AudioStream
from ctcbias_fst.errors import AudioError, ConfigError, EntityListError
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.streaming.updates import Update

CLIPS = DEFAULT.parent / "clips"
NAMES = CLIPS / "names.txt"
SAID = {
    "medical-2": "my father takes Imiglucerase and feels fine",
    "general-1": "the old bridge was repaired in february",
}


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.from_pretrained()


def samples_of(name: str) -> np.ndarray:
    return read_audio(CLIPS / f"{name}.flac", 16000).samples


def streamed(
    stream: AudioStream, samples: Any, cuts: Sequence[int] = (), rate: int | None = None
) -> list[Update]:
    updates = [stream.accept(part, sampling_rate=rate) for part in np.split(samples, sorted(cuts))]
    return [*updates, stream.finish()]


def told(updates: Sequence[Update]) -> tuple[str, list[tuple[str, float, float, bool]]]:
    """The text, and all words with their times."""
    words = [word for update in updates for word in update.words]
    return updates[-1].committed, [(w.word, w.start, w.end, w.entity) for w in words]


def chunks(samples: np.ndarray, size: int) -> list[int]:
    return list(range(size, len(samples), size))


@pytest.mark.parametrize("name", sorted(SAID))
def test_what_is_said_is_committed_while_it_is_said(recognizer: Recognizer, name: str) -> None:
    samples = samples_of(name)
    updates = streamed(recognizer.stream(NAMES), samples, chunks(samples, 2560))
    text, words = told(updates)
    assert text == SAID[name]
    assert [word for word, *_ in words] == text.split()
    assert updates[-1].tentative == ""
    grown = [update.committed for update in updates]
    assert all(later.startswith(before) for before, later in zip(grown, grown[1:]))
    assert any(update.committed for update in updates[:-3])
    offline = recognizer.transcribe(CLIPS / f"{name}.flac", entities=NAMES).best.words
    for (word, start, end, entity), other in zip(words, offline):
        assert (word, entity) == (other.word, other.entity)
        assert start == pytest.approx(other.start, abs=0.1)
        assert end == pytest.approx(other.end, abs=0.1)


def test_where_chunks_end_makes_no_difference(recognizer: Recognizer) -> None:
    samples = samples_of("medical-2")
    once = told(streamed(recognizer.stream(NAMES), samples))
    random = np.random.default_rng(0)
    uneven = random.integers(0, len(samples), 40).tolist()
    for cuts in (chunks(samples, 1600), uneven, [0, 0, 1, 2, len(samples)]):
        assert told(streamed(recognizer.stream(NAMES), samples, cuts)) == once


def test_streams_at_once_are_streams_alone(recognizer: Recognizer) -> None:
    """With lists of their own, and none."""
    lists = [NAMES, None, ["imiglucerase"]]
    waves = [samples_of(name) for name in ("medical-2", "general-1", "medical-2")]
    streams = [recognizer.stream(one, name=str(i)) for i, one in enumerate(lists)]
    updates: list[list[Update]] = []
    for begin in range(0, max(map(len, waves)), 4000):
        parts = [wave[begin : begin + 4000] for wave in waves]
        updates.append(recognizer.accept_all(streams, parts))
    updates.append(recognizer.finish_all(streams))
    for one, wave, of_stream in zip(lists, waves, zip(*updates)):
        alone = streamed(recognizer.stream(one), wave, chunks(wave, 4000))
        assert told(of_stream) == told(alone)


def test_other_rates_and_types(recognizer: Recognizer) -> None:
    samples = samples_of("general-1")
    low = soxr.resample(samples, 16000, 8000)
    whole = (low * 32767).astype(np.int16)
    stream = recognizer.stream(NAMES, sampling_rate=8000)
    updates = streamed(stream, whole, chunks(whole, 999), 8000)
    assert updates[-1].committed == SAID["general-1"]
    with pytest.raises(AudioError, match="one rate"):
        recognizer.stream(sampling_rate=8000).accept(whole[:9], sampling_rate=16000)


@pytest.mark.filterwarnings("error")
def test_what_is_quiet_or_faint_is_told_once(recognizer: Recognizer) -> None:
    """With the update, and not by a warning of Python for every chunk."""
    samples = samples_of("general-1")
    faint = (np.tile(samples, 6) * 32767).astype(np.int32)
    for quiet, message in ((samples * 10 ** (-50 / 20), "very quiet"), (faint, "16 bits as int16")):
        updates = streamed(recognizer.stream(), quiet, chunks(quiet, 8000))
        (told,) = [text for update in updates for text in update.warnings]
        assert message in told
    updates = streamed(recognizer.stream(), samples, chunks(samples, 8000))
    assert not [text for update in updates for text in update.warnings]


def test_channels(recognizer: Recognizer) -> None:
    """Chunks as short as the last one of a file, and channels that cancel each other."""
    samples = samples_of("general-1")
    for beside, told in ((samples, 0), (-samples, 1)):
        stereo = np.stack([samples, beside], axis=1)
        texts = []
        for size in (4000, 500):
            stream = recognizer.stream(channels=2)
            updates = streamed(stream, stereo, [3, *chunks(stereo, size), len(stereo) - 7])
            texts.append(updates[-1].committed)
            warnings = [text for update in updates for text in update.warnings]
            assert len(warnings) == told
            assert all("cancel each other" in text for text in warnings)
        assert texts == [SAID["general-1"]] * 2
    with pytest.raises(AudioError, match="stream call: channels=0 is no number"):
        recognizer.stream(channels=0, name="call")


def test_the_list_may_change(recognizer: Recognizer) -> None:
    samples = samples_of("medical-2")
    stream = recognizer.stream(None)
    first = stream.accept(samples[:8000])
    stream.update_entities(["Imiglucerase"])
    listed = stream._state.kept.names
    assert listed is not None  # what the adapter hears of
    assert len(listed.entities) >= 1
    stream.accept(samples[8000:])
    assert stream.finish().committed == SAID["medical-2"]
    assert "Imiglucerase" not in first.committed + first.tentative
    with pytest.raises(ConfigError, match="finished"):
        stream.update_entities(None)


@pytest.mark.parametrize("lists", [(None, NAMES), (NAMES, None), (["felt"], NAMES)])
@pytest.mark.parametrize("at", [24000, 33000])
def test_the_list_may_change_at_any_time(recognizer: Recognizer, lists: Any, at: int) -> None:
    """Between any and none; a stream with a list may go on without those beside it."""
    samples = samples_of("medical-2")
    one, beside = recognizer.stream(lists[0]), recognizer.stream(lists[1])
    recognizer.accept_all([one, beside], [samples[:at], samples[:at]])
    one.update_entities(lists[1])
    one.accept(samples[at:])
    assert one.finish().committed.replace("ll", "l").split()[-2:] == ["feels", "fine"]
    beside.accept(samples[at:])
    expected = told(streamed(recognizer.stream(lists[1]), samples))
    assert beside.finish().committed == expected[0]


def test_what_fails_in_between_is_heard_again(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C after the model, or within the decoder: nothing is lost, and nothing doubled."""
    samples = samples_of("medical-2")
    for place in ("accept_all", "finish_all"):
        stream = recognizer.stream(NAMES)
        stream.accept(samples[:20000])
        with monkeypatch.context() as patch:
            patch.setattr(recognizer.decoder, place, _interrupted)
            with pytest.raises(KeyboardInterrupt):
                stream.accept(samples[20000:])
                stream.finish()
        assert stream.finish().committed == SAID["medical-2"]


def test_an_interruption_costs_no_stream_beside(
    recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some need phones, some do not: those that were to be heard later have what came, too."""
    samples = samples_of("medical-2")
    short = Recognizer(
        recognizer.model,
        recognizer.config,
        settings={"parts": "boost,g2g", "shortlist.shorten_above": 1},
        phones=recognizer.model,
    )
    streams = [short.stream(NAMES, name="long"), short.stream(["Imiglucerase"], name="short")]
    assert [stream._state.listens for stream in streams] == [True, False]
    short.accept_all(streams, [samples[:20000]] * 2)
    with monkeypatch.context() as patch:
        patch.setattr(streams[0]._advances._with_phones, "score", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            short.accept_all(streams, [samples[20000:26000]] * 2)
    streams[1].accept(samples[26000:])
    assert streams[1].finish().committed == SAID["medical-2"]


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_a_model_that_fails_for_a_while_costs_that_while(recognizer: Recognizer) -> None:
    samples = samples_of("general-1")
    model = recognizer.model

    class Failing(type(model)):  # type: ignore[misc]
        def log_probs(self, recordings: Any, *more: Any) -> Any:
            if any(float(np.abs(one.samples).max()) > 3 for one in recordings):
                raise AudioError("too loud for me")
            return super().log_probs(recordings, *more)

        def stream_steps(self, *_: Any) -> None:
            """In windows."""

    failing = Failing.__new__(Failing)
    vars(failing).update(vars(model))
    streams = Recognizer(failing, recognizer.config)
    bad = np.concatenate((samples, np.zeros(20000, np.float32)))
    bad[-3000] = 3.5
    one, other = streams.stream(name="a"), streams.stream(name="b")
    heard = [streams.accept_all([one, other], [bad[i : i + 8000], samples[i : i + 8000]])
             for i in range(0, len(bad), 8000)]  # fmt: skip
    last = streams.finish_all([one, other])
    assert [update.committed for update in last] == [SAID["general-1"]] * 2
    warnings = [text for row in [*heard, last] for text in row[0].warnings]
    assert warnings
    assert all("too loud for me" in text and "for silence" in text for text in warnings)
    assert not [text for row in [*heard, last] for text in row[1].warnings]


def test_phones_are_heard_where_they_are_needed(tmp_path: Path) -> None:
    tiny = pytest.importorskip("tiny_hugging_face")
    model = tiny.save(tmp_path / "model", "unispeech-sat")
    recognizer = Recognizer.from_pretrained(model, settings={"parts": ["boost"]})
    stream = recognizer.stream(["zoe"])
    stream.accept(tiny.noise(2.0))
    stream.finish()
    assert recognizer.phone_seconds == 0
    assert recognizer.audio_seconds == pytest.approx(2.0)


def test_a_long_list_may_come_later_where_phones_come_anyway() -> None:
    settings = {"parts": ["boost"], "shortlist": {"shorten_above": 3}}
    recognizer = Recognizer.from_pretrained(settings=settings)
    stream = recognizer.stream(["Imiglucerase"])
    stream.accept(samples_of("medical-2")[:20000])
    stream.update_entities(recognizer.compile(NAMES))
    stream.accept(samples_of("medical-2")[20000:])
    assert stream.finish().committed == SAID["medical-2"]


def test_a_bad_chunk_leaves_all_streams_as_they_were(recognizer: Recognizer) -> None:
    samples = samples_of("general-1")
    bad = samples[:2000].copy()
    bad[7] = np.nan
    one, other = recognizer.stream(name="a"), recognizer.stream(name="b")
    with pytest.raises(AudioError, match=r"^stream b, chunk at 0\.00 s"):
        recognizer.accept_all([one, other], [samples[:2000], bad])
    for wrong, error in (("abc", AudioError), (7, AudioError), (bad, AudioError)):
        with pytest.raises(error):
            one.accept(wrong)
    assert told(streamed(one, samples))[0] == SAID["general-1"]
    assert other.finish().committed == ""


def test_after_the_end(recognizer: Recognizer) -> None:
    samples = samples_of("general-1")
    stream = recognizer.stream(NAMES, name="call")
    streamed(stream, samples)
    again = stream.finish()
    assert again.committed == SAID["general-1"]
    assert again.words == ()
    with pytest.raises(ConfigError, match="stream call is finished: open another one"):
        stream.accept(samples)
    assert recognizer.stream().finish().committed == ""
    empty = recognizer.stream()
    empty.accept([])
    assert empty.finish() == recognizer.stream().finish()


def test_streams_of_others(recognizer: Recognizer) -> None:
    stream = recognizer.stream()
    with pytest.raises(ConfigError, match="stream 1 comes twice in one call"):
        recognizer.accept_all([stream, stream], [[], []])
    with pytest.raises(ConfigError, match="1 streams, 2 chunks"):
        recognizer.accept_all([stream], [[], []])
    with pytest.raises(ConfigError, match="no stream of this recogniser"):
        Recognizer(recognizer.model).accept_all([stream], [[]])
    wrong: Any = recognizer.decoder.stream()
    with pytest.raises(ConfigError, match="no stream of this recogniser"):
        recognizer.accept_all([wrong], [[]])
    for several in ([["a list"], ["of lists"]], [["Imiglucerase"]], {"1": ["Imiglucerase"]}):
        with pytest.raises(EntityListError, match="a stream has one list of names, not several"):
            recognizer.stream(several)
        with pytest.raises(EntityListError, match="a stream has one list of names, not several"):
            stream.update_entities(several)
    with pytest.raises(AudioError, match="rate"):
        recognizer.stream(sampling_rate=0)


def test_streams_that_are_dropped_leave_nothing(recognizer: Recognizer) -> None:
    samples = samples_of("general-1")[:9000]
    names = recognizer.compile(NAMES)
    left = []
    for _ in range(1000):
        stream = recognizer.stream(names)
        left.append(weakref.ref(stream))
    stream.accept(samples)
    left.append(weakref.ref(stream._state.kept))
    del stream
    gc.collect()
    assert not [one for one in left if one() is not None]


def test_other_models_stream_too(tmp_path: Path) -> None:
    """Of any family, with the phone head of the package beside it."""
    tiny = pytest.importorskip("tiny_hugging_face")
    recognizer = Recognizer.from_pretrained(tiny.save(tmp_path / "model", "unispeech-sat"))
    samples = tiny.noise(3.3)
    whole = told(streamed(recognizer.stream(["zoe"]), samples))
    assert whole[0]
    pieces = told(streamed(recognizer.stream(["zoe"]), samples, chunks(samples, 1111)))
    assert pieces == whole
    assert recognizer.phone_seconds > 0
