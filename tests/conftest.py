"""Fixtures and settings that every test shares."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import settings

from ctcbias_fst.text.tokens import SentencePieceTokenizer
from ctcbias_fst.text.train_tokenizer import train_tokenizer

# Time limits per example say more about the machine's load than about the code.
settings.register_profile("ctcbias", deadline=None, print_blob=True)
settings.load_profile("ctcbias")

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
