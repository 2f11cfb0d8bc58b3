#!/usr/bin/env python3
"""VoxPopuli (arXiv 2101.00390): manifests, and the named entities of its transcripts."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

# Run as a script, Python would look for modules of the package in this folder.
sys.path[0] = str(Path(__file__).resolve().parents[2])

import click  # noqa: E402
from lhotse import CutSet  # noqa: E402
from lhotse.recipes import prepare_voxpopuli  # noqa: E402

from ctcbias_fst.errors import CtcbiasError, ManifestError  # noqa: E402
from ctcbias_fst.files import atomic_path  # noqa: E402
from ctcbias_fst.text.entities import write_names  # noqa: E402
from ctcbias_fst.text.normalise import normalise  # noqa: E402
from recipes.voxpopuli.entities import CommonWords, named_entities  # noqa: E402

__all__ = ["prepare"]


def prepare(source: Path, out: Path, language: str, distractors: int, seed: int) -> None:
    """Write ``cuts_{train,dev,test}.jsonl.gz`` and ``lists/SPLIT[.N].txt``.

    A list has the names spoken in its split; with N, that many others that are spoken in the
    training split alone.

    Args:
        source: the folder of the distribution, with ``raw_audios/LANGUAGE/YEAR/*.ogg`` and the
            annotations ``asr_LANGUAGE.tsv.gz``.
        out: what is filled.
        language: as in the distribution.
        distractors: N.
        seed: of the choice of distractors.

    Raises:
        ManifestError: audio or annotations are missing, or there are no utterances.
    """
    annotations = source / f"asr_{language}.tsv.gz"
    if not annotations.is_file():
        raise ManifestError(f"{annotations}: no such file; put the annotations there")
    if not any((source / "raw_audios" / language).glob("*/*.ogg")):
        raise ManifestError(f"{source}: has no raw_audios/{language}/YEAR/*.ogg")
    # lhotse takes the annotations from its output folder, or else from the internet.
    found = prepare_voxpopuli(source, output_dir=source, task="asr", lang=language)
    common = CommonWords.load()
    names: dict[str, list[str]] = {}
    for split in ("train", "dev", "test"):
        cuts = _cuts(found[split], common)
        names[split] = sorted({name for cut in cuts for name in _entities(cut)})
        if not len(cuts):
            click.echo(f"{split}: no utterances")
            continue
        with atomic_path(out / f"cuts_{split}.jsonl.gz") as temporary:
            cuts.to_file(temporary)
        click.echo(f"{split}: {len(cuts)} utterances, {len(names[split])} names")
    if not any(names.values()):
        raise ManifestError(f"{source}: no utterance of it names anything")
    for split in ("dev", "test"):
        spoken = set(names[split])
        others = [name for name in names["train"] if name not in spoken]
        drawn = random.Random(seed).sample(others, min(distractors, len(others)))
        write_names(out / "lists" / f"{split}.txt", spoken)
        write_names(out / "lists" / f"{split}.{distractors}.txt", {*spoken, *drawn})


def _cuts(manifests: dict[str, object], common: CommonWords) -> CutSet:
    cuts = CutSet.from_manifests(**manifests).trim_to_supervisions(keep_overlapping=False)
    made = []
    for cut in cuts:
        (spoken,) = cut.supervisions
        spoken.custom["entities"] = list(named_entities(spoken.custom["orig_text"], common))
        spoken.text = normalise(spoken.text)
        if spoken.text:
            made.append(cut.with_id(spoken.id))
    return CutSet.from_cuts(made)


def _entities(cut: object) -> Iterator[str]:
    yield from cut.supervisions[0].custom["entities"]  # type: ignore[attr-defined]


@click.command()
@click.option("--source", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--language", default="en", show_default=True)
@click.option("--distractors", default=1000, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(source: Path, out: Path, language: str, distractors: int, seed: int) -> None:
    """Make manifests of VoxPopuli, and lists of the names in its transcripts."""
    try:
        prepare(source, out, language, distractors, seed)
    except CtcbiasError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
