"""Spoilt files of every kind that is read: what they hold, or one line that says what is wrong."""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from generated import EDITS, NUMBERS, Edit, many, spoil
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save as to_safetensors
from strategies import VOCABULARIES

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.config import load_config, merge, parse_overrides
from ctcbias_fst.errors import CtcbiasError, CtcbiasWarning
from ctcbias_fst.graph.draw import draw_boost_graph
from ctcbias_fst.graph.entity_tree import boost_graph
from ctcbias_fst.graph.openfst_files import read_boost_graph, write_boost_graph
from ctcbias_fst.models.package import load_package
from ctcbias_fst.ngram.ngram_lm import load_lm, perplexity, save_lm
from ctcbias_fst.ngram.tables import NgramTables
from ctcbias_fst.ngram.train import TrainLmConfig, train_lm
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.saved_log_probs import SavedLogProbs
from ctcbias_fst.search.stack import stack
from ctcbias_fst.settings import PipelineConfig, settings_of
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.tokens import FewestPiecesTokenizer, load_tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary
from tests.ngram.test_arpa import SMALL
from tests.tiny_models import speechlike

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
SECONDS = 10.0
"""Of the processor, for one input."""

SEEN: Counter[tuple[str, str]] = Counter()


def told(kind: str, use: Callable[[], object]) -> bool:
    """Use something: whether it worked, or was refused in one line, in time."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CtcbiasWarning)
        try:
            use()
        except CtcbiasError as error:
            message = str(error)
            assert message.strip()
            assert "\n" not in message, message
            assert len(message) < 2000, message
            message.encode()
            SEEN[kind, "refused"] += 1
            return False
        finally:
            assert time.process_time() - begin < SECONDS
    SEEN[kind, "read"] += 1
    return True


# Language models.


def whole_lm(tmp_path: Path, name: str) -> bytes:
    if name == "lm.arpa":
        return SMALL.encode()
    path = tmp_path / "whole.safetensors"
    text = [line.split() for line in ("a b c", "a b d", "c a b", "e a b", "a f")]
    save_lm(path, train_lm(text, TrainLmConfig(order=3)), "byte")
    return path.read_bytes()


def use_lm(path: Path) -> None:
    model = load_lm(path)
    found = NgramTables.of(model, "cpu")
    found.end(torch.tensor([found.begin]))
    with np.errstate(all="ignore"):
        perplexity(model, [["a", "b"], ["zz"]])
        for name in ("again.arpa", "again.safetensors"):
            save_lm(path.with_name(name), model, "float16")


LM_FILES = pytest.mark.parametrize("name", ["lm.arpa", "lm.safetensors"])


def language_model(folder: Path, name: str, edits: list[Edit]) -> None:
    (folder / name).write_bytes(spoil(whole_lm(folder, name), edits))
    told(name, lambda: use_lm(folder / name))


@LM_FILES
@FEW
@given(edits=EDITS)
def test_language_models(tmp_path: Path, name: str, edits: list[Edit]) -> None:
    language_model(tmp_path, name, edits)


@LM_FILES
@many("language models", 3000)
@given(edits=EDITS)
def test_many_language_models(tmp_path: Path, name: str, edits: list[Edit]) -> None:
    language_model(tmp_path, name, edits)


# Log-probs.

VOCABULARY = VOCABULARIES[0]
LETTERS = Vocabulary.from_tokens(["<pad>", "|", *"abcdefghijklmnopqrstuvwxyz'"])


def log_probs_files() -> dict[str, bytes]:
    random = np.random.default_rng(0)
    arrays = {
        name: np.log(random.dirichlet(np.ones(5), size=frames)).astype(np.float32)
        for name, frames in (("one", 3), ("two", 7))
    }
    packed, plain, single = BytesIO(), BytesIO(), BytesIO()
    np.savez_compressed(packed, frame_seconds=0.02, **arrays)
    np.savez(plain, frame_seconds=0.02, **arrays)
    np.save(single, arrays["two"])
    halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    return {
        "packed.npz": packed.getvalue(),
        "plain.npz": plain.getvalue(),
        "one.npy": single.getvalue(),
        "x.safetensors": to_safetensors(halves, {"frame_seconds": "0.02"}),
    }


LOG_PROBS = log_probs_files()


def use_log_probs(path: Path) -> None:
    saved = SavedLogProbs(path)
    assert saved.columns is None or saved.columns >= 0
    faults = []
    for name in saved.frames:
        try:
            array = saved.read(name, VOCABULARY)
            LatticeDecoder(VOCABULARY).decode(stack([array], [name], VOCABULARY, 0.02))
        except CtcbiasError as error:
            assert "\n" not in str(error)
            faults.append(error)
    if faults:
        raise faults[0]


def log_probs(folder: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(LOG_PROBS)))
    (folder / name).write_bytes(spoil(LOG_PROBS[name], data.draw(EDITS)))
    told("log-probs", lambda: use_log_probs(folder / name))


@FEW
@given(data=st.data())
def test_log_probs(tmp_path: Path, data: st.DataObject) -> None:
    log_probs(tmp_path, data)


@many("files of log-probs", 3000)
@given(data=st.data())
def test_many_log_probs(tmp_path: Path, data: st.DataObject) -> None:
    log_probs(tmp_path, data)


# Vocabularies.

TOKENS = ["<pad>", "|", "<unk>", *"abcdefgh'", "th", "in"]
VOCABULARY_FILES = {
    "tokens.txt": "".join(f"{token}\n" for token in TOKENS).encode(),
    "numbered.txt": "".join(f"{token} {i}\n" for i, token in enumerate(TOKENS)).encode(),
    "vocab.json": json.dumps({token: i for i, token in enumerate(TOKENS)}).encode(),
    "nested.json": json.dumps(
        {"model": {"vocab": {token: i for i, token in enumerate(TOKENS)}}, "added_tokens": []}
    ).encode(),
}


def use_vocabulary(path: Path) -> None:
    vocabulary = Vocabulary.from_file(path)
    names = entities_from_names(["abba", "the bed", "zzz"])
    tokenizer = load_tokenizer(path, vocabulary)
    boost_graph(check_entities(names, tokenizer), tokenizer, segmentations=2)


def vocabularies(folder: Path, tokenizer: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([*VOCABULARY_FILES, "tokenizer.model"]))
    whole = VOCABULARY_FILES.get(name) or tokenizer.read_bytes()
    (folder / name).write_bytes(spoil(whole, data.draw(EDITS)))
    told("vocabulary", lambda: use_vocabulary(folder / name))


@FEW
@given(data=st.data())
def test_vocabularies(tmp_path: Path, tokenizer_path: Path, data: st.DataObject) -> None:
    vocabularies(tmp_path, tokenizer_path, data)


@many("vocabularies", 3000)
@given(data=st.data())
def test_many_vocabularies(tmp_path: Path, tokenizer_path: Path, data: st.DataObject) -> None:
    vocabularies(tmp_path, tokenizer_path, data)


# Graphs that were compiled, and what lies beside them.

GRAPHS = ("graph.fst", "graph.fst.json", "graph.txt", "graph.txt.json")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("graphs")
    rows = [{"name": "abba", "weight": 2.0, "sounds_like": ["aba"]}, "a cab", "COVID-19"]
    tokenizer = FewestPiecesTokenizer(LETTERS)
    graph = boost_graph(check_entities(entities_from_names(rows), tokenizer), tokenizer, 2)
    for name in ("graph.fst", "graph.txt"):
        write_boost_graph(graph, folder / name, LETTERS)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


SPOKEN = torch.randn(6, LETTERS.size, generator=torch.Generator().manual_seed(0)).log_softmax(1)


def use_graph(path: Path) -> None:
    graph = read_boost_graph(path, LETTERS)
    LatticeDecoder(LETTERS).decode(stack([SPOKEN], ["one"], LETTERS, 0.02), graph)
    ElementTree.fromstring(draw_boost_graph(graph, LETTERS, 5))


def graphs(folder: Path, compiled: dict[str, bytes], data: st.DataObject) -> None:
    spoiled = data.draw(st.sampled_from(GRAPHS))
    for name, whole in compiled.items():
        (folder / name).write_bytes(spoil(whole, data.draw(EDITS)) if name == spoiled else whole)
    told("graph", lambda: use_graph(folder / spoiled.removesuffix(".json")))


@FEW
@given(data=st.data())
def test_graphs(tmp_path: Path, compiled: dict[str, bytes], data: st.DataObject) -> None:
    graphs(tmp_path, compiled, data)


@many("graphs", 3000)
@given(data=st.data())
def test_many_graphs(tmp_path: Path, compiled: dict[str, bytes], data: st.DataObject) -> None:
    graphs(tmp_path, compiled, data)


# Model directories and settings.

CLIP = Recording("clip", speechlike(0.4, 1), 16000)
NAMES = ["metformin", "new york", "keisha"]


def model_directory(folder: Path, model: Path, data: st.DataObject) -> None:
    files = sorted(path for path in model.iterdir() if path.is_file())
    spoiled = data.draw(st.sampled_from(files))
    for path in files:
        target = folder / path.name
        target.unlink(missing_ok=True)
        if path != spoiled:
            target.symlink_to(path)
    (folder / spoiled.name).write_bytes(spoil(spoiled.read_bytes(), data.draw(EDITS)))

    def use() -> None:
        settings_of(folder)
        load_package(folder)

    told("model", use)


@FEW
@given(data=st.data())
def test_model_directories(
    tmp_path: Path, model_without_adapter: Path, data: st.DataObject
) -> None:
    model_directory(tmp_path, model_without_adapter, data)


@many("model directories", 3000)
@given(data=st.data())
def test_many_model_directories(tmp_path: Path, random_model: Path, data: st.DataObject) -> None:
    model_directory(tmp_path, random_model, data)


def keys(table: dict[str, object], prefix: str = "") -> list[str]:
    found = []
    for name, value in table.items():
        found.append(f"{prefix}{name}")
        if isinstance(value, dict):
            found += keys(value, f"{prefix}{name}.")
    return found


KEYS = keys(settings_of())
VALUES = st.one_of(
    NUMBERS.map(lambda text: text.decode()),
    st.floats(-1e6, 1e6).map(str),
    st.floats(0, 2).map(str),
    st.integers(-3, 50).map(str),
    st.sampled_from(["true", "false", "x", "", "[]", '["boost"]', '"all"', "\ud800"]),
)
OVERRIDES = st.lists(
    st.tuples(st.one_of(st.sampled_from(KEYS), st.text(max_size=8)), VALUES).map("=".join),
    min_size=1,
    max_size=4,
)


def use_settings(recognizer: Recognizer, overrides: list[str]) -> None:
    config = load_config(PipelineConfig, merge(settings_of(), parse_overrides(overrides)))
    changed = Recognizer(recognizer.model, replace(config, lm=None))
    names = changed.compile(NAMES, warn=False)
    changed.transcribe([CLIP], entities=[names])


@FEW
@given(overrides=OVERRIDES)
def test_settings(recognizer: Recognizer, overrides: list[str]) -> None:
    told("settings", lambda: use_settings(recognizer, overrides))


@many("settings", 3000)
@given(overrides=OVERRIDES)
def test_many_settings(recognizer: Recognizer, overrides: list[str]) -> None:
    told("settings", lambda: use_settings(recognizer, overrides))


@pytest.mark.slow
def test_both_kinds_were_seen(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        for (kind, what), count in sorted(SEEN.items()):
            print(f"\n{kind}: {count} {what}", end="")
    assert len(SEEN) >= 11
