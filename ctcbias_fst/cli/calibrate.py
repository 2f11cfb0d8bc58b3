"""``ctcbias calibrate``: the price of names for a model, from speech without labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from ctcbias_fst.cli import options, phones
from ctcbias_fst.cli.places import reads

if TYPE_CHECKING:
    from ctcbias_fst.audio.audio import AudioPart, Recording
    from ctcbias_fst.corpus.backends import Utterance
    from ctcbias_fst.decoder import Decoder
    from ctcbias_fst.models.first_failures import FirstFailures
    from ctcbias_fst.records import LogProbs
    from ctcbias_fst.settings import PipelineConfig


class _Lasts(Protocol):
    @property
    def seconds(self) -> float: ...


Item = TypeVar("Item")
Lasting = TypeVar("Lasting", bound=_Lasts)


@click.command()
@click.argument("audio", nargs=-1, type=options.FILE)
@options.writes_file("--out", required=True, help="The settings, as TOML.")
@options.TRUST_MANIFEST
@options.reads_file("--log-probs", help="Saved log-probs instead of audio (docs/own-model.md).")
@options.with_tokens
@phones.with_phones
@options.FRAME_SECONDS
@options.SOFTMAX
@options.reads_file(
    "--decoys",
    help="Names that nobody says in it, of the kind of yours: recommended [rare words of the "
    "shipped lexicon].",
)
@options.PARTS
@options.LM
@options.with_settings
@click.option(
    "--minutes",
    type=options.Number(0.5, 10_000),
    default=10.0,
    show_default=True,
    help="Speech that is used; it must have at least 200 words, some two minutes.",
)
@click.option(
    "--tolerance",
    type=options.Number(1e-5, 0.5),
    default=0.001,
    show_default=True,
    help="The share of words that a list of decoys may change.",
)
@click.option(
    "--size",
    type=click.IntRange(1, 30_000),
    help="Decoys of a list from the lexicon [1000]: as many as the lists have that will be used.",
)
@options.DEVICE
def calibrate(
    audio: tuple[Path, ...],
    out: Path,
    trust_manifest: bool,
    log_probs: Path | None,
    named: options.TokensOptions,
    listening: phones.PhonesOptions,
    frame_seconds: float | None,
    softmax: bool,
    decoys: Path | None,
    settings: options.SettingsOptions,
    minutes: float,
    tolerance: float,
    size: int | None,
    device: str,
) -> None:
    """Find the price of names for a model, from AUDIO (or its log-probs) without labels.

    It is the lowest at which decoys, names that nobody says, change one word of 1,000
    (docs/tuning.md). Where they change more at every price, nothing is written.
    """
    from ctcbias_fst.config import difference, merge, parse_overrides, write_changes  # noqa: PLC0415
    from ctcbias_fst.corpus.sources import path_of, recordings_of  # noqa: PLC0415
    from ctcbias_fst.errors import ConfigError  # noqa: PLC0415
    from ctcbias_fst.studies.calibrate import CalibrateConfig  # noqa: PLC0415
    from ctcbias_fst.studies.calibrate import calibrate as calibrated  # noqa: PLC0415
    from ctcbias_fst.text.entities import read_entities  # noqa: PLC0415

    if bool(audio) == (log_probs is not None):
        raise ConfigError("pass either AUDIO or --log-probs")
    if log_probs is None and (frame_seconds or softmax or named.tokens is not None):
        raise ConfigError("--tokens, --frame-seconds and --softmax belong to --log-probs")
    if log_probs is not None and (listening.phones is not None or listening.no_phones):
        raise ConfigError("--phones and --no-phones belong to AUDIO")
    if decoys is not None and size is not None:
        raise ConfigError("pass either --decoys or --size: --decoys has as many as it has")
    named.check()
    base = settings.load(named.model, of_model=named.tokens is None)
    listed = None if decoys is None else read_entities(decoys)
    if log_probs is None:
        recordings = recordings_of(audio, trusted=trust_manifest)
        reads(map(path_of, recordings), "the recording")
        make, batches = _of_audio(recordings, named, listening, device, minutes)
    else:
        make, batches = _of_log_probs(log_probs, named, device, frame_seconds, softmax, minutes)
    found = calibrated(
        make,
        batches,
        base,
        CalibrateConfig(tolerance=tolerance, decoys=size or CalibrateConfig.decoys),
        decoys=None if listed is None else [one.display for one in listed.entities],
        report=lambda message: click.echo(message, err=True),
    )
    usual = options.SettingsOptions().load(named.model, of_model=named.tokens is None)
    bonus = found.config.decode.boost.bonus
    price = parse_overrides([f"decode.boost.bonus={bonus}"])
    outcome = (
        f"{found.words} words, {found.decoys} decoys: price {abs(base.decode.boost.bonus):g} -> "
        f"{abs(bonus):g} nats, {found.before:.2%} -> {found.changed:.2%} of the words changed"
    )
    write_changes(merge(difference(found.config, usual), price), out, outcome)
    click.echo(outcome)


def _of_audio(
    recordings: Sequence[Path | AudioPart],
    named: options.TokensOptions,
    listening: phones.PhonesOptions,
    device: str,
    minutes: float,
) -> tuple[Callable[[PipelineConfig], Decoder], Iterator[LogProbs]]:
    from ctcbias_fst.audio.audio import to_recording  # noqa: PLC0415
    from ctcbias_fst.errors import AudioError  # noqa: PLC0415
    from ctcbias_fst.models.find import load_model  # noqa: PLC0415
    from ctcbias_fst.models.first_failures import first_failures  # noqa: PLC0415
    from ctcbias_fst.recognizer import Recognizer  # noqa: PLC0415

    model = load_model(named.model, device, language=named.language, lexicon=named.lexicon)
    recognizer = Recognizer(model, phones=listening.listener(named.language))
    lost: list[float] = []

    def read() -> Iterator[tuple[Recording, float]]:
        for source in recordings:
            try:
                recording = to_recording(source, model.sampling_rate)
            except AudioError as error:
                options.warn(f"left out: {error}")
                continue
            most = round(60 * minutes * model.sampling_rate)
            recording = replace(recording, samples=recording.samples[:most])
            yield recording, recording.seconds

    def make(config: PipelineConfig) -> Decoder:
        return Recognizer(model, config, phones=recognizer.phones).decoder

    failures = first_failures(recognizer.log_probs, model)
    batches = _batches(read(), minutes, lost)
    return make, _scored(recognizer.log_probs, batches, lost, failures)


def _scored(
    score: Callable[[list[Lasting]], LogProbs],
    batches: Iterable[list[Lasting]],
    lost: list[float],
    failures: FirstFailures,
) -> Iterator[LogProbs]:
    """The log-probs of batches that can be decoded.

    Args:
        score: the log-probs of a batch.
        lost: gets the seconds of what cannot be scored.
        failures: is told of that.
    """
    from ctcbias_fst.errors import ConfigError, MissingDependencyError  # noqa: PLC0415
    from ctcbias_fst.search.boosting import check_log_probs  # noqa: PLC0415

    def of(batch: list[Lasting]) -> Iterator[LogProbs]:
        try:
            found = score(batch)
            check_log_probs(found, found.vocabulary)
        except (ConfigError, MissingDependencyError, OSError):
            raise  # of none of them
        except Exception as error:  # whatever somebody's model raises
            if len(batch) > 1:
                for one in batch:
                    yield from of([one])
                return
            failures.add(error)
            options.warn(f"left out: {error}")
            lost.append(batch[0].seconds)
            return
        failures.passed()
        yield found

    for batch in batches:
        yield from of(batch)


def _of_log_probs(
    path: Path,
    named: options.TokensOptions,
    device: str,
    frame_seconds: float | None,
    softmax: bool,
    minutes: float,
) -> tuple[Callable[[PipelineConfig], Decoder], Iterator[LogProbs]]:
    from ctcbias_fst.corpus.backends import LogProbsBackend, columns_of  # noqa: PLC0415
    from ctcbias_fst.decoder import Decoder  # noqa: PLC0415
    from ctcbias_fst.models.first_failures import FirstFailures  # noqa: PLC0415
    from ctcbias_fst.settings import PipelineConfig  # noqa: PLC0415

    known = named.load(lambda: columns_of(path))
    backend = LogProbsBackend(
        path, known, PipelineConfig(), device, frame_seconds=frame_seconds, softmax=softmax
    )
    reads(backend.files, "the log-probs")

    def score(utterances: list[Utterance]) -> LogProbs:
        return backend.batch([backend.load(one) for one in utterances])

    lost: list[float] = []
    batches = _batches(((one, one.seconds) for one in backend.utterances()), minutes, lost)
    make = partial(Decoder, known, frame_seconds=backend.frame_seconds, device=device)
    return make, _scored(score, batches, lost, FirstFailures(None))


def _batches(
    items: Iterable[tuple[Item, float]], minutes: float, lost: Sequence[float] = ()
) -> Iterator[list[Item]]:
    """The first minutes of what lasts so many seconds each, in batches.

    ``lost`` has the seconds of those among them that did not work, so that more are taken.
    """
    from ctcbias_fst.models.outcomes import BATCH_SECONDS  # noqa: PLC0415

    batch: list[Item] = []
    held, left = 0.0, 60 * minutes
    for item, seconds in items:
        batch.append(item)
        held, left = held + seconds, left - seconds
        if held >= BATCH_SECONDS or left + sum(lost) <= 0:
            yield batch
            batch, held = [], 0.0
        if left + sum(lost) <= 0:
            return
    if batch:
        yield batch
