#!/usr/bin/env python3
"""Any speech with transcripts, and lists of drugs and diseases: manifests and entity lists."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

# Run as a script, Python would look for modules of the package in this folder.
sys.path[0] = str(Path(__file__).resolve().parents[2])

import click  # noqa: E402
from lhotse import CutSet, Recording, SupervisionSegment  # noqa: E402

from ctcbias_fst.corpus.cuts import read_cuts  # noqa: E402
from ctcbias_fst.errors import CtcbiasError, ManifestError  # noqa: E402
from ctcbias_fst.files import atomic_path  # noqa: E402
from ctcbias_fst.text.entities import read_entities, write_names  # noqa: E402
from ctcbias_fst.text.normalise import normalise  # noqa: E402
from ctcbias_fst.text.phrases import PhraseMatcher  # noqa: E402
from ctcbias_fst.text.text_files import read_lines  # noqa: E402

__all__ = ["prepare", "read_table"]


def prepare(source: Path, names: Sequence[Path], out: Path, distractors: int, seed: int) -> None:
    """Write ``cuts_all.jsonl.gz`` and ``lists/{spoken,N,everything}.txt``.

    Args:
        source: a manifest of lhotse cuts, or a table ``audio<TAB>text`` (:func:`read_table`).
        names: lists of names; what they name is looked for in the texts.
        out: what is filled.
        distractors: N: how many names of the second list are not spoken.
        seed: of their choice.

    Raises:
        ManifestError: there are no utterances, or none names anything of the lists.
        EntityListError: a list cannot be read.
    """
    listed = {entity.name: entity.display for path in names for entity in read_entities(path)}
    matcher = PhraseMatcher(listed)
    cuts = read_table(source) if source.suffix in (".tsv", ".txt") else read_cuts(source)
    spoken: set[str] = set()
    for cut in cuts:
        for segment in cut.supervisions:
            segment.text = normalise(segment.text or "")
            found = [o.name for o in matcher.occurrences(segment.text.split())]
            segment.custom = {**(segment.custom or {}), "entities": found}
            spoken.update(found)
    if not spoken:
        raise ManifestError(f"{source}: none of {len(listed)} names is in any transcript")
    others = sorted(set(listed) - spoken)
    drawn = random.Random(seed).sample(others, min(distractors, len(others)))
    with atomic_path(out / "cuts_all.jsonl.gz") as temporary:
        cuts.to_file(temporary)
    for name, chosen in (
        ("spoken", spoken),
        (str(distractors), spoken.union(drawn)),
        ("everything", listed),
    ):
        write_names(out / "lists" / f"{name}.txt", (listed[one] for one in chosen))
    click.echo(f"{len(cuts)} utterances, {len(spoken)} of {len(listed)} names are spoken")


def read_table(path: Path) -> CutSet:
    """Read lines ``audio<TAB>text``; relative paths start at the table.

    Raises:
        ManifestError: it is missing or empty, a line is not of this form, or its audio cannot
            be opened.
    """
    if not path.is_file():
        raise ManifestError(f"{path}: no such file")
    cuts = []
    for number, line in enumerate(read_lines(path), start=1):
        audio, tab, text = line.partition("\t")
        if not line.strip():
            continue
        if not tab or not text.strip():
            raise ManifestError(f"{path}, line {number}: not an audio file, a tab, a text")
        file = path.parent / audio
        try:
            recording = Recording.from_file(file, recording_id=f"{number:05d}-{file.stem}")
        except Exception as error:  # whatever lhotse's audio backends raise
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise ManifestError(f"{path}, line {number}: {file}: {reason[0]}") from error
        cut = recording.to_cut()
        cut.supervisions = [
            SupervisionSegment(cut.id, recording.id, 0.0, recording.duration, text=text.strip())
        ]
        cuts.append(cut)
    if not cuts:
        raise ManifestError(f"{path}: has no utterances")
    return CutSet.from_cuts(cuts)


@click.command()
@click.option("--source", type=click.Path(path_type=Path), required=True)
@click.option("--names", type=click.Path(path_type=Path), multiple=True, required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--distractors", default=1000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(source: Path, names: tuple[Path, ...], out: Path, distractors: int, seed: int) -> None:
    """Find the names of lists in transcripts, and make manifests and lists for decoding."""
    try:
        prepare(source, names, out, distractors, seed)
    except CtcbiasError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
