"""Word error rate and F1 of names against the length of recordings.

    python benchmarks/length.py DATA [--model PATH] [--longest SECONDS]

DATA is what recipes/synthetic makes. Development sentences with names are joined in a fixed random
order, --gap seconds between them, to recordings of about each length; all have the same list of
names. --longest says how long a piece of long audio may be (setting pieces.longest_seconds): 1000
scores it as a whole, or in windows of half a minute.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.corpus.cuts import load_recording, read_cuts
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.scoring.score import rates, score_transcripts, total
from ctcbias_fst.text.entities import entities_from_names

SETS = ("medical", "parliament")
Sentence = tuple[Recording, str]


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--lengths", default="0,10,30,60,300,600", help="Seconds; 0: single sentences.")
@click.option("--gap", default=0.5, help="Seconds of silence between sentences.")
@click.option("--seconds", default=600.0, help="So much speech for each length.")
@click.option("--list", "size", default="1000", help="Which of the data's lists of names.")
@click.option("--model", type=click.Path(path_type=Path), help="Default: the embedded one.")
@click.option("--longest", type=float, help="Seconds of a piece. Default: as the model has it.")
def main(  # noqa: PLR0917
    data: Path,
    lengths: str,
    gap: float,
    seconds: float,
    size: str,
    model: Path | None,
    longest: float | None,
) -> None:
    """Print a row for each length."""
    settings = {} if longest is None else {"pieces.longest_seconds": longest}
    recognizer = Recognizer.from_pretrained(model, settings=settings)
    sentences, names = _read(data, size, recognizer.model.sampling_rate, seconds)
    entities = entities_from_names(names)
    compiled = recognizer.compile(entities, warn=False)
    print("| seconds | recordings | WER | precision | recall | F1 | x real time |", flush=True)
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for length in map(float, lengths.split(",")):
        joined = [_join(group, gap) for group in _groups(sentences, length, gap)]
        references = {recording.id: text for recording, text in joined}
        begin = time.perf_counter()
        found = {}
        for recording, _ in joined:
            found[recording.id] = recognizer.transcribe(recording, entities=compiled).best.text
        speed = sum(recording.seconds for recording, _ in joined) / (time.perf_counter() - begin)
        rate = rates(total(score_transcripts(references, found, entities)))
        mean = np.mean([recording.seconds for recording, _ in joined])
        shown = [rate["WER"], rate["precision"], rate["recall"], rate["F1"]]
        print(
            f"| {mean:.0f} | {len(joined)} |"
            + "".join(f" {100 * value:.1f} |" for value in shown)
            + f" {speed:.0f} |",
            flush=True,
        )


def _read(data: Path, size: str, rate: int, seconds: float) -> tuple[list[Sentence], list[str]]:
    """Sentences in a random order, and the names of all lists."""
    sentences: list[Sentence] = []
    names: dict[str, None] = {}
    for name in SETS:
        for cut in read_cuts(data / f"cuts_dev_{name}.jsonl.gz"):
            sentences.append((load_recording(cut, rate), cut.supervisions[0].text))
        lines = (data / "lists" / f"{name}.dev.{size}.txt").read_text(encoding="utf-8")
        names.update(dict.fromkeys(lines.split("\n")))
    random.Random(0).shuffle(sentences)
    chosen, so_far = [], 0.0
    for sentence in sentences:
        if so_far < seconds:
            chosen.append(sentence)
            so_far += sentence[0].seconds
    return chosen, [name for name in names if name]


def _groups(sentences: Sequence[Sentence], length: float, gap: float) -> list[list[Sentence]]:
    """Sentences that are joined, until there are about as many seconds."""
    groups: list[list[Sentence]] = []
    so_far = math.inf
    for sentence in sentences:
        added = gap + sentence[0].seconds
        if so_far + added / 2 > length:
            groups.append([])
            so_far = 0.0
        groups[-1].append(sentence)
        so_far += added
    return groups


def _join(group: Sequence[Sentence], gap: float) -> tuple[Recording, str]:
    first = group[0][0]
    silence = np.zeros(round(gap * first.sampling_rate), np.float32)
    samples = [part for recording, _ in group for part in (silence, recording.samples)][1:]
    name = f"{first.id} and {len(group) - 1}"
    return (
        Recording(name, np.concatenate(samples), first.sampling_rate),
        " ".join(text for _, text in group),
    )


if __name__ == "__main__":
    main()
