"""Lists of names, and which entries can have no effect on any model, and why.

Which forms a file may have is the affair of `ctcbias_fst.text.list_formats`; per-utterance lists
are read by `ctcbias_fst.text.utterances`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.files import write_text
from ctcbias_fst.text.common_words import is_everyday
from ctcbias_fst.text.entity import Entity, require_names
from ctcbias_fst.text.entity_fields import (
    EMPTY,
    check_keys,
    displays_of,
    fault,
    fields_of,
    is_name,
    one_line,
    require_short,
    visible,
    without_controls,
)
from ctcbias_fst.text.list_formats import read_list
from ctcbias_fst.text.list_lines import ListRows
from ctcbias_fst.text.normalise import normalise_lines
from ctcbias_fst.text.text_files import PathLike, Source, and_more, quoted

HEAVY = 3.0
"""From here on a name may take the place of words that were said otherwise."""

_BRACKETS = r"(?:\([^()]*\)|\[[^\[\]]*\]|（[^（）]*）)"
_BRACKETED = re.compile(
    rf"(?:{_BRACKETS}\s+)*(?P<bare>[^\s(\[（].*?)(?:(?:\s+|(?=（)){_BRACKETS})*"
)
_OPENS = re.compile(r"[(\[（]")
_LAST_FIRST = re.compile(
    r"[^\W\d_][\w'\u2019-]*(?: [^\W\d_][\w'\u2019-]*)?, "
    r"(?!(?:Inc|Ltd|LLC|LLP|Corp|Co|GmbH|AG|SE|SA|Jr|Sr|MD|PhD|DDS|DVM|RN|MBA|MSc|Esq)\b)"
    r"[^\W\d_][\w'\u2019-]+(?: [^\W\d_][\w-]*\.?)*"
)


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
        unit: what `Entity.line` and `Rejected.line` count.
    """

    entities: tuple[Entity, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    source: str = "<list>"
    notes: tuple[str, ...] = ()
    unit: str = "line"

    def __repr__(self) -> str:
        left = f", {len(self.rejected)} without effect" if self.rejected else ""
        return f"<EntityList of {quoted(self.source)}: {len(self)} names{left}>"

    def __len__(self) -> int:
        """Number of entities that can have an effect."""
        return len(self.entities)

    def __iter__(self) -> Iterator[Entity]:
        """Iterate over the entities."""
        return iter(self.entities)

    def report(self, limit: int = 20) -> list[str]:
        """Return the notes, and a line per rejected entry, at most `limit` and a count."""
        lines = [f"{self.source}: {note}" for note in self.notes]
        for line, text, reason in self.rejected[:limit]:
            where = self.source if line is None else f"{self.source}, {self.unit} {line}"
            lines.append(f"{where}: {quoted(text)} has no effect: {reason}")
        if len(self.rejected) > limit:
            lines.append(f"{self.source}: {len(self.rejected) - limit} more have no effect")
        return lines

    def changed(
        self,
        entities: Iterable[Entity],
        rejected: Iterable[Rejected] = (),
        notes: Iterable[str] = (),
    ) -> EntityList:
        """Return the list with other `entities`, and with further `rejected` and `notes`."""
        whole = tuple(sorted((*self.rejected, *rejected), key=lambda reject: reject.line or 0))
        return replace(self, entities=tuple(entities), rejected=whole, notes=(*self.notes, *notes))

    def require_any(self) -> EntityList:
        """Return the list itself if any entry can have an effect.

        Raises:
            EntityListError: there were entries, and every one of them was rejected.
        """
        if self.rejected and not self.entities:
            raise EntityListError(
                f"{self.source}: none of its {len(self.rejected)} entries can have an effect. "
                + "; ".join(self.report(limit=3)[len(self.notes) :])
            )
        return self


def read_entities(path: Source) -> EntityList:
    """Read a list of names; see `ctcbias_fst.text.list_formats` for the forms it may have.

    Entries that cannot have an effect (empty after normalisation, a weight that is no positive
    number, a repetition) are in `rejected`.

    Raises:
        EntityListError: the file cannot be read or is malformed (with the line), or it
            has no entry that can have an effect.
    """
    names = entities_from_rows(read_list(path), str(path)).require_any()
    if not len(names):
        raise EntityListError(
            f"{path}: there is no name in it. Write one per line, or leave the list out."
        )
    return names


def entities_from_rows(found: ListRows, source: str) -> EntityList:
    """Make a list of what was read of a file.

    Args:
        found: its entries, of which there may be none.
        source: what it is called in messages.

    Raises:
        EntityListError: an entry has an unknown key, or a value of a wrong type.
    """
    names = _from_rows(found.numbers, found.rows, source, found.unit)
    return replace(names, notes=(*found.notes, *names.notes))


def entities_from_names(
    names: Iterable[str | Mapping[str, Any]], source: str = "<list>", unit: str = "line"
) -> EntityList:
    """Make a list of names, or of mappings with the keys `COLUMNS`, held in memory.

    Args:
        names: the list.
        source: what it is called in messages.
        unit: what its places are called there.

    Raises:
        EntityListError: it is no list (a single string is none), something in it is no name, or
            a mapping has an unknown key or a value of a wrong type.
    """
    items = require_names(names, source)
    return _from_rows(range(1, len(items) + 1), items, source, unit)


def _from_rows(
    numbers: Sequence[int], rows: Sequence[str | Mapping[str, Any]], source: str, unit: str = "line"
) -> EntityList:
    texts = [row for row in rows if isinstance(row, str)]
    if len(texts) == len(rows):
        return _assemble(numbers, texts, source, unit=unit)
    objects = [{"name": row} if isinstance(row, str) else row for row in rows]
    return _from_objects(numbers, objects, source, unit)


def fault_of(text: str) -> str:
    """Say why a plain name can have no effect; empty if it can."""
    (cleaned,) = without_controls([text])
    return fault(normalise_lines([cleaned])[0], cleaned)


def plain_entities(texts: Sequence[str], source: str = "<list>") -> dict[str, Entity]:
    """Return text to entity, without weights or lines: a name may be empty.

    Raises:
        EntityListError: a name is far too long.
    """
    require_short(range(1, len(texts) + 1), texts, source, "name")
    cleaned = without_controls(texts)
    names = normalise_lines(cleaned)
    return {
        text: Entity("" if fault(name, display) else name, display)
        for text, name, display in zip(texts, names, displays_of(cleaned))
    }


def _assemble(
    numbers: Sequence[int],
    texts: Sequence[str],
    source: str,
    extras: Sequence[Mapping[str, Any]] | None = None,
    unit: str = "line",
) -> EntityList:
    """Normalise all names at once; keep the first of each, reject what can have no effect.

    `extras` are further fields of `Entity`, one mapping per name.
    """
    require_short(numbers, texts, f"{source}, {unit}", "name")
    whole = texts
    texts = without_controls(texts)
    notes = [] if texts is whole else _cleaning_notes(numbers, whole, texts, unit)
    names = normalise_lines(texts)
    displays = displays_of(texts)
    simple = extras is None and len(set(names)) == len(names) and "" not in names
    bracketed = bool(_OPENS.search("".join(displays)))
    simple = simple and not bracketed
    if simple and all(d.isascii() or not fault(n, d) for n, d in zip(names, displays)):
        # A million names take this path: no work per name but making its tuple.
        if "," in "".join(displays):
            notes += _order_notes(displays)
        made = [Entity(n, n if n == d else d, line=i) for n, d, i in zip(names, displays, numbers)]
        return EntityList(tuple(made), (), source, tuple(notes), unit)
    entities: dict[str, Entity] = {}
    rejected: list[Rejected] = []
    written: dict[str, str] = {}
    for position, (number, name, display) in enumerate(zip(numbers, names, displays)):
        fields = dict(extras[position]) if extras is not None else {}
        spellings = fields.pop("sounds_like", ())
        weight, prior = fields.pop("weight", 1.0), fields.pop("prior", 1.0)
        reason = fault(name, display, weight, prior)
        if not reason and name in entities:
            reason = f"same as {unit} {entities[name].line} ({quoted(entities[name].display)})"
        if reason:
            rejected.append(Rejected(number, display, reason))
            continue
        shown = fields.pop("display", display)
        if not visible(shown):
            notes.append(f"the display of {quoted(display)} is empty: it is shown as it is listed")
            shown = display
        entity = Entity(name, shown, float(weight), line=number, prior=float(prior))
        entity = entity._replace(**fields) if fields else entity
        if spellings:
            entity, repeated = _with_spellings(entity, spellings)
            rejected += repeated
        entities[name] = entity
        written[name] = display
    if bracketed:
        entities, told = _without_brackets(entities, written)
        notes += told
    heavy = [entity for entity in entities.values() if entity.weight >= HEAVY]
    if "," in "".join(texts):
        notes += _order_notes([entity.display for entity in entities.values()])
    if heavy:
        notes.append(
            f"{len(heavy)} with a weight of {HEAVY:g} or more, such as {quoted(heavy[0].display)}: "
            f"such names may take the place of words that were said otherwise"
        )
    return EntityList(tuple(entities.values()), tuple(rejected), source, tuple(notes), unit)


def _without_brackets(
    entities: Mapping[str, Entity], written: Mapping[str, str]
) -> tuple[dict[str, Entity], list[str]]:
    """Add names without what stands in brackets before or behind them, and tell of it.

    What is in brackets may be another name or a comment; it is shown only where it is said, too.
    A name with spellings or pronunciations of its user's gets none.

    Args:
        entities: by their names.
        written: these names as their user wrote them.

    Returns:
        These, and behind each the one without brackets, unless it is listed by itself.
    """
    every: dict[str, Entity] = {}
    added, common = [], []
    for name, entity in entities.items():
        every[name] = entity
        found = _BRACKETED.fullmatch(written[name])
        bare = found["bare"] if found else written[name]
        if bare == written[name] or entity.sounds_like or entity.pronunciations:
            continue
        (short,) = normalise_lines([bare])
        if not is_name(short) or short in entities or short in every:
            continue
        if is_everyday(short):
            common.append(written[name])
            continue
        shown = bare if entity.display == written[name] else entity.display
        every[short] = entity._replace(name=short, display=shown)
        added.append((written[name], shown))
    notes = []
    if added:
        text, shown = added[0]
        more = and_more(added, ", and {} more without theirs")
        notes.append(
            f"{quoted(text)} is also looked for without what is in brackets, and shown as "
            f"{quoted(shown)} then{more}; write what is in brackets on a line of its own "
            "if it is a name, too"
        )
    if common:
        notes.append(
            f"{quoted(common[0])}{and_more(common)} is looked for only together with what is in "
            "brackets, since the rest are common words; write it without brackets if it is meant "
            "alone"
        )
    return every, notes


def _order_notes(displays: Sequence[str]) -> list[str]:
    """Tell of names that are written with the last name first."""
    turned = [text for text in displays if _LAST_FIRST.fullmatch(text)]
    if not turned:
        return []
    last, _, first = turned[0].partition(", ")
    more = and_more(turned, " and {} more")
    return [
        f"{quoted(turned[0])}{more}: looked for in this order; write {quoted(f'{first} {last}')} "
        "if that is how it is said"
    ]


def _cleaning_notes(
    numbers: Sequence[int], before: Sequence[str], after: Sequence[str], unit: str
) -> list[str]:
    changed = [(n, a) for n, b, a in zip(numbers, before, after) if a != b]
    number, text = changed[0]
    more = and_more(changed, " (and of {} more)")
    return [f"control characters of {quoted(text)} in {unit} {number}{more} are dropped"]


def _with_spellings(entity: Entity, spellings: Sequence[str]) -> tuple[Entity, list[Rejected]]:
    """Give the entity its `sounds_like` spellings, each once; report those that add nothing."""
    kept: list[str] = []
    rejected = []
    for text, spelling in zip(spellings, normalise_lines(spellings)):
        if not is_name(spelling):
            rejected.append(Rejected(entity.line, text, EMPTY))
        elif spelling == entity.name or spelling in kept:
            reason = f"{quoted(entity.display)} has this spelling already"
            rejected.append(Rejected(entity.line, text, reason))
        else:
            kept.append(spelling)
    return entity._replace(sounds_like=tuple(kept)), rejected


def _from_objects(
    numbers: Sequence[int], objects: Sequence[Mapping[str, Any]], source: str, unit: str
) -> EntityList:
    """Make entities of the rows of a table or of JSON objects."""
    extras, texts = [], []
    for number, row in zip(numbers, objects):
        where = f"{source}, {unit} {number}"
        check_keys(row, where)
        extras.append(fields_of(row, where))
        texts.append(one_line(row["name"], "name", where))
    return _assemble(numbers, texts, source, extras, unit)


def write_names(path: PathLike, names: Iterable[str]) -> None:
    """Write a plain list, one name per line, sorted."""
    write_text(Path(path), "".join(f"{name}\n" for name in sorted(names)))
