"""Spoilt files of every kind that is read: what they hold, or one line that says what is wrong."""

from __future__ import annotations

import json
import os
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lm.test_arpa import SMALL
from safetensors.numpy import save as to_safetensors
from strategies import VOCABULARIES

from ctcbias_fst.acoustic.audio import Recording
from ctcbias_fst.acoustic.package import load_package
from ctcbias_fst.config import load_config, merge, parse_overrides
from ctcbias_fst.decode.decoder import Decoder
from ctcbias_fst.decode.saved import SavedLogProbs, stack
from ctcbias_fst.errors import CtcbiasError, CtcbiasWarning
from ctcbias_fst.fst.boost import boost_graph
from ctcbias_fst.lm.model import load_lm, perplexity, save_lm
from ctcbias_fst.lm.tables import NgramTables
from ctcbias_fst.lm.train import TrainLmConfig, train_lm
from ctcbias_fst.pipeline import PipelineConfig, Recognizer, settings_of
from ctcbias_fst.text.encoded_entities import check_entities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.tokens import load_tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary
from tests.acoustic.conftest import speechlike

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
MANY = settings(
    max_examples=int(os.environ.get("GENERATED", "3000")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SECONDS = 10.0
"""Of the processor, for one input."""

SEEN: Counter[tuple[str, str]] = Counter()

NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][+-]?\d+)?")
_NUMBERS = (
    b"0;1;-1;3;7;99;255;256;65536;2147483647;2147483648;4294967296;9223372036854775808;-2147483649;"
    b'1e9;1e38;1e39;1e400;-1e400;1e-320;NaN;nan;inf;-inf;Infinity;-Infinity;null;true;[];{};"x";'
    b"'x';0.5;1.0;-0.0;1_000;0x10;[1, 2];[[1]];[1, \"x\"];--1;"
)
NUMBERS = st.sampled_from([*_NUMBERS.split(b";"), b"1" * 5000, b"[" * 3000])

Edit = tuple[str, float, int, bytes, bytes]
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["number", "number", "bytes", "flip", "cut", "line", "twice"]),
        st.floats(0, 1),
        st.integers(0, 20),
        st.binary(max_size=4),
        NUMBERS,
    ),
    min_size=1,
    max_size=3,
)


def spoil(data: bytes, edits: list[Edit]) -> bytes:
    """A file with bytes cut out, doubled, changed, or put in, and numbers that are others.

    Places are shares of the file; most are near its beginning, where headers are.
    """
    for kind, share, size, put, number in edits:
        at = min(int(share**3 * len(data)), len(data))
        if kind == "number":
            places = list(NUMBER.finditer(data))
            if places:
                place = places[min(int(share * len(places)), len(places) - 1)]
                data = data[: place.start()] + number + data[place.end() :]
        elif kind == "line":
            lines = data.split(b"\n")
            row = min(int(share * len(lines)), len(lines) - 1)
            lines[row : row + 1] = lines[row : row + 1] * (size % 3)
            data = b"\n".join(lines)
        elif kind == "cut":
            data = data[: int(share * len(data))]
        elif kind == "flip":
            data = data[:at] + put[:1] + data[at + 1 :]
        else:
            held = put if kind == "bytes" else data[at : at + size] * 2
            data = data[:at] + held + data[at + size :]
    return data


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


@pytest.mark.slow
@LM_FILES
@MANY
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
            Decoder(VOCABULARY).decode(stack([array], [name], VOCABULARY, 0.02))
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


@pytest.mark.slow
@MANY
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


@pytest.mark.slow
@MANY
@given(data=st.data())
def test_many_vocabularies(tmp_path: Path, tokenizer_path: Path, data: st.DataObject) -> None:
    vocabularies(tmp_path, tokenizer_path, data)


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


@pytest.mark.slow
@MANY
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
    changed.transcribe_batch([CLIP], [names])


@FEW
@given(overrides=OVERRIDES)
def test_settings(recognizer: Recognizer, overrides: list[str]) -> None:
    told("settings", lambda: use_settings(recognizer, overrides))


@pytest.mark.slow
@MANY
@given(overrides=OVERRIDES)
def test_many_settings(recognizer: Recognizer, overrides: list[str]) -> None:
    told("settings", lambda: use_settings(recognizer, overrides))


@pytest.mark.slow
def test_both_kinds_were_seen(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        for (kind, what), count in sorted(SEEN.items()):
            print(f"\n{kind}: {count} {what}", end="")
    assert len(SEEN) >= 11
