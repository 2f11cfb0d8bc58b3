"""Wrong arguments in Python: an error of the package that says what is wanted."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import CtcbiasError
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.lm_config import LmConfig
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.from_tokens(["<blk>", "|", "a", "b"])
LENGTHS = torch.tensor([5, 5])
VALUES = torch.zeros(2, 5, 4).log_softmax(-1)
HUM = np.sin(np.arange(16000, dtype=np.float32)) / 2
HUM_ON_META = torch.zeros(16000, device="meta")
ENDLESS = np.broadcast_to(np.float32(0), 10**12)


class Stubborn:
    """Can be neither hashed, nor compared, nor copied."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not to be compared")

    def __deepcopy__(self, memo: object) -> Stubborn:
        raise RuntimeError("not to be copied")


def batch(**changes: Any) -> LogProbs:
    usual: dict[str, Any] = {
        "log_probs": VALUES,
        "lengths": LENGTHS,
        "frame_seconds": 0.04,
        "ids": ("a", "b"),
        "vocabulary": VOCABULARY,
    }
    return LogProbs(**{**usual, **changes})


def tokens(*more: Any, **options: Any) -> Vocabulary:
    return Vocabulary.from_tokens(["<blk>", "|", *more], **options)


def decode(*arguments: Any) -> Any:
    decoder: Any = LatticeDecoder(VOCABULARY)
    return decoder.decode(*arguments)


Wrong = Callable[[Any], Any]
OF_RECOGNIZER: dict[str, Wrong] = {
    "no recordings": lambda r: r.transcribe(None),
    "one recording": lambda r: r.transcribe_files("a.wav").__next__(),
    "no files": lambda r: list(r.transcribe_files(None)),
    "lists for files": lambda r: r.transcribe_files(["a.wav"] * 2, [["abba"], None]),
    "list for a file": lambda r: r.transcribe_files(["a.wav"], [["abba"]]),
    "no lists": lambda r: r.transcribe([Recording("a", HUM, 16000)], entities=3),
    "generator of lists": lambda r: r.transcribe(
        [Recording("a", HUM, 16000)], entities=(one for one in [None, ["abba"]])
    ),
    "generator of lists for files": lambda r: r.transcribe_files(
        ["a.wav"], (one for one in [["abba"]])
    ),
    "names and none": lambda r: r.transcribe(HUM, entities=["a", None], sampling_rate=16000),
    "no n-best": lambda r: r.transcribe(HUM, sampling_rate=16000, nbest=0),
    "half of the n-best": lambda r: r.transcribe(HUM, sampling_rate=16000, nbest=1.5),
    "nothing to encode": lambda r: r.log_probs([]),
    "nothing to decode": lambda r: r.decoder.decode(None),
    "logits": lambda r: r.decoder.decode(VALUES),
    "lists for others": lambda r: r.decoder.decode([VALUES[0]] * 2, entities=[None]),
    "seconds nan": lambda r: r.compile(["abba"], seconds=float("nan")),
    "seconds inf": lambda r: r.compile(["abba"], seconds=float("inf")),
    "seconds text": lambda r: r.compile(["abba"], seconds="x"),
    "path number": lambda r: r.from_pretrained(3),
    "path bytes": lambda r: r.from_pretrained(b"x"),
    "settings of a number": lambda r: r.from_pretrained(settings=3),
    "settings that are none": lambda r: r.from_pretrained(settings={"decode": {"nbets": 3}}),
    "dotted setting that is none": lambda r: r.from_pretrained(settings={"decode.nbets": 3}),
    "setting of a number": lambda r: r.from_pretrained(settings={3: 3}),
    "config mapping": lambda r: Recognizer(r.model, {}),  # type: ignore[arg-type]
    "meta samples": lambda r: r.transcribe(HUM_ON_META, sampling_rate=16000),
    "meta rate": lambda r: r.transcribe(HUM, sampling_rate=HUM_ON_META[0]),
    "endless": lambda r: r.transcribe(ENDLESS, sampling_rate=16000),
    "endless integers": lambda r: r.transcribe(
        np.broadcast_to(np.int16(0), 10**12), sampling_rate=16000
    ),
    "endless recording": lambda r: r.transcribe(Recording("a", ENDLESS, 16000)),
    "meta weight": lambda r: r.compile([{"name": "abba", "weight": HUM_ON_META[0]}]),
    "stubborn weight": lambda r: r.compile([{"name": "abba", "weight": Stubborn()}]),
    "stubborn category": lambda r: r.transcribe(
        HUM, entities=[{"name": "abba", "category": Stubborn()}], sampling_rate=16000
    ),
}

OF_RECOGNIZER |= {
    f"{name} for a model": lambda r, model=model: Recognizer(model or r.decoder)  # type: ignore[misc]
    for name, model in (
        ("a folder", "folder"),
        ("a decoder", None),
        ("a number", 3),
        ("a module", torch.nn.Linear(2, 2)),
    )
}
OF_RECOGNIZER |= {
    f"{name} for compiled lists": lambda r, n=names: r.transcribe_recordings(  # type: ignore[misc]
        [Recording("a", HUM, 16000)], n
    )
    for name, names in (("names", ["abba"]), ("none", None), ("lists", [["abba"]]))
}
OF_RECOGNIZER["few lists"] = lambda r: r.log_probs([Recording("a", HUM, 16000)] * 2, [None])

OF_PARTS: dict[str, Callable[[], Any]] = {
    **{
        f"device {name}": lambda name=name: LatticeDecoder(VOCABULARY, device=name)  # type: ignore[misc]
        for name in ("xx", "meta", "cuda:99", None)
    },
    "decoder of nothing": lambda: LatticeDecoder(None),  # type: ignore[arg-type]
    "decoder of a mapping": lambda: LatticeDecoder(VOCABULARY, {}),  # type: ignore[arg-type]
    "list text": lambda: decode(batch(), "ab"),
    "list of names": lambda: decode(batch(), [["abba"], None]),
    "generator": lambda: decode(batch(), (one for one in [None, None])),
    "number": lambda: decode(batch(), 3),
    "nothing": lambda: decode(None),
    "tensor": lambda: decode(VALUES),
    "lengths float": lambda: batch(lengths=[5.0, 5.0]),
    "lengths none": lambda: batch(lengths=None),
    "lengths ragged": lambda: batch(lengths=[[1], [2, 3]]),
    "lengths huge": lambda: batch(lengths=[10**30, 5]),
    "ids none": lambda: batch(ids=None),
    "ids text": lambda: batch(ids="ab"),
    "ids numbers": lambda: batch(ids=(1, 2)),
    "frame text": lambda: batch(frame_seconds="x"),
    "frame none": lambda: batch(frame_seconds=None),
    "frame two": lambda: batch(frame_seconds=torch.tensor([0.04, 0.04])),
    "ragged": lambda: batch(log_probs=[[[0.0], [1.0, 2.0]]]),
    "meta": lambda: batch(log_probs=VALUES.to("meta")),
    "sparse": lambda: batch(log_probs=VALUES.to_sparse()),
    "vocabulary none": lambda: batch(vocabulary=None),
    "tokens none": lambda: Vocabulary.from_tokens(None),  # type: ignore[arg-type]
    "tokens text": lambda: Vocabulary.from_tokens("|ab"),
    "token none": lambda: tokens("a", None),
    "token half": lambda: tokens("a", "\ud800"),
    "boundary": lambda: tokens("a", boundary="spaces"),
    "columns": lambda: tokens("a", columns="x"),
    "blank": lambda: tokens("a", blank=1.5),
    "path": lambda: Vocabulary.from_file(3),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", OF_RECOGNIZER)
def test_recognizer(name: str, recognizer: Recognizer) -> None:
    with pytest.raises(CtcbiasError) as raised:
        OF_RECOGNIZER[name](recognizer)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize("name", OF_PARTS)
def test_parts(name: str) -> None:
    with pytest.raises(CtcbiasError) as raised:
        OF_PARTS[name]()
    assert len(str(raised.value)) < 400


def test_a_copy_of_a_recognizer_finds_the_same(recognizer: Recognizer) -> None:
    noise = np.random.default_rng(0).normal(size=32000).astype(np.float32)
    recording = Recording("a", noise, 16000)
    names = recognizer.compile(["Imiglucerase", "Keisha Smith"])
    expected = recognizer.transcribe(recording, entities=names)
    copied, listed = pickle.loads(pickle.dumps((recognizer, names)))
    assert copied.transcribe(recording, entities=listed) == expected
    assert repr(copy.deepcopy(recognizer)) == repr(recognizer)


def test_what_is_meant_is_taken(recognizer: Recognizer) -> None:
    assert recognizer.transcribe([]) == []
    several = (Recording(name, HUM, 16000) for name in "ab")
    assert [one.id for one in recognizer.transcribe(several)] == ["a", "b"]  # type: ignore[arg-type]
    for lengths in ([5, 4], (5, 4), np.array([5, 4], np.int32)):
        assert batch(lengths=lengths).lengths.tolist() == [5, 4]
    assert batch(ids=["a", "b"]).ids == ("a", "b")
    for seconds in (np.float32(0.5), torch.tensor(0.5)):
        assert type(batch(frame_seconds=seconds).frame_seconds) is float
    named: Any = "separator"
    assert tokens("a", boundary=named).boundary is WordBoundary.SEPARATOR
    assert tokens("a", blank=np.int64(0)) == tokens("a")
    assert Vocabulary(("<blk>", "|"), np.int64(0), named).digest  # type: ignore[arg-type]
    assert PipelineConfig(lm="lm.arpa").lm == Path("lm.arpa")  # type: ignore[arg-type]
    assert type(DecodeConfig(nbest=np.int64(3)).nbest) is int  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (DecodeConfig, "nbest", 1.5),
        (DecodeConfig, "search_beam", "x"),
        (DecodeConfig, "max_active", True),
        (DecodeConfig, "boost", None),
        (BoostConfig, "top_k", 1.5),
        (BoostConfig, "first_top_k", 2**31),
        (BoostConfig, "beta", 10**30),
        pytest.param(BoostConfig, "beta", 10**5000, id="digits"),
        (BoostConfig, "bonus", None),
        (LmConfig, "scale", "1"),
        (PipelineConfig, "segmentations", 1.5),
        (PipelineConfig, "parts", "boost"),
        (PipelineConfig, "parts", None),
    ],
)
def test_settings(kind: type, name: str, value: Any) -> None:
    """They are refused when they are made, not by the search."""
    with pytest.raises(ValueError, match=f"^{name} must be"):
        kind(**{name: value})
