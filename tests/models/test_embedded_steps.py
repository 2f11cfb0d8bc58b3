"""The embedded model on streams: the frames of the whole, in whatever chunks they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from ctcbias_fst.audio.audio import Recording, read_audio
from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.embedded_steps import EmbeddedSteps
from ctcbias_fst.models.features import LogMel
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.models.plug import Step, Stepped
from ctcbias_fst.models.stepping import step_of
from ctcbias_fst.models.stream_steps import SteppedStream, StreamSteps
from ctcbias_fst.models.stream_windows import WindowConfig
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.encoded_entities import encode_entities
from ctcbias_fst.text.entities import Entity

WINDOW = WindowConfig(left=1.28, step=0.32, right=0.32)
CONFIG = AttentionConfig()
LISTED = [Entity(name, name) for name in ("imiglucerase", "metformin", "bridlewood")]
LENGTHS = [1, 79, 80, 160, 719, 720, 1600, 20480, 23039, 23040, 30001]
"""Samples: less than a feature frame, a frame, what the first step needs, some steps."""


@pytest.fixture(scope="module")
def model() -> AcousticModel:
    return AcousticModel.load()


@pytest.fixture(scope="module")
def names(model: AcousticModel) -> ListedNames:
    encoded = encode_entities(LISTED, model.tokenizer)
    listed = model.listed(encoded, 100)
    assert listed is not None
    return listed


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return read_audio(DEFAULT.parent / "clips" / "medical-2.flac", 16000).samples


def hears(
    model: AcousticModel, window: WindowConfig = WINDOW, config: AttentionConfig | None = CONFIG
) -> StreamSteps:
    return StreamSteps(model.stream_steps(window, config), model)


def taken(stream: SteppedStream, found: LogProbs) -> list[np.ndarray]:
    """Log-probs of tokens, without the adapter, and of phones, all of which are decoded."""
    assert found.phones is not None
    assert found.phones.lag == found.lag == EmbeddedSteps.lag
    stream.frames += int(found.lengths[0])
    stream.phone_frames += int(found.phones.lengths[0])
    plain = found.log_probs if found.unbiased is None else found.unbiased
    return [one[0].numpy() for one in (found.log_probs, plain, found.phones.log_probs)]


def streamed(
    hearing: StreamSteps,
    waves: Sequence[np.ndarray],
    names: Sequence[ListedNames | None],
    size: int = 4000,
) -> list[list[np.ndarray]]:
    """What is heard of streams that advance together."""
    streams = [hearing.open(str(i), own) for i, own in enumerate(names)]
    parts: list[list[list[np.ndarray]]] = [[] for _ in waves]
    most = max(len(wave) for wave in waves)
    for begin in range(0, most + size, size):
        chunks = [wave[begin : begin + size] for wave in waves]
        heard = hearing.score(streams, chunks, last=begin >= most)
        for stream, found, part in zip(streams, heard, parts):
            part.append(taken(stream, found.log_probs))
    return [[np.concatenate(kind) for kind in zip(*part)] for part in parts]


def test_who_hears_all_ahead_hears_what_the_recording_gives(
    model: AcousticModel, names: ListedNames, speech: np.ndarray
) -> None:
    """In steps, from caches, with the same frames, with and without the adapter."""
    offline = model.log_probs([Recording("whole", speech, 16000)], [names])
    assert offline.phones is not None
    assert offline.unbiased is not None
    hearing = hears(model, WindowConfig(left=60, step=0.32, right=60))
    (found,) = streamed(hearing, [speech], [names])
    # What the adapter attends to hangs on what it is given at once: without it all is the same.
    torch.testing.assert_close(torch.from_numpy(found[1]), offline.unbiased[0], atol=1e-3, rtol=0)
    phones = offline.phones.log_probs[0]
    torch.testing.assert_close(torch.from_numpy(found[2]), phones, atol=1e-3, rtol=0)
    (first,) = streamed(hears(model, WindowConfig(60, 60, 60)), [speech], [names])
    torch.testing.assert_close(torch.from_numpy(first[0]), offline.log_probs[0], atol=1e-3, rtol=0)
    assert np.abs(found[0] - found[1]).max() > 1, "the adapter acts"


@pytest.mark.parametrize("length", LENGTHS)
def test_there_are_as_many_frames_as_offline(
    model: AcousticModel, speech: np.ndarray, length: int
) -> None:
    wave = speech[:length]
    offline = model.log_probs([Recording("whole", wave, 16000)])
    (found,) = streamed(hears(model), [wave], [None])
    assert [len(rows) for rows in found] == [int(offline.lengths[0])] * 3
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(np.exp(found[0]).sum(1), 1, atol=1e-4)


def test_chunks_make_no_difference(
    model: AcousticModel, names: ListedNames, speech: np.ndarray
) -> None:
    (once,) = streamed(hears(model), [speech], [names], len(speech))
    for size in (999, 5120, 16001):
        (found,) = streamed(hears(model), [speech], [names], size)
        for rows, others in zip(found, once):
            np.testing.assert_allclose(rows, others, atol=1e-4)


def test_together_is_alone(model: AcousticModel, names: ListedNames, speech: np.ndarray) -> None:
    """Streams of any lengths that begin together, some with a list."""
    waves = [speech[:length] for length in (40000, 1000, 23040, 31111)]
    lists = [names, None, None, names]
    found = streamed(hears(model), waves, lists)
    for wave, own, rows in zip(waves, lists, found):
        (alone,) = streamed(hears(model), [wave], [own])
        for one, other in zip(rows, alone):
            np.testing.assert_allclose(one, other, atol=1e-3)


def test_streams_join_those_that_are_under_way(model: AcousticModel, speech: np.ndarray) -> None:
    hearing = hears(model)
    old, new = hearing.open("old"), hearing.open("new")
    parts = [taken(old, hearing.score([old], [speech[:16000]])[0].log_probs)]
    late = []
    for begin in range(0, 24000, 8000):
        chunks = [speech[16000 + begin : 24000 + begin], speech[begin : begin + 8000]]
        heard = hearing.score([old, new], chunks, last=begin == 16000)
        parts.append(taken(old, heard[0].log_probs))
        late.append(taken(new, heard[1].log_probs))
    for wave, found in ((speech[:40000], parts), (speech[:24000], late)):
        (alone,) = streamed(hearing, [wave], [None])
        rows = np.concatenate([part[0] for part in found])
        np.testing.assert_allclose(rows, alone[0], atol=1e-3)


def test_the_adapter_acts_where_it_may(
    model: AcousticModel, names: ListedNames, speech: np.ndarray
) -> None:
    (plain,) = streamed(hears(model), [speech], [None])
    for config in (None, AttentionConfig(scale=0.0)):
        (found,) = streamed(hears(model, config=config), [speech], [names])
        np.testing.assert_allclose(found[0], plain[0], atol=1e-4)
    hearing = hears(model)
    stream = hearing.open("a")
    assert hearing.score([stream], [speech[:20000]])[0].log_probs.unbiased is None
    first = stream.tokens.until(100).clone()
    stream.names = names
    heard = hearing.score([stream], [speech[20000:]], last=True)[0].log_probs
    assert heard.unbiased is not None
    np.testing.assert_array_equal(heard.log_probs[0, : len(first)], first)
    np.testing.assert_allclose(heard.unbiased[0], plain[0], atol=1e-4)
    assert (heard.log_probs - heard.unbiased).abs().max() > 1


@pytest.mark.parametrize("step", [0.32, 0.64, 1.28])
@pytest.mark.parametrize("right", [0.16, 0.48, 0.64, 2.0])
def test_steps_end_with_chunks(model: AcousticModel, step: float, right: float) -> None:
    """As little as a change of the rate can hold back before the end of a chunk."""
    steps = model.stream_steps(WindowConfig(step=step, right=right), None)
    size = round(step * 16000)
    for number in range(3):
        assert steps.samples(number)[1] % size == size - 1280
        assert steps.frames(number)[1] == steps.frames(number + 1)[0]
    assert steps.seconds == pytest.approx(step)
    assert steps.frames(0)[1] * 0.04 >= step / 2
    late = [steps.samples(i)[1] / 16000 - steps.frames(i)[0] * 0.04 for i in range(3)]
    assert steps.latest_seconds == pytest.approx(max(late))


def test_features_are_those_of_the_whole(model: AcousticModel, speech: np.ndarray) -> None:
    """None has heard the edge of a cut."""
    (whole,), _ = LogMel()([torch.from_numpy(speech)])
    steps = model.stream_steps(WINDOW, None)
    for number in range(6):
        first, _ = steps.frames(number)
        (found,), lengths = steps._features([step_of(steps, speech, number)])
        assert len(found) == int(lengths[0])
        expected = whole[4 * first : 4 * first + len(found)]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


class _Failing:
    """Steps that fail at one number."""

    def __init__(self, steps: Any) -> None:
        self.seconds, self.latest_seconds = steps.seconds, steps.latest_seconds
        self.phones, self.lag = steps.phones, steps.lag
        self.samples, self.frames, self.count = steps.samples, steps.frames, steps.count
        self._steps = steps

    def score(self, steps: Sequence[Step]) -> list[Stepped]:
        if any(step.number == 2 for step in steps):
            raise ModelError("out of order")
        return self._steps.score(steps)  # type: ignore[no-any-return]


def test_a_step_that_fails_is_silence(
    model: AcousticModel, names: ListedNames, speech: np.ndarray
) -> None:
    steps = model.stream_steps(WINDOW, CONFIG)
    (good,) = streamed(StreamSteps(steps, model), [speech], [names])
    (found,) = streamed(StreamSteps(_Failing(steps), model), [speech], [names])
    first, last = steps.frames(2)
    for rows, others, blank in zip(found, good, (model.tokenizer.vocabulary.blank_id, None, 0)):
        np.testing.assert_allclose(rows[:first], others[:first], atol=1e-4)
        assert rows.shape == others.shape
        if blank is not None:
            assert (rows[first:last].argmax(1) == blank).all()
            assert (rows[first:last, blank] == 0).all()


def test_what_is_no_number_is_not_kept(model: AcousticModel, speech: np.ndarray) -> None:
    """Of one stream of several: it would be in all that follows."""
    steps = model.stream_steps(WINDOW, CONFIG)
    first = [step_of(steps, wave, 0) for wave in (speech, speech)]
    before = steps.score(first)
    later = [step_of(steps, speech, 1)._replace(states=one.states) for one in before]
    steps.score(later)
    with torch.inference_mode():
        before[1].states.blocks[2].values[..., -1, 3] = np.nan
    with pytest.raises(ModelError, match="keeps NaN or infinity in its caches"):
        steps.score(later)
    steps.score(later[:1])


def test_what_is_kept_does_not_grow(model: AcousticModel, names: ListedNames) -> None:
    hearing = hears(model)
    stream = hearing.open("call", names)
    sizes = []
    noise = np.random.default_rng(0).normal(0, 0.01, 16000).astype(np.float32)
    for _ in range(8):
        taken(stream, hearing.score([stream], [noise])[0].log_probs)
        caches = sum(one.numel() for block in stream.states.blocks for one in block)
        sizes.append((stream.end - stream._begin, caches))
    assert len({caches for _, caches in sizes[2:]}) == 1
    assert max(kept for kept, _ in sizes) < 32000
