"""An adapter on a model of Hugging Face: trained, in a file, at work, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_hugging_face import (
    BLANK_LAST,
    CHARACTERS,
    SMALL,
    noise,
    save,
    save_loud_adapter,
)

from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.cli import main
from ctcbias_fst.config import load_config
from ctcbias_fst.corpus.backends import SpeechBackend
from ctcbias_fst.errors import ConfigError, ModelError
from ctcbias_fst.explain import explain
from ctcbias_fst.models.adapted import ADAPTER_FILE, save_adapter
from ctcbias_fst.models.adapter import ContextualAdapter
from ctcbias_fst.models.checkpoint import checkpoints
from ctcbias_fst.models.find import identity_of, load_model
from ctcbias_fst.models.function import function_model
from ctcbias_fst.models.model_config import AdapterConfig
from ctcbias_fst.models.scored import ScoredModel, tapped
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.training.adapt import _Criterion
from ctcbias_fst.training.biasing_lists import ListMaker
from ctcbias_fst.training.data import SpeechDataset, load_cuts
from ctcbias_fst.training.frozen import FrozenTapped
from ctcbias_fst.training.launch import launch
from ctcbias_fst.training.own_model import train_adapter
from ctcbias_fst.training.training_config import AdaptConfig
from tests.tiny_models import TINY_ADAPTER, training_toml

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tmp_path / "hf", vocabulary=BLANK_LAST, num_hidden_layers=2)


@pytest.fixture
def config(named_cuts: Path, model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "adapt.toml"
    path.write_text(
        training_toml(named_cuts, TINY_ADAPTER, model=str(model), log_every=2, names=[2, 6])
    )
    return path


def recordings() -> list[Recording]:
    return [Recording(f"{i}", noise(s, seed=i), 16000) for i, s in enumerate((1.0, 1.7))]


@pytest.mark.parametrize("vocabulary", [CHARACTERS, BLANK_LAST])
def test_training_makes_a_listed_name_likelier(
    named_cuts: Path, tmp_path: Path, vocabulary: dict[str, int]
) -> None:
    """On a random model, wherever its blank is: all losses fall, and not one bit of it changes."""
    base = FrozenTapped(
        tapped(load_model(save(tmp_path / "hf", vocabulary=vocabulary, num_hidden_layers=2)))
    )
    before = {name: one.clone() for name, one in base.base.module.state_dict().items()}
    torch.manual_seed(0)
    adapter = ContextualAdapter(AdapterConfig(16, 2, 8, 32), base.shape)
    adapter.start_from(base.head_weights, base.push)
    lists = ListMaker(base.tokenizer, ["keisha"], count=(6, 6), empty=0.0, ordinary=0.0, seed=1)
    criterion = _Criterion(base, adapter, lists, AdaptConfig(train=()))
    batch = SpeechDataset(base.tokenizer, base.front)[load_cuts([named_cuts], max_seconds=20.0)]
    assert batch.seconds == pytest.approx(sum(1.2 + 0.3 * i for i in range(6)), abs=0.001)
    optimiser = torch.optim.Adam(adapter.parameters(), lr=0.02)
    losses = []
    for _ in range(40):
        found = criterion(batch)
        losses.append({name: float(value) for name, value in found.items()})
        optimiser.zero_grad()
        found["total"].backward()
        optimiser.step()
    first, last = losses[0], losses[-1]
    assert last["total"] < 0.8 * first["total"]
    assert last["guided"] < first["guided"]
    assert last["attention_on_names"] > first["attention_on_names"]
    assert first["base"] == last["base"]
    assert last["ctc"] < 0.8 * last["base"], "with the list the texts are likelier than without"
    for name, one in base.base.module.state_dict().items():
        assert torch.equal(one, before[name]), name
    assert all(one.grad is None for one in base.base.module.parameters())


def test_from_the_command_line(config: Path, named_cuts: Path, model: Path, tmp_path: Path) -> None:
    """Train, go on, export, transcribe; the adapter is found, and told of."""
    run, work = tmp_path / "run", tmp_path / "work"
    work.mkdir()
    soundfile.write(work / "call.wav", noise(1.5), 16000)
    (work / "names.txt").write_text("metformin\nnew york\n")

    def ctcbias(*arguments: object, status: int = 0) -> str:
        result = CliRunner().invoke(main, [*map(str, arguments)])
        assert result.exit_code == status, result.output
        return str(result.output)

    told = ctcbias("model", "info", model)
    assert "adapter      needs a model with an adapter: ctcbias adapt trains one" in told
    identity = identity_of(model)
    ctcbias("adapt", "--config", config, "--run", run, "--set", "steps=2")
    ctcbias("adapt", "--model", model, "--config", config, "--run", run)
    assert checkpoints(run)[-1].name == "step-00000004"
    assert "f1_without" in (run / "train.log").read_text()
    assert f"{model}: mean of 2 checkpoints" in ctcbias("export", "--run", run, "--out", model)
    assert (model / ADAPTER_FILE).stat().st_size < 60_000
    assert identity_of(model) != identity, "a job must not go on with another adapter"
    assert "adapter      acts" in ctcbias("model", "info", model)
    job = [
        *("decode", "--cuts", work / "call.wav", "--model", model, "--no-phones"),
        *("--entities", work / "names.txt", "--out"),
    ]
    ctcbias(*job, work / "beside.jsonl")
    told = ctcbias(
        *("explain", work / "call.wav", "--model", model, "--entities", work / "names.txt"),
        *("-o", work / "a.svg"),
    )
    assert "with list:" in told
    assert "metformin" in (work / "a.svg").read_text()
    call = ["transcribe", work / "call.wav", "--model", model, "--entities", work / "names.txt"]
    ctcbias(*call, "--no-phones")
    # In a folder of its own, for a model that has none.
    elsewhere = tmp_path / "elsewhere"
    ctcbias("export", "--run", run, "--out", elsewhere)
    assert (elsewhere / ADAPTER_FILE).read_bytes() == (model / ADAPTER_FILE).read_bytes()
    (model / ADAPTER_FILE).unlink()
    ctcbias(*call, "--no-phones", "--adapter", elsewhere)
    ctcbias(*job, work / "named.jsonl", "--adapter", elsewhere)
    assert (work / "named.jsonl").read_text() == (work / "beside.jsonl").read_text()
    told = ctcbias("model", "info", model, "--adapter", elsewhere / ADAPTER_FILE)
    assert "adapter      acts" in told
    told = ctcbias(*call, "--no-phones", "--adapter", tmp_path / "nowhere", status=1)
    assert f"Error: {tmp_path / 'nowhere'}: no such file" in told


def test_an_empty_list_changes_nothing(model: Path, tmp_path: Path) -> None:
    """Not one bit, of an adapter that says arbitrary things; what has a list keeps its own, too."""
    spoken = recordings()
    plain = load_model(model).log_probs(spoken)
    recognizer = Recognizer.from_pretrained(
        model, adapter=save_loud_adapter(model, tmp_path / "loud"), phones=None
    )
    assert recognizer.decoder.parts["adapter"] is None
    names = recognizer.compile(["metformin", "new york"])
    assert torch.equal(recognizer.log_probs(spoken).log_probs, plain.log_probs)
    biased = recognizer.log_probs(spoken, [names, None])
    assert torch.equal(biased.log_probs[1], plain.log_probs[1])
    assert biased.unbiased is not None
    torch.testing.assert_close(biased.unbiased, plain.log_probs, atol=1e-4, rtol=0)
    n = int(biased.lengths[0])
    assert (biased.log_probs[0, :n] - plain.log_probs[0, :n]).abs().max() > 1.0
    sums = biased.log_probs[0, :n].exp().sum(-1)
    torch.testing.assert_close(sums, torch.ones_like(sums))
    config = recognizer.config.adapter
    listed = [recognizer._listed(recognizer.compile(["metformin"]).listed.entities)] * 2
    assert listed[0] is not None
    silent = recognizer.model.log_probs(spoken, listed, type(config)(scale=0.0))
    assert torch.equal(silent.log_probs, plain.log_probs)
    assert recognizer.transcribe(noise(1.0), sampling_rate=16000, entities=["metformin"]).best


def test_names_are_in_the_order_of_the_adapter(model: Path, tmp_path: Path) -> None:
    """The blank is the model's last column and the adapter's first: the pushed token is the right
    one."""
    base = tapped(load_model(model))
    adapter = ContextualAdapter(SMALL, base.shape)
    adapter.start_from(base.head_weights, 30.0)
    torch.nn.init.zeros_(adapter.queries.weight)
    torch.nn.init.zeros_(adapter.queries.bias)
    torch.nn.init.zeros_(adapter.evidence)
    torch.nn.init.constant_(adapter.no_bias_score, -50.0)
    with torch.no_grad():
        adapter.coverage.copy_(torch.tensor([20.0, -1.0]))
    save_adapter(tmp_path / ADAPTER_FILE, adapter.state_dict(), SMALL, base)
    adapted = load_model(model, adapter=tmp_path)
    one = recordings()[0]
    written = EncodedEntities(
        np.array([BLANK_LAST["z"]], np.int32),
        np.array([0, 1]),
        np.array([0], np.int32),
        np.array([0.0], np.float32),
    )
    listed = adapted.listed(written, 10)
    plain, biased = (adapted.log_probs([one], [who]).log_probs[0] for who in (None, listed))
    states = base.outputs([one.samples]).states
    weight = base.module.lm_head.weight
    pointer = 30.0 / weight.square().sum(1).mean() * weight[BLANK_LAST["z"]]
    expected = base.module.lm_head(states[0] + pointer).log_softmax(-1)
    torch.testing.assert_close(biased, expected, atol=0.05, rtol=0)
    assert (biased - plain).abs().max() > 1.0


def test_a_job_belongs_to_its_adapter(model: Path, tmp_path: Path) -> None:
    folder = save_loud_adapter(model, tmp_path / "loud")

    def settings(adapter: Path | None) -> dict[str, object]:
        backend = SpeechBackend(model, PipelineConfig(), "cpu", phones=None, adapter=adapter)
        return backend.settings

    named = settings(folder)
    assert settings(folder / ADAPTER_FILE) == named != settings(None)
    other = save_loud_adapter(model, tmp_path / "other") / ADAPTER_FILE
    tensors = {name: 2 * one for name, one in load_file(other).items()}
    with safe_open(str(other), "pt") as header:
        save_file(tensors, other, metadata=header.metadata())
    assert settings(other) != named


def test_long_audio_is_biased_window_by_window(model: Path, tmp_path: Path) -> None:
    adapted = load_model(model, adapter=save_loud_adapter(model, tmp_path / "loud"))
    assert isinstance(adapted, ScoredModel)
    recognizer = Recognizer(adapted, phones=None)
    names = recognizer.compile(["metformin"])
    long = Recording("long", noise(31.0), 16000)
    found = recognizer.log_probs([long], [names])
    plain = recognizer.log_probs([long])
    assert found.log_probs.shape == plain.log_probs.shape
    assert found.unbiased is not None
    torch.testing.assert_close(found.unbiased, plain.log_probs, atol=1e-4, rtol=0)
    moved = (found.log_probs - plain.log_probs)[0].abs().amax(-1) > 0.1
    assert moved[:1000].any()
    assert moved[-200:].any()


def test_the_adapter_of_another_model(model: Path, tmp_path: Path) -> None:
    file = save_loud_adapter(model, tmp_path / "loud") / ADAPTER_FILE
    other = save(tmp_path / "other", "hubert", vocabulary=BLANK_LAST, num_hidden_layers=2)
    shutil.copyfile(file, other / ADAPTER_FILE)
    with pytest.raises(ModelError, match=r"was trained on another model .wav2vec2 .Hugging"):
        load_model(other)
    # The same weights with other tokens.
    named = shutil.copytree(model, tmp_path / "named")
    vocabulary = json.loads((named / "vocab.json").read_text())
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (named / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(ModelError, match="was trained on another model"):
        load_model(named, adapter=file)
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(ModelError, match=r"m.onnx can have no adapter, as an ONNX"):
        load_model(tmp_path / "m.onnx", adapter=file)
    with pytest.raises(ModelError, match="lies in its folder"):
        load_model(None, adapter=file)

    def silence(samples: np.ndarray) -> np.ndarray:
        return np.full((len(samples) // 320, 3), -np.log(3.0))

    with pytest.raises(ModelError, match="reads the states of a torch module"):
        function_model(silence, ["<blank>", "a", "|"], frame_seconds=0.02).with_adapter(file)


def test_damaged_adapters(model: Path, tmp_path: Path) -> None:
    file = save_loud_adapter(model, tmp_path / "loud") / ADAPTER_FILE
    whole = file.read_bytes()
    file.write_bytes(whole[:500])
    with pytest.raises(ModelError, match="not a complete safetensors file"):
        load_model(model, adapter=file)
    file.write_bytes(whole)
    save_file(load_file(file), tmp_path / "bare.safetensors")
    with pytest.raises(ModelError, match="no adapter of format 2"):
        load_model(model, adapter=tmp_path / "bare.safetensors")
    with pytest.raises(ModelError, match="no such file; ctcbias adapt and ctcbias export make"):
        load_model(model, adapter=tmp_path)


@pytest.mark.parametrize("options", [{"settings": ['precision="bfloat16"']}, {"processes": 2}])
def test_other_precisions_and_processes(config: Path, tmp_path: Path, options: dict) -> None:
    """The frozen model computes in float32, whatever the adapter is trained in."""
    run = tmp_path / "run"
    launch(AdaptConfig, config, run, **options)
    assert checkpoints(run)[-1].name == "step-00000004"
    assert "word_error_rate_without" in (run / "train.log").read_text()


def in_half(model: Path, target: Path, kind: torch.dtype) -> Path:
    """The same model, saved in half precision."""
    shutil.copytree(model, target)
    weights = load_file(target / "model.safetensors")
    halves = {name: one.to(kind) for name, one in weights.items()}
    save_file(halves, target / "model.safetensors", metadata={"format": "pt"})
    told = json.loads((target / "config.json").read_text())
    key = "dtype" if "dtype" in told else "torch_dtype"
    (target / "config.json").write_text(json.dumps({**told, key: str(kind).partition(".")[2]}))
    return target


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_models_in_half_precision(
    config: Path, model: Path, tmp_path: Path, kind: torch.dtype
) -> None:
    """Have an adapter, and may have that of the same model in single precision."""
    half = in_half(model, tmp_path / "half", kind)
    soundfile.write(tmp_path / "call.wav", noise(1.5), 16000)
    (tmp_path / "names.txt").write_text("metformin\nnew york\n")
    run, out = tmp_path / "run", tmp_path / "adapter"
    transcribe = [
        *("transcribe", tmp_path / "call.wav", "--entities", tmp_path / "names.txt"),
        *("--no-phones", "--model", half, "--adapter"),
    ]
    for arguments in (
        ["adapt", "--model", half, "--config", config, "--run", run, "--set", "steps=2"],
        ["export", "--run", run, "--out", out],
        [*transcribe, out],
        [*transcribe, save_loud_adapter(model, tmp_path / "single")],
    ):
        result = CliRunner().invoke(main, [*map(str, arguments)])
        assert result.exit_code == 0, result.output


def test_what_a_run_refuses(config: Path, model: Path, random_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="head and taps belong to other families"):
        launch(
            AdaptConfig, config, tmp_path / "a", settings=[f'model="{random_model}"', 'taps=["x"]']
        )
    with pytest.raises(ModelError, match="taps: the model has no layer 'x'"):
        launch(AdaptConfig, config, tmp_path / "b", settings=['taps=["x"]'])
    # A name on the hub stays one, and is told where nothing is to be had.
    with pytest.raises(ModelError, match="^someone/some-model: no such folder"):
        launch(AdaptConfig, config, tmp_path / "c", settings=['model="someone/some-model"'])
    run = tmp_path / "run"
    launch(AdaptConfig, config, run, settings=["steps=2"])
    result = CliRunner().invoke(
        main, ["export", "--run", str(run), "--out", str(save(tmp_path / "other", "hubert"))]
    )
    assert result.exit_code == 1
    assert "is not the model that the adapter was trained on" in result.output


def test_a_module_of_the_users(named_cuts: Path, tmp_path: Path) -> None:
    """A function, the module that it calls, and an adapter."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(320, 16), torch.nn.Tanh(), torch.nn.Linear(16, 16), torch.nn.Tanh(),
        torch.nn.Linear(16, 29),
    ).eval()  # fmt: skip
    tokens = ["<blank>", "|", *"abcdefghijklmnopqrstuvwxyz'"]

    def log_probs(samples: np.ndarray) -> torch.Tensor:
        frames = torch.from_numpy(samples[: len(samples) // 320 * 320]).reshape(-1, 320)
        with torch.inference_mode():
            return net(20.0 * frames).log_softmax(-1)

    model = function_model(log_probs, tokens, frame_seconds=0.02)
    base = tapped(model, net)
    settings = load_config(
        AdaptConfig, {"train": [str(named_cuts)], "steps": 2, "save_every": 1, "workers": 0}
    )
    file = train_adapter(base, settings, tmp_path / "run", tmp_path)
    recognizer = Recognizer(model.with_adapter(file, net), phones=None)
    assert recognizer.decoder.parts["adapter"] is None
    recognizer.transcribe(noise(1.0), sampling_rate=16000, entities=["peace"])
    found = explain(recognizer, Recording("call", noise(1.0), 16000), recognizer.compile(["peace"]))
    assert [one.name for one in found.names] == ["peace"]
