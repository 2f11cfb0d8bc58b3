"""Lists of names: reading them, and saying which entries can have no effect on any model, and why.

Three forms of a list (docs/entity-lists.md shows each):

- one name per line; blank lines and lines that start with ``#`` are skipped;
- tab-separated columns under a header line (`COLUMNS`, ``name`` among them); several
  spellings or pronunciations are separated by ``;``;
- JSONL, one object per line with the same keys.

Per-utterance lists are read by `ctcbias_fst.text.utterances`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.files import atomic_path
from ctcbias_fst.text.files import PathLike, parse_json_line, read_lines, require_object
from ctcbias_fst.text.normalise import normalise_lines

__all__ = [
    "COLUMNS",
    "EMPTY",
    "Entity",
    "EntityList",
    "Rejected",
    "entities_from_names",
    "plain_entities",
    "read_entities",
    "write_names",
]

COLUMNS = ("name", "weight", "prior", "category", "display", "sounds_like", "pronunciations")

EMPTY = "empty after normalisation (no letter, no digit)"


# White space in an ASCII name that a display form does not keep as it is.
_ODD_SPACE = re.compile(r"[^\S ]|  ")


class Entity(NamedTuple):
    """One name.

    A named tuple, since a million of them are made in under a second.

    Attributes:
        name: in the normal form of `normalise`; what is searched for.
        display: what the transcript shows, in its original casing.
        weight: factor on the boost, positive.
        category: a free label (``drug``), for reports.
        sounds_like: further spellings (normalised) whose tokens also emit `display`.
        pronunciations: each a tuple of phones, upper case without stress digits.
        line: line of the file (or position in the list, from 1) it came from.
        prior: how much more frequent it is than others of the list, positive: a language
            model's score of the name is multiplied by it.
        spoken: how it is said otherwise than it is spelt, and at what cost (natural log), by
            the rules of `ctcbias_fst.text.spoken_forms`; `check_entities` adds them.
    """

    name: str
    display: str
    weight: float = 1.0
    category: str | None = None
    sounds_like: tuple[str, ...] = ()
    pronunciations: tuple[tuple[str, ...], ...] = ()
    line: int | None = None
    prior: float = 1.0
    spoken: tuple[tuple[str, float], ...] = ()

    @property
    def spellings(self) -> tuple[tuple[str, float], ...]:
        """All that is looked for, the name first, each with its cost."""
        return ((self.name, 0.0), *((text, 0.0) for text in self.sounds_like), *self.spoken)


class Rejected(NamedTuple):
    """An entry, or one spelling of it, that can have no effect.

    Attributes:
        line: line of the file (or position in the list, from 1).
        text: the entry as it was written.
        reason: why, in words for the user.
    """

    line: int | None
    text: str
    reason: str


@dataclass(frozen=True)
class EntityList:
    """The entries of a list that can have an effect, and those that cannot.

    Attributes:
        entities: no two have the same `Entity.name`.
        rejected: what was left out, in the order of the file.
        source: the file's name, or ``<list>``.
        notes: what was read or is looked for otherwise than it was written, a line each.
    """

    entities: tuple[Entity, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    source: str = "<list>"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of entities that can have an effect."""
        return len(self.entities)

    def __iter__(self) -> Iterator[Entity]:
        """Iterate over the entities."""
        return iter(self.entities)

    @cached_property
    def by_name(self) -> Mapping[str, Entity]:
        """Normalised name to entity."""
        return {entity.name: entity for entity in self.entities}

    def report(self, limit: int = 20) -> list[str]:
        """Return the notes, and a line per rejected entry, at most `limit` and a count."""
        lines = [f"{self.source}: {note}" for note in self.notes]
        for line, text, reason in self.rejected[:limit]:
            where = self.source if line is None else f"{self.source}, line {line}"
            lines.append(f"{where}: {text!r} has no effect: {reason}")
        if len(self.rejected) > limit:
            lines.append(f"{self.source}: {len(self.rejected) - limit} more have no effect")
        return lines

    def require_any(self) -> EntityList:
        """Return the list itself if any entry can have an effect.

        Raises:
            EntityListError: there were entries, and every one of them was rejected.
        """
        if self.rejected and not self.entities:
            raise EntityListError(
                f"{self.source}: none of its {len(self.rejected)} entries can have an effect. "
                + "; ".join(self.report(limit=3))
            )
        return self


def read_entities(path: PathLike) -> EntityList:
    """Read a list of names; see the module for the forms it may have.

    Entries that cannot have an effect (empty after normalisation, a weight that is no positive
    number, a repetition) are in `rejected`.

    Raises:
        EntityListError: the file cannot be read or is malformed (with the line), or it
            has no entry that can have an effect.
    """
    names = _read(path).require_any()
    if not len(names):
        raise EntityListError(
            f"{path}: there is no name in it. Write one per line, or leave the list out."
        )
    return names


def _read(path: PathLike) -> EntityList:
    raw = read_lines(path, EntityListError)
    lines = [line.strip() for line in raw]
    source = str(path)
    numbers = [i for i, line in enumerate(lines, start=1) if line and line[0] != "#"]
    texts = [line for line in lines if line and line[0] != "#"]
    first = texts[0] if texts else ""
    if first.startswith("{"):
        values = [parse_json_line(t, path, n, EntityListError) for n, t in zip(numbers, texts)]
        objects = [require_object(v, path, n, EntityListError) for n, v in zip(numbers, values)]
        return _from_objects(numbers, objects, source)
    if "\t" in first or first.lower() == "name":
        # An empty first cell must not vanish with the white space around the line.
        rows = _table_rows(numbers, [raw[number - 1] for number in numbers], source)
        return _from_objects(numbers[1:], rows, source)
    for number, text in zip(numbers, texts):
        if "\t" in text:
            raise EntityListError(
                f"{source}, line {number}: has a tab, but the list has no header line. Begin the "
                f"file with the names of its columns, tab-separated: {', '.join(COLUMNS)}."
            )
    return _assemble(numbers, texts, source)


def entities_from_names(
    names: Iterable[str | Mapping[str, Any]], source: str = "<list>"
) -> EntityList:
    """Make a list of names, or of mappings with the keys `COLUMNS`, held in memory.

    Raises:
        EntityListError: a mapping has an unknown key or a value of a wrong type.
    """
    items = list(names)
    numbers = range(1, len(items) + 1)
    texts = [item for item in items if isinstance(item, str)]
    if len(texts) == len(items):
        return _assemble(numbers, texts, source)
    objects = [{"name": item} if isinstance(item, str) else item for item in items]
    return _from_objects(numbers, objects, source)


def plain_entities(texts: Sequence[str]) -> dict[str, Entity]:
    """Return text to entity, without weights, lines or checks: a name may be empty."""
    names = normalise_lines(texts)
    return {t: Entity(n, d) for t, n, d in zip(texts, names, _displays(texts))}


def _assemble(
    numbers: Sequence[int],
    texts: Sequence[str],
    source: str,
    extras: Sequence[Mapping[str, Any]] | None = None,
) -> EntityList:
    """Normalise all names at once; keep the first of each, reject what can have no effect.

    `extras` are further fields of `Entity`, one mapping per name.
    """
    names = normalise_lines(texts)
    displays = _displays(texts)
    if extras is None and len(set(names)) == len(names) and "" not in names:
        # A million names take this path: no work per name but making its tuple.
        made = [Entity(n, n if n == d else d, line=i) for n, d, i in zip(names, displays, numbers)]
        return EntityList(tuple(made), (), source)
    entities: dict[str, Entity] = {}
    rejected: list[Rejected] = []
    for position, (number, name, display) in enumerate(zip(numbers, names, displays)):
        fields = dict(extras[position]) if extras is not None else {}
        spellings = fields.pop("sounds_like", ())
        weight, prior = fields.pop("weight", 1.0), fields.pop("prior", 1.0)
        reason = _fault(name, weight, prior)
        if not reason and name in entities:
            reason = f"same as line {entities[name].line} ({entities[name].display!r})"
        if reason:
            rejected.append(Rejected(number, display, reason))
            continue
        entity = Entity(name, display, float(weight), line=number, prior=float(prior))
        entity = entity._replace(**fields)
        entities[name], repeated = _with_spellings(entity, spellings)
        rejected += repeated
    return EntityList(tuple(entities.values()), tuple(rejected), source)


def _displays(texts: Sequence[str]) -> list[str]:
    """As written, but composed (NFC) and with single spaces."""
    block = "".join(texts)
    if block.isascii() and not _ODD_SPACE.search(block):
        return [text.strip() for text in texts]
    return [" ".join(unicodedata.normalize("NFC", text).split()) for text in texts]


def _fault(name: str, weight: Any, prior: Any) -> str:
    """Say why an entry can have no effect; empty if it can."""
    if not name:
        return EMPTY
    for what, value in (("weight", weight), ("prior", prior)):
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not (number > 0 and math.isfinite(number)):
            return f"its {what} must be a positive number, not {value!r}"
    return ""


def _with_spellings(entity: Entity, spellings: Sequence[str]) -> tuple[Entity, list[Rejected]]:
    """Give the entity its `sounds_like` spellings, each once; report those that add nothing."""
    kept: list[str] = []
    rejected = []
    for text, spelling in zip(spellings, normalise_lines(spellings)):
        if not spelling:
            rejected.append(Rejected(entity.line, text, EMPTY))
        elif spelling == entity.name or spelling in kept:
            reason = f"{entity.display!r} has this spelling already"
            rejected.append(Rejected(entity.line, text, reason))
        else:
            kept.append(spelling)
    return entity._replace(sounds_like=tuple(kept)), rejected


def _table_rows(numbers: Sequence[int], texts: Sequence[str], source: str) -> list[dict[str, str]]:
    """Split tab-separated rows under their header (the first line)."""
    header = [column.strip().lower() for column in texts[0].split("\t")]
    if len(set(header)) < len(header):
        raise EntityListError(f"{source}, line {numbers[0]}: a column occurs twice in the header.")
    _require_known(header, source, numbers[0])
    rows = []
    for number, text in zip(numbers[1:], texts[1:]):
        cells = [cell.strip() for cell in text.split("\t")]
        if len(cells) > len(header):
            raise EntityListError(
                f"{source}, line {number}: has {len(cells)} columns, the header has {len(header)}."
            )
        filled = {column: cell for column, cell in zip(header, cells) if cell}
        rows.append({"name": "", **filled})
    return rows


def _require_known(keys: Iterable[str], source: str, number: int) -> None:
    unknown = [key for key in keys if key not in COLUMNS]
    if unknown:
        raise EntityListError(
            f"{source}, line {number}: unknown column or key {unknown[0]!r}; "
            f"known are: {', '.join(COLUMNS)}."
        )
    if "name" not in keys:
        raise EntityListError(f"{source}, line {number}: 'name' is missing.")


def _from_objects(
    numbers: Sequence[int], objects: Sequence[Mapping[str, Any]], source: str
) -> EntityList:
    """Make entities of the rows of a table or of JSON objects."""
    extras = []
    for number, row in zip(numbers, objects):
        _require_known(row, source, number)
        extras.append(_fields(row, f"{source}, line {number}"))
    texts = [
        _one_line(row["name"], "name", f"{source}, line {n}") for n, row in zip(numbers, objects)
    ]
    return _assemble(numbers, texts, source, extras)


def _fields(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the further fields of `Entity` that a row gives."""
    given = {key: value for key, value in row.items() if value is not None and key != "name"}
    for key in ("category", "display"):
        if key in given:
            given[key] = _one_line(given[key], key, where)
    if "sounds_like" in given:
        given["sounds_like"] = _several(given["sounds_like"], "sounds_like", where)
    if "pronunciations" in given:
        phones = given["pronunciations"]
        if isinstance(phones, list):
            phones = [" ".join(p) if _is_texts(p) else p for p in phones]
        several = _several(phones, "pronunciations", where)
        given["pronunciations"] = tuple(
            tuple([phone.upper().rstrip("012") for phone in text.split()]) for text in several
        )
    return given


def _one_line(value: Any, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise EntityListError(f"{where}: {key!r} must be a string, not {value!r}.")
    return " ".join(value.split())


def _several(value: Any, key: str, where: str) -> tuple[str, ...]:
    """Strings from a JSON list, or from one string in which ``;`` separates them."""
    texts = value.split(";") if isinstance(value, str) else value
    if not _is_texts(texts):
        raise EntityListError(
            f"{where}: {key!r} must be strings (a list, or one string separated by ';'), "
            f"not {value!r}."
        )
    return tuple([text.strip() for text in texts if text.strip()])


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)


def write_names(path: PathLike, names: Iterable[str]) -> None:
    """Write a plain list, one name per line, sorted."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")
