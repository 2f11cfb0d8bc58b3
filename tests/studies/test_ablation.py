"""The ablation: cells that are kept, figures that equal those of the scorer, a page."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

from ctcbias_fst.audio.audio import read_audio
from ctcbias_fst.cli import main
from ctcbias_fst.config import load_config, merge, parse_overrides
from ctcbias_fst.errors import ConfigError, EntityListError, InputError, ManifestError
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.search.hypotheses import greedy_hypothesis
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.studies.ablation import AblateConfig, Cell, Row, ablate
from ctcbias_fst.studies.ablation_report import score_cells, to_csv, to_table
from ctcbias_fst.studies.ablation_summary import read_summary, to_summary
from ctcbias_fst.studies.speech_sets import NamedList, SpeechSet
from ctcbias_fst.text.entities import entities_from_names
from tests.tiny_models import speechlike

TEXTS = ["she did take it", "taken", "peace and peace"]
ROWS = (
    Row("greedy", greedy=True),
    Row("boost", parts=("boost",), over="greedy", set=("decode.boost.beta=3.0",)),
    Row("adapter", parts=("adapter",), over="greedy"),
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two manifests, the second without names, and two lists."""
    cuts = []
    for index, text in enumerate(TEXTS):
        path = tmp_path / f"clip{index}.wav"
        soundfile.write(path, speechlike(1.0 + 0.4 * index, index), 16000)
        recording = Recording.from_file(path, recording_id=f"clip{index}")
        spoken = SupervisionSegment(recording.id, recording.id, 0.0, recording.duration, text=text)
        cuts.append(
            MonoCut(recording.id, 0.0, recording.duration, 0, [spoken], recording=recording)
        )
    CutSet.from_cuts(cuts[:2]).to_file(tmp_path / "cuts.jsonl")
    CutSet.from_cuts(cuts[2:]).to_file(tmp_path / "free.jsonl")
    (tmp_path / "few.txt").write_text("take\ntaken\n")
    (tmp_path / "more.txt").write_text("take\ntaken\nkeisha\njohn smith\n")
    return tmp_path


def study(rows: tuple[Row, ...] = ROWS) -> AblateConfig:
    lists = (NamedList("2", Path("few.txt")), NamedList("4", Path("more.txt")))
    one = SpeechSet("tiny", (Path("cuts.jsonl"),), lists, free=(Path("free.jsonl"),))
    return AblateConfig((one,), rows, replications=20)


def run(data: Path, model: Path, config: AblateConfig) -> tuple[list[Cell], list[str]]:
    told: list[str] = []
    loaded = AcousticModel.load(model)
    cells = ablate(config, PipelineConfig(), loaded, data, data / "out", report=told.append)
    return cells, told


def test_cells_hold_what_each_row_writes(data: Path, random_model: Path) -> None:
    cells, told = run(data, random_model, study())
    assert len(told) == 6
    assert [(cell.list, cell.row) for cell in cells] == [
        (listed, row.name) for listed in ("2", "4") for row in ROWS
    ]
    recognizer = Recognizer.from_pretrained(random_model)
    greedy = cells[0]
    assert set(greedy.texts) == {"clip0", "clip1"}
    assert set(greedy.free) == {"clip2"}
    assert greedy.references == {"clip0": TEXTS[0], "clip1": TEXTS[1]}
    for name in ("clip0", "clip1"):
        log_probs = recognizer.log_probs([read_audio(data / f"{name}.wav")])
        assert greedy.texts[name] == greedy_hypothesis(log_probs).text
    adapted = Recognizer(AcousticModel.load(random_model), PipelineConfig(parts=("adapter",)))
    names = adapted.compile(["take", "taken"])
    assert (
        cells[2].texts["clip0"] == adapted.transcribe(data / "clip0.wav", entities=names).best.text
    )
    assert cells[2].texts != greedy.texts
    assert all(cell.audio_seconds == pytest.approx(1.0 + 1.4 + 1.8) for cell in cells)
    assert all(cell.decoder_seconds > 0 and cell.encoder_seconds > 0 for cell in cells)


def test_only_what_changed_is_decoded_again(data: Path, random_model: Path) -> None:
    first, _ = run(data, random_model, study())
    again, told = run(data, random_model, study())
    assert told == []
    assert [cell.texts for cell in again] == [cell.texts for cell in first]
    (data / "more.txt").write_text("take\ntaken\nkeisha\n")
    _, told = run(data, random_model, study())
    assert told == [f"tiny, list 4: {row.name}" for row in ROWS]
    stronger = (*ROWS[:1], Row("boost", parts=("boost",), set=("decode.boost.beta=4.0",)))
    _, told = run(data, random_model, study(stronger))
    assert told == ["tiny, list 2: boost", "tiny, list 4: boost"]
    for path in (data / "out" / "cells").glob("*2-greedy*"):
        path.write_text("{", encoding="utf-8")
    _, told = run(data, random_model, study(stronger))
    assert told == ["tiny, list 2: greedy"]


def test_a_row_that_names_no_parts_has_all(data: Path, random_model: Path) -> None:
    """As the page says; and those of the configuration, if that names any."""
    rows = (Row("all"), Row("none", set=("parts=none",)), Row("greedy", greedy=True))
    cells, _ = run(data, random_model, study(rows))
    every = Recognizer(AcousticModel.load(random_model), PipelineConfig())
    names = every.compile(["take", "taken"])
    assert cells[0].texts["clip0"] == every.transcribe(data / "clip0.wav", entities=names).best.text
    assert cells[0].texts != cells[1].texts
    base = PipelineConfig(parts=("boost",))
    (own, other) = ablate(
        study((Row("own"), Row("named", parts=("boost",)))),
        base,
        AcousticModel.load(random_model),
        data,
        data / "o",
    )[:2]
    assert own.texts == other.texts


def test_a_list_for_every_utterance(data: Path, random_model: Path) -> None:
    lists = {"clip0": ["take"], "clip1": ["taken"], "clip2": []}
    (data / "few.txt").write_text(
        "".join(json.dumps({"id": k, "entities": v}) + "\n" for k, v in lists.items())
    )
    (data / "more.txt").write_text("take\n")
    cells, _ = run(data, random_model, study((Row("boost", parts=("boost",)),)))
    own, shared = cells
    recognizer = Recognizer(AcousticModel.load(random_model), PipelineConfig(parts=("boost",)))
    expected = recognizer.transcribe(data / "clip1.wav", entities=recognizer.compile(["taken"]))
    assert own.texts["clip1"] == expected.best.text
    assert own.texts["clip0"] == shared.texts["clip0"]
    assert score_cells(study((Row("boost"),)), [own])[0].rates["recall"] >= 0.0
    del lists["clip1"]
    (data / "few.txt").write_text(
        "".join(json.dumps({"id": k, "entities": v}) + "\n" for k, v in lists.items())
    )
    with pytest.raises(ManifestError, match="'clip1' has no list"):
        run(data, random_model, study((Row("boost", parts=("boost",)),)))


def test_impossible_studies_are_refused(data: Path, random_model: Path) -> None:
    with pytest.raises(ConfigError, match="'lm' names the part lm, which cannot act: it"):
        run(data, random_model, study((Row("lm", parts=("lm",)),)))
    with pytest.raises(ConfigError, match="unknown key decode.boost.gamma"):
        run(data, random_model, study((Row("x", set=("decode.boost.gamma=1",)),)))
    with pytest.raises(EntityListError):
        (data / "few.txt").unlink()
        run(data, random_model, study())
    for rows, message in (
        ((Row("a"), Row("a")), "name of its own"),
        ((Row("a", over="b"),), "which is no row"),
        ((), "a set and a row"),
    ):
        with pytest.raises(ValueError, match=message):
            study(rows)
    with pytest.raises(ValueError, match="no parts but the adapter"):
        Row("a", parts=("boost",), greedy=True)


def scripted(row: str, texts: dict[str, str], free: str) -> Cell:
    return Cell(
        row=row, set="tiny", list="2", texts=texts, free={"c": free},
        references={"a": "she takes metformin", "b": "in new york now"},
        free_references={"c": "peace and peace"},
        entities=entities_from_names(["metformin", "new york"]),
        audio_seconds=100.0, encoder_seconds=1.5, decoder_seconds=0.5,
    )  # fmt: skip


def test_figures() -> None:
    config = study((Row("plain"), Row("better", over="plain")))
    cells = [
        scripted("plain", {"a": "she takes met for men", "b": "in new york now"}, "peace and peas"),
        scripted("better", {"a": "she takes metformin", "b": "in new york now"}, "metformin peace"),
    ]
    plain, better = score_cells(config, cells)
    assert plain.rates["F1"] == pytest.approx(2 / 3)
    assert plain.rates["WER"] == pytest.approx(3 / 7)
    assert plain.free_wer == pytest.approx(1 / 3)
    assert math.isnan(plain.gain)
    assert better.rates["F1"] == 1.0
    assert better.gain == pytest.approx(1 / 3)
    assert better.free_wer == pytest.approx(2 / 3)
    assert (better.decoding, better.speed) == (200.0, 50.0)
    assert plain.intervals["F1"].low <= plain.rates["F1"] <= plain.intervals["F1"].high
    rows = list(csv.DictReader(to_csv([plain, better]).splitlines()))
    assert [row["row"] for row in rows] == ["plain", "better"]
    assert float(rows[1]["F1"]) == 1.0
    assert rows[0]["gain"] == ""
    table = to_table([plain, better]).splitlines()
    assert table[0] == "tiny, list 2"
    assert "+33.3" in table[3]
    assert "66.7" in table[2]


def test_command(data: Path, random_model: Path) -> None:
    pytest.importorskip("matplotlib")
    (data / "study.toml").write_text(
        """
        replications = 20
        [[sets]]
        name = "tiny"
        cuts = ["cuts.jsonl"]
        free = ["free.jsonl"]
        lists = [{ name = "2", entities = "few.txt" }]
        [[rows]]
        name = "CTC <greedy>"
        greedy = true
        [[rows]]
        name = "boosting"
        parts = ["boost"]
        over = "CTC <greedy>"
        """,
        encoding="utf-8",
    )
    assert load_config(AblateConfig, data / "study.toml").rows[1].parts == ("boost",)
    arguments = [str(data / "study.toml"), "--out", str(data / "o"), "--model", str(random_model)]
    result = CliRunner().invoke(main, ["ablate", *arguments])
    assert result.exit_code == 0, result.output
    assert "tiny, list 2" in result.output
    page = (data / "o" / "ablation.html").read_text(encoding="utf-8")
    assert "CTC &lt;greedy&gt;" in page
    assert "<greedy>" not in page
    assert page.count("<table>") == 1
    assert "<svg" in page
    (cell,) = (data / "o" / "cells").glob("*boosting*")
    texts = json.loads(cell.read_text(encoding="utf-8"))["texts"]
    hypotheses = data / "hyp.jsonl"
    hypotheses.write_text(
        "".join(json.dumps({"id": k, "text": v}) + "\n" for k, v in texts.items())
    )
    scored = CliRunner().invoke(
        main,
        ["score", "--format", "json", "--entities", str(data / "few.txt"),
         str(data / "cuts.jsonl"), str(hypotheses)],
    )  # fmt: skip
    expected = json.loads(scored.output)["rates"]
    row = list(csv.DictReader((data / "o" / "ablation.csv").read_text().splitlines()))[1]
    assert float(row["WER"]) == pytest.approx(expected["WER"]["rate"], abs=1e-5)
    assert float(row["recall"]) == pytest.approx(expected["recall"]["rate"], abs=1e-5)


def test_models_of_other_families(data: Path, tmp_path: Path) -> None:
    """Parts that a model lacks are refused by name; cells belong to the model and its listener."""
    hugging_face = pytest.importorskip("tiny_hugging_face")
    model = hugging_face.save(tmp_path / "model", "unispeech-sat")
    (data / "study.toml").write_text(
        """
        replications = 20
        rows = [{ name = "greedy", greedy = true }, { name = "phones", parts = ["rescore"] }]
        [[sets]]
        name = "tiny"
        cuts = ["cuts.jsonl"]
        lists = [{ name = "2", entities = "few.txt" }]
        """,
        encoding="utf-8",
    )
    job = ["ablate", str(data / "study.toml"), "--out", str(data / "o"), "--model", str(model)]
    result = CliRunner().invoke(main, job)
    assert result.exit_code == 0, result.output
    assert "tiny, list 2: phones" in result.output
    recognizer = Recognizer.from_pretrained(model, settings={"parts": ["rescore"]})
    (cell,) = (data / "o" / "cells").glob("*phones*")
    texts = json.loads(cell.read_text(encoding="utf-8"))["texts"]
    for name in ("clip0", "clip1"):
        heard = recognizer.transcribe(data / f"{name}.wav", entities=["take", "taken"])
        assert texts[name] == heard.best.text
    assert "tiny, list 2" not in CliRunner().invoke(main, job).stderr
    result = CliRunner().invoke(main, [*job, "--no-phones"])
    assert result.exit_code == 1
    assert "row 'phones' names the part rescore, which cannot act: it needs" in result.output


SUMMARY = """\
list 1,000   free speech                real
                  F1     WER    free        F1     WER
greedy          12.3    30.1     9.8      33.3    60.0
all parts       98.8     7.7     9.0         -    50.0
"""


def test_summary(tmp_path: Path) -> None:
    (tmp_path / "ablation.csv").write_text(
        "set,list,row,F1,WER,free_WER\n"
        '"free speech","1,000",greedy,0.123,0.301,0.098\n'
        '"free speech","20,000",greedy,0.1,0.2,0.3\n'
        '"free speech","1,000",all parts,0.9876,0.0766,0.09\n'
        'real,"1,000",greedy,0.33333,0.6,\nreal,"1,000",all parts,,0.5,\n'
    )
    lines = read_summary(tmp_path / "ablation.csv")
    shown = [" ".join(line.split()) for line in to_summary(lines, ["1,000"]).splitlines()]
    assert shown == [" ".join(line.split()) for line in SUMMARY.splitlines()]
    lengths = {len(line) for line in to_summary(lines, ["1,000"]).splitlines()[1:]}
    assert len(lengths) == 1
    runner = CliRunner()
    done = runner.invoke(main, ["figures", "--model", str(tmp_path)])
    assert done.exit_code == 0
    assert done.output.count("list ") == 2
    done = runner.invoke(main, ["figures", "--model", str(tmp_path), "--list", "7"])
    assert "there is no list '7'; there are: 1,000; 20,000" in done.output


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("set,list,row,F1,WER\na,b,c,1,1\n", "no column 'free_WER'"),
        ("set,list,row,F1,WER,free_WER\n", "no line"),
        ("set,list,row,F1,WER,free_WER\na,b,c,high,1,1\n", "could not convert"),
        ("set,list,row,F1,WER,free_WER\na,b,c,1\n", ""),
    ],
)
def test_what_is_no_summary(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "ablation.csv"
    with pytest.raises(InputError, match="there are no figures"):
        read_summary(path)
    path.write_text(content)
    if message:
        with pytest.raises(InputError, match=message):
            read_summary(path)
    else:
        assert to_summary(read_summary(path))


@pytest.mark.parametrize("name", ["ablate", "ablate_dev"])
def test_the_recipes_studies_are_valid(name: str) -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "synthetic"
    config = load_config(AblateConfig, recipe / f"{name}.toml")
    assert [one.name for one in config.sets][:2] == ["medical", "parliament"]
    for row in config.rows:
        load_config(
            PipelineConfig, merge({"parts": list(row.parts or ())}, parse_overrides(row.set))
        )
