"""Folders of lhotse Shar: cuts in a file, their audio in an archive beside it, shard by shard."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lhotse import CutSet
from lhotse.cut import Cut
from lhotse.cut.data import DataCut

from ctcbias_fst.cut_sets import one_line, read_cut_set, refuse_commands
from ctcbias_fst.errors import AudioError, ManifestError

_CUTS = re.compile(r"cuts\.(\d+)\.jsonl(?:\.gz)?")


@dataclass(frozen=True)
class SharCut:
    """A cut whose audio is in an archive.

    Attributes:
        cut: as its manifest has it, without the audio.
        manifest: of its shard.
        archive: with the audio of its shard.
        trusted: whether commands may be run.
    """

    cut: Cut
    manifest: Path
    archive: Path
    trusted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """As the manifest has it, and where that is."""
        return {**self.cut.to_dict(), "archive": str(self.archive)}


def read_shar(folder: Path, *, trusted: bool = False) -> list[Cut | SharCut] | None:
    """What a folder of lhotse Shar holds, in the order of its shards; None if it is none.

    Args:
        folder: with ``cuts.000000.jsonl.gz`` and ``recording.000000.tar``, and so on.
        trusted: whether commands in it may be run.

    Raises:
        ManifestError: a manifest is malformed, empty, has an id twice, or names a command and is
            not trusted.
    """
    found = (_CUTS.fullmatch(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    manifests = sorted((match[1], folder / match[0]) for match in found if match)
    if not manifests:
        return None
    cuts: list[Cut | SharCut] = []
    seen: dict[Any, Path] = {}
    for number, manifest in manifests:
        archive = folder / f"recording.{number}.tar"
        for cut in read_cut_set(manifest, trusted=trusted):
            if not isinstance(cut.id, str) or cut.id in seen:
                where = f"is in {seen[cut.id]}, too" if cut.id in seen else "is no string"
                raise ManifestError(f"{manifest}: the id {cut.id!r} {where}")
            seen[cut.id] = manifest
            cuts.append(SharCut(cut, manifest, archive, trusted) if _is_apart(cut) else cut)
    if not cuts:
        raise ManifestError(f"{folder}: has no cuts")
    return cuts


def with_audio(shar: SharCut) -> Cut:
    """The cut with its audio in memory, as the archive has it.

    Raises:
        AudioError: the archive cannot be read so far, or has no such cut.
        ManifestError: its audio is the output of a command, and is not trusted.
    """
    cuts, told = _read_archive(shar.manifest, shar.archive)
    if shar.cut.id not in cuts:
        raise AudioError(f"{shar.archive}: {told or 'has no audio of it'}")
    cut = cuts[shar.cut.id]
    if not shar.trusted:
        refuse_commands([cut], shar.archive)
    return cut


def _is_apart(cut: Cut) -> bool:
    """Whether the audio is in the archive; a manifest may also name files."""
    if not isinstance(cut, DataCut) or not cut.has_recording:
        return False
    return any(source.type == "shar" for source in cut.recording.sources)


@functools.lru_cache(maxsize=1)  # a shard is decoded as a whole
def _read_archive(manifest: Path, archive: Path) -> tuple[Mapping[str, Cut], str]:
    """Cuts with encoded audio, by id, as far as they can be read, and what is wrong then."""
    if not archive.is_file():
        return {}, "no such file"
    cuts: dict[str, Cut] = {}
    try:
        for cut in CutSet.from_shar({"cuts": [str(manifest)], "recording": [str(archive)]}):
            cuts[cut.id] = cut
    except Exception as error:  # whatever lhotse and tarfile raise
        return cuts, f"cannot be read to its end: {one_line(error)}"
    return cuts, ""
