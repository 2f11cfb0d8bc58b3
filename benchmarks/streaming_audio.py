"""Streams of audio, and the same recordings as a whole: latency, retractions, F1, WER, CPU.

    python benchmarks/streaming_audio.py CUTS NAMES

Sentences are joined to streams, with pauses, and streams advance together, as a server's do. The
latency of a word counts from where it ends (in the transcript itself) to the end of the chunk after
which it is there: shown, and committed; computing comes on top, which is what CPU says, in one
thread: features, encoder, adapter, phones, search.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from streaming import Heard, Speech, rates_of, row_of, streamed

from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.config import parse_overrides
from ctcbias_fst.corpus.cuts import load_recording, read_cuts

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("cuts", type=FILE)
@click.argument("names", type=FILE)
@click.option("--model", "path", type=FILE, help="[the embedded one]")
@click.option("--chunks", default="640", show_default=True, help="Milliseconds.")
@click.option("--join", default=6, show_default=True, help="Sentences of a stream.")
@click.option("--pause", default=0.5, show_default=True, help="Seconds between sentences.")
@click.option("--streams", "together", default=8, show_default=True, help="At a time.")
@click.option("--limit", type=int, help="Sentences [all].")
@click.option("--set", "settings", multiple=True, help="stream_window.left=4, for example.")
def main(  # noqa: PLR0917
    cuts: Path,
    names: Path,
    path: Path | None,
    chunks: str,
    join: int,
    pause: float,
    together: int,
    limit: int | None,
    settings: tuple[str, ...],
) -> None:
    """Print a row for each size of chunks, after one of the same recordings as wholes."""
    torch.set_num_threads(1)
    recognizer = Recognizer.from_pretrained(path, settings=parse_overrides(settings))
    listed = recognizer.compile(names, warn=False)
    speech, recordings = _joined(cuts, recognizer.model.sampling_rate, join, pause, limit)
    seconds = sum(one.seconds for one in recordings)
    print("| chunk | F1 | WER | first | shown | committed | 95 % | retracted | CPU | streams |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    begin = time.process_time()
    whole = {
        one.id: recognizer.transcribe_recordings([one], [listed])[0].best.text for one in recordings
    }
    cost = (time.process_time() - begin) / seconds
    print(f"| all | {rates_of(speech, whole, listed)} | | | | | | {1000 * cost:.0f} ms | |")
    for size in map(float, chunks.split(",")):
        begin = time.process_time()
        heard = _stream(recognizer, recordings, listed, size / 1000, together)
        cost = (time.process_time() - begin) / seconds
        row = row_of(speech, heard, listed)
        print(f"| {size:.0f} ms | {row} | {1000 * cost:.0f} ms | {1 / cost:.0f} |", flush=True)


def _joined(
    cuts: Path, rate: int, count: int, pause: float, limit: int | None
) -> tuple[list[Speech], list[Recording]]:
    """What is said, and the recordings, of so many sentences each."""
    single = list(read_cuts(cuts))[:limit]
    silence = np.zeros(round(pause * rate), dtype=np.float32)
    speech, recordings = [], []
    for at in range(0, len(single), count):
        group = single[at : at + count]
        parts = [part for cut in group for part in (load_recording(cut, rate).samples, silence)]
        text = " ".join(cut.supervisions[0].text for cut in group)
        speech.append(Speech(group[0].id, torch.zeros(0), None, text))
        recordings.append(Recording(group[0].id, np.concatenate(parts), rate))
    return speech, recordings


def _stream(
    recognizer: Recognizer,
    recordings: Sequence[Recording],
    names: CompiledEntities,
    chunk: float,
    together: int,
) -> list[Heard]:
    """Stream all, so many at a time."""
    rate = recognizer.model.sampling_rate
    return streamed(
        recognizer,
        lambda at: recognizer.stream(names, name=recordings[at].id),
        lambda at, begin, end: recordings[at].samples[begin:end],
        [len(one.samples) for one in recordings],
        (round(chunk * rate), rate),
        together=together,
    )


if __name__ == "__main__":
    main()
