"""Decoding whole corpora: batches by duration, bad utterances left out, resumable.

Results go to ``OUT.part`` as they come, one JSON object a line, so that a job that was
stopped goes on where it was. When all is done they are written to ``OUT`` in the order of
the manifest, and the part file is removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ctcbias_fst.config import as_toml, write_config
from ctcbias_fst.corpus.backends import Backend, Utterance, batches_by_duration
from ctcbias_fst.corpus.batches import (
    CompiledLists,
    Lists,
    check_lists,
    decode_batch,
    longest_of,
    reason_of,
)
from ctcbias_fst.corpus.transcript_files import Write, record_of, write_records
from ctcbias_fst.errors import ConfigError, ManifestError
from ctcbias_fst.files import (
    atomic_path,
    check_output,
    digest_of,
    naming,
    sole_writer,
    sole_writer_in,
)
from ctcbias_fst.output import notes
from ctcbias_fst.search.saved_lattices import LatticeWriter
from ctcbias_fst.settings import LM_PARTS, SETTINGS_FILE, PipelineConfig
from ctcbias_fst.text.printable import json_text


@dataclass(frozen=True)
class Summary:
    """What became of a manifest.

    Attributes:
        records: what was written (:func:`ctcbias_fst.corpus.transcript_files.record_of`), by
            utterance, in the manifest's order.
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
    config: PipelineConfig | None = None,
    write: Write = write_records,
) -> Summary:
    """Decode utterances and write their transcripts to ``out``.

    Args:
        utterances: distinct ids.
        out: the file; results so far are kept in ``out.part``.
        lists: names to boost.
        settings: all that the results depend on; a part file of other settings is refused.
        batch_seconds: audio per batch, padding included.
        report: told about names without effect and utterances that are left out.
        lattice_dir: where lattices are saved (:mod:`ctcbias_fst.search.saved_lattices`), if at all.
        config: is kept beside the lattices.
        write: writes the records to a file; by default a JSON object for each.

    Raises:
        ConfigError: ``out`` is no file, so that results cannot be kept beside it, or another job is
            writing them, or lattices in the same folder.
        OSError: a file cannot be written; what was decoded before is kept.
        ManifestError: every utterance was left out, the part file is of another job, or an
            utterance has no list although others do.
        ModelError: the model fails on everything
            (:class:`ctcbias_fst.models.first_failures.FirstFailures`).
    """
    part = part_file(out)
    check_lists(lists, utterances)
    names = CompiledLists(lists, backend, longest_of(utterances), report)
    ids = {utterance.id: None for utterance in utterances}
    made_of = [settings, [(u.id, u.seconds, u.place) for u in utterances]]
    if lattice_dir is not None:
        made_of.append(str(lattice_dir.absolute()))
    with naming(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    sole = nullcontext() if lattice_dir is None else sole_writer_in(lattice_dir)
    with sole_writer(part), sole:
        with naming(part):
            records = _read_part(part, digest_of(made_of), ids, report)
        lattices: LatticeWriter | None = None
        if lattice_dir is not None:
            lattices = _lattice_writer(lattice_dir, backend, ids, report, config)
        resumed = len(records)
        skipped: dict[str, str] = {}

        def skip(utterance: Utterance, error: Exception) -> None:
            skipped[utterance.id] = reason = reason_of(utterance, error)
            if lattices is not None:
                lattices.keep(utterance.id, set())
            report(f"{utterance.id} is left out: {reason}")

        failures = backend.first_failures(worked=bool(resumed))
        todo = [utterance for utterance in utterances if utterance.id not in records]
        total = sum(utterance.seconds for utterance in utterances)
        with (
            naming(part),
            part.open("a", encoding="utf-8") as stream,
            tqdm(total=round(total), unit="s", desc="decode", disable=None) as bar,
        ):
            bar.update(round(total - sum(utterance.seconds for utterance in todo)))
            for batch in batches_by_duration(todo, batch_seconds):
                for transcript in decode_batch(batch, backend, names, skip, failures):
                    for line in notes(transcript):
                        report(line)
                    told = lattices is None or lattices.tell(transcript.id, transcript.warning)
                    if not told:
                        report(f"{transcript.id}: has no lattice; ctcbias rescore leaves it out")
                    records[transcript.id] = record_of(transcript)
                    stream.write(json_text(records[transcript.id]) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
                bar.update(round(sum(utterance.seconds for utterance in batch)))
        if skipped and not records:
            raise ManifestError(
                f"none of {len(utterances)} utterances can be used; the first: "
                f"{next(iter(skipped.values()))}"
            )
        if lattices is not None:
            lattices.close()
        ordered = {u.id: records[u.id] for u in utterances if u.id in records}
        with atomic_path(out) as temporary:
            write(ordered.values(), temporary)
        part.unlink(missing_ok=True)
        seconds = sum(utterance.seconds for utterance in utterances if utterance.id in ordered)
        return Summary(ordered, skipped, seconds, resumed)


def _lattice_writer(
    folder: Path,
    backend: Backend,
    ids: Collection[str],
    report: Callable[[str], None],
    config: PipelineConfig | None,
) -> LatticeWriter:
    """What writes the lattices of a backend, whose settings are kept beside them.

    Raises:
        ConfigError: settings are there that are not those of lattices, or the lattices are of words
            of a lexicon, which are not saved.
    """
    if backend.decoder.search.lexicon is not None:
        raise ConfigError(
            f"{folder}: lattices of words of a lexicon cannot be saved: leave out --lattice-dir"
        )
    writer = LatticeWriter(folder, ids, report)
    backend.decoder.listener = writer
    if config is not None:
        reasons = backend.decoder.parts
        # A language model may come later.
        parts = [one for one in config.parts if reasons[one] is None or one in LM_PARTS]
        kept, path = replace(config, parts=tuple(parts)), folder / SETTINGS_FILE
        ours = as_toml(kept).encode("utf-8")
        if path.exists() and not writer.resumes and path.read_bytes() != ours:
            raise ConfigError(
                f"{path}: would be replaced, and no lattices are beside it: name another folder "
                "for them, or remove it"
            )
        write_config(kept, path)
    return writer


def part_file(out: Path) -> Path:
    """Where results are kept until all are there.

    Raises:
        ConfigError: it cannot be written, or ``out`` is a pipe or a device.
    """
    check_output(out)
    if out.exists() and not out.is_file():
        raise ConfigError(f"{out}: is no file, and results are kept beside it: name a file")
    part = out.with_name(out.name + ".part")
    check_output(part)
    if part.exists() and not part.is_file():
        raise ConfigError(f"{part}: is no file, and results are kept there; remove it")
    return part


def check_no_part(out: Path) -> None:
    """Refuse to begin in shards what was begun without.

    Raises:
        ConfigError: there are results of a job that was stopped.
    """
    part = part_file(out)
    if part.exists() and part.read_bytes().count(b"\n") > 1:
        raise ConfigError(
            f"{part}: has results of a job without shards: finish that one by the same command "
            "without --jobs and the like, or delete the file to begin anew"
        )


def _read_part(
    part: Path, digest: str, ids: Collection[str], report: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """The records of a job that was stopped; begins the part file if there is none.

    A line that was being written when the job was stopped is cut off; what else is no record of
    the job is told, and decoded again.
    """
    content = part.read_bytes() if part.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole.count(b"\n") < 2:  # no result, so nothing that another job could lose
        part.write_text(json.dumps({"job": digest}) + "\n", encoding="utf-8")
        return {}
    header, *rows = map(_parsed, whole.split(b"\n")[:-1])
    if "job" not in header:
        raise ManifestError(f"{part}: damaged in its first line; delete it to begin anew")
    if header["job"] != digest:
        raise ManifestError(
            f"{part}: belongs to a job with another manifest, model, list or settings; finish "
            "that one with its own options, or delete the file to begin anew"
        )
    if len(whole) < len(content):
        os.truncate(part, len(whole))
    records = {row["id"]: row for row in rows if _is_record(row) and row["id"] in ids}
    damaged = sum(not _is_record(row) for row in rows)
    if damaged:
        report(f"{part}: {damaged} lines are damaged; their utterances are decoded again")
    return records


def _parsed(line: bytes) -> dict[str, Any]:
    """The object of a line; an empty one if there is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_record(row: Mapping[str, Any]) -> bool:
    """Whether this is what :func:`ctcbias_fst.corpus.transcript_files.record_of` makes."""
    return (
        isinstance(row.get("id"), str)
        and isinstance(row.get("text"), str)
        and isinstance(row.get("words"), list)
        and isinstance(row.get("entities"), list)
        and "score" in row
        and "shares" in row
    )
