"""What may be another when a run goes on, and what may not."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from lhotse import CutSet
from tiny_hugging_face import save
from torch import Tensor, nn

from ctcbias_fst.cli import main
from ctcbias_fst.config import load_config
from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.adapted import ADAPTER_FILE
from ctcbias_fst.models.checkpoint import checkpoints
from ctcbias_fst.models.function import function_model
from ctcbias_fst.models.model_config import ModelConfig
from ctcbias_fst.models.package import save_package
from ctcbias_fst.models.scored import ScoredModel, tapped
from ctcbias_fst.text.train_tokenizer import train_tokenizer
from ctcbias_fst.training.export import export_run
from ctcbias_fst.training.launch import launch
from ctcbias_fst.training.own_model import train_adapter
from ctcbias_fst.training.training_config import AdaptConfig, TrainConfig
from tests.tiny_models import TINY_ADAPTER, training_toml

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")

TOKENS = ["<blank>", "|", *"abcdefghijklmnopqrstuvwxyz'"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tmp_path / "hf", num_hidden_layers=4)


@pytest.fixture
def config(named_cuts: Path, model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "adapt.toml"
    text = training_toml(named_cuts, TINY_ADAPTER, model=str(model), names=[2, 6], validation=[])
    path.write_text(text)
    return path


def adapted(config: Path, run: Path, *settings: str) -> Path:
    return launch(AdaptConfig, config, run, settings=settings)


def module_of_mine(seed: int) -> tuple[ScoredModel, nn.Module]:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(320, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, len(TOKENS))
    ).eval()

    def log_probs(samples: np.ndarray) -> Tensor:
        frames = torch.from_numpy(samples[: len(samples) // 320 * 320]).reshape(-1, 320)
        with torch.inference_mode():
            return net(20.0 * frames).log_softmax(-1)

    return function_model(log_probs, TOKENS, frame_seconds=0.02), net


def of_mine(cuts: Path, **values: object) -> AdaptConfig:
    usual = {"train": [str(cuts)], "save_every": 1, "workers": 0, "names": [2, 6]}
    return load_config(AdaptConfig, {**usual, "steps": 2, **values})


def test_a_module_of_the_users_is_another(named_cuts: Path, tmp_path: Path) -> None:
    """Its weights have the same shapes: only their digest tells."""
    run = tmp_path / "run"
    model, net = module_of_mine(0)
    file = train_adapter(tapped(model, net), of_mine(named_cuts), run, tmp_path)
    first = file.read_bytes()
    with pytest.raises(ModelError, match=rf"^{run}: was begun with another model: go on with"):
        other = tapped(*module_of_mine(1))
        train_adapter(other, of_mine(named_cuts, steps=3), run, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    with pytest.raises(ModelError, match="another model"):  # which is done
        train_adapter(other, of_mine(named_cuts), run, tmp_path / "other")
    layers = ["0", "2"]
    with pytest.raises(ModelError, match=r"begun with another taps \(\[\], now \['0', '2'\]\)"):
        train_adapter(tapped(model, net, taps=layers), of_mine(named_cuts, steps=3), run, tmp_path)
    assert file.read_bytes() == first
    again = tapped(*module_of_mine(0))
    train_adapter(again, of_mine(named_cuts, steps=3), run, tmp_path)
    assert file.read_bytes() != first
    with pytest.raises(ModelError, match=f"^{run}: was begun from Python: train_adapter writes"):
        export_run(run, tmp_path / "exported")


def changes_of(
    run: Path, config: Path, caplog: pytest.LogCaptureFixture, *settings: str
) -> Sequence[str]:
    caplog.clear()
    adapted(config, run, *settings)
    return [
        one.getMessage().removeprefix(f"{run}: ")
        for one in caplog.records
        if one.levelno == logging.WARNING and str(run) in one.getMessage()
    ]


def test_what_changes_is_told(
    config: Path, named_cuts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    assert changes_of(run, config, caplog, "steps=2") == []
    assert changes_of(run, config, caplog, "steps=2") == []
    told = changes_of(run, config, caplog, "steps=3", "optimiser.peak=0.1", "names=[3, 7]")
    words = "names [2, 6] -> [3, 7], optimiser.peak 0.001 -> 0.1, steps 2 -> 3"
    assert told == [f"goes on with other settings: {words}"]
    last = ["steps=4", "optimiser.peak=0.1", "names=[3, 7]"]
    CutSet.from_cuts(list(CutSet.from_file(named_cuts))[:5]).to_file(named_cuts)
    told = changes_of(run, config, caplog, *last)
    assert told == [
        "goes on with other settings: steps 3 -> 4",
        "goes on with other training data than before",
    ]


def test_another_model_for_the_same_run(config: Path, model: Path, tmp_path: Path) -> None:
    """By the command, in a line, and without a trace in the run; the same model may move."""
    run = tmp_path / "run"
    adapted(config, run, "steps=2")
    kept = (run / "adapt.json").read_text()
    other = save(tmp_path / "other", num_hidden_layers=4, initializer_range=0.4)
    options = ["--config", str(config), "--run", str(run)]
    result = CliRunner().invoke(main, ["adapt", "--model", str(other), *options])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == (
        f"Error: {run}: was begun with another model: go on with the same, or begin a new run"
    )
    assert (run / "adapt.json").read_text() == kept
    taps = 'taps=["wav2vec2.encoder.layers.1"]'
    with pytest.raises(ModelError, match="was begun with another taps"):
        adapted(config, run, taps)
    moved = shutil.move(model, tmp_path / "moved")
    result = CliRunner().invoke(main, ["adapt", "--model", str(moved), *options])
    assert result.exit_code == 0, result.output
    assert checkpoints(run)[-1].name == "step-00000004"
    assert json.loads((run / "adapt.json").read_text())["model"] == str(moved)


def test_a_model_that_was_replaced_gets_no_adapter(
    config: Path, model: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    adapted(config, run, "steps=2")
    shutil.rmtree(model)
    save(model, num_hidden_layers=4, initializer_range=0.4)
    with pytest.raises(ModelError, match="was begun with another model"):
        export_run(run, model)
    assert not (model / ADAPTER_FILE).exists()


def test_a_model_of_ours_is_another(
    config: Path, tiny_config: ModelConfig, tokenizer_path: Path, tmp_path: Path
) -> None:
    run, model = tmp_path / "run", tmp_path / "ours"
    own = f'model="{model}"'
    torch.manual_seed(0)
    save_package(model, CtcModel(tiny_config).state_dict(), tiny_config, tokenizer_path)
    adapted(config, run, own, "steps=2")
    save_package(model, CtcModel(tiny_config).state_dict(), tiny_config, tokenizer_path)
    for again in (lambda: adapted(config, run, own), lambda: export_run(run, model)):
        with pytest.raises(ModelError, match="was begun with another model"):
            again()


def test_another_tokenizer_for_the_same_run(
    train_config: Path, tokenizer_path: Path, tmp_path: Path
) -> None:
    """As many tokens, which stand for others."""
    run = tmp_path / "run"
    launch(TrainConfig, train_config, run, settings=["steps=2"])
    changed, text = tmp_path / "changed.model", tmp_path / "text.txt"
    letters = np.random.default_rng(0).choice([*"abcdefghijklmnopqrstuvwxyz'"], (400, 5))
    text.write_text("\n".join(map("".join, letters)))
    train_tokenizer([text], changed, size=80)
    with pytest.raises(ModelError, match="was begun with another tokenizer"):
        launch(TrainConfig, train_config, run, settings=[f'tokenizer="{changed}"'])
    launch(TrainConfig, train_config, run, settings=["steps=3"])
    moved = shutil.copy(tokenizer_path, tmp_path / "moved.model")
    launch(TrainConfig, train_config, run, settings=["steps=4", f'tokenizer="{moved}"'])


def test_other_groups_of_weights(train_config: Path, tmp_path: Path) -> None:
    """Momenta of Muon are none of AdamW's."""
    run = tmp_path / "run"
    launch(TrainConfig, train_config, run, settings=["steps=2"])
    with pytest.raises(ModelError, match=r"optimiser.matrix_peak 0 or not, as before"):
        launch(TrainConfig, train_config, run, settings=["optimiser.matrix_peak=0"])


def test_checkpoints_of_before(config: Path, tmp_path: Path) -> None:
    """Those that keep nothing of where they come from are gone on with."""
    run = tmp_path / "run"
    adapted(config, run, "steps=2")
    state = checkpoints(run)[-1] / "state.json"
    kept = json.loads(state.read_text())
    state.write_text(json.dumps({name: kept[name] for name in ("step", "epoch", "batches")}))
    adapted(config, run, "steps=3")
    assert "origin" in json.loads((checkpoints(run)[-1] / "state.json").read_text())
    state = checkpoints(run)[-1] / "state.json"
    state.write_text(json.dumps([1, 2]))
    with pytest.raises(ModelError, match="damaged; remove it to resume from the one before"):
        adapted(config, run)


def test_what_a_process_refuses_is_a_line(config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    adapted(config, run, "steps=2")
    other = save(tmp_path / "other", num_hidden_layers=4, initializer_range=0.4)
    options = ["--config", str(config), "--run", str(run), "--processes", "2"]
    result = CliRunner().invoke(main, ["adapt", "--model", str(other), *options])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.output.splitlines()[-1].startswith(f"Error: {run}: was begun with another model")


def test_a_model_that_fails_in_training_is_told(named_cuts: Path, tmp_path: Path) -> None:
    model, net = module_of_mine(0)
    base = tapped(model, net)
    net.register_forward_pre_hook(_fail)
    with pytest.raises(ModelError, match="^function log_probs: failed: .*out of order"):
        train_adapter(base, of_mine(named_cuts), tmp_path / "run", tmp_path)


def _fail(*_: object) -> None:
    raise RuntimeError("out of order")
