"""Models of other families from the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import lhotse
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from tiny_hugging_face import noise, save

from ctcbias_fst import Recognizer
from ctcbias_fst.cli import main
from ctcbias_fst.corpus import backends
from ctcbias_fst.corpus.backends import SpeechBackend
from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.find import load_tokenizer
from ctcbias_fst.models.hugging_face import HuggingFaceScorer
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.studies.dev_sets import SpeechSource
from ctcbias_fst.text.entities import entities_from_names
from tests.corpus.test_transcript_files import texts
from tests.models.test_hugging_face import several

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched:UserWarning")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(tmp_path / "model", "unispeech-sat")


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Two recordings, whose names are those of their files."""
    folder = tmp_path / "audio"
    folder.mkdir()
    for i in range(2):
        soundfile.write(folder / f"{i}.wav", noise(1.5, seed=i), 16000)
    return folder


def test_what_the_models_are(model: Path) -> None:
    ours = json.loads(run("model", "info", "--format", "json").output)
    named = json.loads(run("model", "info", DEFAULT, "--format", "json").output)
    assert named == {**ours, "path": str(DEFAULT)}
    assert (ours["path"], ours["tokens"], ours["kind"]) == (None, 500, "pieces")
    assert (ours["frame_seconds"], ours["separator"]) == (0.04, None)
    assert set(ours["parts"].values()) == {None}

    found = json.loads(run("model", "info", model, "--format", "json").output)
    assert found["path"] == str(model)
    assert found["family"] == "unispeech-sat (Hugging Face)"
    assert (found["sampling_rate"], found["frame_seconds"]) == (16000, 0.02)
    assert (found["tokens"], found["kind"], found["case"]) == (32, "characters", "lower")
    assert (found["blank"], found["blank_token"]) == (0, "<pad>")
    assert (found["boundary"], found["separator"]) == ("separator", "|")
    acting = [part for part, why in found["parts"].items() if why is None]
    assert acting == ["boost", "g2g", "rescore", "lookup"]  # phones by the model in the package
    assert found["parts"]["adapter"] == "needs a model with an adapter: ctcbias adapt trains one"

    assert (found["cuts_by"], found["languages"]) == ("the fewest tokens", [])
    assert found["phones_by"] == "the phone head inside the package"
    assert ours["phones_by"] == "the model itself"
    assert (found["frames"], found["fault"], ours["frames"]) == (49, None, 25)

    told = run("model", "info", model).output.splitlines()
    assert "phones       by the phone head inside the package" in told
    assert "trial        a second of noise gives 49 frames" in told
    assert "blank        column 0, '<pad>'" in told
    assert "words        are parted by '|'" in told
    assert "adapter      needs a model with an adapter: ctcbias adapt trains one" in told
    assert "boost        acts" in told


def test_a_language_model_in_the_folder_is_named(model: Path) -> None:
    """It is not used unasked: pyctcdecode's scale is not ours."""
    arpa = model / "language_model" / "5gram.arpa"
    arpa.parent.mkdir()
    arpa.touch()
    found = json.loads(run("model", "info", model, "--format", "json").output)
    assert found["parts"]["lm"] == (f"needs a language model: pass --lm {arpa}, which lies there")
    assert found["parts"]["boost-class"] == "needs a language model"


def test_the_languages_of_a_model(tmp_path: Path) -> None:
    several(tmp_path)
    found = json.loads(run("model", "info", tmp_path, "--format", "json").output)
    assert found["languages"] == ["eng", "tur"]
    assert found["phones_by"] == "the phone head inside the package"
    told = run("model", "info", tmp_path, "--language", "tur").output.splitlines()
    assert "languages    2: eng, tur" in told
    assert "phones       nobody hears them" in told


def test_a_model_that_is_read_but_does_not_work(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it is is told all the same, and the command fails."""

    def broken(*_: object) -> list[torch.Tensor]:
        raise ModelError("the model gave scores that are not finite")

    monkeypatch.setattr("ctcbias_fst.models.scored.ScoredModel.log_probs", broken)
    result = run("model", "info", model)
    assert result.exit_code == 1
    assert "trial        the model gave scores that are not finite" in result.stdout
    assert result.stderr.startswith("Error: the model is read but does not work: the model gave")


def test_a_model_that_gives_no_numbers(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = HuggingFaceScorer.scores
    monkeypatch.setattr(
        HuggingFaceScorer,
        "scores",
        lambda self, waves: [one * torch.nan for one in scores(self, waves)],
    )
    result = run("model", "info", model)
    assert result.exit_code == 1
    assert (
        "\ntrial        utterance a second of noise, frame 0: the log-probs have NaN"
        in result.stdout
    )
    assert result.stderr.startswith(
        "Error: the model is read but does not work: utterance a second"
    )


def test_what_is_no_model_is_one_line(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "is no model folder"), (tmp_path / "a", "no such file")):
        result = run("model", "info", path)
        assert result.exit_code == 1
        assert result.output.startswith("Error: ")
        assert message in result.output
        assert result.output.count("\n") == 1


def test_transcribe_and_decode_take_them(model: Path, audio: Path, tmp_path: Path) -> None:
    """And write what the library does, with a list that is compiled for the model, too."""
    settings = ("--set", "decode.boost.beta=4")
    recognizer = Recognizer.from_pretrained(model, settings={"decode.boost.beta": 4.0})
    paths = [audio / "0.wav", audio / "1.wav"]
    heard = [recognizer.transcribe(path).best.text for path in paths]
    names = tmp_path / "names.txt"
    names.write_text(f"{heard[0][:12]}{heard[0][14:]}\n")  # sounds like what is said
    expected = [recognizer.transcribe(path, entities=names).best.text for path in paths]
    assert expected[0] != heard[0]

    common = ("--model", model, *settings, "--entities", names)
    result = run("transcribe", *common, "--format", "json", *paths)
    assert [json.loads(line)["text"] for line in result.stdout.splitlines()] == expected
    assert result.stderr.startswith("phones by ")
    assert result.stderr.count("\n") == 1

    out = tmp_path / "out.jsonl"
    job = ("decode", *common, "--cuts", audio, "--out", out)
    result = run(*job)
    assert result.exit_code == 0, result.output
    assert list(texts(out).values()) == expected

    graph = tmp_path / "graph.fst"
    result = run("compile", names, "--model", model, *settings, "-o", graph)
    assert result.exit_code == 0, result.output
    result = run(
        "decode", "--model", model, *settings, "--graph", graph, "--cuts", audio, "--out", out
    )
    assert result.exit_code == 0, result.output
    assert list(texts(out).values()) == expected


def test_explain_says_that_there_is_no_adapter(model: Path, audio: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("zoe\n")
    result = run(
        *("explain", audio / "0.wav", "--model", model, "--entities", tmp_path / "names.txt"),
        *("-o", tmp_path / "a.svg"),
    )
    assert result.exit_code == 1
    assert result.output.startswith("Error: the model has no adapter")


def test_options_that_do_not_go_together(model: Path, audio: Path, tmp_path: Path) -> None:
    job = ("decode", "--cuts", audio, "--model", model, "--out", tmp_path / "out.jsonl")
    assert "belong to --tokens" in run(*job, "--blank", "0").output
    assert "the model is of one language" in run(*job, "--language", "eng").output
    assert "of one" in run("transcribe", audio / "0.wav", "--language", "eng").output
    job = ("calibrate", audio, "--out", tmp_path / "settings.toml")
    assert "of one" in run(*job, "--language", "eng").output
    assert "belong to --tokens" in run(*job, "--boundary", "none").output


def test_a_job_belongs_to_its_model_and_language(model: Path) -> None:
    """What `decode` compares before it goes on where it was stopped."""
    first = SpeechBackend(model, PipelineConfig(), "cpu").settings
    assert SpeechBackend(model, PipelineConfig(), "cpu").settings == first
    weights = model / "model.safetensors"
    os.utime(weights, ns=(1, 1))
    assert SpeechBackend(model, PipelineConfig(), "cpu").settings != first


def test_a_job_belongs_to_its_language_and_tokens(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever that is of the model, which is of one language here."""
    load = backends.load_model
    monkeypatch.setattr(backends, "load_model", lambda path, device, **_: load(path, device))
    of = [
        SpeechBackend(model, PipelineConfig(), "cpu", language=language).settings
        for language in ("tur", "eng", None)
    ]
    assert of[0] != of[1] != of[2] != of[0]
    assert of[0]["vocabulary"] == load_tokenizer(model).vocabulary.digest


def test_settings_are_tuned_on_them(model: Path, audio: Path, tmp_path: Path) -> None:
    """Development data is scored by any family; the adapter's settings change nothing of it."""
    clips = [lhotse.Recording.from_file(audio / f"{i}.wav") for i in range(2)]
    lhotse.CutSet.from_cuts([one.to_cut() for one in clips]).to_file(tmp_path / "cuts.jsonl")
    recognizer = Recognizer.from_pretrained(model)
    heard = {str(i): recognizer.transcribe(audio / f"{i}.wav").best.text for i in range(2)}
    source = SpeechSource(
        recognizer.model, tmp_path / "cuts.jsonl", entities_from_names(["zoe"]), heard
    )
    assert source.transcribe(PipelineConfig(), listed=False) == heard
    source.transcribe(PipelineConfig())
    assert len(source._log_probs) == 1


@pytest.mark.parametrize("name", ["hama", "model.onnx"])
def test_what_cannot_be_adapted_is_told_before_it_is_loaded(name: str, tmp_path: Path) -> None:
    """hama is a package, not a file in the configuration's folder."""
    (tmp_path / "model.onnx").touch()
    (tmp_path / "adapt.toml").write_text('train = ["cuts.jsonl.gz"]\n')
    path = tmp_path / name if "." in name else name
    result = run(
        *("adapt", "--model", path, "--config", tmp_path / "adapt.toml"), *("--run", tmp_path / "r")
    )
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {path}: no adapter can be trained for it: ")
    assert "does not give the states of its layers; lists act on it without one" in result.output
    assert result.output.count("\n") == 1
