#!/usr/bin/env python3
"""LibriSpeech and the rare-word lists of Le et al. (arXiv 2104.02194): manifests and lists."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

# Run as a script, Python would look for modules of the package in this folder.
sys.path[0] = str(Path(__file__).resolve().parents[2])

import click  # noqa: E402
from lhotse import CutSet  # noqa: E402
from lhotse.recipes import prepare_librispeech  # noqa: E402

from ctcbias_fst.errors import CtcbiasError, ManifestError  # noqa: E402
from ctcbias_fst.files import atomic_path  # noqa: E402
from ctcbias_fst.text.normalise import normalise  # noqa: E402
from ctcbias_fst.text.utterances import read_utterance_entities  # noqa: E402

__all__ = ["prepare"]


def prepare(
    source: Path, lists: Path, out: Path, parts: tuple[str, ...], sizes: tuple[int, ...]
) -> None:
    """Write ``cuts_PART.jsonl.gz`` and ``lists/PART.biasing_N.tsv`` for every part.

    Args:
        source: the folder ``LibriSpeech`` of the distribution, with a folder per part.
        lists: where the authors' ``PART.biasing_N.tsv`` lie.
        out: what is filled.
        parts: for example ``test-clean``.
        sizes: N, the distractors of each utterance.

    Raises:
        ManifestError: a part or a list is missing, or they are not of the same utterances.
    """
    for part in parts:
        if not (source / part).is_dir():
            raise ManifestError(
                f"{source}: has no folder {part}; name the folder LibriSpeech of the distribution"
            )
    found = prepare_librispeech(source, dataset_parts=list(parts))
    for part in parts:
        cuts = CutSet.from_manifests(**found[part]).trim_to_supervisions(keep_overlapping=False)
        cuts = CutSet.from_cuts(cut.with_id(cut.supervisions[0].id) for cut in cuts)
        cuts = cuts.transform_text(normalise)
        for size in sizes:
            name = f"{part}.biasing_{size}.tsv"
            if not (lists / name).is_file():
                raise ManifestError(
                    f"{lists / name}: no such file; README.md says where it is from"
                )
            listed = read_utterance_entities(lists / name)
            missing = next((cut.id for cut in cuts if cut.id not in listed), None)
            if missing is not None:
                raise ManifestError(f"{lists / name}: has no list for utterance {missing}")
            with atomic_path(out / "lists" / name) as temporary:
                shutil.copyfile(lists / name, temporary)
        with atomic_path(out / f"cuts_{part}.jsonl.gz") as temporary:
            cuts.to_file(temporary)
        click.echo(f"{part}: {len(cuts)} utterances")


@click.command()
@click.option("--source", type=click.Path(path_type=Path), required=True)
@click.option("--lists", type=click.Path(path_type=Path), help="[SOURCE]")
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option(
    "--part", "parts", multiple=True, default=["test-clean", "test-other"], show_default=True
)
@click.option("--size", "sizes", type=int, multiple=True, default=[100, 1000], show_default=True)
def main(
    source: Path, lists: Path | None, out: Path, parts: tuple[str, ...], sizes: tuple[int, ...]
) -> None:
    """Make manifests of LibriSpeech, and take its rare-word lists over."""
    try:
        prepare(source, lists or source, out, parts, sizes)
    except CtcbiasError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
