"""How long lists of invented names take to compile, to change and to decode with, and their memory.

    python -m benchmarks.long_lists --names 1000000 --kind plain --kind said --decoder foreign

Each row is a process of its own with one thread: CPU seconds and peak memory of reading and
compiling a list, CPU seconds of compiling it again with a few names changed, and of decoding an
utterance of some ten seconds with it. The last column is how many of the names in these are found.
Nothing that is kept on disk is used.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import torch

from ctcbias_fst.audio.audio import read_audio
from ctcbias_fst.cache import VARIABLE
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import LogProbs

Found = TypeVar("Found")

KINDS = ("plain", "said", "rows")
DECODERS = ("foreign", "embedded")
_WORDS = 5
"""Names for each different word among them: as of people, of whom many share a first name."""

_SAID = (
    "{} {}",
    "{}-{}",
    "{} No. {}",
    "J. {} {}",
    "{} & Co. {}",
    "Dr. {} {}",
    "{} V{}",
    "{} {} mg",
)


def invented(count: int, kind: str) -> list[Any]:
    """Different names of one to three invented words, always the same.

    Args:
        count: so many.
        kind: ``plain``; ``said``: with digits, symbols or initials; ``rows``: plain, with a weight
            and a category.
    """
    generator = random.Random(0)
    parts = [
        "".join(part)
        for part in itertools.product("bcdfghklmnprstvwz", "aeiou", ("", "l", "n", "r", "s"))
    ]
    words: set[str] = set()
    while len(words) < max(10, count // _WORDS):
        words.add("".join(generator.choices(parts, k=generator.choice((2, 2, 3, 3, 4)))).title())
    pool = sorted(words)
    made: dict[str, None] = {}
    while len(made) < count:
        made[" ".join(generator.choices(pool, k=generator.choice((1, 2, 2, 3))))] = None
    names = list(made)
    if kind == "plain":
        return names
    if kind == "said":
        return [
            _SAID[i % len(_SAID)].format(name, 1 + i * 7919 % 9973) for i, name in enumerate(names)
        ]
    weights, labels = (0.5, 1.0, 1.5, 2.0), ("person", "place", "product")
    return [
        {"name": name, "weight": weights[i % 4], "category": labels[i % 3]}
        for i, name in enumerate(names)
    ]


def measured(kind: str, count: int, given: str, which: str, changed: int) -> list[str]:
    """The cells of a row."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    clips = (DEFAULT.parent / "clips" / "names.txt").read_text(encoding="utf-8").splitlines()
    names = [*clips, *invented(count - len(clips), kind)]
    with tempfile.TemporaryDirectory() as folder:
        source: Any = names
        if given == "file":
            source = Path(folder) / ("names.jsonl" if kind == "rows" else "names.txt")
            lines = (row if kind != "rows" else json.dumps(_row(row)) for row in names)
            source.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            del names
        decoder = _decoder(which)
        decoder.compile(["Imiglucerase"])
        seconds, compiled = _timed(lambda: decoder.compile(source, warn=False))
        memory = _peak()
        again = "-"
        if changed and given == "list":
            half = len(names) // 2
            other = [*names[:half], *names[half + changed :], *_further(changed)]
            again = f"{_timed(lambda: decoder.compile(other, warn=False))[0]:.1f}"
    decoding, found = _decoding(decoder, compiled, which)
    return [
        kind,
        given,
        which,
        f"{len(compiled):,}",
        f"{seconds:.1f}",
        f"{memory:.2f}",
        again,
        f"{decoding:.2f}",
        found,
    ]


def _further(count: int) -> list[str]:
    return [f"Zyq{'abcdefghij'[i % 10]}o {'abcdefghij'[i // 10 % 10]}ela" for i in range(count)]


def _row(name: str | dict[str, Any]) -> dict[str, Any]:
    return {"name": name} if isinstance(name, str) else name


def _decoder(which: str) -> Decoder:
    if which == "embedded":
        return Recognizer.from_pretrained().decoder
    return Decoder.from_tokens(
        DEFAULT / "tokenizer.model", frame_seconds=0.04, settings={"parts": ["boost"]}
    )


def _utterances(phones: bool) -> list[tuple[LogProbs, set[str]]]:
    """What the embedded model hears in its clips, three joined each time, and the names in them."""
    recognizer = Recognizer.from_pretrained()
    folder = DEFAULT.parent / "clips"
    rows = [json.loads(line) for line in (folder / "clips.jsonl").read_text().splitlines()]
    heard = [recognizer.log_probs([read_audio(folder / row["path"])], [None]) for row in rows]
    joined = []
    for first in range(len(rows)):
        three = [(first + place) % len(rows) for place in range(3)]
        values = torch.cat([heard[at].log_probs[0] for at in three])
        batch = recognizer.decoder.batch(values)
        if phones:
            of_phones = torch.cat([heard[at].phones.log_probs[0] for at in three])  # type: ignore[union-attr]
            batch = replace(batch, phones=of_phones[None])
        joined.append((batch, {name for at in three for name in rows[at]["entities"]}))
    return joined


def _decoding(decoder: Decoder, compiled: CompiledEntities, which: str) -> tuple[float, str]:
    """CPU seconds for an utterance, once caches are warm, and how many of the names are found."""
    utterances = _utterances(which == "embedded")
    found = said = 0
    for _ in range(2):
        begin = time.process_time()
        found = said = 0
        for batch, names in utterances:
            (transcript,) = decoder.decode(batch, entities=compiled)
            text = transcript.best.text.lower()
            found += sum(name in text for name in names)
            said += len(names)
    return (time.process_time() - begin) / len(utterances), f"{found} of {said}"


def _timed(call: Callable[[], Found]) -> tuple[float, Found]:
    begin = time.process_time()
    found = call()
    return time.process_time() - begin, found


def _peak() -> float:
    """GB resident, at most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


HEAD = ("names", "given", "decoder", "used", "compile, s", "GB", "changed, s", "decode, s", "found")


@click.command()
@click.option("--names", default=1_000_000, show_default=True)
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), default=KINDS)
@click.option("--given", multiple=True, type=click.Choice(["list", "file"]), default=["list"])
@click.option("--decoder", "decoders", multiple=True, type=click.Choice(DECODERS), default=DECODERS)
@click.option("--changed", default=10, show_default=True, help="So many names; 0: not measured.")
def main(
    names: int,
    kinds: Sequence[str],
    given: Sequence[str],
    decoders: Sequence[str],
    changed: int,
) -> None:
    """Print a row for each kind of names."""
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ[VARIABLE] = "off"
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}", flush=True)
    context = multiprocessing.get_context("spawn")
    for kind, source, which in itertools.product(kinds, given, decoders):
        with context.Pool(1) as pool:
            cells = pool.apply(measured, (kind, names, source, which, changed))
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
