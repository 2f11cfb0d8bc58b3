"""Speech, and the lists of names that it is decoded with: what recipes and studies are about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NamedList:
    """A list of names and what reports call it.

    Attributes:
        name: for example how many distractors it has.
        entities: the file: one list for all utterances, or one for each.
    """

    name: str
    entities: Path


@dataclass(frozen=True)
class SpeechSet:
    """Speech and the lists it is decoded with.

    Attributes:
        name: of the set.
        cuts: manifests of cuts that have texts.
        lists: the lists.
        free: manifests in which no name is spoken, decoded with the same lists: what a list
            does where it must do nothing.
    """

    name: str
    cuts: tuple[Path, ...]
    lists: tuple[NamedList, ...]
    free: tuple[Path, ...] = ()
