"""``ctcbias decode``: whole manifests, or saved log-probs, to transcripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctcbias_fst.cli import options, phones
from ctcbias_fst.cli.places import reads, writes
from ctcbias_fst.cli.repeated import once_each

if TYPE_CHECKING:
    from ctcbias_fst.corpus.backends import Backend, Utterance

Write = Callable[[Mapping[str, Mapping[str, Any]], Path], None]


@click.command()
@options.reads_file(
    "--cuts",
    help="What to decode: a manifest of lhotse cuts with audio, a NeMo manifest, a Kaldi wav.scp, "
    "or a folder of audio.",
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
    trust_manifest: bool,
) -> None:
    """Decode the recordings of a manifest or folder, or log-probs that any CTC model made.

    Utterances that cannot be used are reported and left out, the others are written, and the
    exit status is 1. A job that was stopped is resumed when the same command is given again.
    """
    from ctcbias_fst.corpus import backends  # noqa: PLC0415
    from ctcbias_fst.corpus.done import Done, done_before, job_of, mark_done  # noqa: PLC0415
    from ctcbias_fst.corpus.job import decode_corpus, part_file, read_lists  # noqa: PLC0415
    from ctcbias_fst.corpus.transcript_files import check_supervisions, write_records  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError, EntityListError  # noqa: PLC0415
    from ctcbias_fst.files import fingerprint  # noqa: PLC0415
    from ctcbias_fst.settings import SETTINGS_FILE  # noqa: PLC0415
    from ctcbias_fst.text.text_files import counted, hold  # noqa: PLC0415

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

    if log_probs is not None:
        known = named.load(lambda: backends.columns_of(log_probs, trusted=trust_manifest))
        saved = backends.LogProbsBackend(
            log_probs,
            known,
            config,
            device,
            frame_seconds=frame_seconds,
            softmax=softmax,
            trusted=trust_manifest,
        )
        reads(saved.files, "the log-probs")
        todo = _Todo(saved, saved.utterances(), [log_probs, *saved.files])
    else:
        assert cuts is not None
        speech = backends.SpeechBackend(
            named.model,
            config,
            device,
            listening.listener(named.language),
            language=named.language,
            lexicon=named.lexicon,
            adapter=adapter,
        )
        todo = _recordings(speech, cuts, style, trust_manifest)
    backend = todo.backend
    backend.decoder.warn_of_idle(settings.parts or "")
    own = {
        **backend.settings,
        "lists": ["" if held is None else held.digest, *fingerprint(graph)],
    }
    job = job_of([own, style], todo.utterances, todo.files)
    done = None if lattice_dir is not None else done_before(out, job)
    if done is not None:
        click.echo(f"{done.told}; done before, nothing to do", err=True)
        raise click.exceptions.Exit(int(done.skipped > 0))
    begin = time.perf_counter()
    with once_each(options.warn) as report:
        summary = decode_corpus(
            todo.utterances,
            backend,
            out,
            lists=read_lists(held, graph, backend.decoder.vocabulary),
            settings=own,
            batch_seconds=batch_seconds,
            lattice_dir=lattice_dir,
            config=config,  # what ctcbias rescore starts from
            write=todo.write or write_records,
            report=report,
        )
    left = f", {len(summary.skipped)} left out" if summary.skipped else ""
    before = f" ({summary.resumed} of them before)" if summary.resumed else ""
    decoded, seconds = counted(len(summary.records), "utterance"), summary.seconds
    click.echo(f"{out}: {decoded}{before}{left}, {seconds:.0f} s of audio", err=True)
    told = f"{out}: {decoded}{left}, {seconds:.0f} s of audio"
    mark_done(out, job, Done(told, len(summary.skipped)))
    if isinstance(backend, backends.SpeechBackend):
        phones.tell_phones(*backend.phone_cost, time.perf_counter() - begin)
    if summary.skipped:
        raise click.exceptions.Exit(1)


@dataclass(frozen=True)
class _Todo:
    """What there is to decode, and by what.

    Attributes:
        files: where it is.
        write: what writes the transcripts, if not as usual.
    """

    backend: Backend
    utterances: list[Utterance]
    files: list[Path]
    write: Write | None = None


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


def _recordings(backend: Backend, path: Path, style: str, trusted: bool) -> _Todo:
    """The recordings of a manifest, a folder or a list."""
    from ctcbias_fst.corpus.backends import cut_utterances, part_utterances  # noqa: PLC0415
    from ctcbias_fst.corpus.cuts import read_cuts  # noqa: PLC0415
    from ctcbias_fst.corpus.sources import audio_parts  # noqa: PLC0415
    from ctcbias_fst.corpus.transcript_files import write_supervisions  # noqa: PLC0415
    from ctcbias_fst.cut_sets import named_files  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415

    listed = audio_parts(path, trusted=trusted)
    if listed is None:
        cuts = read_cuts(path, trusted=trusted)
        files = list(named_files(cuts))
        reads(files, "the recording")
        write = partial(write_supervisions, cuts) if style == "lhotse" else None
        return _Todo(backend, cut_utterances(cuts), files, write)
    files = [part.path for part in listed]
    reads(files, "the recording")
    if style == "lhotse":
        raise ConfigError(f"--format lhotse writes supervisions of lhotse cuts; {path} has none")
    return _Todo(backend, part_utterances(listed), files)
