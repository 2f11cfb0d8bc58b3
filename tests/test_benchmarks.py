"""The benchmarks run, on made log-probs and with the decoders that need no further package."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from lhotse import CutSet, Recording, SupervisionSegment
from safetensors.torch import save_file

from ctcbias_fst.audio.audio import to_recording
from ctcbias_fst.config import load_config, read_toml
from ctcbias_fst.models.find import load_model
from ctcbias_fst.models.package import DEFAULT, load_package
from ctcbias_fst.models.scored import tapped
from ctcbias_fst.text.tokens import tokenizer_of
from ctcbias_fst.training.training_config import AdaptConfig
from tests.tiny_models import TINY_ADAPTER, training_toml

ROOT = Path(__file__).parents[1]
CLIPS = ROOT / "ctcbias_fst/pretrained/clips"
PEERS = {
    "ctc-beam-decoder": "ctc_beam_decoder",
    "pyctcdecode": "pyctcdecode",
    "asr-decoder": "asr_decoder",
    "flashlight-text": "flashlight",
    "NeMo word spotter": "nemo",
    "NeMo phrase boosting": "nemo",
}
NAMES = ("metformin", "keisha", "new orleans", "atorvastatin")


@pytest.fixture(autouse=True)
def scripts_start_at_once(monkeypatch: pytest.MonkeyPatch, forked_python: str) -> None:
    """They run in processes of their own, as from a shell."""
    monkeypatch.setattr("sys.executable", forked_python)


def _compare(folder: Path, decoders: Sequence[str]) -> dict[tuple[str, str], dict[str, str]]:
    """Run peers.py on study.toml; its rows by decoder and size of the list."""
    options = [part for name in decoders for part in ("--decoder", name)]
    _run("peers.py", folder / "study.toml", "--out", folder / "out", "--repeat", 1, *options)
    with (folder / "out/results.csv").open(encoding="utf-8") as stream:
        return {(row["decoder"], row["size"]): row for row in csv.DictReader(stream)}


def _run(script: str, *arguments: object) -> str:
    """Run a benchmark; returns what it prints."""
    command = [sys.executable, str(ROOT / "benchmarks" / script), *map(str, arguments)]
    # The package need not be installed where its tests run.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    ).stdout


def test_all_parts_on_what_a_model_heard(tmp_path: Path) -> None:
    cuts, names = [], []
    for line in (CLIPS / "clips.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["domain"] == "medical":
            cut = Recording.from_file(CLIPS / row["path"]).to_cut()
            cut.supervisions = [
                SupervisionSegment(cut.id, cut.id, 0.0, cut.duration, text=row["text"])
            ]
            cuts.append(cut)
            names += row["entities"]
    CutSet.from_cuts(cuts).to_file(tmp_path / "cuts.jsonl")
    (tmp_path / "names.txt").write_text("\n".join([*names, "keisha"]), encoding="utf-8")
    _run("save_log_probs.py", tmp_path / "cuts.jsonl", tmp_path / "heard.safetensors")
    (tmp_path / "study.toml").write_text(
        f"""
        tokenizer = "{(DEFAULT / "tokenizer.model").as_posix()}"
        model = "{DEFAULT.as_posix()}"
        choose_size = 4
        [[sets]]
        name = "clips"
        log_probs = "heard.safetensors"
        phones = "heard.phones.safetensors"
        references = ["cuts.jsonl"]
        lists = [{{ size = 4, path = "names.txt" }}]
        """,
        encoding="utf-8",
    )
    name = "ctcbias_fst, all parts"
    rows = _compare(tmp_path, [name])
    assert float(rows[name, "4"]["recall"]) > float(rows[name, "0"]["recall"])
    files = [tmp_path / name for name in ("heard.safetensors", "cuts.jsonl", "names.txt")]
    beside = ("--phones", tmp_path / "heard.phones.safetensors", "--join", 2)
    printed = _run("streaming.py", *files, *beside, "--chunks", "640,1280")
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()]
    assert [row[0] for row in table[2:]] == ["all", "640 ms", "1280 ms"]
    assert {row[1] for row in table[2:]} == {"100.0"}  # F1
    assert all(len(row) == len(table[0]) for row in table)
    heard = _run("streaming_audio.py", *files[1:], "--join", 2, "--chunks", "1280")
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in heard.splitlines()]
    assert [row[:2] for row in table[2:]] == [["all", "100.0"], ["1280 ms", "100.0"]]


@pytest.mark.parametrize("kind", ["pieces, blank first", "characters, blank last"])
def test_peers(tmp_path: Path, tokenizer_path: Path, kind: str) -> None:
    tokens = tokenizer_path
    if kind.startswith("characters"):
        tokens = tmp_path / "tokens.txt"
        columns = ("|", *"abcdefghijklmnopqrstuvwxyz'", "<blk>")
        tokens.write_text("".join(f"{token} {i}\n" for i, token in enumerate(columns)), "utf-8")
    tokenizer = tokenizer_of(tokens)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from simulate import Utterance, simulate  # noqa: PLC0415
    finally:
        sys.path.pop(0)
    spoken = [
        Utterance(f"u{i}", f"the {name} was seen in the morning", (name,))
        for i, name in enumerate(NAMES)
    ]
    made = simulate(spoken, tokenizer, seed=1)
    save_file(
        {
            name: made.log_probs[i, : int(made.lengths[i])].contiguous()
            for i, name in enumerate(made.ids)
        },
        tmp_path / "log_probs.safetensors",
        metadata={"frame_seconds": "0.04"},
    )
    (tmp_path / "said.jsonl").write_text(
        "".join(json.dumps({"id": u.id, "text": u.text}) + "\n" for u in spoken), encoding="utf-8"
    )
    (tmp_path / "names.txt").write_text("\n".join(NAMES), encoding="utf-8")
    (tmp_path / "words.txt").write_text("the was seen in morning", encoding="utf-8")
    (tmp_path / "study.toml").write_text(
        f"""
        tokens = "{tokens.as_posix()}"
        words = "words.txt"
        choose_size = 4
        [[sets]]
        name = "made"
        log_probs = "log_probs.safetensors"
        references = ["said.jsonl"]
        lists = [{{ size = 4, path = "names.txt" }}]
        """,
        encoding="utf-8",
    )
    # The peers if their packages are installed, as benchmarks/requirements.txt says.
    peers = [name for name, package in PEERS.items() if find_spec(package) is not None]
    decoders = ("ctcbias_fst", "k2 topology", *peers)
    rows = _compare(tmp_path, decoders)
    assert set(rows) == {(name, size) for name in decoders for size in ("0", "4")}
    plain, ours = rows["k2 topology", "4"], rows["ctcbias_fst", "4"]
    assert float(ours["f1"]) == 1.0 > float(plain["f1"])
    assert plain["wer"] == rows["ctcbias_fst", "0"]["wer"] == rows["k2 topology", "0"]["wer"]
    for name in peers:
        assert float(rows[name, "4"]["recall"]) > float(rows[name, "0"]["recall"]), name
    assert "| k2 topology " in (tmp_path / "out/results.md").read_text(encoding="utf-8")
    weights = json.loads((tmp_path / "out/weights.json").read_text(encoding="utf-8"))
    assert set(weights) == set(decoders)


def test_an_adapter_on_another_model(named_cuts: Path, tmp_path: Path) -> None:
    """Trained on a tiny model, and a row for each choice of parts."""
    from tiny_hugging_face import save  # noqa: PLC0415  (needs transformers)

    data = tmp_path / "data"
    (data / "lists").mkdir(parents=True)
    shutil.copy(named_cuts, data / "cuts_train.jsonl.gz")
    for domain in ("medical", "parliament", "general"):
        shutil.copy(named_cuts, data / f"cuts_dev_{domain}.jsonl.gz")
        (data / f"lists/{domain}.dev.3.txt").write_text("metformin\nnew york\nsmith")
    (tmp_path / "adapt.toml").write_text(
        training_toml(Path("cuts_train.jsonl.gz"), TINY_ADAPTER, validation=[], names=[2, 6])
    )
    options = ("--adapter", tmp_path / "trained", "--splits", "dev", "--list", 3, "--limit", 4)
    model = save(tmp_path / "hf", num_hidden_layers=4)
    trained = ("--config", tmp_path / "adapt.toml")
    printed = _run("adapter.py", model, data, *options, *trained)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()]
    assert rows[0] == ["parts", "dev medical", "dev parliament", "dev WER"]
    assert [row[0] for row in rows[2:]] == ["none", "adapter", "boost, g2g", "boost, g2g, adapter"]
    assert all(len(row) == 4 and " → " in row[3] for row in rows[2:])
    assert all(0.0 <= float(cell) <= 100.0 for row in rows[2:] for cell in row[1:3])
    assert (tmp_path / "trained/ctcbias_adapter.safetensors").is_file()
    assert _run("adapter.py", model, data, *options) == printed


@pytest.mark.filterwarnings("ignore")  # torch's exporter has many
@pytest.mark.parametrize("twice", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_module_of_an_exported_model(
    tmp_path: Path, twice: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log-probs are those of the ONNX file, and an adapter finds its layers."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import adapter  # noqa: PLC0415
    import strangers  # noqa: PLC0415

    torch.manual_seed(0)
    tokens = strangers.CHARACTERS
    head = strangers.Head(load_package(None).model.config.encoder.width, len(tokens), twice)
    stranger = strangers.Stranger("char", tokens, 0, lambda _: [], twice)
    strangers.export(stranger, head, tmp_path / "char")
    model, module = adapter.model_at(tmp_path / "char")
    spoken = [to_recording(CLIPS / "medical-1.flac", 16000)]
    own, exported = (one.log_probs(spoken) for one in (model, load_model(tmp_path / "char")))
    assert model.frame_seconds == exported.frame_seconds == (0.02 if twice else 0.08)
    torch.testing.assert_close(own.log_probs, exported.log_probs, atol=1e-3, rtol=0)
    base = tapped(model, module)
    assert (base.head, base.taps) == ("project", ("layers.0", "layers.1"))
    told = adapter.anchored(read_toml(ROOT / "benchmarks/adapter.toml"), tmp_path)
    assert load_config(AdaptConfig, told).train == (tmp_path / "cuts_train.jsonl.gz",)


def test_long_lists() -> None:
    shown = _run("long_lists.py", "--names", 1200, "--kind", "rows", "--given", "list")
    rows = [line.strip("| ").split(" | ") for line in shown.splitlines()]
    assert rows[0][0] == "names"
    assert [row[2] for row in rows[2:]] == ["foreign", "embedded"]
    assert all(float(cell) < 100 for row in rows[2:] for cell in row[4:8])
    assert rows[3][-1] == "21 of 21"


@pytest.mark.slow
def test_a_server_under_load() -> None:
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    command = [sys.executable, str(ROOT / "benchmarks/server.py"), "--clients", "3"]
    command += ["--seconds", "3", "--names", "20"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    lines = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["one client", "3 clients"]
    assert re.match(r"P95 \d+\.\d+ s, 2 x .*: ratio \d", lines[2])
    for line in (*lines[:2], lines[3]):
        assert re.search(r"\d x 200; 0 without the name$", line)
    assert re.match(r"memory \d+ -> \d+ MB .*, open files \d+ -> \d+$", lines[4])


@pytest.mark.slow
def test_jobs() -> None:
    rows = _run("jobs.py", "--seconds", 30).splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [(row[0], row[-1]) for row in cells] == [("1", "yes"), ("2", "yes")]


def test_the_chart_is_that_of_the_tables(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    _run("list_sizes.py", ROOT / "docs/results.md", tmp_path / "chart.svg")
    drawn = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    shipped = (ROOT / "docs/list-sizes.svg").read_text(encoding="utf-8")
    assert _marks(drawn) == _marks(shipped)
    decoders = len(PEERS) + 2
    # Three sizes in two charts, less two for which one is too slow; and the legend.
    assert len(_marks(drawn)) == 2 * 3 * decoders - 2 + decoders


def _marks(svg: str) -> list[tuple[str, str]]:
    """Where the points of a chart are."""
    return re.findall(
        r'<use [^>]*x="([\d.]+)" y="([\d.]+)" style="fill: [^"]*stroke: [^"]*"/>', svg
    )
