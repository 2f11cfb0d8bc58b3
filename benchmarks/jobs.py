"""How much faster several processes decode a corpus than one, and whether they write the same.

    python benchmarks/jobs.py [--seconds 3600] [--jobs 1,2] [--ray ADDRESS] [--entities LIST]

The corpus is the package's clips, again and again. Each row is a run of ctcbias decode, from its
start to its end: loading the model, which each process does, counts. With --ray the rows behind the
first are of actors.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path

import click
import soundfile

from ctcbias_fst.models.package import DEFAULT

CLIPS = DEFAULT.parent / "clips"


@click.command()
@click.option("--seconds", default=3600.0, help="So much audio.")
@click.option("--jobs", "numbers", default="1,2", help="How many processes; the first is compared.")
@click.option("--ray", "address", help="Of a cluster, in which all but the first are run.")
@click.option("--entities", type=click.Path(path_type=Path), default=CLIPS / "names.txt")
def main(seconds: float, numbers: str, address: str | None, entities: Path) -> None:
    """Print a row for each number of processes."""
    print("| jobs | seconds | times as fast | x real time | the same |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        audio = _write_corpus(folder / "wav.scp", seconds)
        first: tuple[float, bytes] | None = None
        for jobs in numbers.split(","):
            out = folder / f"{jobs}.jsonl"
            options = ["--jobs", jobs]
            if address is not None and first is not None:
                options += ["--ray", address]
            command = [sys.executable, "-m", "ctcbias_fst", "decode", "--cuts", folder / "wav.scp"]
            begin = time.perf_counter()
            subprocess.run(
                [*command, "--entities", entities, "--out", out, *options],
                check=True,
                stderr=subprocess.DEVNULL,
            )
            took = time.perf_counter() - begin
            first = first or (took, out.read_bytes())
            same = "yes" if out.read_bytes() == first[1] else "NO"
            print(f"| {jobs} | {took:.1f} | {first[0] / took:.2f} | {audio / took:.0f} | {same} |")


def _write_corpus(path: Path, seconds: float) -> float:
    """List the clips until there are so many seconds; returns how many there are."""
    clips = sorted(CLIPS.glob("*.flac"))
    lengths = {clip: soundfile.info(str(clip)).duration for clip in clips}
    lines, so_far = [], 0.0
    for number, clip in enumerate(cycle(clips)):
        if so_far >= seconds:
            break
        lines.append(f"{clip.stem}-{number} {clip}\n")
        so_far += lengths[clip]
    path.write_text("".join(lines), encoding="utf-8")
    return so_far


if __name__ == "__main__":
    main()
