"""Windows of streams: each frame once, and what a model with so much context gives of the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import CtcbiasError, ModelError
from ctcbias_fst.models.stream_windows import StreamWindows, WindowConfig, WindowedStream
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.vocabulary import Vocabulary

RATE = 1000
TOKENS = Vocabulary.from_tokens(["<blk>", "|", "a", "b"])
CONFIG = WindowConfig(left=0.64, step=0.16, right=0.2)


class Model:
    """Hears the energies of its frame and of so many on both sides; phones are at half the rate.

    Args:
        frame: seconds.
        reach: frames.
    """

    def __init__(self, frame: float = 0.04, reach: int = 3) -> None:
        self.frame, self.reach = frame, reach
        self.heard: list[float] = []

    def energies(self, samples: np.ndarray, frame: float) -> np.ndarray:
        size = round(frame * RATE)
        count = -(-len(samples) // size)
        rows = np.pad(samples, (0, count * size - len(samples))).reshape(count, size)
        energy = np.abs(rows).sum(axis=1)
        return np.array([
            energy[max(0, i - self.reach) : i + self.reach + 1].sum() for i in range(count)
        ])  # fmt: skip

    def scores(self, samples: np.ndarray, frame: float, columns: int) -> torch.Tensor:
        energy = torch.from_numpy(self.energies(samples, frame)).float()
        return (energy[:, None] * torch.arange(1, columns + 1)).log_softmax(dim=-1)

    def __call__(self, recordings: Sequence[Recording], names: Sequence[object] = ()) -> LogProbs:
        self.heard += [one.seconds for one in recordings]
        tokens = [self.scores(one.samples, self.frame, 4) for one in recordings]
        phones = [self.scores(one.samples, 2 * self.frame, 40) for one in recordings]
        padded = [torch.nn.utils.rnn.pad_sequence(x, batch_first=True) for x in (tokens, phones)]
        counts = [torch.tensor([len(one) for one in x]) for x in (tokens, phones)]
        return LogProbs(
            padded[0],
            counts[0],
            self.frame,
            tuple(one.id for one in recordings),
            TOKENS,
            PhoneLogProbs(padded[1], counts[1], 2 * self.frame, 0.1),
            unbiased=padded[0] - 0.0,
            lag=0.2,
        )


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, count).astype(np.float32)


def each(score: Callable[..., LogProbs]) -> Callable[..., list[LogProbs | CtcbiasError]]:
    """The same, each recording a batch of one."""

    def scored(recordings: Sequence[Recording], names: Any) -> list[LogProbs | CtcbiasError]:
        found = score(recordings, names)
        return [found.select([row]) for row in range(found.size)]

    return scored


def windows_of(model: Model, config: WindowConfig = CONFIG) -> StreamWindows:
    phones = 2 * model.frame
    return StreamWindows(each(model), TOKENS, model.frame, RATE, config, phone_seconds=phones)


def feed(
    windows: StreamWindows,
    streams: Sequence[WindowedStream],
    chunks: Sequence[np.ndarray],
    *,
    last: bool = False,
) -> list[LogProbs]:
    """The log-probs of chunks, all of which are decoded."""
    heard = windows.score(streams, chunks, last=last)
    for stream, one in zip(streams, heard):
        assert one.warnings == ()
        stream.frames += int(one.log_probs.lengths[0])
        if one.log_probs.phones is not None:
            stream.phone_frames += int(one.log_probs.phones.lengths[0])
    return [one.log_probs for one in heard]


def streamed(model: Model, samples: np.ndarray, cuts: Sequence[int] = ()) -> LogProbs:
    windows, stream = windows_of(model), WindowedStream("call")
    parts = [feed(windows, [stream], [part])[0] for part in np.split(samples, sorted(cuts))]
    parts += feed(windows, [stream], [noise(0)], last=True)
    parts = [part for part in parts if int(part.lengths[0])]
    assert [part.ids for part in parts] == [("call",)] * len(parts)
    if not parts:
        return feed(windows, [stream], [noise(0)], last=True)[0]
    return windows._joined(stream, parts)


def assert_same(found: LogProbs, expected: LogProbs) -> None:
    torch.testing.assert_close(found.log_probs, expected.log_probs)
    torch.testing.assert_close(found.unbiased, expected.unbiased)
    assert found.lengths.tolist() == expected.lengths.tolist()
    assert found.lag == expected.lag
    assert found.phones is not None and expected.phones is not None
    torch.testing.assert_close(found.phones.log_probs, expected.phones.log_probs)
    assert found.phones.lengths.tolist() == expected.phones.lengths.tolist()
    assert (found.phones.frame_seconds, found.phones.lag) == (
        expected.phones.frame_seconds, expected.phones.lag,
    )  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(data=st.data(), count=st.integers(1, 3000))
def test_frames_with_all_the_context_that_counts_are_those_of_the_whole(
    data: st.DataObject, count: int
) -> None:
    samples = noise(count)
    cuts = data.draw(st.lists(st.integers(0, count), max_size=12))
    model = Model(reach=2)
    found = streamed(model, samples, cuts)
    assert max(model.heard) <= 0.64 + 0.16 + 0.2 + 0.16  # the last one goes on to the end
    expected = Model(reach=2)([Recording("call", samples, RATE)])
    rows = int(expected.lengths[0])
    short = count < 0.1 * RATE  # with silence behind it, which is not taken
    assert int(found.lengths[0]) == rows
    if not short:
        assert_same(found, expected)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), frame=st.sampled_from([0.02, 0.04, 0.08, 0.0125]))
def test_any_chunks_give_the_same(data: st.DataObject, frame: float) -> None:
    """With less context than the model has, too."""
    samples = noise(data.draw(st.integers(1, 4000)))
    cuts = data.draw(st.lists(st.integers(0, len(samples)), max_size=30))
    assert_same(streamed(Model(frame, 40), samples, cuts), streamed(Model(frame, 40), samples))


def test_streams_at_once_are_streams_alone() -> None:
    windows = windows_of(Model(reach=30))
    lengths = (700, 30, 2500, 1)
    streams = [WindowedStream(f"{i}") for i in range(len(lengths))]
    waves = [noise(n, i) for i, n in enumerate(lengths)]
    first = feed(windows, streams, [wave[: len(wave) // 2] for wave in waves])
    second = feed(windows, streams, [wave[len(wave) // 2 :] for wave in waves])
    last = feed(windows, streams, [noise(0)] * 4, last=True)
    for i, wave in enumerate(waves):
        parts = [one for one in (first[i], second[i], last[i]) if int(one.lengths[0])]
        found = windows._joined(streams[i], parts)
        alone = streamed(Model(reach=30), wave)
        assert found.ids == (str(i),)
        assert_same(found, alone)


def test_windows_at_once_are_as_long_as_each_other() -> None:
    """So that none is padded, and chunks make no difference to models that hear padding."""
    batches: list[list[int]] = []

    class Watching(Model):
        def __call__(self, recordings: Sequence[Recording], names: Any = ()) -> LogProbs:
            batches.append([len(one.samples) for one in recordings])
            return super().__call__(recordings)

    windows = windows_of(Watching())
    streams = [WindowedStream(str(i)) for i in range(3)]
    feed(windows, streams, [noise(n, n) for n in (2500, 700, 2500)])
    feed(windows, streams, [noise(100)] * 3, last=True)
    assert all(len(set(lengths)) == 1 for lengths in batches)
    assert max(map(len, batches)) > 10


def test_what_is_kept_does_not_grow() -> None:
    windows, stream = windows_of(Model()), WindowedStream("call")
    kept = []
    for i in range(200):
        feed(windows, [stream], [noise(333, i)])
        kept.append(len(stream._samples))
    assert max(kept) <= 1.1 * RATE + 333
    assert stream.end == 200 * 333


def test_an_empty_stream_has_no_frames() -> None:
    windows, stream = windows_of(Model()), WindowedStream("call")
    for last in (False, True, True):
        (found,) = feed(windows, [stream], [noise(0)], last=last)
        assert int(found.lengths[0]) == 0
        assert found.log_probs.shape == (1, 0, 4)


def test_a_frame_waits_for_what_is_right_of_it() -> None:
    windows, stream = windows_of(Model()), WindowedStream("call")
    assert windows.latest_seconds == pytest.approx(0.36)
    assert int(feed(windows, [stream], [noise(359)])[0].lengths[0]) == 0
    assert int(feed(windows, [stream], [noise(1)])[0].lengths[0]) == 4
    assert int(feed(windows, [stream], [noise(160)])[0].lengths[0]) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"right": 0.0}, "right must be at least 0.1"),
        ({"step": 0.0}, "step"),
        ({"left": -1.0}, "left"),
        ({"left": float("nan")}, "left"),
        ({"step": 1e9}, "step"),
    ],
)
def test_windows_that_cannot_be(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WindowConfig(**options)


def test_what_a_model_failed_on_is_scored_the_next_time() -> None:
    model = Model()
    windows, stream = windows_of(model), WindowedStream("call")
    samples = noise(2000)
    first = feed(windows, [stream], [samples[:700]])[0]
    failing = StreamWindows(each(fails), TOKENS, model.frame, RATE, CONFIG)
    with pytest.raises(ModelError, match="out of memory"):
        feed(failing, [stream], [samples[700:1500]])
    rest = feed(windows, [stream], [samples[1500:]])[0]
    end = feed(windows, [stream], [noise(0)], last=True)[0]
    assert_same(windows._joined(stream, [first, rest, end]), streamed(Model(), samples))


def fails(recordings: Sequence[Recording], names: Sequence[object]) -> LogProbs:
    raise ModelError("out of memory")


class Failing(Model):
    """Fails where it hears something loud: it raises, or gives what is no number."""

    def __init__(self, how: str) -> None:
        super().__init__(reach=2)
        self.how = how

    def __call__(self, recordings: Sequence[Recording], names: Sequence[object] = ()) -> LogProbs:
        loud = [bool((np.abs(one.samples) > 5).any()) for one in recordings]
        if self.how == "raises" and any(loud):
            raise ModelError("too loud")
        if self.how == "fails" and any(loud):
            raise ValueError("too\nloud")
        found = super().__call__(recordings)
        if self.how == "nan":
            found.log_probs[torch.tensor(loud)] = torch.nan
        if self.how == "logits":
            found.log_probs[torch.tensor(loud)] -= 0.5
        if self.how == "unbiased":
            assert found.unbiased is not None
            found.unbiased[torch.tensor(loud)] = -torch.inf
        if self.how == "phones":
            assert found.phones is not None
            found.phones.log_probs[torch.tensor(loud)] = torch.nan
        if self.how == "few":
            lengths = torch.where(torch.tensor(loud), 3, found.lengths)
            return replace(found, lengths=lengths)
        return found


HOW = ["raises", "fails", "nan", "logits", "unbiased", "phones", "few"]


@pytest.mark.parametrize("how", HOW)
def test_what_a_model_fails_on_is_taken_for_silence(how: str) -> None:
    """It is told, costs no other stream, and all that comes after is heard at its time."""
    waves = [noise(3000, 1), noise(3000, 2)]
    waves[0][1000] = 9.0
    windows = windows_of(Failing(how))
    streams = [WindowedStream("bad"), WindowedStream("good")]
    parts: list[list[LogProbs]] = [[], []]
    warnings: list[str] = []
    for begin in range(0, 3001, 300):
        chunks = [wave[begin : begin + 300] for wave in waves]
        heard = windows.score(streams, chunks, last=begin == 3000)
        for stream, one, found in zip(streams, heard, parts):
            stream.frames += int(one.log_probs.lengths[0])
            if one.log_probs.phones is not None:
                stream.phone_frames += int(one.log_probs.phones.lengths[0])
            if int(one.log_probs.lengths[0]):
                found.append(one.log_probs)
        assert heard[1].warnings == ()
        warnings += heard[0].warnings
    assert warnings
    assert all("s are taken for silence" in one for one in warnings)
    assert all(one.startswith("bad from ") and "\n" not in one for one in warnings)
    bad, good = (windows._joined(stream, found) for stream, found in zip(streams, parts))
    assert_same(replace(good, ids=("call",)), streamed(Model(reach=2), waves[1]))
    plain = streamed(Model(reach=2), waves[0])
    assert int(bad.lengths[0]) == int(plain.lengths[0])
    assert bad.phones is not None
    assert plain.phones is not None
    assert abs(int(bad.phones.lengths[0]) - int(plain.phones.lengths[0])) <= 1
    silent = bad.log_probs[0, :, 0] == 0
    assert 0 < int(silent.sum()) * 0.04 <= 0.64 + 0.16 + 0.2 + 0.16
    torch.testing.assert_close(bad.log_probs[0, ~silent], plain.log_probs[0, ~silent])


class FailingFrame(Model):
    """Gives NaN in the frames with something loud."""

    def __call__(self, recordings: Sequence[Recording], names: Sequence[object] = ()) -> LogProbs:
        found = super().__call__(recordings)
        assert found.phones is not None
        for row, one in enumerate(recordings):
            for at in np.flatnonzero(np.abs(one.samples) > 5):
                found.log_probs[row, at // 40] = torch.nan
                found.phones.log_probs[row, at // 80] = torch.nan
        return found


def test_a_bad_frame_costs_the_frames_that_count_with_it() -> None:
    """It is in the context of other windows, too."""
    wave = noise(3000, 1)
    wave[1500] = 9.0
    windows = windows_of(FailingFrame())
    stream = WindowedStream("call")
    warnings: list[str] = []
    for begin in range(0, 3001, 300):
        (heard,) = windows.score([stream], [wave[begin : begin + 300]], last=begin == 3000)
        stream.frames += int(heard.log_probs.lengths[0])
        if heard.log_probs.phones is not None:
            stream.phone_frames += int(heard.log_probs.phones.lengths[0])
        warnings += heard.warnings
    (told,) = warnings
    assert told.startswith("call from 1.44 s on")
    assert told.endswith("0.16 s are taken for silence")


def test_a_model_that_never_works_is_an_error() -> None:
    failing = StreamWindows(each(fails), TOKENS, 0.04, RATE, CONFIG)
    stream = WindowedStream("call")
    with pytest.raises(ModelError, match="out of memory"):
        failing.score([stream], [noise(900)])
    (heard,) = failing.score([stream], [noise(0)], last=True)
    assert int(heard.log_probs.lengths[0]) == 23
    assert bool((heard.log_probs.log_probs[0].argmax(dim=-1) == 0).all())
    assert heard.warnings[0] == "call from 0.00 s on: out of memory: 0.16 s are taken for silence"
    assert len(heard.warnings) == 5


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("how", HOW)
def test_what_works_beside_what_fails_is_heard(how: str, last: bool) -> None:
    """Also if nothing has worked before; and what comes after is at its time."""
    waves = [noise(3000, 1), noise(3000, 2)]
    waves[0][100] = 9.0
    windows = windows_of(Failing(how))
    streams = [WindowedStream("bad"), WindowedStream("good")]
    bad, good = windows.score(streams, waves, last=last)
    assert bad.warnings
    assert good.warnings == ()
    (wanted,) = windows_of(Model(reach=2)).score([WindowedStream("good")], waves[1:], last=last)
    assert_same(good.log_probs, wanted.log_probs)
    alone = WindowedStream("bad")
    (bad,) = windows_of(Failing(how)).score([alone], waves[:1], last=last)
    (plain,) = windows_of(Model(reach=2)).score([alone], [noise(0)], last=last)
    assert bad.log_probs.lengths.tolist() == plain.log_probs.lengths.tolist()
    end = 20  # frames, behind which nothing of what is loud is heard
    rows, expected = (one.log_probs.log_probs[0, end:] for one in (bad, plain))
    torch.testing.assert_close(rows, expected)


def test_what_is_kept_for_a_model_that_never_works_does_not_grow() -> None:
    """After some seconds it is taken for silence, also of streams that come later; what is heard
    then goes on from there."""
    model, works = Model(), False

    def score(recordings: Sequence[Recording], names: Sequence[object]) -> LogProbs:
        if not works:
            raise ModelError("out of memory")
        return model(recordings)

    windows = StreamWindows(each(score), TOKENS, 0.04, RATE, CONFIG, phone_seconds=0.08)
    stream, later = WindowedStream("call"), WindowedStream("later")
    errors, kept = 0, []
    for i in range(30):
        works = i == 29
        try:
            (heard,) = windows.score([stream], [noise(RATE, i)])
        except ModelError:
            errors += 1
            continue
        assert works or heard.warnings
        stream.frames += int(heard.log_probs.lengths[0])
        assert heard.log_probs.phones is not None
        stream.phone_frames += int(heard.log_probs.phones.lengths[0])
        kept.append(len(stream._samples))
    assert 10 <= errors <= 12
    assert max(kept) <= 13 * RATE
    assert stream.frames * 0.04 == pytest.approx(29.8, abs=0.17)
    assert abs(stream.frames - 2 * stream.phone_frames) <= 1
    works = False
    assert windows.score([later], [noise(RATE)])[0].warnings
