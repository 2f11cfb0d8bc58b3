"""Streams of saved log-probs, and the same decoded as a whole: latency, retractions, F1, WER, CPU.

    python benchmarks/streaming.py LOG_PROBS CUTS NAMES --phones PHONES

LOG_PROBS and PHONES are what save_log_probs.py writes of CUTS. Sentences are joined to streams, and
streams advance together, as a server's do; times are CPU seconds of this one process, one thread.
All is streamed once before, untimed: a name is spelt and pronounced when it first comes up.
A word's latency counts from where it ends (in the transcript itself) to the end of the chunk after
which it is there: shown, and committed. What the model takes for a chunk comes on top.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors.torch import load_file

from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.config import parse_overrides
from ctcbias_fst.corpus.cuts import read_cuts
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.models.find import load_model
from ctcbias_fst.records import LogProbs
from ctcbias_fst.scoring.score import rates, score_transcripts, total
from ctcbias_fst.search.saved_log_probs import SavedLogProbs
from ctcbias_fst.settings import changed, settings_of
from ctcbias_fst.streaming.updates import Update

FILE = click.Path(path_type=Path)
BESIDE_PHONES = ("rescore", "lookup")


@dataclass(frozen=True)
class Speech:
    """What a stream will say: log-probs (T, V), those of phones (U, P), and the words."""

    id: str
    tokens: torch.Tensor
    phones: torch.Tensor | None
    text: str


@dataclass
class Heard:
    """What came out of one stream, with the seconds of it that had come by then.

    Attributes:
        ends: of each committed word, where it ends.
        committed, shown: of each committed word, when it was.
        retracted: words that were shown, and are not there in the next update.
    """

    text: str = ""
    ends: list[float] = field(default_factory=list)
    committed: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    retracted: int = 0
    tentative: list[str] = field(default_factory=list)

    def note(self, update: Update, now: float) -> None:
        """Count what an update has."""
        new = [word.word for word in update.words]
        self.ends += [word.end for word in update.words]
        self.committed += [now] * len(new)
        tentative = [word.word for word in update.tentative_words]
        count = len(self.committed) + len(tentative)
        self.shown += [now] * (count - len(self.shown))
        self.retracted += _missing(self.tentative, [*new, *tentative])
        self.text, self.tentative = update.committed, tentative


def _missing(words: Sequence[str], others: Sequence[str]) -> int:
    """How many words are not among others, in their order."""
    matcher = SequenceMatcher(a=words, b=others, autojunk=False)
    return len(words) - sum(block.size for block in matcher.get_matching_blocks())


@click.command()
@click.argument("log_probs", type=FILE)
@click.argument("cuts", type=FILE)
@click.argument("names", type=FILE)
@click.option("--phones", type=FILE, help="Log-probs of phones: all parts act.")
@click.option("--model", "path", type=FILE, help="Of the log-probs [the embedded one].")
@click.option("--chunks", default="320,640,1280", show_default=True, help="Milliseconds.")
@click.option("--join", default=6, show_default=True, help="Sentences of a stream.")
@click.option("--streams", "together", default=50, show_default=True, help="At a time.")
@click.option("--set", "settings", multiple=True, help="stream.wait=0.6, for example.")
def main(  # noqa: PLR0917
    log_probs: Path,
    cuts: Path,
    names: Path,
    phones: Path | None,
    path: Path | None,
    chunks: str,
    join: int,
    together: int,
    settings: tuple[str, ...],
) -> None:
    """Print a row for each size of chunks, after one of the same decoded as a whole."""
    torch.set_num_threads(1)
    model = load_model(path)
    config = changed(_acting(settings_of(path), phones is not None), parse_overrides(settings))
    decoder = Decoder(
        model.tokenizer,
        config,
        frame_seconds=model.frame_seconds,
        lm=model.lm,
        phones=phones is not None,
        check_blank=False,
    )
    speech = _joined(_read(log_probs, phones, cuts, decoder), join)
    listed = decoder.compile(names, warn=False)
    print("| chunk | F1 | WER | first | shown | committed | 95 % | retracted | CPU | streams |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    offline = {}
    begin = time.process_time()
    for one in speech:
        (found,) = decoder.decode_batch(_chunk(one, 0, len(one.tokens), decoder), [listed])
        offline[one.id] = found.best.text
    cost = (time.process_time() - begin) / _seconds(speech, decoder)
    print(f"| all | {rates_of(speech, offline, listed)} | | | | | | {1000 * cost:.0f} ms | |")
    sizes = list(map(float, chunks.split(",")))
    _stream(speech, decoder, listed, sizes[-1] / 1000, together)
    for size in sizes:
        begin = time.process_time()
        heard = _stream(speech, decoder, listed, size / 1000, together)
        cost = (time.process_time() - begin) / _seconds(speech, decoder)
        row = row_of(speech, heard, listed)
        print(f"| {size:.0f} ms | {row} | {1000 * cost:.0f} ms | {1 / cost:.0f} |", flush=True)


def _acting(settings: dict[str, Any], phones: bool) -> dict[str, Any]:
    """Settings without the parts that log-probs leave nothing to do."""
    parts = changed(settings, {}).parts
    acting = [part for part in parts if phones or part not in BESIDE_PHONES]
    return {**settings, "parts": [part for part in acting if part != "adapter"]}


def _read(log_probs: Path, phones: Path | None, cuts: Path, decoder: Decoder) -> list[Speech]:
    """The sentences of CUTS, in their order."""
    saved = SavedLogProbs(log_probs)
    beside = {} if phones is None else load_file(phones)
    found = []
    for cut in read_cuts(cuts):
        if cut.id in saved.frames and (phones is None or cut.id in beside):
            tokens = saved.read(cut.id, decoder.vocabulary)
            heard = beside.get(cut.id)
            found.append(Speech(cut.id, tokens, heard, cut.supervisions[0].text))
    return found


def _joined(sentences: Sequence[Speech], count: int) -> list[Speech]:
    """So many sentences at a time as one; phones are cut or held to the length of the tokens."""
    groups = [sentences[at : at + count] for at in range(0, len(sentences), count)]
    found = []
    for group in groups:
        phones = None
        if group[0].phones is not None:
            phones = torch.cat([_fitted(one.phones, len(one.tokens)) for one in group])
        text = " ".join(one.text for one in group)
        found.append(Speech(group[0].id, torch.cat([one.tokens for one in group]), phones, text))
    return found


def _fitted(rows: torch.Tensor | None, count: int) -> torch.Tensor:
    assert rows is not None
    return torch.cat([rows, rows[-1:].expand(max(0, count - len(rows)), -1)])[:count]


def _chunk(one: Speech, begin: int, end: int, decoder: Decoder) -> LogProbs:
    """Some frames of a stream."""
    rows = one.tokens[None, begin:end]
    heard = None if one.phones is None else one.phones[None, begin:end]
    lengths = torch.tensor([rows.shape[1]])
    return LogProbs(rows, lengths, decoder.frame_seconds, (one.id,), decoder.vocabulary, heard)


def _stream(
    speech: Sequence[Speech], decoder: Decoder, names: CompiledEntities, chunk: float, together: int
) -> list[Heard]:
    """Stream all, so many at a time."""
    return streamed(
        decoder,
        lambda at: decoder.stream(names, name=speech[at].id),
        lambda at, begin, end: _chunk(speech[at], begin, end, decoder),
        [len(one.tokens) for one in speech],
        (round(chunk / decoder.frame_seconds), 1 / decoder.frame_seconds),
        together=together,
    )


def streamed(
    advances: Any,
    opened: Callable[[int], Any],
    part: Callable[[int, int, int], Any],
    lengths: Sequence[int],
    chunk: tuple[int, float],
    *,
    together: int,
) -> list[Heard]:
    """Stream all, so many at a time.

    Args:
        advances: a decoder or recogniser.
        opened: opens the stream of this number.
        part: what it is given of itself.
        lengths: of each stream, in frames or samples.
        chunk: of how many of them, and how many are a second.
        together: how many advance at a time.
    """
    size, rate = chunk
    found = [Heard() for _ in lengths]
    for first in range(0, len(lengths), together):
        live = list(range(first, min(first + together, len(lengths))))
        streams = {at: opened(at) for at in live}
        begin = 0
        while live:
            end = begin + size
            parts = [part(at, begin, end) for at in live]
            updates = advances.accept_all([streams[at] for at in live], parts)
            over = [at for at in live if end >= lengths[at]]
            last = advances.finish_all([streams[at] for at in over])
            for at, update in [*zip(live, updates), *zip(over, last)]:
                found[at].note(update, min(end, lengths[at]) / rate)
            live, begin = [at for at in live if at not in over], end
    return found


def _seconds(speech: Sequence[Speech], decoder: Decoder) -> float:
    return sum(len(one.tokens) for one in speech) * decoder.frame_seconds


def rates_of(speech: Sequence[Speech], texts: dict[str, str], names: CompiledEntities) -> str:
    """F1 and word error rate, in percent."""
    said = {one.id: one.text for one in speech}
    rate = rates(total(score_transcripts(said, texts, names.entities)))
    return f"{100 * rate['F1']:.1f} | {100 * rate['WER']:.2f}"


def row_of(speech: Sequence[Speech], heard: Sequence[Heard], names: CompiledEntities) -> str:
    """What came out of all streams."""
    texts = {one.id: found.text for one, found in zip(speech, heard)}
    first = np.median([found.shown[0] - found.ends[0] for found in heard if found.ends])
    shown = np.array([a - b for found in heard for a, b in zip(found.shown, found.ends)])
    committed = np.array([a - b for found in heard for a, b in zip(found.committed, found.ends)])
    retracted = sum(found.retracted for found in heard) / len(committed)
    return (
        f"{rates_of(speech, texts, names)} | {first:.2f} s | {np.median(shown):.2f} s | "
        f"{np.median(committed):.2f} s | {np.percentile(committed, 95):.2f} s | "
        f"{100 * retracted:.1f} %"
    )


if __name__ == "__main__":
    main()
