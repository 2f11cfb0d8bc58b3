"""Decoding whole manifests: batches by duration, bad utterances left out, resumable.

Results go to ``OUT.part`` as they come, one JSON object a line, so that a job that was
stopped goes on where it was. When all is done they are written to ``OUT`` in the order of
the manifest, and the part file is removed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Union

import soxr
import torch
from lhotse import CutSet, SupervisionSegment, SupervisionSet
from lhotse.cut import Cut
from lhotse.cut.data import DataCut
from lhotse.supervision import AlignmentItem
from tqdm import tqdm

from ctcbias_fst.acoustic.audio import Recording, check_samples
from ctcbias_fst.acoustic.package import DEFAULT
from ctcbias_fst.config import to_mapping
from ctcbias_fst.decode.decoder import Decoder
from ctcbias_fst.decode.saved import SavedLogProbs, stack
from ctcbias_fst.decode.saved_lattices import (
    LatticeWriter,
    read_lattices,
    rescore_lattices,
    write_lattice_texts,
)
from ctcbias_fst.decode.segments import cut_at_pauses, join_segments
from ctcbias_fst.errors import AudioError, InputError, ManifestError
from ctcbias_fst.files import atomic_path, digest_of
from ctcbias_fst.fst.boost import BoostGraph
from ctcbias_fst.fst.openfst import read_boost_graph
from ctcbias_fst.pipeline import Names, PipelineConfig, Recognizer, compile_graph, language_model
from ctcbias_fst.records import Transcript
from ctcbias_fst.text.entities import EntityList, check_entities, report_too_long
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.utterances import load_entities
from ctcbias_fst.text.vocabulary import Vocabulary

__all__ = [
    "Backend",
    "Lists",
    "LogProbsBackend",
    "SpeechBackend",
    "Summary",
    "Utterance",
    "decode_corpus",
    "fingerprint",
    "load_recording",
    "read_cuts",
    "read_lists",
    "record_of",
    "recording_batches",
    "rescore_corpus",
    "write_supervisions",
]

Lists = Union[EntityList, BoostGraph, Mapping[str, EntityList], None]
"""One list for all utterances (compiled or not), one for each (by id), or none."""

_FRAME_SECONDS = 0.04
"""Of models that do not say: four times the usual 10 ms."""


@dataclass(frozen=True)
class Utterance:
    """Something to decode: its name, its duration, and where to find it."""

    id: str
    seconds: float
    source: Any


class Backend(Protocol):
    """What turns utterances into transcripts.

    Attributes:
      settings: all that its results depend on, in plain values.
      vocabulary: of the model.
      decoder: what searches the log-probs.
    """

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def decoder(self) -> Decoder: ...

    def compile(
        self, entities: EntityList, graph: BoostGraph | None = None, seconds: float | None = None
    ) -> Names:
        """Prepare a list; ``names.entities.rejected`` tells what can have no effect.

        Args:
          entities: the list.
          graph: its boosting graph, if it was compiled before.
          seconds: of the longest utterance that it is for.
        """
        ...

    def load(self, utterance: Utterance) -> Any:
        """The audio or log-probs of one utterance.

        Raises:
          InputError: it cannot be used.
        """
        ...

    def decode(self, loaded: Sequence[Any], names: Sequence[Names | None]) -> list[Transcript]:
        """Decode a batch of what :meth:`load` gave.

        Raises:
          InputError: one of them cannot be used.
        """
        ...


class SpeechBackend:
    """Decodes the audio of cuts with a model of ours.

    Args:
      model: its directory, or ``None`` for the model inside the package.
      config: how to decode.
      device: where.
    """

    def __init__(self, model: Path | None, config: PipelineConfig, device: str) -> None:
        self._recognizer = Recognizer.from_pretrained(model, device=device, config=config)
        header = (model or DEFAULT) / "model.json"
        self.settings: Mapping[str, Any] = {
            "model": hashlib.sha256(header.read_bytes()).hexdigest(),
            "config": to_mapping(config),
            "lm": fingerprint(config.lm or self._recognizer.model.lm),
        }

    @property
    def vocabulary(self) -> Vocabulary:
        return self._recognizer.model.tokenizer.vocabulary

    @property
    def decoder(self) -> Decoder:
        return self._recognizer.decoder

    def compile(
        self, entities: EntityList, graph: BoostGraph | None = None, seconds: float | None = None
    ) -> Names:
        names = self._recognizer.compile(entities, seconds)
        boosts = "boost" in self._recognizer.config.parts
        return replace(names, graph=graph) if boosts and graph is not None else names

    def load(self, utterance: Utterance) -> Recording:
        return load_recording(utterance.source, self._recognizer.model.sampling_rate)

    def decode(self, loaded: Sequence[Any], names: Sequence[Names | None]) -> list[Transcript]:
        return self._recognizer.transcribe_batch(loaded, names)


def load_recording(cut: Cut, rate: int) -> Recording:
    """The audio of a cut, its channels averaged, at another sampling rate.

    Raises:
      AudioError: it is missing, cannot be read, or has no usable samples.
    """
    try:
        samples = cut.load_audio()
    except Exception as error:  # whatever lhotse's audio backends raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise AudioError(f"its audio cannot be read: {reason[0]}") from error
    if samples is None:
        raise AudioError("it has no audio")
    mono = check_samples(samples.mean(axis=0), cut.sampling_rate, "its audio")
    if cut.sampling_rate != rate:
        mono = soxr.resample(mono, cut.sampling_rate, rate)
    return Recording(cut.id, mono, rate)


def recording_batches(cuts: CutSet, rate: int, seconds: float = 120.0) -> list[list[Recording]]:
    """The audio of cuts in memory, similar durations together, the longest first.

    Args:
      cuts: all of them must be usable.
      rate: sampling rate of the recordings.
      seconds: audio per batch, padding included.

    Raises:
      AudioError: see :func:`load_recording`.
    """
    utterances = [Utterance(cut.id, cut.duration, cut) for cut in cuts]
    return [
        [load_recording(utterance.source, rate) for utterance in batch]
        for batch in _batches(utterances, seconds)
    ]


class LogProbsBackend:
    """Decodes log-probs that any CTC model made; of the parts only the boosting FST acts, with
    its spelling variants, and a language model if ``config`` names one.

    Args:
      path: the file, see :mod:`ctcbias_fst.decode.saved`.
      tokenizer: for names in the model's vocabulary.
      config: how to decode.
      device: where.
      frame_seconds: of the model, if the file does not say.
      softmax: the file has logits.
    """

    def __init__(
        self,
        path: Path,
        tokenizer: Tokenizer,
        config: PipelineConfig,
        device: str,
        *,
        frame_seconds: float | None = None,
        softmax: bool = False,
    ) -> None:
        self._saved = SavedLogProbs(path)
        self._tokenizer, self._config, self._softmax = tokenizer, config, softmax
        lm = language_model(config, tokenizer.vocabulary, device, tokenizer=tokenizer)
        self.decoder = Decoder(tokenizer.vocabulary, config.decode, device, lm)
        self._frame_seconds = frame_seconds or self._saved.frame_seconds or _FRAME_SECONDS
        self.settings: Mapping[str, Any] = {
            "log_probs": [str(path), path.stat().st_size, softmax, self._frame_seconds],
            "vocabulary": tokenizer.vocabulary.digest,
            "config": to_mapping(config),
            "lm": fingerprint(config.lm),
        }

    @property
    def vocabulary(self) -> Vocabulary:
        return self._tokenizer.vocabulary

    def utterances(self) -> list[Utterance]:
        """What the file holds."""
        return [
            Utterance(name, frames * self._frame_seconds, name)
            for name, frames in self._saved.frames.items()
        ]

    def compile(
        self, entities: EntityList, graph: BoostGraph | None = None, seconds: float | None = None
    ) -> Names:
        checked = check_entities(entities, self._tokenizer).require_any()
        if seconds is not None:
            frames = math.ceil(seconds / self._frame_seconds)
            checked = report_too_long(checked, self._tokenizer, frames)
        if graph is None or "boost" not in self._config.parts:
            graph = compile_graph(checked, self._tokenizer, self._config)
        return Names(checked, graph, None)

    def load(self, utterance: Utterance) -> tuple[str, torch.Tensor]:
        return utterance.id, self._saved.read(utterance.source, self.vocabulary, self._softmax)

    def decode(self, loaded: Sequence[Any], names: Sequence[Names | None]) -> list[Transcript]:
        ids, arrays = zip(*loaded)
        batch = stack(arrays, ids, self.vocabulary, self._frame_seconds)
        pieces, segments = cut_at_pauses(batch)
        graphs = [None if one is None else one.graph for one in names]
        found = self.decoder.decode(pieces, [graphs[segment.utterance] for segment in segments])
        return join_segments(found, segments, self._frame_seconds)


def read_lists(entities: Path | None, graph: Path | None, vocabulary: Vocabulary) -> Lists:
    """Read lists of names, or a compiled graph."""
    if graph is not None:
        return read_boost_graph(graph, vocabulary)
    return None if entities is None else load_entities(entities)


def fingerprint(*paths: Path | None) -> list[str]:
    """Digests of the files that there are."""
    return ["" if path is None else hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def read_cuts(path: Path) -> CutSet:
    """Read a manifest of cuts.

    Raises:
      ManifestError: it is missing, malformed, empty, or has an id twice.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    try:
        cuts = CutSet.from_file(path).to_eager()
    except Exception as error:  # lhotse raises many types on a malformed manifest
        raise ManifestError(f"{path}: not a readable manifest of cuts: {error}") from error
    ids = [cut.id for cut in cuts]
    if not ids:
        raise ManifestError(f"{path}: has no cuts")
    if len(set(ids)) < len(ids):
        raise ManifestError(f"{path}: the id {_first_repeated(ids)!r} occurs twice")
    return cuts


def _first_repeated(ids: Sequence[str]) -> str:
    seen: set[str] = set()
    return next(name for name in ids if name in seen or seen.add(name))  # type: ignore[func-returns-value]


@dataclass(frozen=True)
class Summary:
    """What became of a manifest.

    Attributes:
      records: what was written (:func:`record_of`), by utterance, in the manifest's order.
      skipped: why each utterance that is not among them was left out.
      seconds: how much audio was decoded, now and before the job was resumed.
      resumed: how many utterances were done already.
    """

    records: dict[str, dict[str, Any]]
    skipped: dict[str, str]
    seconds: float
    resumed: int


def decode_corpus(
    utterances: Sequence[Utterance],
    backend: Backend,
    out: Path,
    *,
    lists: Lists = None,
    settings: Mapping[str, Any],
    batch_seconds: float = 120.0,
    report: Callable[[str], None] = lambda message: None,
    lattice_dir: Path | None = None,
) -> Summary:
    """Decode utterances and write a JSON object for each to ``out``.

    Args:
      utterances: distinct ids.
      backend: what decodes them.
      out: the file; results so far are kept in ``out.part``.
      lists: names to boost.
      settings: all that the results depend on; a part file of other settings is refused.
      batch_seconds: audio per batch, padding included.
      report: told about names without effect and utterances that are left out.
      lattice_dir: where lattices are saved (:mod:`ctcbias_fst.decode.saved_lattices`), if at all.

    Raises:
      ManifestError: every utterance was left out, the part file is of another job, or an
        utterance has no list although others do.
    """
    if lattice_dir is not None:
        backend.decoder.listener = LatticeWriter(lattice_dir)
    names = _Lists(lists, backend, utterances, report)
    part = out.with_name(out.name + ".part")
    out.parent.mkdir(parents=True, exist_ok=True)
    records = _read_part(part, digest_of([settings, [(u.id, u.seconds) for u in utterances]]))
    resumed = len(records)
    skipped: dict[str, str] = {}

    def skip(utterance: Utterance, error: InputError) -> None:
        skipped[utterance.id] = str(error)
        report(f"{utterance.id} is left out: {error}")

    todo = [utterance for utterance in utterances if utterance.id not in records]
    total = sum(utterance.seconds for utterance in utterances)
    with (
        part.open("a", encoding="utf-8") as stream,
        tqdm(total=round(total), unit="s", desc="decode", disable=None) as bar,
    ):
        bar.update(round(total - sum(utterance.seconds for utterance in todo)))
        for batch in _batches(todo, batch_seconds):
            for transcript in _decode(batch, backend, names, skip):
                records[transcript.id] = record_of(transcript)
                stream.write(json.dumps(records[transcript.id], ensure_ascii=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())
            bar.update(round(sum(utterance.seconds for utterance in batch)))
    if skipped and not records:
        first = next(iter(skipped.values()))
        raise ManifestError(f"none of {len(utterances)} utterances can be used; the first: {first}")
    ordered = {u.id: records[u.id] for u in utterances if u.id in records}
    with atomic_path(out) as temporary:
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in ordered.values())
        temporary.write_text("".join(lines), encoding="utf-8")
    part.unlink()
    seconds = sum(utterance.seconds for utterance in utterances if utterance.id in ordered)
    return Summary(ordered, skipped, seconds, resumed)


def record_of(transcript: Transcript) -> dict[str, Any]:
    """A transcript as a JSON object: id, text, words, score, and what else there is."""
    record: dict[str, Any] = {
        "id": transcript.id,
        "text": transcript.best.text,
        "words": [
            {
                "word": word.word,
                "start": round(word.start, 3),
                "end": round(word.end, 3),
                "confidence": round(word.confidence, 4),
                **({"entity": True} if word.entity else {}),
            }
            for word in transcript.best.words
        ],
        "score": round(transcript.best.score, 4),
    }
    if len(transcript.nbest) > 1:
        record["nbest"] = [
            {"text": hypothesis.text, "score": round(hypothesis.score, 4)}
            for hypothesis in transcript.nbest
        ]
    if transcript.warning:
        record["warning"] = transcript.warning
    return record


def write_supervisions(cuts: CutSet, records: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Write a lhotse SupervisionSet: a segment for each cut that was decoded, with its id.

    Words are its alignment ``word``, with their confidences as scores. As lhotse has it,
    times are those of the recording, not of the cut.
    """
    with atomic_path(path) as temporary:
        SupervisionSet.from_segments(
            _supervision(cut, records[cut.id]) for cut in cuts if cut.id in records
        ).to_file(temporary)


def _supervision(cut: Cut, record: Mapping[str, Any]) -> SupervisionSegment:
    of_one_recording = isinstance(cut, DataCut) and cut.has_recording
    start = cut.start if of_one_recording else 0.0
    speakers = {supervision.speaker for supervision in cut.supervisions}
    words = [
        AlignmentItem(
            symbol=word["word"],
            start=round(start + word["start"], 3),
            duration=round(word["end"] - word["start"], 3),
            score=word["confidence"],
        )
        for word in record["words"]
    ]
    return SupervisionSegment(
        id=cut.id,
        recording_id=cut.recording_id if of_one_recording else cut.id,
        start=start,
        duration=cut.duration,
        text=record["text"],
        speaker=speakers.pop() if len(speakers) == 1 else None,
        alignment={"word": words},
        custom={"score": record["score"]},
    )


def _decode(
    batch: Sequence[Utterance],
    backend: Backend,
    names: _Lists,
    skip: Callable[[Utterance, InputError], None],
) -> Iterator[Transcript]:
    """Decode a batch; if something is wrong with it, each utterance alone."""
    good, loaded = [], []
    for utterance in batch:
        try:
            loaded.append(backend.load(utterance))
            good.append(utterance)
        except InputError as error:
            skip(utterance, error)
    if not good:
        return
    try:
        yield from backend.decode(loaded, [names.of(utterance) for utterance in good])
    except InputError as error:
        if len(good) == 1:
            skip(good[0], error)
            return
        for utterance in good:
            yield from _decode([utterance], backend, names, skip)


def _batches(utterances: Sequence[Utterance], seconds: float) -> Iterator[list[Utterance]]:
    """Utterances of similar duration together, long ones first; ``seconds`` with padding."""
    batch: list[Utterance] = []
    for utterance in sorted(utterances, key=lambda u: -u.seconds):
        if batch and (len(batch) + 1) * batch[0].seconds > seconds:
            yield batch
            batch = []
        batch.append(utterance)
    if batch:
        yield batch


class _Lists:
    """Lists of names, compiled when they are needed; the latest are kept."""

    def __init__(
        self,
        lists: Lists,
        backend: Backend,
        utterances: Sequence[Utterance],
        report: Callable[[str], None],
    ) -> None:
        self._backend, self._report = backend, report
        self._lists = lists if isinstance(lists, Mapping) else None
        self._shared: Names | None = None
        longest = max((utterance.seconds for utterance in utterances), default=None)
        if isinstance(lists, EntityList):
            self._shared = self._compile(lists, longest)
        elif isinstance(lists, BoostGraph):
            self._shared = self._compile(EntityList(lists.entities), longest, lists)
        if self._lists is not None:
            missing = next((u.id for u in utterances if u.id not in self._lists), None)
            if missing is not None:
                raise ManifestError(
                    f"utterance {missing!r} has no list of names, though others do; give it one, "
                    "which may be empty"
                )

    def of(self, utterance: Utterance) -> Names | None:
        if self._lists is None:
            return self._shared
        entities = self._lists[utterance.id]
        return self._compile(entities, utterance.seconds) if len(entities) else None

    def _compile(
        self, entities: EntityList, seconds: float | None, graph: BoostGraph | None = None
    ) -> Names:
        names = self._backend.compile(entities, graph, seconds)
        for line in names.entities.report():
            self._report(line)
        return names


def _read_part(part: Path, digest: str) -> dict[str, dict[str, Any]]:
    """The records of a job that was stopped; begins the part file if there is none.

    A line that was being written when the job was stopped is cut off.
    """
    if not part.exists():
        part.write_text(json.dumps({"job": digest}) + "\n", encoding="utf-8")
        return {}
    content = part.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    try:
        header, *rows = [json.loads(line) for line in whole.splitlines()] or [{}]
        job, records = header.get("job"), {row["id"]: row for row in rows}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(f"{part}: damaged: {error}; delete it to begin anew") from error
    if job != digest:
        raise ManifestError(
            f"{part}: belongs to a job with another manifest, model, list or settings; finish "
            "that one with its own options, or delete the file to begin anew"
        )
    if len(whole) < len(content):
        part.write_bytes(whole)
    return records


def rescore_corpus(
    folder: Path,
    config: PipelineConfig,
    out: Path | None,
    *,
    use_lm: bool = True,
    text_dir: Path | None = None,
    kaldi: bool = True,
    device: str = "cpu",
) -> int:
    """Read saved lattices with other settings; returns how many utterances there are.

    Args:
      folder: of the lattices.
      config: names the language model (by default the one inside the package) and its settings.
      out: where transcripts are written, if at all.
      use_lm: whether a language model acts at all.
      text_dir: where lattices are written as text, if at all.
      kaldi: as Kaldi's lattices, or as OpenFst's.
      device: where to compute.

    Raises:
      InputError: there are no lattices, or one is damaged.
    """
    default = DEFAULT / "lm.safetensors"

    def decoder_of(vocabulary: Vocabulary) -> Decoder:
        lm = None
        if use_lm:
            fallback = default if default.is_file() else None
            lm = language_model(config, vocabulary, device, fallback)
        return Decoder(vocabulary, config.decode, device, lm)

    if text_dir is not None:
        write_lattice_texts(folder, decoder_of, text_dir, kaldi, device)
    if out is None:
        return sum(1 for _ in read_lattices(folder, device))
    lines = [
        json.dumps(record_of(transcript), ensure_ascii=False) + "\n"
        for transcript in rescore_lattices(folder, decoder_of, device)
    ]
    with atomic_path(out) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    return len(lines)
