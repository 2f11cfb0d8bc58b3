"""``ctcbias decode``: whole manifests, or saved log-probs, to transcripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctcbias_fst.cli import options, phones
from ctcbias_fst.cli.places import reads, writes
from ctcbias_fst.cli.repeated import once_each
from ctcbias_fst.cli.workers import WorkersOptions, tell, threads, with_workers

if TYPE_CHECKING:
    from ctcbias_fst.corpus.backends import Backend, Utterance
    from ctcbias_fst.corpus.batches import Lists
    from ctcbias_fst.corpus.transcript_files import Write
    from ctcbias_fst.settings import PipelineConfig
    from ctcbias_fst.text.text_files import Held


@click.command()
@options.reads_file(
    "--cuts",
    help="What to decode: a manifest of lhotse cuts with audio, a folder of lhotse Shar, a NeMo "
    "manifest, a Kaldi wav.scp, or a folder of audio.",
)
@options.reads_file(
    "--log-probs",
    help="Saved log-probs instead of audio: .npz, .safetensors, .npy, a folder of .npy, or cuts "
    "with an array 'log_probs' (docs/own-model.md).",
)
@options.writes_file("--out", required=True, help="Transcripts; OUT.part until all is done.")
@options.format_of(
    "A JSON object per utterance, or (of --cuts) a lhotse SupervisionSet.", "jsonl", "lhotse"
)
@options.reads_file(
    "--entities",
    help="Names to listen for: one list for all utterances, or one for each "
    "(docs/entity-lists.md).",
)
@options.reads_file("--graph", help="The same, as a graph of ctcbias compile.")
@options.with_tokens
@options.ADAPTER
@phones.with_phones
@options.FRAME_SECONDS
@options.SOFTMAX
@options.PARTS
@options.LM
@options.with_settings
@options.NBEST
@options.writes_folder("--lattice-dir", help="Save the lattices here too, for ctcbias rescore.")
@options.DEVICE
@click.option(
    "--batch-seconds", type=options.Number(1, 100_000), default=120.0, help="Audio per batch."
)
@with_workers
@options.TRUST_MANIFEST
def decode(
    cuts: Path | None,
    log_probs: Path | None,
    out: Path,
    style: str,
    entities: Path | None,
    graph: Path | None,
    named: options.TokensOptions,
    adapter: Path | None,
    listening: phones.PhonesOptions,
    frame_seconds: float | None,
    softmax: bool,
    settings: options.SettingsOptions,
    lattice_dir: Path | None,
    device: str,
    batch_seconds: float,
    workers: WorkersOptions,
    trust_manifest: bool,
) -> None:
    """Decode the recordings of a manifest or folder, or log-probs that any CTC model made.

    Utterances that cannot be used are reported and left out, the others are written, and the
    exit status is 1. A job that was stopped is resumed when the same command is given again.
    """
    from ctcbias_fst.corpus import backends  # noqa: PLC0415
    from ctcbias_fst.corpus.done import job_of  # noqa: PLC0415
    from ctcbias_fst.corpus.job import part_file  # noqa: PLC0415
    from ctcbias_fst.corpus.shards import shards_folder  # noqa: PLC0415
    from ctcbias_fst.corpus.transcript_files import check_supervisions  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError, EntityListError  # noqa: PLC0415
    from ctcbias_fst.files import fingerprint  # noqa: PLC0415
    from ctcbias_fst.settings import SETTINGS_FILE  # noqa: PLC0415
    from ctcbias_fst.text.text_files import hold  # noqa: PLC0415

    _check(
        cuts,
        log_probs,
        frame_seconds is not None or softmax or named.tokens is not None,
        (
            ("--format lhotse needs --cuts", style == "lhotse"),
            (
                "--phones listens to audio; it belongs to --cuts",
                listening.phones is not None,
            ),
            ("--adapter acts in a model; it belongs to --cuts", adapter is not None),
        ),
    )
    if entities is not None and graph is not None:
        raise ConfigError("say either --entities or --graph")
    named.check()
    writes(part_file(out), "the part file of --out")  # before any work
    if lattice_dir is not None:
        writes(lattice_dir / SETTINGS_FILE, "the settings of --lattice-dir")
    if style == "lhotse":
        check_supervisions(out)
    config = settings.load(named.model, of_model=named.tokens is None)
    held = None if entities is None else hold(entities, EntityListError)
    here = workers.device_here(device)
    make: Callable[..., Backend]
    backend: Backend
    if log_probs is not None:
        known = named.load(lambda: backends.columns_of(log_probs, trusted=trust_manifest))
        make_saved = partial(
            backends.LogProbsBackend,
            log_probs,
            known,
            config,
            frame_seconds=frame_seconds,
            softmax=softmax,
            trusted=trust_manifest,
        )
        saved = make_saved(device=here)
        reads(saved.files, "the log-probs")
        make, backend = make_saved, saved
        todo = _Todo(saved.utterances(), [log_probs, *saved.files])
    else:
        assert cuts is not None
        make = partial(
            backends.SpeechBackend,
            named.model,
            config,
            phones=listening.listener(named.language),
            language=named.language,
            lexicon=named.lexicon,
            adapter=adapter,
        )
        backend = make(device=here)
        todo = _recordings(cuts, style, trust_manifest)
    backend.decoder.warn_of_idle(settings.parts or "")
    own = {
        **backend.settings,
        "lists": ["" if held is None else held.digest, *fingerprint(graph)],
    }
    job = job_of([own, style], todo.utterances, todo.files)
    if lattice_dir is None:
        _end_if_done(out, job)
    what = _Job(todo, held, graph, own, job, batch_seconds)
    if not (workers.given or todo.in_shards or shards_folder(out).is_dir()):
        _decode_at_once(what, backend, out, lattice_dir, config)
        return
    if lattice_dir is not None:
        raise ConfigError(
            "--lattice-dir belongs to one process without shards: leave it out, or the options of "
            f"workers (lhotse Shar and {shards_folder(out)} are shards)"
        )
    what.lists(backend)  # so that what is missing is told before any work
    decoder = None if workers.elsewhere else backend
    del backend  # others load it for themselves
    _decode_in_shards(what, workers, make, decoder, here if decoder else device, out)


@dataclass(frozen=True)
class _Todo:
    """What there is to decode.

    Attributes:
        files: where it is.
        write: what writes the transcripts, if not as usual.
        in_shards: whether it is in shards, which are decoded one after the other.
    """

    utterances: list[Utterance]
    files: list[Path]
    write: Write | None = None
    in_shards: bool = False


@dataclass(frozen=True)
class _Job:
    """What there is to decode, with which lists.

    Attributes:
        own: all that the results depend on.
        digest: of that, and of what is decoded.
    """

    todo: _Todo
    held: Held | None
    graph: Path | None
    own: dict[str, Any]
    digest: str
    batch_seconds: float

    def lists(self, backend: Backend) -> Lists:
        """The lists of names.

        Raises:
            ManifestError: an utterance has no list although others do.
        """
        from ctcbias_fst.corpus.batches import check_lists, read_lists  # noqa: PLC0415

        lists = read_lists(self.held, self.graph, backend.decoder.vocabulary)
        check_lists(lists, self.todo.utterances)
        return lists


def _end_if_done(out: Path, job: str) -> None:
    """Tell once more what was told of a job that is done, or what results a new one replaces."""
    from ctcbias_fst.corpus.done import done_before, what_goes  # noqa: PLC0415

    done = done_before(out, job)
    if done is not None:
        click.echo(f"{done.told}; done before, nothing to do", err=True)
        raise click.exceptions.Exit(int(done.skipped > 0))
    told = what_goes(out, job)
    if told:
        click.echo(f"Warning: {told}", err=True)


def _decode_at_once(
    job: _Job, backend: Backend, out: Path, lattice_dir: Path | None, config: PipelineConfig
) -> None:
    """Decode a job in this process, long utterances first, and tell what became of it."""
    from ctcbias_fst.corpus.backends import SpeechBackend  # noqa: PLC0415
    from ctcbias_fst.corpus.done import Done, mark_done  # noqa: PLC0415
    from ctcbias_fst.corpus.job import decode_corpus  # noqa: PLC0415
    from ctcbias_fst.corpus.transcript_files import write_records  # noqa: PLC0415
    from ctcbias_fst.text.text_files import counted  # noqa: PLC0415

    begin = time.perf_counter()
    with once_each(options.warn) as report:
        summary = decode_corpus(
            job.todo.utterances,
            backend,
            out,
            lists=job.lists(backend),
            settings=job.own,
            batch_seconds=job.batch_seconds,
            lattice_dir=lattice_dir,
            config=config,  # what ctcbias rescore starts from
            write=job.todo.write or write_records,
            report=report,
        )
    left = f", {len(summary.skipped)} left out" if summary.skipped else ""
    before = f" ({summary.resumed} of them before)" if summary.resumed else ""
    decoded, seconds = counted(len(summary.records), "utterance"), summary.seconds
    click.echo(f"{out}: {decoded}{before}{left}, {seconds:.0f} s of audio", err=True)
    told = f"{out}: {decoded}{left}, {seconds:.0f} s of audio"
    mark_done(out, job.digest, Done(told, len(summary.skipped)))
    if isinstance(backend, SpeechBackend):
        phones.tell_phones(*backend.phone_cost, time.perf_counter() - begin)
    if summary.skipped:
        raise click.exceptions.Exit(1)


def _decode_in_shards(
    job: _Job,
    workers: WorkersOptions,
    make: Callable[..., Backend],
    backend: Backend | None,
    device: str,
    out: Path,
) -> None:
    """Decode our share of a job shard by shard, and tell what became of it.

    Args:
        job: what there is to decode.
        workers: who does.
        make: makes a backend on a device.
        backend: of this process; None if others decode.
        device: where they compute.
        out: the file of transcripts.
    """
    from ctcbias_fst.corpus.batches import longest_of  # noqa: PLC0415
    from ctcbias_fst.corpus.job import check_no_part  # noqa: PLC0415
    from ctcbias_fst.corpus.shard_decoder import Plan  # noqa: PLC0415
    from ctcbias_fst.corpus.sharded_job import decode_shards  # noqa: PLC0415
    from ctcbias_fst.corpus.shards import errors_file  # noqa: PLC0415
    from ctcbias_fst.corpus.transcript_files import write_records  # noqa: PLC0415
    from ctcbias_fst.files import stamp  # noqa: PLC0415

    check_no_part(out)
    writes(errors_file(out), "the list of what is left out of --out")
    longest = longest_of(job.todo.utterances)
    plan = Plan(make, job.held, job.graph, longest, job.batch_seconds, threads())
    # Shards know the files of their audio, not the one of all log-probs.
    others = [path for path in job.todo.files if not any(job.todo.utterances[0].files)]
    with once_each(options.warn) as report:
        outcome = decode_shards(
            job.todo.utterances,
            workers.workers(plan, backend, device, report),
            out,
            settings=[job.own, *map(stamp, others)],
            job=job.digest,
            share=workers.share,
            shard_seconds=workers.shard_seconds,
            write=job.todo.write or write_records,
            report=report,
        )
    tell(outcome, out)


def _check(
    cuts: Path | None,
    log_probs: Path | None,
    of_log_probs: bool,
    of_cuts: Sequence[tuple[str, bool]],
) -> None:
    """Refuse options that do not go together.

    Args:
        of_log_probs: whether one was given that only log-probs have.
        of_cuts: what is to be said of each that only cuts have, and whether it was given.

    Raises:
        ConfigError: there are such.
    """
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415

    if (cuts is None) == (log_probs is None):
        raise ConfigError("say either --cuts or --log-probs")
    if cuts is not None and of_log_probs:
        raise ConfigError("--tokens, --frame-seconds and --softmax belong to --log-probs")
    for told, given in of_cuts:
        if log_probs is not None and given:
            raise ConfigError(told)


def _recordings(path: Path, style: str, trusted: bool) -> _Todo:
    """The recordings of a manifest, a folder or a list."""
    from lhotse import CutSet  # noqa: PLC0415

    from ctcbias_fst.corpus.backends import (  # noqa: PLC0415
        cut_utterances,
        part_utterances,
        shar_utterances,
    )
    from ctcbias_fst.corpus.cuts import read_cuts  # noqa: PLC0415
    from ctcbias_fst.corpus.shar import SharCut, read_shar  # noqa: PLC0415
    from ctcbias_fst.corpus.sources import audio_parts  # noqa: PLC0415
    from ctcbias_fst.corpus.transcript_files import write_supervisions  # noqa: PLC0415
    from ctcbias_fst.cut_sets import named_files  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415

    shar = read_shar(path, trusted=trusted)
    if shar is not None:
        utterances = shar_utterances(shar)
        files = list(dict.fromkeys(path for one in utterances for path in one.files))
        cuts = CutSet.from_cuts(cut.cut if isinstance(cut, SharCut) else cut for cut in shar)
    else:
        listed = audio_parts(path, trusted=trusted)
        if listed is not None:
            files = [part.path for part in listed]
            reads(files, "the recording")
            if style == "lhotse":
                raise ConfigError(
                    f"--format lhotse writes supervisions of lhotse cuts; {path} has none"
                )
            return _Todo(part_utterances(listed), files)
        cuts = read_cuts(path, trusted=trusted)
        utterances, files = cut_utterances(cuts), list(named_files(cuts))
    reads(files, "the recording")
    write = partial(write_supervisions, cuts) if style == "lhotse" else None
    return _Todo(utterances, files, write, in_shards=shar is not None)
