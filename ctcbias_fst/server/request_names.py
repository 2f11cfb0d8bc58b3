"""The list of names that comes with a request, in the fields of several services."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.errors import EntityListError
from ctcbias_fst.server.api_errors import ApiError
from ctcbias_fst.server.service import Service
from ctcbias_fst.text.entities import EntityList, entities_from_names
from ctcbias_fst.text.printable import json_text
from ctcbias_fst.text.text_files import parse_json, quoted

PLAIN_FIELDS = ("keywords", "hotwords", "keyterms", "keyterm")
"""Names alone: each may be repeated, be a JSON array of strings, or, if there is one value only, be
separated by commas, semicolons or line breaks."""

_PARTED = re.compile(r"[,;\n]")
_WEIGHTED = re.compile(r"(?P<name>.*[^\W\d])\s*:\s*-?\d+(\.\d*)?", re.DOTALL)
"""As of Deepgram and sherpa-onnx, whose weights are of other scales."""

_SHOWN = 3

ENTITIES, LIST_ID = "entities", "list_id"
"""Names with weights and pronunciations (docs/entity-lists.md), as JSON; and what was stored."""

OBJECT_FIELDS = frozenset({*PLAIN_FIELDS, ENTITIES, LIST_ID})
"""All of them."""

_NAMED = 20
"""Entries without effect of a list that are told where not all are."""


@dataclass(frozen=True)
class RequestNames:
    """The names of a request, compiled.

    Attributes:
        compiled: None if there are none.
        notes: what was read otherwise than it was written.
        lists: with the entries that can have no effect.
    """

    compiled: CompiledEntities | None = None
    notes: tuple[str, ...] = ()
    lists: tuple[EntityList, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notes and the first of the entries without effect; and how many there are."""
        told = list(self.notes)
        for one in self.lists:
            told += one.report(_NAMED)
            if len(one.rejected) > _NAMED:
                told[-1] += ": response_format verbose_json names all, as does /v1/names/check"
        return tuple(told)

    @property
    def all_warnings(self) -> tuple[str, ...]:
        """The notes and all entries without effect."""
        return (
            *self.notes,
            *(line for one in self.lists for line in one.report(len(one.rejected))),
        )

    @property
    def entries(self) -> int:
        """How many names can have an effect."""
        return 0 if self.compiled is None else len(self.compiled)


@dataclass(frozen=True)
class WantedNames:
    """The names of a request as they came.

    Attributes:
        items: names, and mappings with a name.
        list_id: of a list that was stored.
        source: the fields that they came in.
        notes: what was read otherwise than it was written.
    """

    items: tuple[str | Mapping[str, Any], ...] = ()
    list_id: str | None = None
    source: str = "<list>"
    notes: tuple[str, ...] = ()


def of_form(fields: Sequence[tuple[str, str]]) -> WantedNames:
    """The names in the text fields of a form, whose names have no ``[]``.

    Raises:
        ApiError: one is malformed (400).
    """
    items: list[Any] = []
    notes: list[str] = []
    for field in PLAIN_FIELDS:
        values = [value for name, value in fields if name == field]
        if len(values) == 1:
            found, note = _separated(field, values[0])
            items += found
            notes += note
        else:
            found, note = _without_weights(field, values)
            items += found
            notes += note
    for name, value in fields:
        if name == ENTITIES:
            items += _array(ENTITIES, value)
    return _wanted(items, [value for name, value in fields if name == LIST_ID], notes, fields)


def of_object(content: Mapping[str, Any]) -> WantedNames:
    """The names in an object of JSON, of a websocket's message.

    Raises:
        ApiError: one is malformed (400).
    """
    items: list[Any] = []
    notes: list[str] = []
    for field in (*PLAIN_FIELDS, ENTITIES):
        value = content.get(field)
        if value is None:
            continue
        if isinstance(value, str) and field != ENTITIES:
            found, note = _separated(field, value)
            items += found
            notes += note
        elif isinstance(value, list):
            found, note = _without_weights(field, value) if field != ENTITIES else (value, [])
            items += found
            notes += note
        else:
            raise ApiError(400, f"{field} is an array of names, not {quoted(value)}", param=field)
    ids = [] if content.get(LIST_ID) is None else [content[LIST_ID]]
    return _wanted(items, ids, notes, list(content.items()))


def _separated(field: str, value: str) -> tuple[list[Any], list[str]]:
    """The names in a single value."""
    if value.lstrip().startswith("["):
        return _without_weights(field, _array(field, value))
    names = [name for name in (part.strip() for part in _PARTED.split(value)) if name]
    told = []
    if len(names) > 1:
        told.append(f"{field} was split at commas into {len(names)} names")
    elif field == "hotwords" and names and " " in names[0]:
        told.append(f"hotwords is one name, {quoted(names[0])}: put commas between several")
    found, others = _without_weights(field, names)
    return found, [*told, *others]


def _without_weights(field: str, names: Sequence[Any]) -> tuple[list[Any], list[str]]:
    """Names as other services weigh them, ``name:2``, and what is told of those."""
    plain: list[Any] = []
    weighed = []
    for name in names:
        found = _WEIGHTED.fullmatch(name) if isinstance(name, str) else None
        plain.append(found["name"] if found else name)
        if found:
            weighed.append(name)
    if not weighed:
        return plain, []
    shown = ", ".join(quoted(name) for name in weighed[:_SHOWN])
    more = len(weighed) - _SHOWN
    also = f" and {more} more" if more > 0 else ""
    return plain, [f"{field}: weights have no effect here ({shown}{also}): give them in entities"]


def _array(field: str, value: str) -> list[Any]:
    """The elements of an array; entities may come one by one, too."""
    try:
        found = parse_json(value, field, EntityListError)
    except EntityListError as error:
        raise ApiError.of(error, param=field) from None
    if field == ENTITIES and isinstance(found, dict):
        return [found]
    if not isinstance(found, list):
        raise ApiError(400, f"{field} is a JSON array, not {quoted(found)}", param=field)
    return found


def _wanted(
    items: Sequence[Any],
    ids: Sequence[Any],
    notes: Sequence[str],
    fields: Sequence[tuple[str, Any]],
) -> WantedNames:
    if len(ids) > 1 or not all(isinstance(one, str) for one in ids):
        raise ApiError(400, "list_id is the name of one list", param=LIST_ID)
    names = list(dict.fromkeys(name for name, _ in fields if name in OBJECT_FIELDS))
    source = " and ".join(name for name in names if name != LIST_ID) or LIST_ID
    return WantedNames(tuple(items), ids[0] if ids else None, source, tuple(notes))


async def compiled_names(service: Service, wanted: WantedNames) -> RequestNames:
    """Compile the names of a request, or find them compiled.

    Raises:
        ApiError: they are no names, none of them can have an effect, there are too many, or no
            such list is stored.
    """
    stored = None
    if wanted.list_id is not None:
        if service.lists is None:
            raise ApiError(400, "this server stores no lists", param=LIST_ID)
        stored = await service.lists.compiled(wanted.list_id)
    if not wanted.items:
        return RequestNames(stored, wanted.notes, () if stored is None else (stored.entities,))
    most = service.config.max_inline_names
    count = len(wanted.items) + (0 if stored is None else len(stored))
    if count > most:
        raise ApiError(
            413,
            f"{count} names in a request, of at most {most}: store them (PUT /v1/lists/ID), and "
            "send list_id alone",
            param=wanted.source,
            code="too_many_names",
        )
    entities = await service.aside(_entities, wanted, None if stored is None else stored.entities)
    key = await service.aside(_digest, entities)

    def make() -> CompiledEntities:
        return service.recognizer.compile(entities, warn=False)

    compiled = await service.compiled(key, make, len(entities))
    lists = (compiled.entities, *(() if stored is None else (stored.entities,)))
    return RequestNames(compiled, wanted.notes, lists)


def _entities(wanted: WantedNames, stored: EntityList | None) -> EntityList:
    found = entities_from_names(wanted.items, wanted.source, "entry")
    if stored is None:
        return found
    known = {entity.name for entity in found}
    return found.changed([*found, *(entity for entity in stored if entity.name not in known)])


def _digest(entities: EntityList) -> str:
    """Of all that a list says, its messages included."""
    told = [entities.source, *map(repr, entities), *map(str, entities.rejected), *entities.notes]
    return hashlib.sha256(json_text(told).encode()).hexdigest()
