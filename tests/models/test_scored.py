"""Models of other families: windows of long audio, batches, functions of the user's."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Callable, Sequence
from threading import Thread
from time import sleep
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst import Decoder, Recognizer
from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import (
    AudioError,
    ConfigError,
    CtcbiasError,
    CtcbiasWarning,
    EntityListError,
    ModelError,
)
from ctcbias_fst.models.frame_length import measured_frame_seconds
from ctcbias_fst.models.function import FunctionScorer, function_model
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.records import Failure, Transcript
from ctcbias_fst.text.tokens import tokenizer_of

TOKENS = ["<blank>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
Array = npt.NDArray[np.float32]


def toy(rate: int = 8000, hop: int = 160, reach: int = 3) -> Callable[[Array], Array]:
    """A model whose frames depend on the sound around them alone, `reach` frames to either side."""
    weights = np.random.default_rng(1).normal(size=(2 * reach + 1, len(TOKENS)))

    def model(samples: Array) -> Array:
        frames = len(samples) // hop
        level = samples[: frames * hop].reshape(frames, hop).mean(axis=1)
        level = np.pad(level, reach)
        around = np.stack([level[i : i + frames] for i in range(2 * reach + 1)], axis=1)
        logits = around @ weights * 200.0
        logits -= logits.max(axis=1, keepdims=True)
        return (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)

    return model


def noise(seconds: float, rate: int = 8000, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.3, round(seconds * rate)).astype(np.float32)


def scored(**options: Any) -> ScoredModel:
    options = {"frame_seconds": 0.02, "sampling_rate": 8000, **options}
    return ScoredModel(FunctionScorer(toy(), tokenizer_of(TOKENS), **options))


@settings(deadline=None, max_examples=30)
@given(st.floats(0.2, 40.0), st.floats(2.0, 12.0))
def test_windows_give_what_the_whole_gives(seconds: float, longest: float) -> None:
    recording = Recording("a", noise(seconds), 8000)
    whole = scored(longest_seconds=1000.0).log_probs([recording])
    parts = scored(longest_seconds=longest).log_probs([recording])
    assert parts.lengths.tolist() == whole.lengths.tolist()
    torch.testing.assert_close(parts.log_probs, whole.log_probs)


def test_batches_keep_the_order() -> None:
    lengths = [0.5, 31.0, 0.0, 2.0, 65.0, 1.0]
    recordings = [Recording(str(i), noise(s, seed=i), 8000) for i, s in enumerate(lengths)]
    calls = []
    model = toy()

    def several(waves: list[Array]) -> list[Array]:
        calls.append([len(wave) for wave in waves])
        return [model(wave) for wave in waves]

    together = ScoredModel(
        FunctionScorer(
            several, tokenizer_of(TOKENS), frame_seconds=0.02, sampling_rate=8000, batches=True
        )
    ).log_probs(recordings)
    alone = scored()
    assert together.ids == tuple(map(str, range(6)))
    assert together.lengths.tolist() == [round(s / 0.02) for s in lengths]
    for i, recording in enumerate(recordings):
        one = alone.log_probs([recording])
        torch.testing.assert_close(
            together.log_probs[i, : together.lengths[i]], one.log_probs[0, : one.lengths[0]]
        )
    assert all(sum(call) <= 120 * 8000 for call in calls)
    assert any(len(call) > 1 for call in calls)


def test_a_short_recording_gets_silence() -> None:
    seen = []
    model = toy()

    def watching(wave: Array) -> Array:
        seen.append(len(wave))
        return model(wave)

    scorer = FunctionScorer(
        watching,
        tokenizer_of(TOKENS),
        frame_seconds=0.02,
        sampling_rate=8000,
        shortest_seconds=0.5,
    )
    found = ScoredModel(scorer).log_probs([Recording("a", noise(0.1), 8000)])
    assert seen == [4000]
    assert found.lengths.tolist() == [5]


def test_frames_of_silence_behind_a_short_recording_are_none_of_it() -> None:
    """Nor of the last window of a long one, nor where a frame is begun."""
    model = scored(shortest_seconds=1.0)
    found = model.log_probs([Recording("a", noise(0.2), 8000), Recording("b", noise(0.21), 8000)])
    assert found.lengths.tolist() == [10, 11]
    whole = scored(longest_seconds=100.0).log_probs([Recording("a", noise(4.5), 8000)])
    parts = scored(longest_seconds=2.0, shortest_seconds=2.0)
    assert parts.log_probs([Recording("a", noise(4.5), 8000)]).lengths == whole.lengths


def test_a_short_recording_is_rescored() -> None:
    """The phone head inside the package hears it without the silence that this model needs."""
    recognizer = Recognizer(
        toy(), tokens=TOKENS, sampling_rate=8000, frame_seconds=0.02, shortest_seconds=1.0
    )
    found = recognizer.transcribe(noise(0.2), sampling_rate=8000, entities=["abed", "zack"])
    assert found.best.phone is not None
    assert all(word.end <= 0.25 for word in found.best.words)


def test_a_model_that_leaves_audio_out_is_told() -> None:
    """Wherever it does, however long the recording is, and however little of it that is."""
    model = toy()
    for seconds, cut in [(600.0, 25.0), (600.0, 29.0), (20.0, 19.0)]:
        scorer = FunctionScorer(
            lambda wave, cut=cut: model(wave[: int(cut * 8000)]),  # type: ignore[misc]
            tokenizer_of(TOKENS),
            frame_seconds=0.02,
            sampling_rate=8000,
        )
        recording = Recording("talk", noise(seconds), 8000)
        told = rf"talk: the model gave \d+ frames for .*, those of {cut:.2f} s, and takes no more"
        with pytest.raises(ModelError, match=rf"{told}.*: pass longest_seconds={cut:g}, or less$"):
            ScoredModel(scorer).log_probs([recording])


@pytest.mark.parametrize("said", [0.01, 0.03, 0.04, 0.08])
@pytest.mark.parametrize("seconds", [1.5, 3.0, 29.0, 100.0])
def test_a_wrong_frame_length_is_told_as_such(said: float, seconds: float) -> None:
    """And not as audio that is left out."""
    model = scored(frame_seconds=said)
    with pytest.raises(
        ModelError, match=rf"0\.02 s each, and frame_seconds is {said}: pass 0\.02,"
    ):
        model.log_probs([Recording("talk", noise(seconds), 8000)])


def padding(wave: Array) -> Array:
    """30 s of frames, whatever it is given."""
    return toy()(np.pad(wave, (0, 30 * 8000 - len(wave))))


@pytest.mark.parametrize("seconds", [0.3, 3.0, 29.0])
@pytest.mark.parametrize("said", [0.02, 0.01])
def test_a_function_that_pads_is_told_to_cut(seconds: float, said: float) -> None:
    told = "1500 frames for .* s of audio.* as many for .* your function pads: cut its output"
    options: dict[str, Any] = {"tokens": TOKENS, "sampling_rate": 8000}
    with pytest.raises(ModelError, match=told):
        Recognizer(padding, **options)
    recognizer = Recognizer(padding, frame_seconds=said, **options)
    with pytest.raises(ModelError, match=told):
        recognizer.transcribe(noise(seconds), sampling_rate=8000)


def test_what_is_transposed_is_told() -> None:
    told = (
        rf"returned the shape \({len(TOKENS)}, \d+\), which is transposed: \(frames, {len(TOKENS)} "
    )
    options: dict[str, Any] = {"tokens": TOKENS, "sampling_rate": 8000}
    for function in (lambda wave: toy()(wave).T, lambda wave: toy()(wave).T[None]):
        with pytest.raises(ModelError, match=told):
            Recognizer(function, **options)
        with pytest.raises(ModelError, match=told):
            Recognizer(function, frame_seconds=0.02, **options).transcribe(
                noise(2.0), sampling_rate=8000
            )


def test_a_module_is_no_function() -> None:
    with pytest.raises(ModelError, match="a Linear is a torch module: wrap it in a function"):
        Recognizer(torch.nn.Linear(3, 4), tokens=TOKENS)


def test_no_frames_are_told() -> None:
    nothing = FunctionScorer(
        lambda wave: toy()(wave)[:0], tokenizer_of(TOKENS), frame_seconds=0.02, sampling_rate=8000
    )
    with pytest.raises(
        ModelError, match=r"gave 0 frames for 3\.00 s of audio: log-probs .* of all"
    ):
        ScoredModel(nothing).log_probs([Recording("talk", noise(3.0), 8000)])


def test_a_window_has_the_rows_that_are_taken() -> None:
    """Of short windows a model may leave out less than other ones have for slack."""
    model = toy()
    options: dict[str, Any] = {"frame_seconds": 0.02, "sampling_rate": 8000}
    short = FunctionScorer(
        lambda wave: model(wave)[:-6], tokenizer_of(TOKENS), longest_seconds=0.4, **options
    )
    told = (
        r"14 frames for 0\.40 s of audio: it leaves out too much .*: pass a longer longest_seconds$"
    )
    with pytest.raises(ModelError, match=told):
        ScoredModel(short).log_probs([Recording("a", noise(3.0), 8000)])
    whole = FunctionScorer(lambda wave: model(wave)[:-6], tokenizer_of(TOKENS), **options)
    found = ScoredModel(whole).log_probs([Recording("a", noise(3.0), 8000)])
    assert found.lengths.tolist() == [144]


def test_a_function_may_use_its_array_again() -> None:
    model = toy()
    kept = np.zeros((100, len(TOKENS)), np.float32)

    def again(wave: Array) -> Array:
        kept[:] = model(wave)
        return kept

    recordings = [Recording(str(i), noise(2.0, seed=i), 8000) for i in range(3)]
    expected = scored().log_probs(recordings).log_probs
    for function in (again, lambda wave: torch.from_numpy(again(wave))):
        scorer = FunctionScorer(
            function, tokenizer_of(TOKENS), frame_seconds=0.02, sampling_rate=8000
        )
        torch.testing.assert_close(ScoredModel(scorer).log_probs(recordings).log_probs, expected)
        together = torch.stack(scorer.scores([one.samples for one in recordings]))
        torch.testing.assert_close(together, expected)


def framed(hop: float, lost: int, at_once: int = 1) -> Callable[[Sequence[Array]], list[Any]]:
    """Frames of `hop` samples, less `lost`, so many at once as a model with chunks gives them."""

    def scores(waves: Sequence[Array]) -> list[Any]:
        (wave,) = waves
        return [torch.empty(int(max(0, len(wave) - lost) / (hop * at_once)) * at_once)]

    return scores


@pytest.mark.parametrize(
    ("rate", "hop", "lost", "at_once"),
    [
        (8000, 160, 0, 1),
        (16000, 640, 399, 1),
        (16000, 1280, 1, 1),
        (11025, 441, 200, 1),
        (22050, 2033, 77, 1),
        (16000, 480, 100, 10),
        (2000, 10, 3, 1),
    ],
)
def test_frame_seconds_are_measured_to_the_sample(
    rate: int, hop: int, lost: int, at_once: int
) -> None:
    assert measured_frame_seconds(framed(hop, lost, at_once), rate) == hop / rate


def test_frames_may_be_no_whole_number_of_samples() -> None:
    """As of a model of 16,000 Hz with audio of 11,025 Hz, which it resamples."""
    assert measured_frame_seconds(framed(220.5, 50), 11025) == pytest.approx(0.02, rel=1e-4)


@pytest.mark.parametrize(
    ("shortest", "longest"), [(0.1, 10.0), (0.1, 1.0), (0.1, 0.3), (2.0, 9.0), (7.0, 30.0)]
)
def test_measuring_keeps_to_what_a_model_takes(shortest: float, longest: float) -> None:
    lengths = []
    frames = framed(320, 80)

    def picky(waves: Sequence[Array]) -> list[Any]:
        lengths.append(len(waves[0]) / 16000)
        waves[0][:] = 0.0  # what it does with its audio is its own
        return frames(waves)

    assert measured_frame_seconds(picky, 16000, shortest, longest) == 0.02
    assert shortest <= min(lengths)
    assert max(lengths) <= longest
    assert len(lengths) < 40
    options: dict[str, Any] = {"shortest_seconds": shortest, "longest_seconds": longest}
    seen = []

    def function(wave: Array) -> Array:
        seen.append(len(wave) / 8000)
        return toy()(wave)

    scorer = FunctionScorer(function, tokenizer_of(TOKENS), sampling_rate=8000, **options)
    assert scorer.frame_seconds == 0.02
    assert shortest <= min(seen)
    assert max(seen) <= longest


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"framesseconds": 0.02}, r"^framesseconds: .*did you mean frame_seconds\?.* blank, "),
        ({"function": toy()}, "^function: a function has no such option"),
        ({"sampling_rate": "16000"}, "^sampling_rate: .*'16000'.*not a string"),
        ({"sampling_rate": 0}, "^sampling_rate: "),
        ({"shortest_seconds": "x"}, "^shortest_seconds must be a number of at least 0, found 'x'"),
        ({"shortest_seconds": float("nan")}, "^shortest_seconds must be"),
        ({"shortest_seconds": float("inf")}, "^shortest_seconds must be"),
        ({"longest_seconds": float("nan")}, "^longest_seconds must be a number of at least 0.1"),
        ({"longest_seconds": 0}, "^longest_seconds must be"),
        ({"longest_seconds": -1}, "^longest_seconds must be"),
        ({"longest_seconds": True}, "^longest_seconds must be"),
        ({"shortest_seconds": 2.0, "longest_seconds": 1.0}, "^longest_seconds must .*least 2"),
        ({"device": "gpu"}, "^device gpu: must be cpu"),
        ({"device": "mps"}, "^device mps: must be cpu"),
        ({"frame_seconds": 0.0}, "^frame_seconds is 0; a frame lasts"),
        ({"frame_seconds": "0.04"}, "^frame_seconds must be one number"),
        ({"batches": "no"}, "^batches must be True or False"),
    ],
)
def test_options_that_cannot_be_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        Recognizer(toy(), tokens=TOKENS, **options)
    assert "\n" not in str(told.value)
    if "function" not in options:
        with pytest.raises(ConfigError, match=message):
            function_model(toy(), TOKENS, **options)


def test_a_function_is_a_model() -> None:
    """The recognizer gives what the decoder gives for the function's log-probs."""
    model = toy()
    recognizer = Recognizer(
        model, tokens=TOKENS, sampling_rate=8000, settings={"parts": "boost"}, blank=0
    )
    assert recognizer.model.frame_seconds == pytest.approx(0.02)
    samples = noise(3.0)
    decoder = Decoder.from_tokens(TOKENS, frame_seconds=0.02, settings={"parts": "boost"})
    names = ["abed", "zack"]
    (plain,) = decoder.decode(model(samples), entities=names)
    found = recognizer.transcribe(samples, sampling_rate=8000, entities=names)
    assert found.best.text == plain.best.text
    assert found.best.score == pytest.approx(plain.best.score, abs=1e-3)
    assert found.best.text


def test_torch_and_a_batch_of_one_are_taken() -> None:
    model = toy()
    one = Recognizer(
        lambda wave: torch.from_numpy(model(wave))[None], tokens=TOKENS, sampling_rate=8000
    )
    other = Recognizer(model, tokens=TOKENS, sampling_rate=8000)
    samples = noise(2.0)
    texts = {r.transcribe(samples, sampling_rate=8000).best.text for r in (one, other)}
    assert len(texts) == 1


def _wrong(value: Any) -> Callable[[Array], Any]:
    return lambda wave: value


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (_wrong([[0.0]]), {"frame_seconds": 0.02}, "returned a list; an array of log-probs"),
        (_wrong(np.zeros(7, np.float32)), {"frame_seconds": 0.02}, r"shape \(7,\)"),
        (
            _wrong(np.zeros((100, 5), np.float32)),
            {"frame_seconds": 0.02},
            r"shape \(100, 5\); \(frames, 29 tokens\)",
        ),
        (_wrong(np.zeros((100, 29), np.float32)), {}, "gave 100 frames for 1 s .* as many"),
        (toy(), {"frame_seconds": 0.04}, "0.02 s each, and frame_seconds is 0.04"),
        (toy(), {"frame_seconds": 0.02, "batches": True}, "with batches=True it returns a list"),
    ],
)
def test_wrong_functions_are_told(
    function: Callable[[Array], Any], options: dict[str, Any], message: str
) -> None:
    if options.get("batches"):
        function = lambda waves: np.zeros((1, 5, 29))  # noqa: E731
    with pytest.raises(ModelError, match=message):
        Recognizer(function, tokens=TOKENS, sampling_rate=8000, **options).transcribe(
            noise(2.0), sampling_rate=8000
        )


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("folder", {}, ModelError, "Recognizer.from_pretrained loads it"),
        (7, {}, ModelError, "a int is no model"),
        (toy(), {}, ModelError, "needs tokens="),
        (toy(), {"tokens": TOKENS, "settings": {"nbset": 1}}, ConfigError, "nbset"),
    ],
)
def test_what_is_no_model(
    model: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Recognizer(model, **options)


def test_no_recordings_are_told() -> None:
    with pytest.raises(AudioError, match="no recordings: pass at least one"):
        scored().log_probs([])


def test_options_belong_to_functions() -> None:
    with pytest.raises(ConfigError, match="frame_seconds belongs to a function"):
        Recognizer(scored(), frame_seconds=0.02)
    assert Recognizer(scored()).model.family == "function model"


def _silent(wave: Array) -> Array:
    scores: Array = np.full((len(wave) // 160, len(TOKENS)), -20.0, np.float32)
    scores[:, 0] = 0.0
    return scores


def test_a_recognizer_of_a_function_is_copied() -> None:
    recognizer = Recognizer(_silent, tokens=TOKENS, sampling_rate=8000, frame_seconds=0.02)
    again = pickle.loads(pickle.dumps(recognizer))
    assert again.transcribe(noise(1.0), sampling_rate=8000).best.text == ""


def picky(wave: Array) -> Array:
    """Hears nothing, and breaks on what has a sample of 0.75."""
    if (wave == 0.75).any():
        raise KeyError("first line\nsecond line")
    return _silent(wave)


def picky_batch(waves: list[Array]) -> list[Array]:
    return [picky(wave) for wave in waves]


@pytest.mark.parametrize("batches", [False, True])
def test_what_a_function_raises_is_told_of_its_recording(batches: bool) -> None:
    """In one line, and costs no other one where that is promised."""
    recognizer = Recognizer(
        picky_batch if batches else picky,
        tokens=TOKENS,
        sampling_rate=8000,
        frame_seconds=0.02,
        batches=batches,
    )
    clips = [noise(1.0), noise(0.5), noise(2.0)]
    clips[1][100] = 0.75
    with pytest.raises(AudioError) as told:
        recognizer.transcribe(clips, sampling_rate=8000)
    name = "picky_batch" if batches else "picky"
    failed = f"function {name} failed: KeyError: 'first line\\nsecond line'"
    assert str(told.value) == f"samples 2: {failed}"
    assert isinstance(told.value.__cause__, KeyError)
    sources = [{"array": clip, "sampling_rate": 8000} for clip in clips]
    first, second, third = recognizer.transcribe_files(sources)
    assert isinstance(first, Transcript) and isinstance(third, Transcript)
    assert isinstance(second, Failure)
    assert (second.id, str(second.error)) == ("recording 2", f"recording 2: {failed}")
    long = noise(60.0)
    long[40 * 8000] = 0.75
    with pytest.raises(AudioError, match=rf"samples from 22.00 s on: function {name} failed"):
        recognizer.transcribe(long, sampling_rate=8000)


class Counting:
    """A function of several waves that counts how often each is given, and fails on loud ones."""

    def __init__(self) -> None:
        self.seen: Counter[bytes] = Counter()
        self.model = toy()

    def __call__(self, waves: list[Array]) -> list[Array]:
        self.seen.update(wave.tobytes() for wave in waves)
        if any(np.abs(wave).max(initial=0) > 5 for wave in waves):
            raise ValueError("too loud")
        return [self.model(wave) for wave in waves]


def test_what_came_of_each_recording_is_known() -> None:
    """Good ones are scored twice at most: with those that fail, and alone."""
    function = Counting()
    options: dict[str, Any] = {"frame_seconds": 0.02, "sampling_rate": 8000}
    model = ScoredModel(FunctionScorer(function, tokenizer_of(TOKENS), batches=True, **options))
    recordings = [Recording(str(i), noise(1.0 + i, seed=i), 8000) for i in range(3)]
    recordings[1].samples[100] = 9.0
    first, bad, last = model.log_probs_of_each(recordings)
    assert str(bad) == "1: function Counting failed: ValueError: too loud"
    assert isinstance(bad, AudioError)
    for one, recording in zip((first, last), recordings[::2]):
        assert not isinstance(one, CtcbiasError)
        assert (one.ids, one.size) == ((recording.id,), 1)
        torch.testing.assert_close(one.log_probs, scored().log_probs([recording]).log_probs)
    assert max(function.seen.values()) <= 2
    with pytest.raises(AudioError, match="^1: function Counting failed: ValueError: too loud$"):
        model.log_probs(recordings)


def test_a_stream_that_fails_costs_the_others_little() -> None:
    function = Counting()
    recognizer = Recognizer(
        function, tokens=TOKENS, sampling_rate=8000, frame_seconds=0.02, batches=True,
        settings={"parts": ["boost"]},
    )  # fmt: skip
    streams = [recognizer.stream(name=name) for name in "abc"]
    waves = [noise(3.0, seed=i) for i in range(3)]
    waves[1][9000] = 9.0
    updates = recognizer.accept_all(streams, waves)
    assert [bool(one.warnings) for one in updates] == [False, True, False]
    assert all(one.startswith("stream b from ") for one in updates[1].warnings)
    assert max(function.seen.values()) <= 2


def test_a_function_that_fails_on_batches_alone_is_told() -> None:
    def alone(waves: list[Array]) -> list[Array]:
        (wave,) = waves
        return [_silent(wave)]

    recognizer = Recognizer(
        alone, tokens=TOKENS, sampling_rate=8000, frame_seconds=0.02, batches=True
    )
    told = (
        "^function alone: failed on 2 recordings at once, and on none alone: ValueError: too many"
    )
    with pytest.warns(CtcbiasWarning, match=told):
        found = recognizer.transcribe([noise(1.0), noise(0.5)], sampling_rate=8000)
    assert len(found) == 2


def test_a_function_that_breaks_on_noise_is_told() -> None:
    def broken(wave: Array) -> Array:
        raise RuntimeError("no\nnoise")

    told = "^the model failed on 1 s of noise, .*: RuntimeError: no noise; pass frame_seconds"
    with pytest.raises(ModelError, match=told):
        Recognizer(broken, tokens=TOKENS)


def test_lists_by_id_are_those_of_their_recordings() -> None:
    recognizer = Recognizer(_silent, tokens=TOKENS, sampling_rate=8000, frame_seconds=0.02)
    compiled = recognizer.compile(["zack"])
    lists = {"b": ["abed"], "samples 2": compiled, "samples 3": None, "elsewhere": ["joe"]}
    one = Recording("b", noise(1.0), 8000)
    recordings = [
        one,
        {"array": noise(1.0), "sampling_rate": 8000},
        Recording("b", noise(1.0), 8000),
    ]
    used: list[Any] = []
    keep = recognizer.transcribe_recordings

    def watched(recordings: Any, names: Any, nbest: Any = None) -> Any:
        used.extend(names)
        return keep(recordings, names, nbest)

    recognizer.transcribe_recordings = watched  # type: ignore[method-assign]
    found = recognizer.transcribe(recordings, entities=lists)
    assert [transcript.id for transcript in found] == ["b", "samples 2", "b"]
    assert [[entity.name for entity in names.entities] for names in used] == [
        ["abed"],
        ["zack"],
        ["abed"],
    ]
    with pytest.raises(
        EntityListError, match=r"^'b' has no list of names among .*'a' \(and 1 more"
    ):
        recognizer.transcribe(one, entities={"a": ["abed"], "c": None})
    with pytest.raises(EntityListError, match="takes one list of names for all"):
        recognizer.transcribe_files([one], {"b": ["abed"]})  # type: ignore[arg-type]


def test_scores_of_other_recordings_are_refused() -> None:
    class Forgetful(FunctionScorer):
        def scores(self, waves: Sequence[Array]) -> list[torch.Tensor]:
            return []

    model = ScoredModel(
        Forgetful(_silent, tokenizer_of(TOKENS), frame_seconds=0.02, sampling_rate=8000)
    )
    with pytest.raises(ModelError, match="gave scores of 0 recordings for 1"):
        model.log_probs([Recording("a", noise(1.0), 8000)])


def test_recordings_at_another_rate_are_refused() -> None:
    """By all that takes what is read; `transcribe` resamples."""
    recognizer = Recognizer(_silent, tokens=TOKENS, sampling_rate=8000, frame_seconds=0.02)
    other = [Recording("a", noise(1.0), 8000), Recording("b", noise(1.0, 16000), 16000)]
    told = r"^b: is at 16000 Hz, and the model takes 8000 Hz: Recognizer.transcribe"
    with pytest.raises(AudioError, match=told):
        recognizer.transcribe_recordings(other, [None, None])
    with pytest.raises(AudioError, match=told):
        recognizer.log_probs(other)
    with pytest.raises(AudioError, match=r"^'a.wav' is no Recording \(number 1\)"):
        recognizer.log_probs(["a.wav"])  # type: ignore[list-item]
    assert [one.best.text for one in recognizer.transcribe(other)] == ["", ""]


def test_no_lists_are_none_however_they_are_said() -> None:
    recognizer = Recognizer(_silent, tokens=TOKENS, sampling_rate=8000, frame_seconds=0.02)
    recordings = [Recording("a", noise(1.0), 8000)]
    assert recognizer.log_probs(recordings, []).ids == recognizer.log_probs(recordings, ()).ids
    for none in ((), []):
        with pytest.raises(EntityListError):
            recognizer.transcribe_recordings(recordings, none)


def test_parts_of_settings_that_cannot_act_are_told() -> None:
    with pytest.warns(CtcbiasWarning, match=r"^parts without effect: lm \(needs a language model"):
        Recognizer(_silent, tokens=TOKENS, frame_seconds=0.02, settings={"parts": "boost,lm"})


def test_threads_load_one_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def slow(phones: Any, **options: Any) -> object:
        sleep(0.05)
        made.append(phones)
        return object()

    monkeypatch.setattr("ctcbias_fst.recognizer.phone_listener", slow)
    recognizer = Recognizer(_silent, tokens=TOKENS, sampling_rate=8000, frame_seconds=0.02)
    found = []
    threads = [Thread(target=lambda: found.append(recognizer.phones)) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert made == ["embedded"]
    assert len(set(map(id, found))) == 1


def test_a_blank_that_is_no_blank_is_told() -> None:
    """When it is named beside another, and when no frame is like it."""
    with pytest.warns(CtcbiasWarning, match="column 5 .'d'. is taken for the blank, as was said"):
        recognizer = Recognizer(
            _silent, tokens=TOKENS, sampling_rate=8000, frame_seconds=0.02, blank=5, phones=None
        )
    with pytest.warns(CtcbiasWarning, match="blank"):
        recognizer.transcribe(noise(4.0), sampling_rate=8000)


@pytest.mark.parametrize("option", ["blank", "boundary", "separator", "tokenizer", "lexicon"])
def test_what_a_tokenizer_says_is_not_said_beside_it(option: str) -> None:
    tokens = tokenizer_of(["<blk>", "|", "a", "b"])
    with pytest.raises(ConfigError, match=f"{option} belongs to a list of tokens"):
        function_model(lambda _: None, tokens, frame_seconds=0.04, **{option: "|"})
