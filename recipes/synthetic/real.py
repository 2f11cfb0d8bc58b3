"""The plan of real recordings: which clips join training, dev and test, and with what text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ctcbias_fst.errors import ManifestError

from .labels import Label, agreed, hear, proper_names
from .names import Frequency, split_of, zipf
from .recordings import Recording, collect, load
from .settings import Settings
from .synthesis import Planned, write_plan
from .texts import percent_split

__all__ = ["CUTS", "PLANS", "Labelled", "plan_real", "split_recordings"]

CUTS = ("train_real", "dev_real", "test_real")
PLANS = ("train.real", "dev.real", "test.real")


@dataclass(frozen=True)
class Labelled:
    """A recording, its place within its source, what is said in it, and the names among that."""

    recording: Recording
    number: int
    label: Label
    entities: tuple[str, ...]


def plan_real(out: Path, settings: Settings, jobs: int, frequency: Frequency = zipf) -> None:
    """Collect recordings, label them, and write the plans of :data:`PLANS`.

    Raises:
        MissingDependencyError: a package cannot be had.
        ManifestError: no recording at all could be labelled.
    """
    work = out / "work" / "real"
    everything = collect(settings.real.sources, work)
    found = [recording for recording in everything if _fits(recording, settings)]
    tiny = hear(found, "tiny", work, threads=jobs)
    unsure = [r for r in found if not agreed(r.said, {"tiny": tiny[r.name]}, settings.real)]
    base = hear(unsure, "base", work, threads=jobs)
    numbers = _numbers(everything)
    labelled = []
    for recording in found:
        heard = {"tiny": tiny[recording.name]}
        if recording.name in base:
            heard["base"] = base[recording.name]
        label = agreed(recording.said, heard, settings.real)
        if label is not None:
            cased = [*heard.values(), recording.said]
            names = proper_names(label.text, cased, settings.text.rare_zipf, frequency)
            labelled.append(Labelled(recording, numbers[recording.name], label, names))
    if not labelled:
        raise ManifestError(f"{work}: none of {len(found)} recordings has an agreed text")
    _report(found, labelled)
    splits = split_recordings(labelled, settings, frequency)
    for plan in PLANS:
        split = plan.split(".")[0]
        chosen = [item for item in labelled if splits[item.recording.name] == split]
        write_plan(out / "plan" / f"{plan}.jsonl", (_planned(item, split) for item in chosen))


def _numbers(recordings: Sequence[Recording]) -> dict[str, int]:
    """Each recording's place within its source: an id that no other source can change."""
    counts: Counter[str] = Counter()
    numbers = {}
    for recording in recordings:
        numbers[recording.name] = counts[recording.source]
        counts[recording.source] += 1
    return numbers


def _fits(recording: Recording, settings: Settings) -> bool:
    try:
        samples, rate = load(recording.path)
    except (ValueError, OSError) as error:
        click.echo(f"{recording.name}: left out: {error}", err=True)
        return False
    return len(samples) <= settings.real.max_seconds * rate


def split_recordings(
    labelled: Sequence[Labelled], settings: Settings, frequency: Frequency = zipf
) -> dict[str, str]:
    """Where each recording belongs, by its name: ``train``, ``dev`` or ``test``.

    The speakers of dev and test take all their texts with them; texts with a rare word that is
    held out follow that word; the md5 of the text decides on the others. Nothing that is
    said in dev or test is said in training.
    """
    real = settings.real
    by_text: dict[str, str] = {}
    for speakers, split in ((real.dev_speakers, "dev"), (real.test_speakers, "test")):
        for item in labelled:
            if item.recording.speaker in speakers:
                by_text[item.label.text] = split
    for item in labelled:
        text = item.label.text
        word = split_of(text, settings.text.rare_zipf, frequency)
        if word == "test" or (word == "dev" and by_text.get(text) != "test"):
            by_text[text] = word
        by_text.setdefault(text, percent_split(text, real.dev_percent, real.test_percent))
    return {item.recording.name: by_text[item.label.text] for item in labelled}


def _planned(item: Labelled, split: str) -> Planned:
    return Planned(
        id=f"{split}-{item.recording.source}-{item.number:06d}",
        cuts=f"{split}_real",
        split=split,
        domain="general",
        engine="real",
        voice={item.recording.speaker: 1.0},
        speed=1.0,
        warp=1.0,
        spoken=item.label.text,
        text=item.label.text,
        entities=item.entities,
        source=str(item.recording.path.resolve()),
    )


def _report(found: Sequence[Recording], labelled: Sequence[Labelled]) -> None:
    """Say per source how many recordings have a text, and how far its sources are apart."""
    all_of: Mapping[str, int] = Counter(recording.source for recording in found)
    for source, count in all_of.items():
        kept = [item.label for item in labelled if item.recording.source == source]
        texts = sum(label.source == "text" for label in kept)
        apart = sum(label.apart for label in kept) / max(len(kept), 1)
        click.echo(
            f"{source}: {len(kept)} of {count} recordings labelled ({texts} by the package's "
            f"text, {len(kept) - texts} by both recognisers), sources {apart:.1%} apart"
        )
