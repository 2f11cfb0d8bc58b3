"""Lists of names in whatever form they are handed in: a path, a list as read, names in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.entities import (
    EntityList,
    entities_from_names,
    read_entities,
)
from ctcbias_fst.text.entity import Entity, require_names
from ctcbias_fst.text.text_files import and_more, quoted

EntitySource = EntityList | str | os.PathLike[str] | Iterable[str | Mapping[str, Any] | Entity]
"""A list as read from a file, a file's path, or names, mappings and entities in memory."""

_SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".list", ".lst")


def source_of(entities: Any) -> Any:
    """What to compile: a list as it was read, or its items; checks that it is a list.

    Raises:
        EntityListError: it is none.
    """
    if isinstance(entities, (EntityList, str, os.PathLike)):
        return entities_of(entities)
    return require_names(entities)


def entities_of(entities: Any) -> EntityList:
    """The list, read if it is not yet.

    Args:
        entities: see :data:`EntitySource`.

    Raises:
        EntityListError: it is no list, cannot be read or is malformed.
    """
    if isinstance(entities, EntityList):
        return entities
    if isinstance(entities, os.PathLike):
        return read_entities(Path(entities))
    if isinstance(entities, str) and (os.sep in entities or Path(entities).exists()):
        return read_entities(Path(entities))
    if isinstance(entities, str):
        raise EntityListError(
            f"{quoted(entities)}: there is no such file; a single name is a list, too: "
            f"[{quoted(entities)}]"
        )
    items = require_names(entities)
    names = entities_from_names(items)
    notes = _file_notes(items)
    return replace(names, notes=(*names.notes, *notes)) if notes else names


def _file_notes(items: Sequence[Any]) -> list[str]:
    """Tell of names that are those of files."""
    block = "\n".join([item for item in items if isinstance(item, str)])
    if os.sep not in block and not any(suffix in block for suffix in _SUFFIXES):
        return []
    found = [
        number
        for number, item in enumerate(items, start=1)
        if isinstance(item, str) and (os.sep in item or item.endswith(_SUFFIXES)) and _is_file(item)
    ]
    if not found:
        return []
    number, text = found[0], items[found[0] - 1]
    return [
        f"entry {number}, {quoted(text)}{and_more(found)}, is the name of a file, and looked "
        "for as a name; for the names in it pass Path(...) or read_entities(...)"
    ]


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # no path can be so long, or has a null character
        return False
