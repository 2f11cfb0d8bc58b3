"""``ctcbias decode``: whole manifests, or saved log-probs, to transcripts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctcbias_fst.cli import options, phones
from ctcbias_fst.cli.places import reads, writes

if TYPE_CHECKING:
    from ctcbias_fst.corpus.backends import Utterance

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
    from ctcbias_fst.corpus.job import decode_corpus, part_file, read_lists  # noqa: PLC0415
    from ctcbias_fst.corpus.transcript_files import check_supervisions, write_records  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError, EntityListError  # noqa: PLC0415
    from ctcbias_fst.files import fingerprint  # noqa: PLC0415
    from ctcbias_fst.settings import SETTINGS_FILE  # noqa: PLC0415
    from ctcbias_fst.text.text_files import hold  # noqa: PLC0415

    if (cuts is None) == (log_probs is None):
        raise ConfigError("say either --cuts or --log-probs")
    if entities is not None and graph is not None:
        raise ConfigError("say either --entities or --graph")
    if style == "lhotse" and cuts is None:
        raise ConfigError("--format lhotse needs --cuts")
    if log_probs is not None and listening.phones is not None:
        raise ConfigError("--phones listens to audio; it belongs to --cuts")
    if log_probs is not None and adapter is not None:
        raise ConfigError("--adapter acts in a model; it belongs to --cuts")
    if cuts is not None and (frame_seconds is not None or softmax or named.tokens is not None):
        raise ConfigError("--tokens, --frame-seconds and --softmax belong to --log-probs")
    named.check()
    writes(part_file(out), "the part file of --out")  # before any work
    if lattice_dir is not None:
        writes(lattice_dir / SETTINGS_FILE, "the settings of --lattice-dir")
    if style == "lhotse":
        check_supervisions(out)
    config = settings.load(named.model, of_model=named.tokens is None)
    held = None if entities is None else hold(entities, EntityListError)

    backend: backends.Backend
    write: Write = write_records
    if log_probs is not None:
        known = named.load(lambda: backends.columns_of(log_probs, trusted=trust_manifest))
        backend = backends.LogProbsBackend(
            log_probs,
            known,
            config,
            device,
            frame_seconds=frame_seconds,
            softmax=softmax,
            trusted=trust_manifest,
        )
        reads(backend.files, "the log-probs")
        utterances = backend.utterances()
    else:
        assert cuts is not None
        backend = backends.SpeechBackend(
            named.model,
            config,
            device,
            listening.listener(named.language),
            language=named.language,
            lexicon=named.lexicon,
            adapter=adapter,
        )
        utterances, write = _recordings(cuts, style, trust_manifest)
    backend.decoder.warn_of_idle(settings.parts or "")
    begin = time.perf_counter()
    summary = decode_corpus(
        utterances,
        backend,
        out,
        lists=read_lists(held, graph, backend.decoder.vocabulary),
        settings={
            **backend.settings,
            "lists": ["" if held is None else held.digest, *fingerprint(graph)],
        },
        batch_seconds=batch_seconds,
        lattice_dir=lattice_dir,
        config=config,  # what ctcbias rescore starts from
        write=write,
        report=options.warn,
    )
    left = f", {len(summary.skipped)} left out" if summary.skipped else ""
    before = f" ({summary.resumed} of them before)" if summary.resumed else ""
    click.echo(
        f"{out}: {len(summary.records)} utterances{before}{left}, {summary.seconds:.0f} s of audio",
        err=True,
    )
    if isinstance(backend, backends.SpeechBackend):
        phones.tell_phones(*backend.phone_cost, time.perf_counter() - begin)
    if summary.skipped:
        raise click.exceptions.Exit(1)


def _recordings(path: Path, style: str, trusted: bool) -> tuple[list[Utterance], Write]:
    """What there is to decode, and what writes the transcripts."""
    from ctcbias_fst.corpus.backends import cut_utterances, part_utterances  # noqa: PLC0415
    from ctcbias_fst.corpus.cuts import read_cuts  # noqa: PLC0415
    from ctcbias_fst.corpus.sources import audio_parts  # noqa: PLC0415
    from ctcbias_fst.corpus.transcript_files import write_records, write_supervisions  # noqa: PLC0415
    from ctcbias_fst.cut_sets import named_files  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415

    listed = audio_parts(path, trusted=trusted)
    if listed is None:
        cuts = read_cuts(path, trusted=trusted)
        reads(named_files(cuts), "the recording")
        write = partial(write_supervisions, cuts) if style == "lhotse" else write_records
        return cut_utterances(cuts), write
    reads((part.path for part in listed), "the recording")
    if style == "lhotse":
        raise ConfigError(f"--format lhotse writes supervisions of lhotse cuts; {path} has none")
    return part_utterances(listed), write_records
