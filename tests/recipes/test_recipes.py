"""Every recipe from a data set in its own layout to scores, on the clips of the package."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner
from lhotse import CutSet

from ctcbias_fst.cli import main
from ctcbias_fst.config import load_config
from ctcbias_fst.errors import ConfigError, ManifestError
from ctcbias_fst.studies.recipe import Recipe, RecipeConfig, find_recipe
from recipes.medical.prepare import read_table
from recipes.voxpopuli.entities import CommonWords, named_entities

ROOT = Path(__file__).parents[2]
CLIPS = ROOT / "ctcbias_fst" / "pretrained" / "clips"
SPOKEN = [json.loads(line) for line in (CLIPS / "clips.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def stages_start_at_once(monkeypatch: pytest.MonkeyPatch, forked_python: str) -> None:
    """Scripts of a recipe run in processes of their own."""
    monkeypatch.setattr("sys.executable", forked_python)


@dataclass(frozen=True)
class Smoke:
    """A run of a recipe on a few seconds of speech.

    Attributes:
        make: fills a folder as the data set's owners do, and tells what to pass on.
        scores: the files that must come out.
        utterances: in the first of them.
    """

    make: Callable[[Path], list[str]]
    scores: tuple[str, ...]
    utterances: int


def librispeech(folder: Path) -> list[str]:
    """SPEAKER/CHAPTER/SPEAKER-CHAPTER-UTTERANCE.flac, .trans.txt, and the authors' lists."""
    for part, clips in (("test-clean", SPOKEN[:3]), ("test-other", SPOKEN[3:])):
        chapter = folder / part / "1089" / "134686"
        chapter.mkdir(parents=True)
        lines, rows = [], []
        for number, clip in enumerate(clips):
            name = f"1089-134686-{number:04d}"
            shutil.copyfile(CLIPS / clip["path"], chapter / f"{name}.flac")
            lines.append(f"{name} {clip['text'].upper()}\n")
            rare = sorted({word for entity in clip["entities"] for word in entity.split()})
            listed = json.dumps([*rare, "ibuprofen", "vilnius"])
            rows.append("\t".join([name, clip["text"], json.dumps(rare), listed]) + "\n")
        (chapter / "1089-134686.trans.txt").write_text("".join(lines))
        for size in (100, 1000):
            (folder / f"{part}.biasing_{size}.tsv").write_text("".join(rows))
    return ["--source", str(folder)]


def voxpopuli(folder: Path) -> list[str]:
    """raw_audios/LANGUAGE/YEAR/SESSION_LANGUAGE.ogg with many utterances, and annotations."""
    audio = folder / "raw_audios" / "en" / "2019"
    audio.mkdir(parents=True)
    header = (
        "session_id|id_|original_text|normed_text|speaker_id|split|gender|is_gold_transcript|"
        "accent|start_time|end_time"
    )
    rows = [header]
    for split, clips in (("train", SPOKEN[:1]), ("dev", SPOKEN[3:4]), ("test", SPOKEN[3:])):
        samples: list[float] = []
        session = f"20190101-0900-PLENARY-{split}"
        for clip in clips:
            begin = len(samples) / 16000
            piece, rate = soundfile.read(CLIPS / clip["path"])
            assert rate == 16000
            samples += [*piece, *([0.0] * 2400)]
            end = len(samples) / rate
            written = clip["text"]
            for name in clip["entities"]:
                written = written.replace(name, name.title())
            row = [session, f"{session}-{begin}", written[0].upper() + written[1:], clip["text"]]
            rest = ["MEP", split, "female", "True", "None", str(begin), str(end)]
            rows.append("|".join([*row, *rest]))
        soundfile.write(audio / f"{session}_en.ogg", samples, 16000)
    with gzip.open(folder / "asr_en.tsv.gz", "wt") as stream:
        stream.write("\n".join(rows) + "\n")
    return ["--source", str(folder)]


def medical(folder: Path) -> list[str]:
    """A table of audio and text, and two lists."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for clip in SPOKEN[1:3]:
        shutil.copyfile(CLIPS / clip["path"], folder / clip["path"])
        rows.append(f"{clip['path']}\t{clip['text'].capitalize()}.\n")
    (folder / "speech.tsv").write_text("".join(rows))
    (folder / "drugs.txt").write_text("Imiglucerase\nNorfenefrine\nPiketoprofen\nMetformin\n")
    (folder / "diseases.txt").write_text("measles\nmumps\n")
    lists = [f"--names={folder / name}.txt" for name in ("drugs", "diseases")]
    return ["--source", str(folder / "speech.tsv"), *lists]


SMOKE = {
    "librispeech": Smoke(
        librispeech,
        ("test-clean.100", "test-clean.1000", "test-other.100", "test-other.1000"),
        utterances=3,
    ),
    "voxpopuli": Smoke(voxpopuli, ("test.all", "test.1000", "dev.all", "dev.1000"), utterances=2),
    "medical": Smoke(medical, ("all.spoken", "all.1000", "all.everything"), utterances=2),
}
"""The synthetic recipe makes its speech itself; tests/recipes/test_synthetic_*.py run it."""


def invoke(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["recipe", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", SMOKE)
def test_smoke(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = SMOKE[name].make(tmp_path / "data")
    told = invoke(name, "--out", str(out), *arguments, "--parts", "boost")
    for score in SMOKE[name].scores:
        assert f"\n{score}\n" in told
        found = json.loads((out / "score" / f"{score}.json").read_text())
        assert found["counts"]["words"]["reference"] > 0
        # the list has what is said, or the recipe lost it
        entities = found["counts"]["entities"]
        assert entities["hits"] + entities["misses"] > 0
    first = (out / "decode" / f"{SMOKE[name].scores[0]}.jsonl").read_text().splitlines()
    assert len(first) == SMOKE[name].utterances
    again = invoke(name, "--out", str(out), *arguments, "--parts", "boost")
    assert f"decode.{SMOKE[name].scores[0]}: done before" in again
    assert "prepare: done before" in again


def test_every_recipe_has_a_smoke_run() -> None:
    folders = {path.parent.name for path in (ROOT / "recipes").glob("*/config.toml")}
    assert folders - {"synthetic", "pronunciation"} == set(SMOKE)
    for name in SMOKE:
        assert (ROOT / "recipes" / name / "README.md").is_file()


def test_a_changed_list_is_decoded_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = medical(tmp_path / "data")
    common = ["medical", "--out", str(out), "--parts", "boost"]
    invoke(*common, *arguments)
    with (out / "lists" / "spoken.txt").open("a") as stream:
        stream.write("ketamine\n")
    told = invoke(*common, "--stage", "compile", "--stage", "decode")
    assert "decode.all.spoken: done before" not in told
    assert "compile.all.spoken: done before" not in told
    assert "decode.all.1000: done before" in told
    assert (out / "graphs" / "all.spoken.fst").stat().st_size > 0


def test_user_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'nothing' is no recipe: .*librispeech.*medical"):
        find_recipe("nothing")
    chosen = Recipe(find_recipe("medical"), tmp_path)
    with pytest.raises(ManifestError, match="run the stage prepare first"):
        chosen.run(["decode"])
    with pytest.raises(ConfigError, match="has no stage train"):
        chosen.run(["train"])
    with pytest.raises(ConfigError, match=r"stage prepare: .*prepare.py ended with 2"):
        chosen.run(["prepare"])
    result = CliRunner().invoke(
        main, ["recipe", "medical", "--out", str(tmp_path), "--stage", "cook"]
    )
    assert result.exit_code == 1
    assert "unknown stage 'cook'" in result.output


def test_the_synthetic_recipe_is_one_of_them() -> None:
    folder = find_recipe("synthetic")
    chosen = Recipe(folder, Path("nowhere"))
    assert (folder / chosen.config.train).is_file()
    assert (folder / chosen.config.adapt).is_file()
    assert {one.name for one in chosen.config.sets} == {"medical", "parliament", "general"}


def test_tables_of_speech(tmp_path: Path) -> None:
    medical(tmp_path)
    cuts = read_table(tmp_path / "speech.tsv")
    assert isinstance(cuts, CutSet)
    assert len(cuts) == 2
    for content, message in (
        ("clip.wav\n", "line 1: not an audio file, a tab, a text"),
        ("medical-1.flac\tfine\nnone.wav\tgone\n", r"line 2: .*none.wav"),
        ("\n", "has no utterances"),
    ):
        (tmp_path / "bad.tsv").write_text(content)
        with pytest.raises(ManifestError, match=message):
            read_table(tmp_path / "bad.tsv")
    with pytest.raises(ManifestError, match="no such file"):
        read_table(tmp_path / "none.tsv")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("We welcome Commissioner Gentiloni to Strasbourg.", ["gentiloni", "strasbourg"]),
        ("Madam President, the European Parliament must act.", []),
        ("Thank you. Abandon it! Ursula von der Leyen agreed.", ["ursula von der leyen"]),
        ("the Court of Justice in Luxembourg and the Bank of Italy", None),
        ("Mr Verhofstadt's amendment", ["verhofstadt's"]),
        ("", []),
    ],
)
def test_named_entities(text: str, names: list[str] | None) -> None:
    found = list(named_entities(text, CommonWords.load()))
    if names is None:
        assert "luxembourg" in found
        assert not any(name.startswith(("of", "the")) for name in found)
    else:
        assert found == names


def test_configurations_are_checked() -> None:
    with pytest.raises(ConfigError, match="unknown stage 'cook'"):
        load_config(RecipeConfig, {"sets": [{"name": "a", "cuts": [], "lists": []}],
                                   "stages": ["cook"]})  # fmt: skip
    with pytest.raises(ConfigError, match="there must be a set"):
        load_config(RecipeConfig, {"sets": []})
