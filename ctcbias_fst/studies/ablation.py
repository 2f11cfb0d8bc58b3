"""Which part helps how much: the same speech decoded with one part more, and one less.

A *row* is a configuration, a *set* is speech with lists of names. Every row decodes every set
with every list; what it writes is kept as a file of its own (a *cell*), so that a run that was
stopped goes on where it was, and scores can be taken anew without decoding again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lhotse import CutSet

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.bounds import MAX_REPLICATIONS, at_least_one, at_most
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.config import load_config, merge, to_mapping
from ctcbias_fst.corpus.backends import recording_batches
from ctcbias_fst.corpus.cuts import read_cuts
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.files import digest_of, fingerprint, write_text
from ctcbias_fst.models.phone_listener import AUTO
from ctcbias_fst.models.plug import PhoneListener, SpeechModel
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search.hypotheses import greedy_hypothesis
from ctcbias_fst.settings import PipelineConfig, set_by
from ctcbias_fst.studies.dev_sets import compiled_lists
from ctcbias_fst.studies.speech_sets import SpeechSet
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.printable import json_text
from ctcbias_fst.text.transcripts import read_transcripts
from ctcbias_fst.text.utterances import load_entities

_OF_MODELS = ("adapter", "lm", "rescore", "lookup")
"""Parts that need something that a model may lack."""


@dataclass(frozen=True)
class Row:
    """A configuration to compare.

    Attributes:
        name: of the row.
        parts: which act; ``None`` is those of the configuration that rows change, as a rule all
            that the model has, and none of a greedy row.
        greedy: take the best token of every frame, without any search.
        over: the row whose figures the difference is taken to.
        set: further changes, ``key=value``, as ``ctcbias decode --set`` takes them.
    """

    name: str
    parts: tuple[str, ...] | None = None
    greedy: bool = False
    over: str = ""
    set: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.greedy and {*(self.parts or ())} - {"adapter"}:
            raise ValueError(f"row {self.name!r}: greedy decoding has no parts but the adapter")


@dataclass(frozen=True)
class AblateConfig:
    """What is compared on what.

    Attributes:
        sets: the speech.
        rows: the configurations.
        replications: of the bootstrap that gives the confidence intervals.
    """

    sets: tuple[SpeechSet, ...]
    rows: tuple[Row, ...]
    replications: int = 1000

    def __post_init__(self) -> None:
        at_least_one(self, "replications")
        at_most(self, MAX_REPLICATIONS, "replications")
        if not self.sets or not self.rows:
            raise ValueError("there must be a set and a row")
        for kind, names in (
            ("row", [row.name for row in self.rows]),
            ("set", [one.name for one in self.sets]),
        ):
            if len({*names}) < len(names):
                raise ValueError(f"every {kind} must have a name of its own, found {names}")
        known = {row.name for row in self.rows}
        strange = next((row for row in self.rows if row.over and row.over not in known), None)
        if strange is not None:
            raise ValueError(f"row {strange.name!r} is over {strange.over!r}, which is no row")


@dataclass(frozen=True, eq=False)
class Cell:
    """What a row made of a set with a list.

    Attributes:
        row, set, list: their names.
        texts: the transcript of every utterance of the set.
        free: likewise of those in which no name is spoken.
        references, free_references: what was said.
        entities: the list, or the one of each utterance.
        audio_seconds: duration of all of it.
        encoder_seconds: time that features, encoder and adapter took.
        decoder_seconds: time that everything after them took.
    """

    row: str
    set: str
    list: str
    texts: Mapping[str, str]
    free: Mapping[str, str]
    references: Mapping[str, str]
    free_references: Mapping[str, str]
    entities: EntityList | Mapping[str, EntityList]
    audio_seconds: float
    encoder_seconds: float
    decoder_seconds: float


@dataclass
class _Speech:
    """Recordings of a set in batches, and what the encoder makes of them without a list."""

    batches: list[list[Recording]]
    plain: list[LogProbs] = field(default_factory=list)
    plain_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        return sum(recording.seconds for batch in self.batches for recording in batch)


def ablate(
    config: AblateConfig,
    base: PipelineConfig,
    model: SpeechModel,
    folder: Path,
    out: Path,
    *,
    identity: Sequence[str] = (),
    phones: PhoneListener | str | os.PathLike[str] | None = AUTO,
    report: Callable[[str], None] = lambda message: None,
) -> list[Cell]:
    """Decode every set with every list and row that is not done yet.

    Args:
        base: the configuration that rows change.
        model: of any family.
        folder: where relative paths of ``config`` start.
        out: where cells are kept.
        identity: what tells the model, and who hears phones, from others.
        phones: who hears phones beside it; see :class:`ctcbias_fst.recognizer.Recognizer`.
        report: is told of every cell that is decoded.

    Returns:
        all cells: sets, lists, rows, in this order.

    Raises:
        ManifestError, EntityListError: a file of ``config`` is missing or malformed.
        ConfigError: a row changes what there is not, or needs what the model lacks.
    """
    settings = {row.name: _settings(row, base) for row in config.rows}
    first = Recognizer(model, base, phones=phones)
    _check_parts(config, {name: _with(first, one) for name, one in settings.items()})
    weights = [*identity, *fingerprint(model.lm)]
    cells = []
    for one in config.sets:
        cuts, free = ([folder / path for path in paths] for paths in (one.cuts, one.free))
        references, free_references = _texts(cuts), _texts(free)
        loaded: list[_Speech] = []
        for named in one.lists:
            entities = load_entities(folder / named.entities)
            for row in config.rows:
                made_of = [
                    weights,
                    to_mapping(settings[row.name]),
                    row.greedy,
                    fingerprint(*cuts, *free, folder / named.entities, settings[row.name].lm),
                ]
                path = out / "cells" / f"{_slug(one.name, named.name, row.name)}.json"
                content = _read_cell(path, made_of)
                if content is None:
                    if not loaded:
                        loaded = [_load(model, paths) for paths in (cuts, free)]
                    report(f"{one.name}, list {named.name}: {row.name}")
                    content = _decode(_with(first, settings[row.name]), row, entities, loaded)
                    _write_cell(path, made_of, content)
                cells.append(
                    Cell(
                        row=row.name,
                        set=one.name,
                        list=named.name,
                        references=references,
                        free_references=free_references,
                        entities=entities,
                        **content,
                    )
                )
    return cells


def _settings(row: Row, base: PipelineConfig) -> PipelineConfig:
    table = merge(to_mapping(base), set_by(row.set))
    config = load_config(PipelineConfig, table)
    if row.greedy or row.parts is not None:
        config = replace(config, parts=row.parts or ())
    return config


def _with(first: Recognizer, config: PipelineConfig) -> Recognizer:
    """A recogniser with other settings; who hears phones is shared."""
    return Recognizer(first.model, config, phones=first.phones)


def _check_parts(config: AblateConfig, recognizers: Mapping[str, Recognizer]) -> None:
    for row in config.rows:
        idle = recognizers[row.name].decoder.parts
        for part in row.parts or ():
            if part in _OF_MODELS and idle[part] is not None:
                raise ConfigError(
                    f"row {row.name!r} names the part {part}, which cannot act: it {idle[part]}"
                )


def _texts(paths: Sequence[Path]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for path in paths:
        texts.update(read_transcripts(path))
    return texts


def _load(model: SpeechModel, paths: Sequence[Path]) -> _Speech:
    cuts = [cut for path in paths for cut in read_cuts(path)]
    if not cuts:
        return _Speech([])
    return _Speech(recording_batches(CutSet.from_cuts(cuts), model.sampling_rate))


def _decode(
    recognizer: Recognizer,
    row: Row,
    entities: EntityList | Mapping[str, EntityList],
    speech: Sequence[_Speech],
) -> dict[str, Any]:
    ids = [one.id for part in speech for batch in part.batches for one in batch]
    compiled = compiled_lists(entities, ids, recognizer.compile) if recognizer.config.parts else {}
    texts: list[dict[str, str]] = []
    encoder = decoder = 0.0
    for one in speech:
        names = [[compiled.get(recording.id) for recording in batch] for batch in one.batches]
        log_probs, seconds = _encode(recognizer, names, one)
        encoder += seconds
        begin = time.perf_counter()
        texts.append(dict(_transcribe(recognizer, row.greedy, names, log_probs)))
        decoder += time.perf_counter() - begin
    return {
        "texts": texts[0],
        "free": texts[1],
        "audio_seconds": sum(one.seconds for one in speech),
        "encoder_seconds": encoder,
        "decoder_seconds": decoder,
    }


def _encode(
    recognizer: Recognizer, names: Sequence[Sequence[CompiledEntities | None]], speech: _Speech
) -> tuple[list[LogProbs], float]:
    """Log-probs of every batch, and the time that they took; those without a list are kept."""
    biased = any(one is not None and one.listed is not None for batch in names for one in batch)
    if speech.plain and not biased:
        return speech.plain, speech.plain_seconds
    begin = time.perf_counter()
    found = list(map(recognizer.log_probs, speech.batches, names))
    seconds = time.perf_counter() - begin
    if not biased:
        speech.plain, speech.plain_seconds = found, seconds
    return found, seconds


def _transcribe(
    recognizer: Recognizer,
    greedy: bool,
    names: Sequence[Sequence[CompiledEntities | None]],
    batches: Sequence[LogProbs],
) -> Iterator[tuple[str, str]]:
    for log_probs, lists in zip(batches, names):
        if greedy:
            for i, utterance in enumerate(log_probs.ids):
                yield utterance, greedy_hypothesis(log_probs.select([i])).text
            continue
        for transcript in recognizer.decoder.decode_batch(log_probs, lists):
            yield transcript.id, transcript.best.text


def _slug(*names: str) -> str:
    """A file name: what people may read, and what tells any two names apart."""
    readable = "-".join("".join(c if c.isalnum() else "_" for c in name) for name in names)
    return f"{readable[:80]}-{digest_of(names)[:8]}"


def _read_cell(path: Path, identity: Any) -> dict[str, Any] | None:
    """A cell that was made of the same things; ``None`` if there is none."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content.pop("identity") == digest_of(identity)
    except (ValueError, KeyError, AttributeError):
        return None
    return dict(content) if same else None


def _write_cell(path: Path, identity: Any, content: Mapping[str, Any]) -> None:
    write_text(path, json_text({"identity": digest_of(identity), **content}, indent=0))
