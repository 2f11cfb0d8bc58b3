"""Clips: finishing, resuming, manifests and lists; the engines where they are installed."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet
from lhotse.testing.dummies import dummy_cut, dummy_supervision

from ctcbias_fst.config import load_config
from ctcbias_fst.errors import ConfigError, ManifestError, MissingDependencyError
from recipes.synthetic import manifests, texts
from recipes.synthetic.engines import (
    Festival,
    Request,
    Speech,
    fetch_kokoro_voices,
    make_engine,
    refuse_spelling,
)
from recipes.synthetic.names import NamePools
from recipes.synthetic.phones import ARPABET
from recipes.synthetic.planning import blend
from recipes.synthetic.rare_lists import write_rare_lists
from recipes.synthetic.settings import Settings
from recipes.synthetic.synthesis import (
    Planned,
    finish,
    read_clips,
    read_plan,
    synthesise,
    write_plan,
)

RATE = 16000


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_config(Settings, Path(texts.__file__).parent / "config.toml")


def tone(seconds: float, rate: int = RATE) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return (0.2 * np.sin(2 * np.pi * 220 * time)).astype(np.float32)


def planned(number: int, source: Path, text: str = "the cat", ipa: str = "ðə kˈæt") -> Planned:
    return Planned(
        id=f"train-ready-{number:06d}",
        cuts="train",
        split="train",
        domain="medical",
        engine="ready",
        voice={"af_sky": 1.0},
        speed=1.0,
        warp=1.0,
        spoken=text,
        text=text,
        entities=("cat",),
        source=str(source),
        ipa=ipa,
    )


def test_finish_trims_scales_and_resamples(settings: Settings) -> None:
    silence = np.zeros(RATE, np.float32)
    speech = Speech(np.concatenate([silence, tone(1.0), silence]), RATE, "DH AH | K AE T")
    samples = finish(speech, 1.0, settings.audio)
    assert np.abs(samples).max() == pytest.approx(settings.audio.peak)
    expected = 1.0 + 2 * settings.audio.max_silence
    assert len(samples) / RATE == pytest.approx(expected, abs=0.01)


@pytest.mark.skipif(importlib.util.find_spec("soxr") is None, reason="needs soxr")
def test_warp_shortens(settings: Settings) -> None:
    speech = Speech(tone(1.0, 24000), 24000, "DH AH | K AE T")
    assert len(finish(speech, 1.25, settings.audio)) == pytest.approx(0.8 * RATE, rel=0.01)


@pytest.mark.parametrize(
    ("samples", "phones"),
    [
        (np.zeros(0), "K"),
        (np.full(100, np.nan), "K"),
        (tone(5.0), "K"),
        (tone(0.05), "K AE T K AE T"),
        (tone(1.0), ""),
        (np.zeros(RATE), "K"),
    ],
)
def test_finish_refuses_garbage(settings: Settings, samples: np.ndarray, phones: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        finish(Speech(samples, RATE, phones), 1.0, settings.audio)


def test_plans_survive_writing(tmp_path: Path) -> None:
    plan = [planned(n, tmp_path) for n in range(3)]
    write_plan(tmp_path / "plan" / "p.jsonl", plan)
    assert read_plan(tmp_path / "plan" / "p.jsonl") == plan
    with pytest.raises(ManifestError, match="texts"):
        read_plan(tmp_path / "missing.jsonl")


def test_a_cut_off_last_line_is_no_error_but_one_inside_is(tmp_path: Path) -> None:
    row = json.dumps({"id": "a", "digest": "b", "path": "c", "num_samples": 1, "phones": "K"})
    path = tmp_path / "done.jsonl"
    path.write_text(f'{row}\n{{"id": ')
    assert list(read_clips(path)) == ["a"]
    path.write_text(f'{{"id": \n{row}\n')
    with pytest.raises(ManifestError, match=r"done\.jsonl:1"):
        read_clips(path)


def test_synthesis_resumes_and_leaves_bad_utterances_out(
    tmp_path: Path, settings: Settings
) -> None:
    source = tmp_path / "in.wav"
    soundfile.write(source, tone(0.6), RATE)
    plan = [planned(0, source), planned(1, source), planned(2, tmp_path / "missing.wav")]
    done = tmp_path / "done" / "train.ready.jsonl"

    def run(todo: list[Planned]) -> tuple[int, list[str]]:
        return synthesise(todo, tmp_path, done=done, work=tmp_path, audio=settings.audio, jobs=1)

    made, problems = run(plan)
    assert made == 2
    assert len(problems) == 1 and problems[0].startswith("train-ready-000002: left out")
    assert run(plan[:2]) == (0, [])
    clips = read_clips(done)
    assert clips["train-ready-000000"].phones == "DH AH | K AE T"
    (tmp_path / clips["train-ready-000000"].path).unlink()
    changed = dataclasses.replace(plan[1], speed=1.1)
    assert run([plan[0], changed]) == (2, [])
    assert not list((tmp_path / "audio").rglob("*.tmp"))

    write_plan(tmp_path / "plan" / "train.ready.jsonl", [plan[0], changed, plan[2]])
    _check_cuts(tmp_path, settings)


def _check_cuts(out: Path, settings: Settings) -> None:
    lhotse = pytest.importorskip("lhotse")
    librivox = out / "librivox"
    librivox.mkdir()
    (librivox / "transcription").write_text("<s> he was not </s> (clip-1)\n")
    soundfile.write(librivox / "clip-1.wav", tone(0.5), RATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifests, "LIBRIVOX", librivox)
        manifests.write_cuts(out, settings)
        patch.setattr(manifests, "LIBRIVOX", out / "nowhere")
        with pytest.raises(MissingDependencyError, match="pocketsphinx-testdata"):
            manifests.write_cuts(out, settings)
    cuts = list(lhotse.CutSet.from_file(out / "cuts_train.jsonl.gz"))
    assert {cut.id for cut in cuts} == {"train-ready-000000", "train-ready-000001"}
    assert cuts[0].supervisions[0].custom["entities"] == ["cat"]
    assert cuts[0].supervisions[0].custom["engine"] == "kokoro"
    assert cuts[0].load_audio().shape == (1, cuts[0].num_samples)
    (real,) = lhotse.CutSet.from_file(out / "cuts_test_librivox.jsonl.gz")
    assert (real.id, real.supervisions[0].text) == ("clip-1", "he was not")
    assert json.loads((out / "stats.json").read_text())["train"]["utterances"] == 2


@pytest.fixture
def names() -> NamePools:
    letters = "abcdefghijklmnopqrstuvwxyz"
    pool = tuple(sorted(f"zz{a}{b}a" for a in letters for b in letters))
    return NamePools({}, ("john",), {"medical": pool, "parliament": pool}, frozenset(), 3.0)


def test_distractors_are_not_spoken(names: NamePools) -> None:
    spoken = {"zzaaa", "john zzaba", "zzaca zzada"}
    rng = random.Random(1)
    found = manifests.distractors("medical", "dev", spoken=spoken, count=600, names=names, rng=rng)
    assert len(set(found)) == 600
    assert not set(found) & {"zzaaa", "zzaba", "zzaca", "zzada"}
    with pytest.raises(ConfigError, match="672"):
        manifests.distractors("medical", "dev", spoken=spoken, count=700, names=names, rng=rng)


def test_parliament_distractors_are_partly_full_names(names: NamePools) -> None:
    rng = random.Random(1)
    found = manifests.distractors("parliament", "dev", spoken=set(), count=90, names=names, rng=rng)
    assert sum(name.startswith("john ") for name in found) == 30


def test_lists_hold_the_names_spoken(tmp_path: Path, settings: Settings, names: NamePools) -> None:
    dev = dataclasses.replace(planned(0, tmp_path), split="dev", entities=("zzaaa", "zzbbb"))
    write_plan(tmp_path / "plan" / "dev.ready.jsonl", [dev])
    small = dataclasses.replace(settings, lists=dataclasses.replace(settings.lists, sizes=(10,)))
    manifests.write_lists(tmp_path, names, small)
    first = (tmp_path / "lists" / "medical.dev.10.txt").read_text().splitlines()
    assert len(first) == 12 and {"zzaaa", "zzbbb"} < set(first)
    manifests.write_lists(tmp_path, names, small)
    assert (tmp_path / "lists" / "medical.dev.10.txt").read_text().splitlines() == first


def test_rare_words_of_real_recordings_are_listed(tmp_path: Path, settings: Settings) -> None:
    cuts = []
    for i, text in enumerate(["the zzaaa isn't here", "zzbbb and zza"]):
        cut = dummy_cut(i, supervisions=[dummy_supervision(i)])
        cut.supervisions[0].text = text
        cuts.append(cut)
    CutSet.from_cuts(cuts).to_file(tmp_path / "cuts_test_real.jsonl.gz")
    (tmp_path / "text").mkdir()
    rare = " ".join(f"zzc{chr(97 + i)}" for i in range(12))
    (tmp_path / "text" / "general.txt").write_text(f"the {rare} here\nzzbbb\n")
    small = dataclasses.replace(settings, lists=dataclasses.replace(settings.lists, sizes=(10, 20)))

    def frequency(word: str) -> float:
        return 0.0 if word.startswith("zz") else 5.0

    write_rare_lists(tmp_path, small, frequency)
    lists = tmp_path / "lists"
    assert (lists / "real.test.txt").read_text().split() == ["zzaaa", "zzbbb"]
    with_others = (lists / "real.test.10.txt").read_text().split()
    assert len(set(with_others)) == 12
    assert {"zzaaa", "zzbbb"} < set(with_others) < {"zzaaa", "zzbbb", *rare.split()}
    assert {path.name for path in lists.iterdir()} == {"real.test.txt", "real.test.10.txt"}


def test_blends_sum_to_one(settings: Settings) -> None:
    rng = random.Random(5)
    for _ in range(50):
        voices = blend(settings.voices.kokoro_train, rng)
        assert 2 <= len(voices) <= 3
        assert sum(voices.values()) == pytest.approx(1.0)
        assert min(voices.values()) > 0
        assert not set(voices) & set(settings.voices.kokoro_test)


def test_words_spelled_out_are_refused() -> None:
    refuse_spelling("the fox", ["DH AH".split(), "F AA K S".split()])
    with pytest.raises(ValueError, match="rwanda"):
        letters = "AA R D AH B AH L Y UW EY EH N D IY EY"
        refuse_spelling("to rwanda", ["T AH".split(), letters.split()])


def test_missing_programs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for engine in ("flite", "festival"):
        with pytest.raises(MissingDependencyError, match=f"install the system package '{engine}'"):
            make_engine(engine, tmp_path)
    with pytest.raises(MissingDependencyError, match="npm pack kokoro-js"):
        fetch_kokoro_voices(tmp_path, "kokoro-js@1.2.1")


NEEDS = {
    "flite": (shutil.which("flite") is not None, {"slt": 1.0}),
    "festival": (
        Path("/usr/share/festival/voices/english/kal_diphone").is_dir(),
        {"kal_diphone": 1.0},
    ),
    "hibari": (importlib.util.find_spec("hibari") is not None, {"heart": 1.0}),
}


@pytest.mark.parametrize("engine", sorted(NEEDS))
def test_engines_speak(engine: str, tmp_path: Path, settings: Settings) -> None:
    installed, voice = NEEDS[engine]
    if not installed:
        pytest.skip(f"{engine} is not installed")
    request = Request("The president's cat had had enough.", "the president's cat had had enough",
                      voice, 1.0, 1.0)  # fmt: skip
    speaker = make_engine(engine, tmp_path)
    speech = speaker.say(request)
    words = speech.phones.split(" | ")
    assert len(words) == 6
    assert words[2] == "K AE T"
    assert all(phone in ARPABET for word in words for phone in word.split())
    assert 1.0 < len(speech.samples) / speech.rate < 4.0
    assert speaker.say(request).phones == speech.phones
    if isinstance(speaker, Festival):
        speaker.close()
    if engine != "hibari":
        audio = dataclasses.replace(settings.audio, rate=speech.rate)
        assert len(finish(speech, 1.0, audio)) > RATE / 2
