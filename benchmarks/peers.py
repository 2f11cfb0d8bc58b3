"""Decoders with a list of names, on the same log-probs: F1, word error rate, and time.

    python benchmarks/peers.py STUDY.toml --out FOLDER

Each decoder's weight is the best on the first list of the sets that ``--choose`` has, or comes
from the file that an earlier run wrote (``--weights``), so that test data chooses nothing. Times
are CPU seconds of this one process, one thread, the decoders in turns, the least of ``--repeat``.
A decoder that spends ``--limit`` seconds on a list is timed on what it did until then, and has
no other figures there. What is done is written at once: weights after each decoder, figures after
each set.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import decoders
import numpy as np
import torch
from safetensors.torch import load_file

from ctcbias_fst.config import load_config
from ctcbias_fst.models.find import load_model
from ctcbias_fst.scoring.score import rates, score_transcripts, total
from ctcbias_fst.search.saved_log_probs import SavedLogProbs
from ctcbias_fst.search.search_config import BoostConfig
from ctcbias_fst.text.entities import EntityList, read_entities
from ctcbias_fst.text.tokens import Tokenizer, load_tokenizer, tokenizer_of
from ctcbias_fst.text.transcripts import read_transcripts
from ctcbias_fst.text.vocabulary import Vocabulary

FRAME_SECONDS = 0.04
"""Of log-probs whose file does not say."""

_CHUNK = 8


@dataclass(frozen=True)
class NameList:
    """A list; ``size`` is what it is called in the tables."""

    size: int
    path: Path


@dataclass(frozen=True)
class BenchSet:
    """Saved log-probs, what was said, and lists to decode them with.

    Attributes:
        references: files of cuts or transcripts.
        phones: log-probs of phones, by the same ids (``save_log_probs.py``).
        chooses: whether weights are chosen on it, with the list of ``choose_size``.
        compared: whether it is in the tables.
    """

    name: str
    log_probs: Path
    references: tuple[Path, ...]
    lists: tuple[NameList, ...]
    phones: Path | None = None
    chooses: bool = True
    compared: bool = True


@dataclass(frozen=True)
class Bench:
    """What is compared.

    Attributes:
        tokenizer: SentencePiece model.
        tokens: what the columns are, if they are not its pieces: ``tokens.txt`` or the like.
        words: file of the training text's words, one per line (for lexicons).
        config: settings of ours, TOML.
        model: its directory, if it is one of ours: it has settings and a language model.
        lm: the language model, for ours with all parts.
        boost: for ours with the boosting FST alone.
        choose_size: the list with which weights are chosen.
    """

    sets: tuple[BenchSet, ...]
    tokenizer: Path | None = None
    tokens: Path | None = None
    words: Path | None = None
    config: Path | None = None
    model: Path | None = None
    lm: Path | None = None
    boost: BoostConfig | None = None
    choose_size: int = 1000


@dataclass(frozen=True)
class Row:
    """A decoder on a set with a list.

    Attributes:
        seconds: CPU time of decoding, for the whole set if need be extrapolated.
        speed: times real time.
        ratio: to the time of ours without a list, on the same set.
    """

    decoder: str
    version: str
    weight: float
    set: str
    size: int
    f1: float
    precision: float
    recall: float
    wer: float
    seconds: float
    speed: float
    ratio: float
    whole: bool


@dataclass
class _Loaded:
    name: str
    ids: list[str]
    speech: list[decoders.Speech]
    frame_seconds: float
    seconds: float
    references: dict[str, str]
    lists: dict[int, EntityList]


def _load(one: BenchSet, folder: Path, columns: Vocabulary) -> _Loaded:
    """A set; the columns of its log-probs are put in an order with the blank first."""
    saved = SavedLogProbs(folder / one.log_probs)
    ids = list(saved.frames)
    phones = {} if one.phones is None else load_file(folder / one.phones)
    known = None if one.phones is None else SavedLogProbs(folder / one.phones).frame_seconds
    frame = saved.frame_seconds or FRAME_SECONDS
    speech = [
        decoders.Speech(
            np.ascontiguousarray(saved.read(i, columns).numpy()[:, columns.blank_first_order]),
            phones[i].numpy() if phones else None,
            known or frame,
        )
        for i in ids
    ]
    references = {
        name: text
        for path in one.references
        for name, text in read_transcripts(folder / path).items()
    }
    return _Loaded(
        one.name,
        ids,
        speech,
        frame,
        sum(saved.frames.values()) * frame,
        {i: references[i] for i in ids},
        {names.size: read_entities(folder / names.path) for names in one.lists},
    )


def tokenizers(bench: Bench, folder: Path) -> tuple[Vocabulary, Tokenizer]:
    """What the columns are as saved, and a tokenizer of the order with the blank first."""
    named = [None if one is None else folder / one for one in (bench.tokens, bench.tokenizer)]
    path = named[1] or named[0]
    if path is None:
        raise click.ClickException("the study names neither tokenizer nor tokens")
    columns = tokenizer_of(path if named[0] is None else named[0], named[0] and named[1]).vocabulary
    return columns, load_tokenizer(path, columns.blank_first())


def _setting(
    bench: Bench, folder: Path, tokenizer: Tokenizer, sets: Sequence[_Loaded]
) -> decoders.Setting:
    frames = {one.frame_seconds for one in sets}
    if len(frames) != 1:
        raise click.ClickException(f"the sets are of several frame lengths: {sorted(frames)}")
    model = None if bench.model is None else folder / bench.model
    lm = None if bench.lm is None else folder / bench.lm
    return decoders.Setting(
        tokenizer,
        frames.pop(),
        () if bench.words is None else tuple((folder / bench.words).read_text("utf-8").split()),
        None if bench.config is None else folder / bench.config,
        model,
        load_model(model).lm if lm is None and model is not None else lm,
        bench.boost,
    )


def _run(
    decoder: decoders.Biaser, loaded: _Loaded, size: int, weight: float, limit: float
) -> tuple[dict[str, str], float]:
    """Texts so far, and CPU seconds for the whole set."""
    names = [entity.name for entity in loaded.lists[size]] if size else []
    decoder.use(names, weight)
    texts: dict[str, str] = {}
    spent = frames = 0.0
    # Decoders that do one utterance after the other are not handed all of them at once.
    chunk = len(loaded.ids) if decoder.batches else _CHUNK
    for begin in range(0, len(loaded.ids), chunk):
        some = loaded.speech[begin : begin + chunk]
        start = time.process_time()
        found = decoder.decode(some)
        spent += time.process_time() - start
        frames += sum(len(one.log_probs) for one in some)
        texts.update(zip(loaded.ids[begin : begin + chunk], found))
        if spent > limit:
            break
    return texts, spent * sum(len(one.log_probs) for one in loaded.speech) / frames


def _figures(loaded: _Loaded, size: int, texts: dict[str, str]) -> dict[str, float]:
    entities = loaded.lists[size or min(loaded.lists)]
    return rates(total(score_transcripts(loaded.references, texts, entities)))


def choose(
    name: str, decoder: decoders.Biaser, sets: Sequence[_Loaded], size: int, limit: float
) -> float:
    """The weight of the best mean F1, on sets that choose."""
    best = (-1.0, decoder.weights[0])
    for weight in decoder.weights:
        found = []
        for loaded in sets:
            texts, _ = _run(decoder, loaded, size, weight, limit)
            part = {i: loaded.references[i] for i in texts}
            entities = loaded.lists[size]
            found.append(rates(total(score_transcripts(part, texts, entities)))["F1"])
        mean = float(np.nanmean(found))
        click.echo(f"{name}, weight {weight:g}: mean F1 {mean:.3f}", err=True)
        best = max(best, (mean, weight))
    return best[1]


def compare(
    wanted: dict[str, decoders.Biaser],
    weights: dict[str, float],
    loaded: _Loaded,
    limit: float,
    repeat: int,
) -> list[Row]:
    """Every decoder on a set with every list, and without one."""
    rows = []
    plain = float("nan")
    for size in (0, *sorted(loaded.lists)):
        texts: dict[str, dict[str, str]] = {}
        spent: dict[str, float] = {}
        for _ in range(repeat):
            for name, decoder in wanted.items():
                if name in texts and len(texts[name]) < len(loaded.ids):
                    continue  # over the limit before
                texts[name], seconds = _run(decoder, loaded, size, weights[name], limit)
                spent[name] = min(seconds, spent.get(name, seconds))
        if not size:
            plain = spent.get("ctcbias_fst", plain)
        for name, decoder in wanted.items():
            whole = len(texts[name]) == len(loaded.ids)
            nan = dict.fromkeys(("F1", "precision", "recall", "WER"), float("nan"))
            figures = _figures(loaded, size, texts[name]) if whole else nan
            rows.append(
                Row(
                    name,
                    decoder.version,
                    weights[name],
                    loaded.name,
                    size,
                    figures["F1"],
                    figures["precision"],
                    figures["recall"],
                    figures["WER"],
                    spent[name],
                    loaded.seconds / spent[name],
                    spent[name] / plain,
                    whole,
                )
            )
            click.echo(str(rows[-1]), err=True)
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """A table per set: F1 / word error rate / time, of each decoder with each list."""
    parts = []
    for name in dict.fromkeys(row.set for row in rows):
        here = [row for row in rows if row.set == name]
        sizes = list(dict.fromkeys(row.size for row in here))
        parts.append(f"### {name}\n")
        parts.append(
            "F1 of the names (%) / WER (%) / times real time, by distractors in the list\n"
        )
        parts.append(
            "| decoder | weight | " + " | ".join(f"{s:,}" if s else "no list" for s in sizes)
        )
        parts[-1] += " |"
        parts.append("| --- " * (2 + len(sizes)) + "|")
        for decoder in dict.fromkeys(row.decoder for row in here):
            mine = {row.size: row for row in here if row.decoder == decoder}
            first = next(iter(mine.values()))
            cells = [_cell(mine[size]) for size in sizes]
            parts.append(
                f"| {decoder} {first.version} | {first.weight:g} | " + " | ".join(cells) + " |"
            )
        parts.append("")
    return "\n".join(parts)


def _cell(row: Row) -> str:
    speed = f"{row.speed:.0f}" if row.speed >= 10 else f"{row.speed:.2g}"
    if not row.whole:
        return f"too slow: {speed}"
    f1 = "-" if np.isnan(row.f1) else f"{100 * row.f1:.1f}"
    return f"{f1} / {100 * row.wer:.1f} / {speed}"


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of results.")
@click.option("--data", type=click.Path(path_type=Path), help="Where paths start [its folder].")
@click.option("--weights", type=click.Path(path_type=Path), help="Weights of an earlier run.")
@click.option("--decoder", "only", multiple=True, help="Only these [all that are installed].")
@click.option("--limit", default=120.0, show_default=True, help="CPU seconds for a list.")
@click.option("--repeat", default=2, show_default=True, help="Timed runs.")
def main(  # noqa: PLR0917  (options)
    study: Path,
    out: Path,
    data: Path | None,
    weights: Path | None,
    only: tuple[str, ...],
    limit: float,
    repeat: int,
) -> None:
    """Compare decoders as STUDY says; writes results.csv, results.md and weights.json."""
    torch.set_num_threads(1)
    bench = load_config(Bench, study)
    folder = data or study.parent
    columns, tokenizer = tokenizers(bench, folder)
    sets = [_load(one, folder, columns) for one in bench.sets]
    setting = _setting(bench, folder, tokenizer, sets)
    wanted: dict[str, decoders.Biaser] = {}
    for name in only or decoders.DECODERS:
        try:
            wanted[name] = decoders.load(name, setting)
        except ImportError as error:
            click.echo(f"{name} is left out: {error}", err=True)
    choosing = [loaded for loaded, one in zip(sets, bench.sets) if one.chooses]
    compared = [loaded for loaded, one in zip(sets, bench.sets) if one.compared]
    out.mkdir(parents=True, exist_ok=True)
    chosen = {} if weights is None else json.loads(weights.read_text("utf-8"))
    for name, decoder in wanted.items():
        if name not in chosen:
            chosen[name] = choose(name, decoder, choosing, bench.choose_size, limit)
        (out / "weights.json").write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")
    rows: list[Row] = []
    for loaded in compared:
        rows += compare(wanted, chosen, loaded, limit, repeat)
        _write(rows, out)
    click.echo(markdown(rows))


def _write(rows: Sequence[Row], out: Path) -> None:
    with (out / "results.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    (out / "results.md").write_text(markdown(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
