"""Settings from speech without labels: the names made of it, and what is found with them."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from ctcbias_fst.cli import main
from ctcbias_fst.config import load_config, read_toml
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.errors import ConfigError, InputError
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search.saved_log_probs import SavedLogProbs
from ctcbias_fst.settings import PipelineConfig, changed
from ctcbias_fst.studies.calibrate import CalibrateConfig, calibrate
from ctcbias_fst.studies.pseudo_names import pseudo_names
from ctcbias_fst.text.tokens import tokenizer_of
from ctcbias_fst.variants.shipped import load_pronouncer

TOKENS = ["<blank>", "|", *"abcdefghijklmnopqrstuvwxyz'"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _texts(count: int = 40) -> dict[str, str]:
    """Sentences of rare words."""
    chance = random.Random(3)
    words = sorted(w for w in load_pronouncer().words if w.isalpha() and 5 <= len(w) <= 9)
    return {str(i): " ".join(chance.sample(words, 5)) for i in range(count)}


def _heard(text: str) -> np.ndarray:
    """Log-probs ``(frame, token)`` of a model that is sure, but not blind to other letters."""
    columns = [TOKENS.index("|" if c == " " else c) for c in text]
    scores = np.full((2 * len(columns), len(TOKENS)), 2e-3, dtype=np.float64)
    scores[0::2, 0] = 0.99
    scores[1::2][np.arange(len(columns)), columns] = 0.9
    vowels = [TOKENS.index(c) for c in "aeiouy"]
    for frame, column in zip(scores[1::2], columns):
        if column in vowels:
            frame[vowels] += 0.03
    return np.log(scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def speech() -> LogProbs:
    heard = [torch.from_numpy(_heard(text)) for text in _texts().values()]
    return LogProbs(
        torch.nn.utils.rnn.pad_sequence(heard, batch_first=True),
        torch.tensor([len(one) for one in heard]),
        0.04,
        tuple(_texts()),
        tokenizer_of(TOKENS).vocabulary,
    )


@pytest.fixture(scope="module")
def pronouncer() -> Pronouncer:
    return load_pronouncer()


def test_names_are_words_spelled_otherwise(pronouncer: Pronouncer) -> None:
    texts = _texts()
    study = pseudo_names(texts, names=30, decoys=50)
    said = {word for text in texts.values() for word in text.split()}
    assert len(study.names) == len(set(study.names)) == 30
    assert not set(study.names) & said
    assert not any(map(pronouncer.is_listed, study.names))
    assert study.words == 200
    spelled = 0
    for name, text in texts.items():
        for before, after in zip(text.split(), study.references[name].split()):
            assert after == before or after in study.names
            spelled += after != before
    assert spelled >= 30


def test_decoys_are_not_said(pronouncer: Pronouncer) -> None:
    texts = {**_texts(), "z": "philip met the carpenter"}
    study = pseudo_names(texts, decoys=400)
    assert len(study.decoys) == 400
    sounds = {
        one.phones
        for text in texts.values()
        for several in pronouncer.pronounce_all(text.split())
        for one in several
    }
    for decoy, several in zip(study.decoys, pronouncer.pronounce_all(study.decoys)):
        assert decoy not in " ".join(texts.values()).split()
        assert not any(one.phones in sounds for one in several)
    own = ["Phillip", "The Carpenter", "metformin", "Philip"]
    assert pseudo_names(texts, decoys=own).decoys == ("metformin",)
    with pytest.raises(InputError, match="every decoy is in the transcripts"):
        pseudo_names(texts, decoys=["Philip"])


def test_the_same_speech_gives_the_same_names() -> None:
    assert pseudo_names(_texts()) == pseudo_names(_texts())
    assert pseudo_names(_texts(), seed=1) != pseudo_names(_texts())


def test_too_little_speech_is_told() -> None:
    with pytest.raises(InputError, match="only . words .* give more speech"):
        pseudo_names({"a": "some ordinary sentence"})


def test_reckless_settings_are_mended(speech: LogProbs) -> None:
    make = partial(Decoder, tokenizer_of(TOKENS), frame_seconds=0.04)
    boost = {"bonus": 1.0, "beta": 1.8, "alpha": 0.95, "free": 2.0, "max_gain": 9.0}
    base = changed({}, {"parts": "boost", "decode": {"boost": boost}})
    config = CalibrateConfig(trials=12, names=40, decoys=200, tolerance=0.0)
    told: list[str] = []
    found = calibrate(make, [speech], base, config, report=told.append)
    assert found.before.changed > 0
    assert found.fit.changed < found.before.changed
    assert found.fit.f1 > 0.3
    assert len(told) == found.trials == 12
    assert told[0].startswith("trial 1: ")
    # What is reported is what these settings do.
    decoder = make(found.config)
    transcripts = decoder.decode(speech, entities=list(found.study.names + found.study.decoys))
    written = " ".join(one.best.text for one in transcripts).split()
    assert set(written) & set(found.study.names)
    others = load_config(PipelineConfig, {"parts": ["boost"]})
    assert found.config.lookup == others.lookup


def test_what_it_began_with_may_be_outside_of_the_ranges(speech: LogProbs) -> None:
    make = partial(Decoder, tokenizer_of(TOKENS), frame_seconds=0.04)
    base = changed({}, {"parts": "boost", "decode.boost.bonus": -20.0})
    config = CalibrateConfig(trials=2, names=30, decoys=50)
    assert calibrate(make, [speech], base, config).trials == 2
    with pytest.raises(ConfigError, match="boost is switched off"):
        calibrate(make, [speech], changed({}, {"parts": "none"}), config)


def test_the_command_writes_settings(speech: LogProbs, tmp_path: Path) -> None:
    arrays = {
        name: speech.log_probs[i, : int(speech.lengths[i])].numpy()
        for i, name in enumerate(speech.ids)
    }
    np.savez(tmp_path / "speech.npz", **arrays)
    (tmp_path / "tokens.txt").write_text(
        "".join(f"{token} {i}\n" for i, token in enumerate(TOKENS)), encoding="utf-8"
    )
    (tmp_path / "decoys.txt").write_text("metformin\nsaskatchewan\n", encoding="utf-8")
    assert SavedLogProbs(tmp_path / "speech.npz").columns == len(TOKENS)
    result = run(
        "calibrate",
        *("--log-probs", tmp_path / "speech.npz", "--tokens", tmp_path / "tokens.txt"),
        *("--decoys", tmp_path / "decoys.txt", "--frame-seconds", "0.04"),
        *("--parts", "boost", "--trials", "2", "--out", tmp_path / "settings.toml"),
    )
    assert result.exit_code == 0, result.output
    assert "200 words; " in result.stdout
    assert ", 2 decoys" in result.stdout
    assert "the best of 2 trials" in result.stdout
    load_config(PipelineConfig, tmp_path / "settings.toml")
    assert read_toml(tmp_path / "settings.toml")["parts"] == ["boost"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "pass either AUDIO or --log-probs"),
        (["a.wav", "--softmax"], "belong to --log-probs"),
    ],
)
def test_the_command_refuses(tmp_path: Path, options: list[str], message: str) -> None:
    result = run("calibrate", *options, "--out", tmp_path / "settings.toml")
    assert result.exit_code == 1
    assert message in result.stderr
