"""Phones beside a model that hears none, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import ctcbias_fst
from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.cli import main
from ctcbias_fst.models import find
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.function import function_model
from ctcbias_fst.models.package import DEFAULT

CLIP = Path(ctcbias_fst.__file__).parent / "pretrained/clips/medical-2.flac"


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path at which there is a model of another family."""
    embedded = AcousticModel.load()

    def model(samples: Any) -> Any:
        return embedded.log_probs([Recording("a", samples, 16000)]).log_probs[0]

    made = function_model(model, embedded.tokenizer, frame_seconds=0.04)
    load = find.load_model
    monkeypatch.setattr(
        find, "load_model", lambda path, *a, **k: made if path == CLIP else load(path, *a, **k)
    )
    monkeypatch.setattr("ctcbias_fst.corpus.backends.load_model", find.load_model)
    monkeypatch.setattr("ctcbias_fst.corpus.backends.identity_of", str)
    return CLIP


def test_transcribe_tells_the_cost_once(foreign: Path) -> None:
    heard = run(
        "transcribe", CLIP, CLIP.with_name("medical-1.flac"), "--model", foreign, "--format", "json"
    )
    assert heard.exit_code == 0, heard.output
    rows = [json.loads(line) for line in heard.stdout.splitlines()]
    assert [row["shares"]["phone"] != 0 for row in rows] == [True, True]
    assert heard.stderr.count("phones by the phone head inside the package: ") == 1
    assert "%); without: --no-phones" in heard.stderr
    deaf = run("transcribe", CLIP, "--model", foreign, "--format", "json", "--no-phones")
    assert json.loads(deaf.stdout)["shares"]["phone"] == 0
    assert "phones by" not in deaf.stderr
    own = run("transcribe", CLIP)
    assert "phones by" not in own.stderr
    other = run("transcribe", CLIP, "--model", foreign, "--format", "json", "--phones", DEFAULT)
    assert other.stdout == heard.stdout.splitlines(keepends=True)[0]
    both = run("transcribe", CLIP, "--no-phones", "--phones", DEFAULT)
    assert both.exit_code == 1
    assert both.stderr == "Error: pass either --phones or --no-phones\n"


def test_decode_tells_it_too_and_jobs_differ(foreign: Path, tmp_path: Path) -> None:
    (tmp_path / "wav.scp").write_text(f"one {CLIP}\n")
    out = tmp_path / "out.jsonl"
    heard = run("decode", "--cuts", tmp_path / "wav.scp", "--model", foreign, "--out", out)
    assert heard.exit_code == 0, heard.output
    assert heard.stderr.count("phones by ") == 1
    deaf = run(
        "decode", "--cuts", tmp_path / "wav.scp", "--model", foreign, "--out", tmp_path / "d.jsonl",
        "--no-phones",
    )  # fmt: skip
    assert "phones by" not in deaf.stderr
    phone = [json.loads(one.read_text())["shares"]["phone"] for one in (out, tmp_path / "d.jsonl")]
    assert phone[0] < 0 == phone[1]


def test_log_probs_have_no_audio_to_listen_to(tmp_path: Path) -> None:
    found = run(
        "decode", "--log-probs", tmp_path / "a.npz", "--out", tmp_path / "o", "--phones", DEFAULT
    )
    assert found.stderr == "Error: --phones listens to audio; it belongs to --cuts\n"
