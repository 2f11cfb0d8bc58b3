"""Fixtures and settings that every test shares."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from forked_python import started
from generated import COUNTS
from hypothesis import Phase, settings

from ctcbias_fst.cache import VARIABLE
from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.adapter import ContextualAdapter
from ctcbias_fst.models.model_config import AdapterConfig, ModelConfig
from ctcbias_fst.models.package import save_adapter, save_package
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from ctcbias_fst.text.train_tokenizer import train_tokenizer
from tests.tiny_g2p import pronouncer, tiny_g2p, tiny_path
from tests.tiny_models import TINY, named_cuts, tiny_config, tiny_cuts, train_config

__all__ = [
    "named_cuts",
    "pronouncer",
    "tiny_config",
    "tiny_cuts",
    "tiny_g2p",
    "tiny_path",
    "train_config",
]
"""Fixtures of all tests that other modules here have."""

# Time limits per example say more about the machine's load than about the code. A change is not
# judged by inputs that another one was not tried on: these are drawn by `make fuzz`.
settings.register_profile("fresh", deadline=None, print_blob=True)
settings.register_profile("ctcbias", settings.get_profile("fresh"), derandomize=True)
settings.register_profile(
    "mutants",
    settings.get_profile("fresh"),
    database=None,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
)
settings.load_profile("ctcbias")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many inputs were generated for the slow tests."""
    if COUNTS:
        terminalreporter.section("generated inputs")
        for kind, count in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{kind}: {count:,}")
        terminalreporter.write_line(f"all: {COUNTS.total():,}")


_SENTENCES = """
she takes metformin and atorvastatin every morning
the doctor asked whether keisha had taken ibuprofen
new york and new orleans are cities of the united states
the president spoke of peace and of the nation's work
john smith's brother lives in york not in new york
quickly the lazy fox jumped over the brown dog's box
vexed by zeal we quiz a jumpy knight with much ado
parliament voted on the question of the fisheries
a patient with diabetes and hypertension was seen
"""


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for what is kept between runs: tests leave the user's alone."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder))
        yield folder


@pytest.fixture(scope="session")
def forked_python() -> Iterator[str]:
    """A command that runs what Python does, without loading torch and the like again."""
    with started() as command:
        yield str(command)


@pytest.fixture(scope="session")
def tokenizer_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model of 80 pieces: blank 0, unknown 1, letters and apostrophe."""
    folder = tmp_path_factory.mktemp("tokenizer")
    text = folder / "text.txt"
    text.write_text(_SENTENCES, encoding="utf-8")
    train_tokenizer([text], folder / "tokenizer.model", size=80)
    return folder / "tokenizer.model"


@pytest.fixture(scope="session")
def tokenizer(tokenizer_path: Path) -> SentencePieceTokenizer:
    """The tokenizer of `tokenizer_path`."""
    return SentencePieceTokenizer(tokenizer_path)


@pytest.fixture(
    scope="session",
    params=[
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
        ),
    ],
)
def device(request: pytest.FixtureRequest) -> torch.device:
    """Where to search: the CPU, and CUDA where there is one."""
    return torch.device(request.param)


@pytest.fixture(scope="session")
def model_without_adapter(tmp_path_factory: pytest.TempPathFactory, tokenizer_path: Path) -> Path:
    """A tiny model that says arbitrary things, loudly."""
    torch.manual_seed(0)
    target = tmp_path_factory.mktemp("model") / "plain"
    config = ModelConfig(encoder=TINY, tokens=80, phones=PHONES)
    network = CtcModel(config)
    torch.nn.init.normal_(network.subword_head.weight, std=2.0)
    save_package(target, network.state_dict(), config, tokenizer_path)
    return target


@pytest.fixture(scope="session")
def random_model(model_without_adapter: Path) -> Path:
    """The same with an adapter that says arbitrary things, too."""
    target = model_without_adapter.with_name("adapted")
    shutil.copytree(model_without_adapter, target)
    torch.manual_seed(1)
    config = AdapterConfig(width=8, heads=2, head_size=4, fusion=8)
    adapter = ContextualAdapter(config, ModelConfig(TINY, tokens=80).adapter_shape)
    torch.nn.init.normal_(adapter.project.weight, std=2.0)
    torch.nn.init.normal_(adapter.pointers.weight)
    torch.nn.init.constant_(adapter.no_bias_score, -8.0)
    torch.nn.init.zeros_(adapter.coverage)
    save_adapter(target, adapter.state_dict(), config, model_without_adapter)
    return target


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    """The embedded model, with its own settings."""
    return Recognizer.from_pretrained()
