"""Training an adapter: lists, the frozen base, resuming, export, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ctcbias_fst.cli import main
from ctcbias_fst.config import load_config
from ctcbias_fst.errors import ConfigError, ManifestError, ModelError
from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.adapter import ContextualAdapter
from ctcbias_fst.models.checkpoint import checkpoints, read_tensors
from ctcbias_fst.models.model_config import AdapterConfig, ModelConfig
from ctcbias_fst.models.package import load_package, save_package
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from ctcbias_fst.training import adapt
from ctcbias_fst.training.adapt import _Criterion
from ctcbias_fst.training.align import BLANK_FRAME
from ctcbias_fst.training.biasing_lists import IGNORE, ListMaker, wanted_rows
from ctcbias_fst.training.data import SpeechDataset, load_cuts
from ctcbias_fst.training.export import export_run
from ctcbias_fst.training.frozen import FrozenPackage
from ctcbias_fst.training.launch import launch
from ctcbias_fst.training.training_config import AdaptConfig
from tests.tiny_models import TINY_ADAPTER, training_toml


@pytest.fixture
def model(tiny_config: ModelConfig, tokenizer_path: Path, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_package(
        tmp_path / "model", CtcModel(tiny_config).state_dict(), tiny_config, tokenizer_path
    )
    return tmp_path / "model"


@pytest.fixture
def config(named_cuts: Path, model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "adapt.toml"
    text = training_toml(named_cuts, TINY_ADAPTER, model=str(model), log_every=2, names=[2, 6])
    path.write_text(text, encoding="utf-8")
    return path


def maker(tokenizer: SentencePieceTokenizer, **changes: object) -> ListMaker:
    options: dict = {"count": (5, 5), "empty": 0.0, "ordinary": 0.0, "seed": 3, **changes}
    return ListMaker(tokenizer, ["york", "diabetes", "keisha", "zeal", "fox"], **options)


def test_lists_hold_the_spoken_names_and_distractors(tokenizer: SentencePieceTokenizer) -> None:
    texts = ["new york is in new york", "smith has diabetes", "nothing"]
    drawn = maker(tokenizer).draw(texts, [["new york"], ["smith", "diabetes"], []])
    assert len(drawn.names.lengths) >= 5
    assert drawn.allowed.all()
    first = tokenizer.encode("new york")
    starts = [start for start, name in drawn.spoken[0] if name == 0]
    assert len(drawn.spoken[0]) in {2, 4}, "york alone may have been drawn, too"
    tokens = tokenizer.encode(texts[0])
    assert [tokens[start : start + len(first)] for start in starts] == [first, first]
    assert drawn.names.tokens[0, : len(first)].tolist() == first
    assert len(drawn.spoken[1]) == 2
    assert drawn.spoken[2] == ()


def test_an_utterance_may_be_denied_its_names(tokenizer: SentencePieceTokenizer) -> None:
    drawn = maker(tokenizer, empty=1.0).draw(["new york", "smith"], [["new york"], ["smith"]])
    assert drawn.spoken == ((), ())
    assert not drawn.allowed[0, 0]
    assert drawn.allowed[0, 1]
    assert not drawn.allowed[1, 1]


def test_a_name_of_another_utterance_is_found_in_this_one(
    tokenizer: SentencePieceTokenizer,
) -> None:
    drawn = maker(tokenizer).draw(["john smith spoke", "smith took it"], [[], ["smith"]])
    assert drawn.spoken[0] == ((len(tokenizer.encode("john")), 0),)


def test_ordinary_words_serve_as_names(tokenizer: SentencePieceTokenizer) -> None:
    drawn = maker(tokenizer, ordinary=50.0).draw(["the doctor spoke of peace"], [["peace"]])
    assert len(drawn.spoken[0]) == 3


def test_names_are_respelled_in_list_and_reference(tokenizer: SentencePieceTokenizer) -> None:
    spellings = {"new york": ["knew yorke"], "smith": ["smyth"], "peace": []}
    drawn = maker(tokenizer, respell=1.0, spellings=spellings).draw(
        ["new york and new york", "smith of york wants peace", "smith is in new york"],
        [["new york"], ["smith", "peace"], []],
    )
    assert drawn.texts == (
        "knew yorke and knew yorke",
        "smyth of york wants peace",
        "smith is in new york",
    )
    listed = [row[: int(n)].tolist() for row, n in zip(drawn.names.tokens, drawn.names.lengths)]
    for name in ("knew yorke", "smyth", "peace"):
        assert tokenizer.encode(name) in listed
    for name in ("new york", "smith"):
        assert tokenizer.encode(name) not in listed
    tokens = tokenizer.encode(drawn.texts[0])
    name = tokenizer.encode("knew yorke")
    starts = [start for start, index in drawn.spoken[0] if listed[index] == name]
    assert [tokens[start : start + len(name)] for start in starts] == [name, name]


def test_a_respelled_name_is_not_listed_as_it_was(tokenizer: SentencePieceTokenizer) -> None:
    # The second utterance has the spelling of the first one's name for a name of its own.
    drawn = maker(tokenizer, respell=1.0, spellings={"smith": ["smyth"], "smyth": ["smythe"]}).draw(
        ["smith spoke", "smyth spoke"], [["smith"], ["smyth"]]
    )
    assert drawn.texts == ("smyth spoke", "smythe spoke")
    assert drawn.allowed[0].all()
    assert not drawn.allowed[1, 0]
    assert drawn.spoken[1] == ((0, 1),)


def test_an_utterance_that_is_denied_its_names_keeps_their_spelling(
    tokenizer: SentencePieceTokenizer,
) -> None:
    drawn = maker(tokenizer, empty=1.0, respell=1.0, spellings={"smith": ["smyth"]}).draw(
        ["smith spoke"], [["smith"]]
    )
    assert drawn.texts == ("smith spoke",)
    assert drawn.spoken == ((),)


def test_wanted_rows(tokenizer: SentencePieceTokenizer) -> None:
    drawn = maker(tokenizer).draw(["new york"], [["york"]])
    size = len(tokenizer.encode("york"))
    name = drawn.spoken[0][0][1]
    start = len(tokenizer.encode("new"))
    drawn = replace(drawn, spoken=(((start, name),),))
    b = BLANK_FRAME
    path = [b, b, b, b, 0, b, *range(start, start + size), b, b, b, b, b]
    wanted = wanted_rows(torch.tensor([path]), torch.tensor([len(path) - 1]), drawn)[0].tolist()
    first = int((torch.cumsum(drawn.names.lengths, 0) - drawn.names.lengths)[name])
    assert wanted[:6] == [0, 0, 0, IGNORE, 0, IGNORE]
    assert wanted[6 : 6 + size] == [1 + first + j for j in range(size)]
    assert wanted[6 + size :] == [IGNORE, IGNORE, IGNORE, 0, IGNORE]


def test_base_keeps_every_bit(
    config: Path, model: Path, named_cuts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = load_package(model)
    before = {name: tensor.clone() for name, tensor in package.model.state_dict().items()}
    base = FrozenPackage(package, torch.device("cpu"))
    adapter = ContextualAdapter(
        AdapterConfig(width=8, heads=2, head_size=4, fusion=8), package.model.config.adapter_shape
    )
    criterion = _Criterion(
        base, adapter, maker(package.tokenizer), load_config(AdaptConfig, config)
    )
    dataset = SpeechDataset(package.tokenizer, base.front)
    batch = dataset[load_cuts([named_cuts], max_seconds=20.0)]
    with monkeypatch.context() as patch:  # frames that are free count for nothing
        patch.setattr(
            adapt,
            "wanted_rows",
            lambda positions, *_: positions.new_full((), IGNORE).expand(positions.shape),
        )
        losses = criterion(batch)
    assert (float(losses["guided"]), float(losses["moved"])) == (0.0, 0.0)
    optimiser = torch.optim.AdamW(criterion.parameters(), lr=0.1)
    criterion.train()
    assert not package.model.training
    for _ in range(3):
        optimiser.zero_grad()
        criterion(batch)["total"].backward()
        optimiser.step()
    for name, tensor in package.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert any(bool(weight.grad.abs().sum() > 0) for weight in adapter.parameters())


def test_resumes_and_exports(config: Path, model: Path, tmp_path: Path) -> None:
    weights = (model / "model.safetensors").read_bytes()
    run = tmp_path / "run"
    launch(AdaptConfig, config, run, settings=["steps=2"])
    launch(AdaptConfig, config, run)
    assert checkpoints(run)[-1].name == "step-00000004"
    log = (run / "train.log").read_text()
    assert "resuming from" in log
    assert "f1_without" in log
    assert export_run(run, model) == 2
    package = load_package(model)
    assert package.adapter is not None
    assert (model / "model.safetensors").read_bytes() == weights
    last = read_tensors(checkpoints(run)[-1] / "model.safetensors")
    assert set(package.adapter.state_dict()) == set(last)


def test_adapter_of_another_model_is_refused(
    config: Path, model: Path, tmp_path: Path, tiny_config: ModelConfig, tokenizer_path: Path
) -> None:
    run = tmp_path / "run"
    launch(AdaptConfig, config, run)
    export_run(run, model)
    other = tmp_path / "other"
    save_package(other, CtcModel(tiny_config).state_dict(), tiny_config, tokenizer_path)
    with pytest.raises(ModelError, match="is not the model that the adapter was trained on"):
        export_run(run, other)
    for name in ("adapter.json", "adapter.safetensors"):
        (other / name).write_bytes((model / name).read_bytes())
    with pytest.raises(ModelError, match="trained on another model"):
        load_package(other)


def test_manifest_without_entities(config: Path, tiny_cuts: Path, tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no supervision has custom"):
        launch(AdaptConfig, config, tmp_path / "run", settings=[f'train=["{tiny_cuts}"]'])


def test_a_run_has_one_kind(config: Path, train_config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = CliRunner().invoke(main, ["train", "--config", str(train_config), "--run", str(run)])
    assert result.exit_code == 0, result.output
    result = CliRunner().invoke(main, ["adapt", "--config", str(config), "--run", str(run)])
    assert result.exit_code == 1
    assert "holds a run of another kind" in result.output
    with pytest.raises(ConfigError, match=r"another \[adapter\] table"):
        launch(AdaptConfig, config, tmp_path / "new", settings=["steps=2"])
        launch(AdaptConfig, config, tmp_path / "new", settings=["adapter.fusion=4"])


@pytest.mark.parametrize(
    ("changes", "words"), [({"names": (0, 3)}, "range of counts"), ({"empty": 1.5}, "0..1")]
)
def test_impossible_settings(changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(AdaptConfig(train=()), **changes)
