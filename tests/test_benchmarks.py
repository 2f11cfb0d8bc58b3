"""The benchmarks run, on made log-probs and with the decoders that need no further package."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

from safetensors.torch import save_file

from ctcbias_fst.text.tokens import SentencePieceTokenizer

ROOT = Path(__file__).parents[1]
NAMES = ("metformin", "keisha", "new orleans", "atorvastatin")


def test_peers(tmp_path: Path, tokenizer: SentencePieceTokenizer, tokenizer_path: Path) -> None:
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
    (tmp_path / "study.toml").write_text(
        f"""
        tokenizer = "{tokenizer_path.as_posix()}"
        choose_size = 4
        [[sets]]
        name = "made"
        log_probs = "log_probs.safetensors"
        references = "said.jsonl"
        lists = [{{ size = 4, path = "names.txt" }}]
        """,
        encoding="utf-8",
    )
    decoders = ("ctcbias_fst", "k2 topology")
    subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/peers.py"), str(tmp_path / "study.toml")]
        + ["--out", str(tmp_path / "out"), "--repeat", "1"]
        + [part for name in decoders for part in ("--decoder", name)],
        check=True,
        cwd=ROOT,
    )
    with (tmp_path / "out/results.csv").open(encoding="utf-8") as stream:
        rows = {(row["decoder"], row["size"]): row for row in csv.DictReader(stream)}
    assert set(rows) == {(name, size) for name in decoders for size in ("0", "4")}
    plain, ours = rows["k2 topology", "4"], rows["ctcbias_fst", "4"]
    assert float(ours["f1"]) == 1.0 > float(plain["f1"])
    assert plain["wer"] == rows["ctcbias_fst", "0"]["wer"] == rows["k2 topology", "0"]["wer"]
    assert "| k2 topology " in (tmp_path / "out/results.md").read_text(encoding="utf-8")
    weights = json.loads((tmp_path / "out/weights.json").read_text(encoding="utf-8"))
    assert set(weights) == set(decoders)
