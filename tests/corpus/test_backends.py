"""Manifests, saved log-probs and audio, decoded from the command line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from lhotse import CutSet, Recording, SupervisionSet
from strategies import VOCABULARIES

from ctcbias_fst.cli import main
from ctcbias_fst.corpus import job
from ctcbias_fst.corpus.backends import LogProbsBackend
from ctcbias_fst.corpus.cuts import read_cuts
from ctcbias_fst.errors import ManifestError
from ctcbias_fst.ngram.ngram_lm import save_lm
from ctcbias_fst.ngram.train import train_lm
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from tests.corpus.test_transcript_files import cut, texts
from tests.tiny_models import speechlike

VOCABULARY = VOCABULARIES[0]


def test_manifests_that_are_no_manifests(tmp_path: Path) -> None:
    path = tmp_path / "cuts.jsonl"
    with pytest.raises(ManifestError, match="no such file"):
        read_cuts(path)
    path.write_text("nonsense\n")
    with pytest.raises(ManifestError, match=r"cuts\.jsonl, line 1: not valid JSON"):
        read_cuts(path)
    path.write_text("")
    with pytest.raises(ManifestError, match=r"not a readable manifest|has no cuts"):
        read_cuts(path)
    line = json.dumps(cut("a").to_dict())
    path.write_text(f"{line}\n{line}\n")
    with pytest.raises(ManifestError, match="the id 'a' occurs twice"):
        read_cuts(path)


# From the command line, on log-probs.


def _saved(folder: Path) -> list[str]:
    """Two utterances: ``a ab``, and one whose ``ab`` is beaten by ``c``."""
    best = {"sure": [0, 1, 0, 1, 2, 0], "beaten": [0, 1, 4, 0, 0, 0]}
    arrays = {}
    for name, tokens in best.items():
        rows = np.full((6, 5), 0.01)
        rows[np.arange(6), tokens] = 0.96
        if name == "beaten":
            rows[2] = [0.01, 0.01, 0.2, 0.01, 0.77]
        arrays[name] = np.log(rows).astype(np.float32)
    np.savez(folder / "saved.npz", frame_seconds=np.array(0.02), **arrays)
    (folder / "tokens.txt").write_text(
        "".join(f"{token} {i}\n" for i, token in enumerate(VOCABULARY.tokens)), encoding="utf-8"
    )
    (folder / "names.txt").write_text("AB\n", encoding="utf-8")
    return ["--log-probs", f"{folder}/saved.npz", "--tokens", f"{folder}/tokens.txt"]


# A name of two tokens cannot pay the price that names have by default.
_CHEAP = ["--set", "decode.boost.bonus=-1.5"]


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def test_saved_log_probs_from_the_command_line(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    result = _run("decode", *saved, "--out", str(out))
    assert result.exit_code == 0
    assert "2 utterances, 0 s of audio" in result.output
    assert texts(out) == {"sure": "a ab", "beaten": "a c"}
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [w["start"] for w in rows[0]["words"]] == [0.0, 0.05]
    names = ["--entities", f"{tmp_path}/names.txt"]
    _run("decode", *saved, "--out", str(out), *names)
    assert texts(out) == {"sure": "a AB", "beaten": "a c"}
    _run("decode", *saved, "--out", str(out), *names, *_CHEAP)
    assert texts(out) == {"sure": "a AB", "beaten": "AB"}
    _run("decode", *saved, "--out", str(out), *names, "--parts=none")
    assert texts(out) == {"sure": "a ab", "beaten": "a c"}


def test_parts_that_cannot_act_are_told(tmp_path: Path) -> None:
    saved = [*_saved(tmp_path), "--out", str(tmp_path / "out.jsonl")]
    told = "Warning: parts without effect: "
    result = _run("decode", *saved, "--parts=boost, lm,rescore")
    reasons = "lm (needs a language model), rescore (needs log-probs of phones)"
    assert told + reasons + "\n" in result.stderr
    for parts in ([], ["--parts=all"], ["--parts=none"], ["--parts=boost,g2g"]):
        assert told not in _run("decode", *saved, *parts).stderr


def test_n_best_beyond_the_longest_piece(tmp_path: Path) -> None:
    """13 pieces of half a minute, each with a second reading: the n best of the whole, in order."""
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    second = np.tile([[0.92, 0.02, 0.02, 0.02, 0.02]], (50, 1))
    rows = np.concatenate([second] * (13 * 30))
    spoken = range(25, 13 * 30 * 50, 15 * 50)
    for place, frame in enumerate(spoken):
        rows[frame] = [0.01, *([0.95, 0.02] if place % 2 else [0.02, 0.02]), 0.01, 0.01]
        if place % 2 == 0:  # c, and as many a as make the readings' order known
            rows[frame] = [0.01, 0.47 - 0.002 * place, 0.01, 0.01, 0.5 + 0.002 * place]
    np.savez(tmp_path / "saved.npz", frame_seconds=np.array(0.02), talk=np.log(rows).astype("f4"))
    settings = ["--set", "decode.nbest=3", "--set", "decode.evidence.max_entropy=1.0"]
    _run("decode", *saved, "--out", str(out), *settings, "--parts=none")
    (record,) = [json.loads(line) for line in out.read_text().splitlines()]
    words = ["a" if place % 2 else "c" for place in range(len(spoken))]
    expected = [words, ["a", *words[1:]], [*words[:2], "a", *words[3:]]]
    assert [reading["text"].split() for reading in record["nbest"]] == expected
    scores = [reading["score"] for reading in record["nbest"]]
    assert scores == sorted(scores, reverse=True)
    assert record["text"].split() == words
    starts = [word["start"] for word in record["words"]]
    assert starts == pytest.approx([frame * 0.02 for frame in spoken], abs=0.5)


def test_a_compiled_graph_is_as_good_as_its_list(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    graph, picture = tmp_path / "names.fst", tmp_path / "names.svg"
    result = _run(
        "compile", f"{tmp_path}/names.txt", "-o", str(graph), *saved[2:], "--draw", str(picture)
    )
    assert result.exit_code == 0
    assert "1 names, " in result.output
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    _run("decode", *saved, "--out", str(out), "--graph", str(graph), *_CHEAP)
    assert texts(out) == {"sure": "a AB", "beaten": "AB"}


def test_settings_from_the_command_line(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    names = ["--entities", f"{tmp_path}/names.txt"]
    config = tmp_path / "decode.toml"
    config.write_text("[decode.boost]\nalpha = 0.0\nbeta = 0.0\nrepeat_alpha = 0.0\n")
    _run("decode", *saved, *names, "--out", str(out), "--config", str(config), "--nbest", "3")
    assert texts(out)["beaten"] == "a c"
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows[1]["nbest"]) == 3
    more = ["--config", str(config), "--set", "decode.boost.beta=4.0", *_CHEAP]
    _run("decode", *saved, *names, "--out", str(out), *more)
    assert texts(out)["beaten"] == "AB"


def test_frames_may_be_said_to_be_longer(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    _run("decode", *saved, "--out", str(out), "--frame-seconds", "0.1")
    assert json.loads(out.read_text().splitlines()[0])["words"][1]["start"] == 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either --cuts or --log-probs"),
        (["--cuts", "a", "--log-probs", "b"], "either --cuts or --log-probs"),
        (["--log-probs", "a", "--entities", "b", "--graph", "c"], "either --entities or --graph"),
        (["--log-probs", "a", "--format", "lhotse"], "--format lhotse needs --cuts"),
        (["--cuts", "a", "--tokens", "t"], "belong to --log-probs"),
        (["--cuts", "a", "--softmax"], "belong to --log-probs"),
        (["--log-probs", "a", "--blank", "x"], "belong to --tokens"),
        (["--log-probs", "a", "--tokens", "t", "--model", "m"], "either --model or --tokens"),
        (["--log-probs", "a", "--set", "decode.boost.gamma=1"], "gamma"),
        (["--log-probs", "a", "--parts", "magic"], "magic"),
        (["--log-probs", "a", "--config", "missing.toml"], "missing.toml"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, arguments: list[str], message: str) -> None:
    result = _run("decode", *arguments, "--out", str(tmp_path / "out"))
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_bad_log_probs_from_the_command_line(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    content = dict(np.load(tmp_path / "saved.npz"))
    content["sure"][2, 1] = np.nan
    np.savez(tmp_path / "saved.npz", **content)
    result = _run("decode", *saved, "--out", str(out))
    assert result.exit_code == 1
    assert "sure is left out: utterance sure, frame 2: the log-probs have NaN" in result.output
    assert "1 utterance, 1 left out" in result.output
    assert texts(out) == {"beaten": "a c"}


def test_a_bad_header_of_log_probs_costs_one_utterance(tmp_path: Path) -> None:
    saved, out = _saved(tmp_path), tmp_path / "out.jsonl"
    with zipfile.ZipFile(tmp_path / "saved.npz", "a") as archive:
        archive.writestr("bad.npy", b"nonsense")
    result = _run("decode", *saved, "--out", str(out))
    assert result.exit_code == 1
    assert "Warning: bad is left out: " in result.output
    assert texts(out) == {"sure": "a ab", "beaten": "a c"}


# With audio, on a tiny model with random weights.


@pytest.fixture
def model(model_without_adapter: Path) -> Path:
    return model_without_adapter


def _spoken(folder: Path) -> tuple[Path, list[Path]]:
    """Cuts of two clips (of another rate, and of two channels), one missing and one too short."""
    paths = [folder / f"{name}.wav" for name in ("slow", "stereo", "missing", "short")]
    soundfile.write(paths[0], speechlike(1.0, 0), 8000)
    soundfile.write(paths[1], np.stack([speechlike(1.5, 1)] * 2, axis=1), 16000)
    soundfile.write(paths[2], speechlike(1.0, 2), 16000)
    soundfile.write(paths[3], np.zeros(50, dtype=np.float32), 16000)
    recordings = [Recording.from_file(path) for path in paths]
    cuts = [r.to_cut().with_id(path.stem) for r, path in zip(recordings, paths)]
    CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    paths[2].unlink()
    return folder / "cuts.jsonl.gz", paths


def test_cuts_are_transcribed_as_their_files(model: Path, tmp_path: Path) -> None:
    manifest, paths = _spoken(tmp_path)
    out = tmp_path / "out.jsonl"
    result = _run("decode", "--cuts", str(manifest), "--model", str(model), "--out", str(out))
    assert result.exit_code == 1
    assert f"missing is left out: {paths[2]}: no such file" in result.output
    assert "short is left out" in result.output
    assert "2 utterances, 2 left out" in result.output
    recognizer = Recognizer.from_pretrained(model)
    expected = {path.stem: recognizer.transcribe(path).best.text for path in paths[:2]}
    assert all(expected.values())
    assert texts(out) == expected


def test_lhotse_in_and_out(model: Path, tmp_path: Path) -> None:
    manifest, _ = _spoken(tmp_path)
    out = tmp_path / "out.jsonl.gz"
    options = ["--model", str(model), "--format", "lhotse", "--out", str(out)]
    _run("decode", "--cuts", str(manifest), *options)
    segments = {segment.id: segment for segment in SupervisionSet.from_file(out)}
    assert sorted(segments) == ["slow", "stereo"]
    for segment in segments.values():
        assert segment.text == " ".join(item.symbol for item in segment.alignment["word"])


def test_a_language_model_that_was_trained_anew_is_another_job(tmp_path: Path) -> None:
    _saved(tmp_path)
    found = []
    for text in (["a"], ["ab"]):
        save_lm(tmp_path / "lm.arpa", train_lm([text, text]))
        backend = LogProbsBackend(
            tmp_path / "saved.npz",
            FewestPiecesTokenizer(VOCABULARY),
            PipelineConfig(lm=tmp_path / "lm.arpa"),
            "cpu",
        )
        found.append(backend.settings)
    assert found[0] != found[1]
    assert {**found[0], "lm": 0} == {**found[1], "lm": 0}


def test_a_list_that_was_changed_is_another_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[dict[str, Any]] = []

    def note(*_: object, settings: dict[str, Any], **__: object) -> None:
        found.append(settings)
        raise ManifestError("noted")

    monkeypatch.setattr(job, "decode_corpus", note)
    saved = _saved(tmp_path)
    names = tmp_path / "names.txt"
    for text in ("AB\n", "AB\n", "A\n"):
        names.write_text(text, encoding="utf-8")
        result = _run("decode", *saved, "--entities", str(names), "--out", f"{tmp_path}/out")
        assert "noted" in result.output
    assert found[0] == found[1] != found[2]
