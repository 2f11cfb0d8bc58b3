"""ONNX models that keep states: chunk by chunk they give what they give of the whole."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference_features import kaldi_fbank, nemo_mel

tiny = pytest.importorskip("tiny_streaming")

from ctcbias_fst.audio.audio import Recording  # noqa: E402
from ctcbias_fst.errors import CtcbiasWarning, ModelError  # noqa: E402
from ctcbias_fst.models.find import load_model  # noqa: E402
from ctcbias_fst.models.heard_streams import Heard  # noqa: E402
from ctcbias_fst.models.onnx_features import (  # noqa: E402
    ICEFALL_FBANK,
    WENET_FBANK,
    NemoMel,
    WholeNumbers,
)
from ctcbias_fst.models.onnx_steps import OnnxSteps  # noqa: E402
from ctcbias_fst.models.plug import Step, Stepped  # noqa: E402
from ctcbias_fst.models.scored import ScoredModel  # noqa: E402
from ctcbias_fst.models.stream_steps import SteppedStream, StreamSteps  # noqa: E402
from tests.models.test_onnx_features import Array, speech_like  # noqa: E402
from tests.models.test_onnx_model import scores_of  # noqa: E402
from tests.models.test_onnx_tone import tone  # noqa: E402

LENGTHS = [1, 399, 5120, 5121, 40000, 40959]
"""Samples: less than a window, a step and one more, several."""

NO_SAMPLES = np.zeros(0, np.float32)


@torch.no_grad()
def icefall_rows(wave: Array) -> Array:
    features = torch.from_numpy(kaldi_fbank(wave, -400.0, False, "povey")).float()
    frames = (len(features) - 13) // 4 * 4 + 13
    found = tiny.seeded(tiny.Zipformer)(features[None, :frames], *tiny.zeros(tiny.Zipformer.SHAPES))
    return np.asarray(found[0][0])


@torch.no_grad()
def nemo_rows(wave: Array, normalise: bool = False) -> Array:
    features = nemo_mel(wave, 80, normalise)
    features = features[: len(features) // 8 * 8]
    whole = torch.from_numpy(np.pad(features, ((9, 0), (0, 0)))).float().T[None]
    states = tiny.zeros(tiny.FastConformer.SHAPES)
    found = tiny.seeded(tiny.FastConformer)(whole, torch.tensor([whole.shape[2]]), *states)
    return np.asarray(found[0][0])


@torch.no_grad()
def wenet_rows(wave: Array) -> Array:
    features = torch.from_numpy(kaldi_fbank(wave * np.float32(32768), 0.0, True, "povey"))
    return np.asarray(tiny.seeded(tiny.Wenet).whole(features[None].float(), 8, 2)[0])


FAMILIES: dict[str, tuple[Callable[..., None], Callable[[Array], Array], str, float]] = {
    "zipformer": (tiny.zipformer, icefall_rows, "icefall, streaming (ONNX)", 0.04),
    "nemo": (tiny.nemo, nemo_rows, "NeMo, streaming (ONNX)", 0.08),
    "wenet": (tiny.wenet, wenet_rows, "WeNet, streaming (ONNX)", 0.04),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ScoredModel]:
    found = {}
    for name, (make, *_) in FAMILIES.items():
        folder = tmp_path_factory.mktemp(name)
        make(folder)
        found[name] = load_model(folder)
    folder = tmp_path_factory.mktemp("tone")
    tone(folder)
    found["tone"] = load_model(folder)
    return found  # type: ignore[return-value]


def hears(model: Any, steps: Any = None) -> StreamSteps:
    return StreamSteps(steps or model.steps, model)


def taken(stream: SteppedStream, heard: Heard) -> Array:
    """What was heard, all of which is decoded."""
    rows = heard.log_probs.log_probs[0].numpy()
    stream.frames += len(rows)
    return rows


def streamed(hearing: StreamSteps, wave: Array, cuts: Sequence[int] = ()) -> Array:
    stream = hearing.open("a")
    parts = []
    for part in np.split(wave, sorted(cuts)):
        parts += [taken(stream, one) for one in hearing.score([stream], [part])]
    parts += [taken(stream, one) for one in hearing.score([stream], [NO_SAMPLES], last=True)]
    return np.concatenate(parts)


@pytest.mark.parametrize("name", FAMILIES)
def test_chunk_by_chunk_is_the_whole_at_once(name: str, models: dict[str, ScoredModel]) -> None:
    """Against features by their definition, in a net that looks back no further than its states."""
    _, reference, family, frame = FAMILIES[name]
    model = models[name]
    assert (model.family, model.sampling_rate, model.blank_known) == (family, 16000, True)
    assert model.frame_seconds == pytest.approx(frame)
    for samples in LENGTHS:
        wave = speech_like(samples / 16000)
        found = scores_of(model, wave)
        wanted = reference(np.pad(wave, (0, 32000)))
        assert len(found) == -(-samples // round(16000 * frame)) + 0.24 / frame
        np.testing.assert_allclose(found, wanted[: len(found)], atol=5e-3)
    assert scores_of(model, NO_SAMPLES).shape == (0, model.tokenizer.vocabulary.size)


@pytest.mark.parametrize("name", [*FAMILIES, "tone"])
def test_any_chunks_give_the_same(name: str, models: dict[str, ScoredModel]) -> None:
    """To the bit, and what a recording gives."""
    model = models[name]
    hearing, random = hears(model), np.random.default_rng(3)
    for samples in (1, 7000, 33000):
        wave = speech_like(samples / 16000)
        once = streamed(hearing, wave)
        np.testing.assert_array_equal(once, scores_of(model, wave))
        uneven = random.integers(0, samples + 1, 30).tolist()
        for cuts in (range(160, samples, 160), uneven, [0, 0, 1, samples]):
            np.testing.assert_array_equal(streamed(hearing, wave, list(cuts)), once)


@pytest.mark.parametrize("name", [*FAMILIES, "tone"])
def test_several_are_each_alone(name: str, models: dict[str, ScoredModel]) -> None:
    """As recordings, and as streams that begin and end at other times."""
    model = models[name]
    assert model.steps is not None
    one_only = ("wenet", "tone")  # this T-one is for one
    assert model.steps.batches == (name not in one_only)  # type: ignore[attr-defined]
    waves = [speech_like(seconds, seed=i) for i, seconds in enumerate([1.2, 0.01, 2.7, 0.7])]
    together = model.log_probs([Recording(str(i), wave, model.sampling_rate)
                                for i, wave in enumerate(waves)])  # fmt: skip
    hearing = hears(model)
    late, early = hearing.open("late"), hearing.open("early")
    first = taken(early, hearing.score([early], [waves[0][:9000]])[0])
    both = hearing.score([late, early], [waves[2], waves[0][9000:]])
    parts = [[taken(late, both[0])], [first, taken(early, both[1])]]
    for stream, one in zip((late, early), parts):
        one.append(taken(stream, hearing.score([stream], [NO_SAMPLES], last=True)[0]))
    for i, wave in enumerate(waves):
        alone = scores_of(model, wave)
        row = together.log_probs[i, : together.lengths[i]].numpy()
        np.testing.assert_allclose(row, alone, atol=1e-4)
        if i in (0, 2):
            found = np.concatenate(parts[1 if i == 0 else 0])
            np.testing.assert_allclose(found, alone, atol=1e-4)


def test_a_model_for_one_stream(tmp_path: Path, models: dict[str, ScoredModel]) -> None:
    """Exported without a dynamic batch, or such that what is beside a stream changes it."""
    tiny.zipformer(tmp_path, batch=False)
    model: Any = load_model(tmp_path)
    assert not model.steps.batches
    wave = speech_like(1.3)
    np.testing.assert_array_equal(scores_of(model, wave), scores_of(models["zipformer"], wave))
    tiny.zipformer(tmp_path, net=_Neighbours())
    model = load_model(tmp_path)
    assert not model.steps.batches


class _Neighbours(tiny.Zipformer):  # type: ignore[misc,name-defined]
    """What is loud makes all coarse, as where eight bits are shared."""

    def forward(self, x: torch.Tensor, *states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found: tuple[torch.Tensor, ...] = super().forward(x + 0.1 * x.mean(), *states)
        return found

    def __init__(self) -> None:
        torch.manual_seed(1)
        super().__init__()


def test_a_model_of_probabilities_for_one_stream(tmp_path: Path) -> None:
    """What is beside a stream changes tokens there that are unlikely all the same."""
    tiny.zipformer(tmp_path, net=_Unlikely(0.0))
    model: Any = load_model(tmp_path)
    assert model.steps.batches
    tiny.zipformer(tmp_path, net=_Unlikely(1.0))
    model = load_model(tmp_path)
    assert not model.steps.batches


class _Unlikely(tiny.Zipformer):  # type: ignore[misc,name-defined]
    """Gives probabilities, those of the last tokens next to nothing."""

    def __init__(self, shared: float) -> None:
        torch.manual_seed(1)
        super().__init__()
        self.shared = shared

    def forward(self, x: torch.Tensor, *states: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows, *following = super().forward(x, *states)
        apart = torch.stack((x.sum(), x[:1].sum())) if self.shared else torch.zeros(2)
        moved = 12.0 + self.shared * (apart[0] - apart[1]).tanh()
        unlikely = torch.arange(rows.shape[2]) >= rows.shape[2] - 3
        return ((rows - moved * unlikely).softmax(dim=-1), *following)


def test_chunks_of_other_sizes(tmp_path: Path) -> None:
    tiny.zipformer(tmp_path, chunk=32)
    model: Any = load_model(tmp_path)
    assert (model.steps.seconds, model.frame_seconds) == (0.64, 0.04)
    # Seen 13 frames to the right, of windows of 25 ms that begin 7.5 ms early.
    assert model.steps.latest_seconds == pytest.approx(0.64 + 0.12 + 0.025 - 0.0075)
    wave = speech_like(1.5)
    wanted = icefall_rows(np.pad(wave, (0, 32000)))[: len(scores_of(model, wave))]
    np.testing.assert_allclose(scores_of(model, wave), wanted, atol=5e-3)
    tiny.nemo(tmp_path, shift=112)
    model = load_model(tmp_path)
    assert model.steps.seconds == pytest.approx(1.12)


@pytest.mark.parametrize(
    ("features", "scale"),
    [(ICEFALL_FBANK, 1), (WENET_FBANK, 1), (NemoMel(80, False), 1), (WholeNumbers(), 1)],
    ids=["icefall", "wenet", "nemo", "tone"],
)
def test_features_of_a_part_are_those_of_the_whole(features: Any, scale: int) -> None:
    wave = speech_like(0.8)
    whole = features(wave)
    for first, last in ((0, 1), (0, 7), (1, 3), (2, 40), (33, 34)):
        begin, end = features.span(first, last)
        assert begin >= 0
        found = features.frames(wave[begin:end], first, last)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, whole[first:last], atol=1e-5)


def test_nemo_with_features_that_are_normalised(tmp_path: Path) -> None:
    """Those of each window are, and it is told."""
    tiny.nemo(tmp_path, normalize_type="per_feature")
    with pytest.warns(CtcbiasWarning, match="per_feature: a stream has no whole recording"):
        model = load_model(tmp_path)
    wave = speech_like(0.3)  # two steps, of which the second has silence behind it
    features = np.pad(nemo_mel(np.pad(wave, (0, 9000)), 80, False), ((9, 0), (0, 0)))
    states = tiny.zeros(tiny.FastConformer.SHAPES)
    rows = []
    for begin in (0, 16):
        window = features[begin : begin + 25]
        window = (window - window.mean(axis=0)) / (window.std(axis=0, ddof=1) + 1e-5)
        given = torch.from_numpy(window).float().T[None]
        with torch.no_grad():
            scores, _, *states = tiny.seeded(tiny.FastConformer)(given, torch.tensor([25]), *states)
        rows.append(scores[0].numpy())
    np.testing.assert_allclose(scores_of(model, wave)[:4], np.concatenate(rows), atol=5e-3)
    tiny.nemo(tmp_path, normalize_type="all_features")
    with pytest.raises(ModelError, match="normalize_type 'all_features' is not supported"):
        load_model(tmp_path)


def test_the_last_sound_is_scored(models: dict[str, ScoredModel]) -> None:
    """What comes at the very end of a recording is in a row that is given."""
    for name in FAMILIES:
        wave = speech_like(2.0)
        other = wave.copy()
        other[-80:] += 0.5
        rows, changed = (scores_of(models[name], one) for one in (wave, other))
        assert np.abs(rows - changed)[-8:].max() > 0.1
        assert np.abs(rows - changed)[:-16].max() < 1e-4


class Failing:
    """Steps of a model that fails where it hears something loud.

    Args:
        steps: of the model.
        how: it raises, or gives NaN.
    """

    def __init__(self, steps: Any, how: str) -> None:
        self.steps, self.how = steps, how
        self.seconds, self.latest_seconds = steps.seconds, steps.latest_seconds
        self.phones, self.lag = steps.phones, steps.lag
        self.samples, self.frames, self.count = steps.samples, steps.frames, steps.count

    def score(self, steps: Sequence[Step]) -> list[Stepped]:
        loud = [float(np.abs(one.samples).max(initial=0)) > 3 for one in steps]
        if self.how == "raises" and any(loud):
            raise ModelError("too loud")
        if self.how == "fails" and any(loud):
            raise ValueError("too loud")
        found = self.steps.score(steps)
        return [Stepped(self.bad(one.scores), None) if bad else one
                for one, bad in zip(found, loud)]  # fmt: skip

    def bad(self, scores: torch.Tensor) -> torch.Tensor:
        factor = {"nan": torch.nan, "logits": 2.0}.get(self.how, 1.0)
        return scores[1:] if self.how == "few" else scores * factor


HOW = ["raises", "fails", "nan", "logits", "few"]


@pytest.mark.parametrize("how", HOW)
def test_a_step_that_fails_is_taken_for_silence(how: str, models: dict[str, ScoredModel]) -> None:
    """It costs no other stream, and the next step goes on from the states before it."""
    model = models["zipformer"]
    hearing = hears(model, Failing(model.steps, how))
    good = speech_like(2.0)
    bad = good.copy()
    bad[13500] = 9.0  # in the third step alone
    streams = [hearing.open("bad"), hearing.open("good")]
    parts: list[list[Array]] = [[], []]
    warnings: list[str] = []
    for begin in range(0, 32001, 1600):
        chunks = [wave[begin : begin + 1600] for wave in (bad, good)]
        heard = hearing.score(streams, chunks, last=begin == 32000)
        for stream, one, found in zip(streams, heard, parts):
            found.append(taken(stream, one))
        warnings += heard[0].warnings
        assert heard[1].warnings == ()
    whole = scores_of(model, good)
    np.testing.assert_allclose(np.concatenate(parts[1]), whole, atol=1e-4)
    rows = np.concatenate(parts[0])
    assert rows.shape == whole.shape
    silent = rows[:, 0] == 0
    assert silent.nonzero()[0].tolist() == list(range(16, 24))
    np.testing.assert_allclose(rows[:16], whole[:16], atol=1e-4)
    (told,) = warnings
    assert told.endswith("0.32 s are taken for silence")
    assert told.startswith("bad from 0.64 s on")
    assert ("too loud" in told) == (how in {"raises", "fails"})


def test_states_that_are_no_numbers_are_not_kept(
    models: dict[str, ScoredModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next step goes on from the states before them."""
    model = models["zipformer"]
    assert isinstance(model.steps, OnnxSteps)
    run, good = model.steps._run, speech_like(2.0)
    calls: list[int] = []

    def bad_once(steps: Sequence[Step]) -> Any:
        calls.append(steps[0].number)
        found = run(steps)
        if steps[0].number != 2:
            return found
        return [
            (rows, tuple(one * np.nan if one.dtype.kind == "f" else one for one in kept))
            for rows, kept in found
        ]

    monkeypatch.setattr(model.steps, "_run", bad_once)
    hearing = hears(model)
    stream = hearing.open("call")
    (heard,) = hearing.score([stream], [good], last=True)
    (told,) = heard.warnings
    assert told.startswith("call from 0.64 s on")
    assert "keeps NaN in its states: 0.32 s are taken for silence" in told
    assert calls[-1] > 3
    silent = (taken(stream, heard)[:, 0] == 0).nonzero()[0]
    assert silent.tolist() == list(range(16, 24))


def test_a_model_that_never_works(models: dict[str, ScoredModel]) -> None:
    model = models["zipformer"]
    hearing = hears(model, Failing(model.steps, "raises"))
    stream = hearing.open("a")
    with pytest.raises(ModelError, match="too loud"):
        hearing.score([stream], [np.full(16000, 9.0, np.float32)])
    (heard,) = hearing.score([stream], [NO_SAMPLES], last=True)
    assert int(heard.log_probs.lengths[0]) == 31
    assert bool((heard.log_probs.log_probs[0].argmax(dim=-1) == 0).all())
    told = "a from 0.00 s on: too loud: 0.32 s are taken for silence"
    assert (heard.warnings[0], len(heard.warnings)) == (told, 4)


@pytest.mark.parametrize("how", HOW)
def test_what_works_beside_what_fails_is_heard(how: str, models: dict[str, ScoredModel]) -> None:
    """Also if nothing has worked before."""
    model = models["zipformer"]
    hearing = hears(model, Failing(model.steps, how))
    good = speech_like(1.5)
    bad = good.copy()
    bad[100] = 9.0
    streams = [hearing.open("bad"), *(hearing.open(f"good {i}") for i in range(40))]
    heard = hearing.score(streams, [bad, *[good] * 40])
    assert heard[0].warnings
    (wanted,) = hears(model).score([hears(model).open("a")], [good])
    for one in heard[1:]:
        assert one.warnings == ()
        torch.testing.assert_close(one.log_probs.log_probs, wanted.log_probs.log_probs)
    assert heard[0].log_probs.lengths.tolist() == wanted.log_probs.lengths.tolist()


def test_what_is_kept_for_a_model_that_never_works_does_not_grow(
    models: dict[str, ScoredModel],
) -> None:
    model = models["zipformer"]
    hearing = hears(model, Failing(model.steps, "raises"))
    stream = hearing.open("a")
    errors, kept = 0, []
    for _ in range(30):
        try:
            (heard,) = hearing.score([stream], [np.full(16000, 9.0, np.float32)])
        except ModelError:
            errors += 1
            continue
        assert heard.warnings
        taken(stream, heard)
        kept.append(len(stream._samples))
    assert 10 <= errors <= 12
    assert max(kept) < 32000
    assert stream.frames * 0.04 == pytest.approx(30, abs=0.5)


def test_what_was_not_decoded_is_given_again(models: dict[str, ScoredModel]) -> None:
    model = models["wenet"]
    hearing, wave = hears(model), speech_like(1.5)
    stream = hearing.open("a")
    first = hearing.score([stream], [wave[:14000]])[0].log_probs.log_probs[0].numpy()
    assert len(first) == 16
    stream.frames = 5  # the decoder failed
    rest = hearing.score([stream], [wave[14000:]], last=True)[0].log_probs.log_probs[0].numpy()
    np.testing.assert_array_equal(np.concatenate((first[:5], rest)), scores_of(model, wave))


def test_what_is_kept_does_not_grow(models: dict[str, ScoredModel]) -> None:
    for name in FAMILIES:
        hearing = hears(models[name])
        stream = hearing.open("call")
        kept = []
        for i in range(40):
            taken(stream, hearing.score([stream], [speech_like(0.2, i)])[0])
            states = sum(value.nbytes for value in stream.states or ())
            kept.append((len(stream._samples), stream.tokens.end - stream.frames, states))
        assert max(kept[-10:]) <= max(kept[5:15])
        assert stream.end == 40 * 3200


def test_copies(models: dict[str, ScoredModel]) -> None:
    wave = speech_like(0.9)
    for model in models.values():
        other = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(scores_of(other, wave), scores_of(model, wave))


@pytest.mark.parametrize(
    ("make", "changes", "message"),
    [
        (tiny.zipformer, {"without": ["T"]}, "its metadata lacks T: export it with it, or say it"),
        (tiny.zipformer, {"T": 46}, "takes 45 feature frames, and its metadata says 46"),
        (tiny.zipformer, {"decode_chunk_len": 0}, "takes 45 feature frames and goes on by 0"),
        (tiny.zipformer, {"decode_chunk_len": "x"}, "decode_chunk_len in its metadata is 'x'"),
        (tiny.zipformer, {"feature": "whisper"}, "features .'whisper'. that are not supported"),
        (tiny.nemo, {"without": ["window_size"]}, "its metadata lacks window_size"),
        (tiny.nemo, {"chunk_shift": 99}, "takes 25 feature frames and goes on by 99"),
        (tiny.nemo, {"chunk_shift": 12}, "gave 2 frames in a step of 12 .*factor 8 contra"),
        (tiny.nemo, {"cache_last_time_dim3": 9}, r"cache_last_time is of the shape .*4\], and its"),
        (tiny.wenet, {"without": ["chunk_size"]}, "its metadata lacks chunk_size"),
        (tiny.wenet, {"left_chunks": 0}, "left_chunks 0: export it with both above 0"),
        (tiny.wenet, {"head": 3}, "its state attn_cache is of the shape"),
        (tiny.wenet, {"chunk_size": 7}, "takes 35 feature frames, and its metadata says 31"),
    ],
)
def test_metadata_that_cannot_be(
    make: Callable[..., None], changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    make(tmp_path, **changes)
    with pytest.raises(ModelError, match=message) as found:
        load_model(tmp_path)
    assert "\n" not in str(found.value)


def test_metadata_in_a_file_beside_it(tmp_path: Path) -> None:
    tiny.wenet(tmp_path, without=["chunk_size", "left_chunks"])
    (tmp_path / "config.json").write_text('{"chunk_size": 8, "left_chunks": 2}')
    wave = speech_like(1.1)
    found = scores_of(load_model(tmp_path), wave)
    wanted = wenet_rows(np.pad(wave, (0, 32000)))[: len(found)]
    np.testing.assert_allclose(found, wanted, atol=5e-3)
    with pytest.raises(ModelError, match="language belongs to models of several"):
        load_model(tmp_path, language="de")
