#!/usr/bin/env python3
"""How often what a recogniser wrote for a name is among the name's spelling variants."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Run as a script, Python would look for modules of the package in this folder.
sys.path[0] = str(Path(__file__).resolve().parents[2])

import click  # noqa: E402
from kaldialign import align, edit_distance  # noqa: E402

from ctcbias_fst.errors import CtcbiasError, InputError  # noqa: E402
from ctcbias_fst.text.normalise import normalise  # noqa: E402
from ctcbias_fst.text.text_files import read_lines  # noqa: E402
from ctcbias_fst.variants.variants import SpellingVariants, Variant  # noqa: E402

__all__ = ["Coverage", "coverage", "heard_spellings", "read_pairs"]

Pair = tuple[str, str]
"""A name, and what was written for it; both normalised."""

SIZES = (0, 1, 2, 5, 10, 20, 50)


@dataclass(frozen=True)
class Coverage:
    """Counts over occurrences of names, for one number of variants; they add.

    Attributes:
        names: occurrences.
        covered: whose heard spelling is the name or one of its variants.
        letters: of all names.
        distance: letters between the heard spelling and the closest of name and variants.
    """

    names: int = 0
    covered: int = 0
    letters: int = 0
    distance: int = 0

    def __add__(self, other: Coverage) -> Coverage:
        """Return the counts of both together."""
        return Coverage(
            self.names + other.names,
            self.covered + other.covered,
            self.letters + other.letters,
            self.distance + other.distance,
        )


def coverage(
    pairs: Sequence[Pair], variants: SpellingVariants, sizes: Sequence[int] = SIZES
) -> Mapping[int, Coverage]:
    """Return, for each number of variants, how many heard spellings they cover."""
    names = sorted({name for name, _ in pairs})
    found = dict(zip(names, variants.spelling_variants(names, max(sizes, default=0))))
    return {
        size: sum((_one(name, heard, found[name][:size]) for name, heard in pairs), Coverage())
        for size in sizes
    }


def heard_spellings(
    reference: Sequence[str], hypothesis: Sequence[str], names: Iterable[str]
) -> list[Pair]:
    """Find what stands in a transcript where names stand in the reference.

    The letters of both (spaces among them) are aligned with the fewest edits; what is heard
    for a name begins and ends with whole words of the transcript.

    Args:
        reference, hypothesis: words.
        names: those spoken, as often as they are; one that the reference lacks is skipped.

    Returns:
        Name and heard words, for every name of which anything is heard.
    """
    text = " ".join(reference)
    gap = "\0"
    steps = align(list(text), list(" ".join(hypothesis)), gap)
    pairs: list[Pair] = []
    used: dict[str, int] = {}
    for name in names:
        start = f" {text} ".find(f" {name} ", used.get(name, 0))
        if start < 0:
            continue
        used[name] = start + len(name)
        heard = _heard(steps, start, start + len(name), gap)
        if heard:
            pairs.append((name, heard))
    return pairs


def read_pairs(path: Path) -> list[Pair]:
    """Read lines ``name<TAB>heard``.

    Raises:
        InputError: the file is missing, or a line has no tab or an empty side.
    """
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        if not line or line.startswith("#"):
            continue
        name, _, heard = (normalise(part) for part in line.partition("\t"))
        if not name or not heard:
            raise InputError(f"{path}, line {number}: not a name, a tab, what was heard")
        pairs.append((name, heard))
    if not pairs:
        raise InputError(f"{path}: no pairs; write a name, a tab, what was heard, line by line")
    return pairs


def _one(name: str, heard: str, variants: Sequence[Variant]) -> Coverage:
    spellings = [name, *(variant.spelling for variant in variants)]
    distance = min(edit_distance(list(s), list(heard))["total"] for s in spellings)
    return Coverage(1, int(heard in spellings), len(name), distance)


def _heard(steps: Sequence[tuple[str, str]], start: int, end: int, gap: str) -> str:
    """The transcript's whole words that are aligned with reference letters start to end."""
    written = "".join(hyp for _, hyp in steps if hyp != gap)
    position = written_at = 0
    first = last = -1
    for ref, hyp in steps:
        if hyp != gap:
            if start <= position < end and ref != gap and hyp != " ":
                first = written_at if first < 0 else first
                last = written_at
            written_at += 1
        position += ref != gap
    if first < 0:
        return ""
    left = written.rfind(" ", 0, first) + 1
    right = written.find(" ", last)
    return written[left : len(written) if right < 0 else right]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("reference", type=click.Path(path_type=Path))
@click.argument("hypothesis", required=False, type=click.Path(path_type=Path))
@click.option("--show", default=0, type=click.IntRange(0), help="Print so many pairs, too.")
def main(reference: Path, hypothesis: Path | None, show: int) -> None:
    """Print how many heard spellings 0, 1, 2, … variants cover.

    With one file: lines `name TAB heard`. With two: a manifest of what was said, with its
    names, and the transcripts of a recogniser (as for `ctcbias score`).
    """
    from ctcbias_fst.variants.shipped import load_variants  # noqa: PLC0415

    try:
        if hypothesis is None:
            pairs = read_pairs(reference)
        else:
            pairs = _pairs_of_files(reference, hypothesis)
        errors = [(name, heard) for name, heard in pairs if name != heard]
        for name, heard in errors[:show]:
            click.echo(f"{name}\t{heard}")
        click.echo(f"{len(pairs)} names heard, {len(errors)} of them written otherwise")
        click.echo("variants  of all  of errors  letters off, of errors")
        results = coverage(pairs, variants := load_variants())
        wrong = coverage(errors, variants)
        for size, found in results.items():
            of = wrong[size]
            share = of.covered / max(of.names, 1)
            off = of.distance / max(of.letters, 1)
            click.echo(f"{size:8d}  {found.covered / found.names:6.1%}  {share:9.1%}  {off:22.1%}")
    except CtcbiasError as error:
        raise click.ClickException(str(error)) from error


def _pairs_of_files(reference: Path, hypothesis: Path) -> list[Pair]:
    from ctcbias_fst.text.transcripts import read_transcripts  # noqa: PLC0415
    from ctcbias_fst.text.utterances import read_utterance_entities  # noqa: PLC0415

    said, written = read_transcripts(reference), read_transcripts(hypothesis)
    lists = read_utterance_entities(reference, spoken=True)
    pairs = []
    for key, text in said.items():
        if key in written and key in lists:
            names = [entity.name for entity in lists[key]]
            pairs += heard_spellings(
                normalise(text).split(), normalise(written[key]).split(), names
            )
    if not pairs:
        raise InputError(f"{reference} and {hypothesis}: no utterance with a name in both")
    return pairs


if __name__ == "__main__":
    main()
