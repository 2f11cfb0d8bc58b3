"""A language of few letters: small enough to list everything that it can do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctcbias_fst.ngram.estimate import estimate
from ctcbias_fst.pronunciation import g2p_ngram as ngram
from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.g2p_ngram import Order
from ctcbias_fst.pronunciation.lexicon import Lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer

UNITS = ("a:AE", "a:EY", "c:K", "c:S", "ck:K", "k:K", "k:", "x:K S", "e:", "e:IY", "t:T")
CUTS = (
    "c:K a:AE t:T",
    "t:T a:AE ck:K",
    "t:T a:EY k:K e:",
    "a:AE x:K S",
    "c:S e:IY",
    "k:K a:EY t:T e:",
    "k: a:AE t:T",
)


def tiny_model(order: int = 3) -> list[Order]:
    """An n-gram of `UNITS`, from seven words."""
    number = {unit: ngram.FIRST_SYMBOL + i for i, unit in enumerate(UNITS)}
    return estimate([[number[u] for u in units_of(cut)] for cut in CUTS], order)


def units_of(cut: str) -> list[str]:
    """``x:K S c:K`` as its units: a word without a colon belongs to the unit before it."""
    found: list[str] = []
    for word in cut.split(" "):
        if ":" in word:
            found.append(word)
        else:
            found[-1] += f" {word}"
    return found


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny G2P as a file."""
    path = tmp_path_factory.mktemp("sounds") / "g2p.safetensors"
    ngram.save(path, tiny_model(), UNITS)
    return path


@pytest.fixture(scope="session")
def tiny_g2p(tiny_path: Path) -> G2P:
    """The tiny G2P: letters a c e k t x."""
    return G2P.load(tiny_path)


@pytest.fixture
def pronouncer(tiny_g2p: G2P) -> Pronouncer:
    """A lexicon of a few words, and the tiny G2P."""
    lexicon = Lexicon(
        {
            "ace": "EY S",
            "nineteen": "N AY N T IY N",
            "twelve": "T W EH L V",
            "one": "W AH N;HH W AH N",
            "two": "T UW",
            "o'neill": "OW N IY L",
            "saint": "S EY N T",
            "street": "S T R IY T",
            "jones": "JH OW N Z",
        }
    )
    return Pronouncer(lexicon, tiny_g2p)
