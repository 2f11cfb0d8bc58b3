"""The example of a client, beside a server that runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "ctcbias_fst" / "pretrained" / "clips" / "medical-2.flac"


def test_the_client_of_the_examples(runs: Any, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("Imiglucerase\n\n東京\n", encoding="utf-8")
    with runs() as (_, port):
        done = subprocess.run(
            [
                *(sys.executable, ROOT / "examples" / "server_client.py", CLIP),
                *("--entities", tmp_path / "names.txt", "--url", f"http://127.0.0.1:{port}/v1"),
            ],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=False,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr
    first, name = done.stdout.splitlines()
    assert first == "my father takes Imiglucerase and feels fine"
    assert name.split() == ["1.10", "Imiglucerase"]
    assert "'東京' has no effect" in done.stderr
