"""Lists of names: reading them, and saying which entries can have no effect, and why.

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
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.files import atomic_path
from ctcbias_fst.text.files import PathLike, parse_json_line, read_lines, require_object
from ctcbias_fst.text.normalise import fold_diacritics, normalise_lines
from ctcbias_fst.text.tokens import Tokenizer

__all__ = [
    "COLUMNS",
    "EMPTY",
    "EncodedEntities",
    "Entity",
    "EntityList",
    "Rejected",
    "check_entities",
    "encode_entities",
    "entities_from_names",
    "expand",
    "plain_entities",
    "read_entities",
    "report_too_long",
    "write_names",
]

COLUMNS = ("name", "weight", "prior", "category", "display", "sounds_like", "pronunciations")

EMPTY = "empty after normalisation (no letter, no digit)"

_CHUNK = 65_536
"""Names encoded at a time: bounds the memory that lists of ids need."""


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
    """

    name: str
    display: str
    weight: float = 1.0
    category: str | None = None
    sounds_like: tuple[str, ...] = ()
    pronunciations: tuple[tuple[str, ...], ...] = ()
    line: int | None = None
    prior: float = 1.0


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
    """

    entities: tuple[Entity, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    source: str = "<list>"

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
        """Return one line of text per rejected entry, at most `limit` and a count of the rest."""
        lines = []
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


@dataclass(frozen=True)
class EncodedEntities:
    """Segmentations of entities, as ragged rows of token ids.

    Attributes:
        values: (P,) int32, the token ids of all rows.
        row_splits: (S + 1,) int64, row s is ``values[row_splits[s]:row_splits[s + 1]]``.
        entity_index: (S,) int32, the entity (its position in the list) that row s emits.
        cost: (S,) float32, at least 0: how much worse row s is than the best segmentation
            of the same spelling (natural log for SentencePiece, pieces otherwise).
    """

    values: npt.NDArray[np.int32]
    row_splits: npt.NDArray[np.int64]
    entity_index: npt.NDArray[np.int32]
    cost: npt.NDArray[np.float32]

    def __len__(self) -> int:
        """Number of rows, S."""
        return len(self.entity_index)

    def row(self, index: int) -> list[int]:
        """Return the token ids of one row."""
        ids: list[int] = self.values[self.row_splits[index] : self.row_splits[index + 1]].tolist()
        return ids

    def select(self, entities: npt.NDArray[np.int64]) -> EncodedEntities:
        """Return the rows of some entities, which become the entities 0, 1, … of the result.

        The rows must be in the order of the entities, as `encode_entities` has them.
        """
        first = np.searchsorted(self.entity_index, entities)
        owner, rows = expand(first, np.searchsorted(self.entity_index, entities, "right") - first)
        begin = self.row_splits[rows]
        lengths = self.row_splits[rows + 1] - begin
        splits = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=splits[1:])
        return EncodedEntities(
            values=self.values[expand(begin, lengths)[1]],
            row_splits=splits,
            entity_index=owner.astype(np.int32),
            cost=self.cost[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[EncodedEntities]) -> EncodedEntities:
        """Return the rows of all parts, whose entities are the same ones."""
        begin = np.cumsum([0, *(len(part.values) for part in parts)])
        splits = [part.row_splits[1:] + start for part, start in zip(parts, begin.tolist())]
        return cls(
            values=_concatenate([part.values for part in parts], np.int32),
            row_splits=np.concatenate([np.zeros(1, dtype=np.int64), *splits]),
            entity_index=_concatenate([part.entity_index for part in parts], np.int32),
            cost=_concatenate([part.cost for part in parts], np.float32),
        )

    @cached_property
    def min_frames(self) -> npt.NDArray[np.int64]:
        """(S,) frames that CTC needs for each row: its tokens, and a blank between equal ones."""
        repeats = np.zeros(len(self.values) + 1, dtype=np.int64)
        repeats[2:] = self.values[1:] == self.values[:-1]
        # A row's first token has no predecessor in its row.
        repeats[self.row_splits[:-1] + 1] = 0
        total = np.cumsum(repeats)
        frames: npt.NDArray[np.int64] = np.diff(self.row_splits) + np.diff(total[self.row_splits])
        return frames


def read_entities(path: PathLike) -> EntityList:
    """Read a list of names; see the module for the forms it may have.

    An empty file is an empty list. Entries that cannot have an effect (empty after
    normalisation, a weight that is no positive number, a repetition) are in `rejected`.

    Raises:
        EntityListError: the file cannot be read or is malformed (with the line), or it
            has entries and none of them can have an effect.
    """
    raw = read_lines(path, EntityListError)
    lines = [line.strip() for line in raw]
    source = str(path)
    numbers = [i for i, line in enumerate(lines, start=1) if line and line[0] != "#"]
    texts = [line for line in lines if line and line[0] != "#"]
    first = texts[0] if texts else ""
    if first.startswith("{"):
        values = [parse_json_line(t, path, n, EntityListError) for n, t in zip(numbers, texts)]
        objects = [require_object(v, path, n, EntityListError) for n, v in zip(numbers, values)]
        return _from_objects(numbers, objects, source).require_any()
    if "\t" in first or first.lower() == "name":
        # An empty first cell must not vanish with the white space around the line.
        rows = _table_rows(numbers, [raw[number - 1] for number in numbers], source)
        return _from_objects(numbers[1:], rows, source).require_any()
    for number, text in zip(numbers, texts):
        if "\t" in text:
            raise EntityListError(
                f"{source}, line {number}: has a tab, but the list has no header line. Begin the "
                f"file with the names of its columns, tab-separated: {', '.join(COLUMNS)}."
            )
    return _assemble(numbers, texts, source).require_any()


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


def check_entities(entities: EntityList, tokenizer: Tokenizer) -> EntityList:
    """Return the list without the entries that can have no effect on this model.

    A name with letters the model lacks is tried once more with accents and ligatures in
    plain letters (``josé`` as ``jose``); what is displayed stays as it was.

    Args:
        entities: as read.
        tokenizer: of the model.

    Returns:
        The list with further rejects: entries, or single spellings of an entry, that the
        vocabulary cannot write; entries that became equal.
    """
    kept, rejected = _writable(entities, tokenizer)
    return EntityList(tuple(kept), _by_line(entities.rejected, rejected), entities.source)


def report_too_long(entities: EntityList, tokenizer: Tokenizer, max_frames: int) -> EntityList:
    """Return the list with entries among the rejects that audio of this length cannot hold.

    They stay in the list as well: they do no harm, and other audio may be longer.

    Args:
        entities: entries that passed `check_entities`.
        tokenizer: of the model.
        max_frames: the model's frames of the longest recording.
    """
    encoded = encode_entities(entities, tokenizer)
    needed = np.zeros(len(entities), dtype=np.int64)
    if len(entities):
        needed += np.iinfo(np.int64).max
        np.minimum.at(needed, encoded.entity_index, encoded.min_frames)
    rejected = [
        Rejected(
            entities.entities[i].line,
            entities.entities[i].display,
            f"needs at least {needed[i]} frames of audio, there are {max_frames}",
        )
        for i in np.flatnonzero(needed > max_frames).tolist()
    ]
    return replace(entities, rejected=_by_line(entities.rejected, rejected))


def expand(
    first: npt.NDArray[np.int64], count: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the numbers ``first[i]`` to ``first[i] + count[i] - 1``, and before them the i."""
    owner = np.repeat(np.arange(len(count)), count)
    before = np.cumsum(count) - count
    return owner, np.arange(len(owner)) - before[owner] + first[owner]


def _by_line(*rejected: Sequence[Rejected]) -> tuple[Rejected, ...]:
    return tuple(sorted(chain.from_iterable(rejected), key=lambda reject: reject.line or 0))


def encode_entities(
    entities: EntityList | Sequence[Entity], tokenizer: Tokenizer, nbest: int = 1
) -> EncodedEntities:
    """Segment every spelling of every entity into the model's tokens.

    Args:
        entities: entries that passed `check_entities`; one that the vocabulary cannot
            write gets no row.
        tokenizer: of the model.
        nbest: segmentations per spelling, at most.

    Returns:
        Rows in the order of the entities; each entity's name first, then its
        `sounds_like` spellings, each with its segmentations from best to worst.
    """
    if nbest < 1:
        raise ValueError(f"nbest must be at least 1, not {nbest}.")
    texts, owners = _spellings(entities)
    values, lengths, owner, cost = [], [], [], []
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        chunk_owners = np.arange(start, start + len(chunk), dtype=np.int64)
        if nbest == 1:
            rows = tokenizer.encode_batch(chunk)
            costs = np.zeros(len(rows), dtype=np.float32)
        else:
            found = tokenizer.encode_nbest_batch(chunk, nbest)
            chunk_owners = np.repeat(chunk_owners, [len(candidates) for candidates in found])
            rows = [ids for candidates in found for ids, _ in candidates]
            costs = np.array([c for candidates in found for _, c in candidates], dtype=np.float32)
        sizes = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
        written = sizes > 0
        values.append(np.fromiter(chain.from_iterable(rows), dtype=np.int32, count=sizes.sum()))
        lengths.append(sizes[written])
        owner.append(chunk_owners[written])
        cost.append(costs[written])
    row_splits = np.zeros(sum(map(len, lengths)) + 1, dtype=np.int64)
    np.cumsum(_concatenate(lengths, np.int64), out=row_splits[1:])
    spelling = _concatenate(owner, np.int64)
    return EncodedEntities(
        values=_concatenate(values, np.int32),
        row_splits=row_splits,
        entity_index=owners[spelling],
        cost=_concatenate(cost, np.float32),
    )


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
        return list(texts)
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


def _writable(entities: EntityList, tokenizer: Tokenizer) -> tuple[list[Entity], list[Rejected]]:
    """Keep what the vocabulary can write, accents folded where that helps."""
    alphabet = set("".join([entity.name for entity in entities]))
    alphabet.update("".join([s for entity in entities for s in entity.sounds_like]))
    if tokenizer.covers("".join(sorted(alphabet))):
        return list(entities), []
    kept: dict[str, Entity] = {}
    rejected: list[Rejected] = []
    for entity in entities:
        spellings = []
        for text in (entity.name, *entity.sounds_like):
            spelling = text if not tokenizer.uncovered(text) else fold_diacritics(text)
            missing = tokenizer.uncovered(spelling)
            if not missing:
                spellings.append(spelling)
                continue
            shown = entity.display if text == entity.name else text
            letters = ", ".join(repr(c) for c in missing)
            reason = f"the model's vocabulary cannot write {letters}"
            rejected.append(Rejected(entity.line, shown, reason))
        spellings = list(dict.fromkeys(spellings))
        if not spellings:
            continue
        name, *others = spellings
        if name in kept:
            reason = f"same as line {kept[name].line} ({kept[name].display!r}) on this model"
            rejected.append(Rejected(entity.line, entity.display, reason))
            continue
        kept[name] = entity._replace(name=name, sounds_like=tuple(others))
    return list(kept.values()), rejected


def _spellings(
    entities: EntityList | Sequence[Entity],
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Every spelling, and the position of the entity that it belongs to."""
    rows = entities.entities if isinstance(entities, EntityList) else entities
    if not any(entity.sounds_like for entity in rows):
        return [entity.name for entity in rows], np.arange(len(rows), dtype=np.int32)
    texts = [text for entity in rows for text in (entity.name, *entity.sounds_like)]
    counts = [1 + len(entity.sounds_like) for entity in rows]
    return texts, np.repeat(np.arange(len(rows), dtype=np.int32), counts)


def _concatenate(parts: list[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)


def write_names(path: PathLike, names: Iterable[str]) -> None:
    """Write a plain list, one name per line, sorted."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")
