"""Lists of names of which every utterance has its own.

Three forms, told apart by their first line:

- JSONL: ``{"id": "utt1", "entities": ["Metformin", {"name": "KeSha", "weight": 2}]}``;
- a lhotse manifest of cuts or supervisions (JSONL, gzip allowed) whose supervisions
  carry the names in their custom field ``entities``;
- the tab-separated lists for LibriSpeech of Le et al. 2021 (arXiv 2104.02194):
  ``id, reference, ["rare", "words", "spoken"], ["biasing", "list"]``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.entities import (
    EntityList,
    Rejected,
    entities_from_names,
    fault_of,
    plain_entities,
    read_entities,
)
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.manifests import each_once, supervisions_of, utterance_id
from ctcbias_fst.text.text_files import Source, content_lines, hold, json_object, parse_json, quoted

Lists = dict[str, EntityList]


def load_entities(path: Source) -> EntityList | Lists:
    """Read a list for all utterances, or one per utterance, whichever the file holds.

    Raises:
        EntityListError: as `read_entities` and `read_utterance_entities`.
    """
    path = hold(path, EntityListError)
    first = next(content_lines(path, EntityListError), (0, ""))[1].strip()
    if is_biasing_row(first):
        return read_utterance_entities(path)
    if first.startswith("{"):
        # One object may span the file, so that its first line says nothing.
        try:
            keys = parse_json(first, f"{path}", EntityListError)
        except EntityListError:
            keys = {}
        if is_utterance(keys):
            return read_utterance_entities(path)
    return read_entities(path)


def is_utterance(row: Mapping[str, Any]) -> bool:
    """Tell whether an object of a JSONL file stands for an utterance, and not for a name."""
    known = {"id", "path", "audio_filepath", "supervisions", "recording_id", "tracks"}
    return "name" not in row and bool(known & set(row))


def read_utterance_entities(path: Source, spoken: bool = False) -> Lists:
    """Read one list per utterance; see the module for the forms.

    Names repeated within an utterance count once (manifests list them as often as they
    are spoken).

    Args:
        path: the file.
        spoken: of Le et al.'s lists take the rare words of the reference (third column)
            instead of the biasing list with its distractors (fourth).

    Returns:
        Utterance id to its list, in the order of the file.

    Raises:
        EntityListError: the file cannot be read or is malformed, an id occurs twice, or
            an utterance has no list.
    """
    rows = list(_rows(path, spoken))
    texts = dict.fromkeys(n for _, _, names in rows for n in names if isinstance(n, str))
    shared = plain_entities(list(texts), f"{path}, name")
    return {
        utterance: _list_of(names, f"{path}, line {number}", shared)
        for number, utterance, names in each_once(rows, path, EntityListError)
    }


def read_rare_words(path: Source) -> dict[str, frozenset[str]]:
    """Return utterance id to the rare words of its reference, as Le et al.'s lists write them.

    Raises:
        EntityListError: the file cannot be read, or a line is no row of such a list.
    """
    words: dict[str, frozenset[str]] = {}
    for number, line in content_lines(path, EntityListError):
        where = f"{path}, line {number}"
        if not is_biasing_row(line):
            raise EntityListError(
                f"{where}: no row of Le et al.'s lists (id, reference, [rare words]), of which the "
                f"published scores are; give one of them."
            )
        utterance, found = _from_biasing_row(line.split("\t"), where, spoken=True)
        if not all(isinstance(word, str) for word in found):
            raise EntityListError(f"{where}: rare words must be strings.")
        words[utterance] = frozenset(found)
    return words


def is_biasing_row(line: str) -> bool:
    """Tell whether a line is a row of Le et al.'s files: its third column is a JSON list."""
    cells = line.split("\t")
    return len(cells) >= 3 and cells[2].startswith("[")


def _rows(path: Source, spoken: bool) -> Iterator[tuple[int, str, list[Any]]]:
    """Yield (line number, utterance id, names as they were written)."""
    for number, line in content_lines(path, EntityListError):
        where = f"{path}, line {number}"
        if line.lstrip().startswith("{"):
            row = json_object(line, path, number, EntityListError)
            yield (number, *_from_json(row, where))
        elif is_biasing_row(line):
            yield (number, *_from_biasing_row(line.split("\t"), where, spoken))
        else:
            raise EntityListError(
                f"{where}: neither a JSON object with 'id' and 'entities', nor a row of "
                f"Le et al.'s lists (id, reference, [rare words], [biasing list])."
            )


def _from_json(row: Mapping[str, Any], where: str) -> tuple[str, list[Any]]:
    utterance = utterance_id(row, where, EntityListError)
    supervisions = supervisions_of(row, where, EntityListError)
    if supervisions is None:
        if "entities" not in row:
            raise EntityListError(f"{where}: 'entities' is missing.")
        return utterance, _as_list(row["entities"], where)
    names: list[Any] = []
    for supervision in supervisions:
        custom = supervision.get("custom") or {}
        if not isinstance(custom, Mapping) or "entities" not in custom:
            raise EntityListError(
                f"{where}: supervision {quoted(supervision.get('id'))} has no custom field "
                f"'entities'; give it a list of names (which may be empty)."
            )
        names += _as_list(custom["entities"], where)
    return utterance, names


def _from_biasing_row(cells: list[str], where: str, spoken: bool) -> tuple[str, list[Any]]:
    column = 2 if spoken else 3
    if len(cells) <= column:
        raise EntityListError(f"{where}: has {len(cells)} columns, expected 4.")
    names = parse_json(cells[column], f"{where}, column {column + 1}", EntityListError)
    return cells[0], _as_list(names, where)


def _as_list(names: Any, where: str) -> list[Any]:
    if not isinstance(names, list) or not all(isinstance(n, (str, dict)) for n in names):
        raise EntityListError(
            f"{where}: the entities must be a list of names (or of objects with a 'name'), not "
            f"{quoted(names)}."
        )
    return names


def _list_of(names: list[Any], source: str, shared: Mapping[str, Entity]) -> EntityList:
    """Make one utterance's list; plain names are `shared` between utterances."""
    if not all(isinstance(name, str) for name in names):
        return entities_from_names(names, source, "entry")
    entities: dict[str, Entity] = {}
    rejected = []
    for text in dict.fromkeys(names):
        entity = shared[text]
        if entity.name:
            entities.setdefault(entity.name, entity)
        else:
            rejected.append(Rejected(None, text, fault_of(text)))
    return EntityList(tuple(entities.values()), tuple(rejected), source)
