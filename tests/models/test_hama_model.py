"""The phone model of the package hama: what it takes, and what is told without it."""

from __future__ import annotations

import gzip
import importlib.util
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import Recording, to_recording
from ctcbias_fst.cli import main
from ctcbias_fst.errors import MissingDependencyError, ModelError
from ctcbias_fst.models import hama_model
from ctcbias_fst.models.embedded_phones import EmbeddedPhones
from ctcbias_fst.models.find import kind_of, load_model
from ctcbias_fst.models.package import DEFAULT, PACKAGED
from ctcbias_fst.models.phone_listener import MappedPhones, phone_listener
from ctcbias_fst.settings import settings_of
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer

CLIPS = DEFAULT.parent / "clips"
NAMES = ["Norfenefrine", "Piketoprofen", "Imiglucerase", "Bridlewood", "Rendall"]
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("hama") is None, reason="the extra hama is not installed"
)


@pytest.fixture(scope="module")
def model() -> Recognizer:
    return Recognizer.from_pretrained("hama")


def test_its_name_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But what is there goes before."""
    monkeypatch.chdir(tmp_path)
    assert kind_of(Path("hama")) == "hama"
    assert settings_of(Path("hama"))["decode"]["lm"]["letter_cost"] == 0
    (tmp_path / "hama").mkdir()
    assert settings_of(Path("hama")) == {}
    with pytest.raises(ModelError, match="it is empty"):
        kind_of(Path("hama"))


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def newer(name: str) -> str:
        assert name == "hama"
        return "1.8.0"

    monkeypatch.setattr(hama_model, "version", newer)
    monkeypatch.setattr(hama_model, "import_module", lambda name: None)
    with pytest.raises(
        MissingDependencyError, match=r"needs hama 1.7.0: pip install '.*\[hama\]'; found 1.8.0"
    ):
        load_model("hama")


def test_that_it_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(hama_model, "import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ctcbias_fst\[hama\]'"):
        load_model("hama")


@needs_package
def test_no_language_is_chosen() -> None:
    with pytest.raises(ModelError, match="this decodes English"):
        load_model("hama", language="de")


@needs_package
def test_names_in_clips(model: Recognizer) -> None:
    """All of them, of a synthesiser that this model was not made for either."""
    rows = map(json.loads, (CLIPS / "clips.jsonl").read_text().splitlines())
    wanted = {row["path"]: row for row in rows}
    names = model.compile(NAMES)
    for path in ("medical-1.flac", "medical-2.flac", "parliament-1.flac"):
        found = model.transcribe(CLIPS / path, entities=names)
        said = {one.mention.entity.name for one in found.best.mentions}
        assert said == set(wanted[path]["entities"])
    (plain,) = model.transcribe([CLIPS / "general-1.flac"], entities=names)
    assert "the old bridge was" in plain.best.text
    assert not plain.best.mentions


@needs_package
def test_long_audio_is_heard_to_its_end(model: Recognizer) -> None:
    """The model itself cuts off what is behind 30 seconds."""
    one = to_recording(CLIPS / "medical-2.flac", 16000)
    several = int(36 / one.seconds) + 1
    long = Recording("long", np.tile(one.samples, several), 16000)
    (found,) = model.transcribe_recordings([long], [model.compile(NAMES)])
    times = [span.start for span in found.best.mentions]
    assert len(times) == several
    assert times[-1] > 30
    assert np.diff(times) == pytest.approx(one.seconds, abs=0.15)


@needs_package
def test_log_probs_are_the_same_each_time(model: Recognizer) -> None:
    """The noise that is added is; and a copy of the model hears what it does."""
    one = to_recording(CLIPS / "medical-2.flac", 16000)
    first = model.model.log_probs([one]).log_probs
    copied = pickle.loads(pickle.dumps(model.model))
    assert np.array_equal(first, model.model.log_probs([one]).log_probs)
    assert np.array_equal(first, copied.log_probs([one]).log_probs)
    assert np.exp(first[0].numpy()).sum(axis=1) == pytest.approx(1.0, abs=1e-4)


@needs_package
def test_it_listens_beside_a_model() -> None:
    """In silence, though most of its symbols are of other languages; and as much earlier than the
    embedded phone head as their lags say, by the delay at which both agree most."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        listener = phone_listener("hama")
    assert isinstance(listener, MappedPhones)
    clips = [to_recording(path, 16000) for path in sorted(CLIPS.glob("*.flac"))]
    own, other = listener.phone_log_probs(clips), EmbeddedPhones.load().phone_log_probs(clips)
    assert own.lag is not None and other.lag is not None
    early, late = (one.log_probs.exp()[:, :, 1:] for one in (own, other))
    late = late.repeat_interleave(round(other.frame_seconds / own.frame_seconds), dim=1)
    frames = min(early.shape[1], late.shape[1])
    agreement = [
        float((early[:, : frames - delay] * late[:, delay:frames]).sum()) for delay in range(60)
    ]
    best = int(np.argmax(agreement)) * own.frame_seconds
    assert best == pytest.approx(other.lag - own.lag, abs=0.021)
    recognizer = Recognizer.from_pretrained(phones="hama")
    found = recognizer.transcribe(CLIPS / "medical-2.flac", entities=NAMES)
    assert found.best.phone is not None
    assert {one.mention.entity.name for one in found.best.mentions} == {"imiglucerase"}


@needs_package
def test_lattices_of_its_words_are_not_saved(tmp_path: Path) -> None:
    arguments = ["--cuts", str(CLIPS), "--model", "hama", "--lattice-dir", str(tmp_path / "lat")]
    result = CliRunner().invoke(main, ["decode", *arguments, "--out", str(tmp_path / "o.jsonl")])
    assert result.exit_code == 1
    assert "lattices of words of a lexicon cannot be saved" in result.output


@needs_package
def test_digital_silence_is_nothing(model: Recognizer) -> None:
    silence = Recording("silence", np.zeros(32000, dtype=np.float32), 16000)
    (found,) = model.transcribe_recordings([silence], [model.compile(NAMES)])
    assert found.best.text == ""


@needs_package
def test_words_are_written_as_its_rules_do_and_as_english(model: Recognizer) -> None:
    tokenizer = model.model.tokenizer
    assert isinstance(tokenizer, LexiconTokenizer)
    tokens = tokenizer.vocabulary.tokens

    def ways(word: str) -> set[str]:
        return {"".join(tokens[one] for one in way) for way, _ in tokenizer.lexicon.ways(word)}

    assert {"one", "wʌn"} <= ways("one")
    assert "mɪstɝ" in ways("mister") - ways("mr")
    assert ways("nbc") == {"ɛnbisi"}
    assert len(tokenizer.lexicon.words) > 118_000
    names = ["metformin", "imiglucerase"]
    own, usual = (tokenizer.encode_nbest([name], 4)[0] for name in names)
    assert "".join(tokens[one] for one in own[0][0]) == "mɛtfɔɹmɪn"
    # Here its rules speak Spanish, which is not tried first.
    assert "".join(tokens[one] for one in usual[0][0]) == "ɪmɪglusɝeɪz"
    assert len(own) == len(usual) == 4


@needs_package
def test_the_lexicon_is_what_the_recipe_writes() -> None:
    """Of some words; all of them take minutes."""
    spec = importlib.util.spec_from_file_location(
        "hama_lexicon", DEFAULT.parents[2] / "recipes" / "pronunciation" / "hama_lexicon.py"
    )
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)

    lines = gzip.decompress((PACKAGED["hama"] / "lexicon.tsv.gz").read_bytes()).decode()
    listed = lines.splitlines(keepends=True)
    some = listed[:: len(listed) // 12]
    assert recipe.lexicon_lines(line.split("\t")[0] for line in some) == some
