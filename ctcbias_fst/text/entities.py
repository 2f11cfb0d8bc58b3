"""Lists of names: what an entry is, and which can have no effect on any model, and why.

Which forms a file may have is the affair of `ctcbias_fst.text.list_formats`; per-utterance lists
are read by `ctcbias_fst.text.utterances`.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.files import atomic_path
from ctcbias_fst.text.common_words import is_everyday
from ctcbias_fst.text.list_formats import COLUMNS, LONGEST_NAME, read_list
from ctcbias_fst.text.normalise import normalise_lines
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.text_files import PathLike, Source, quoted

__all__ = [
    "COLUMNS",
    "EMPTY",
    "HEAVY",
    "MAX_WEIGHT",
    "REMEDY",
    "Entity",
    "EntityList",
    "Rejected",
    "entities_from_names",
    "entity_of",
    "fault_of",
    "plain_entities",
    "read_entities",
    "require_names",
    "write_names",
]

EMPTY = "empty after normalisation (no letter, no digit)"

REMEDY = "list it as it is said, and give what is to be shown as its 'display'"

MAX_WEIGHT = 100.0
"""A name of weight w earns w times what it earns otherwise, some ten nats. Scores are summed in 32
bits, which tell thousandths of a nat apart up to 2**14 nats: at this weight up to some fifteen
names in an utterance. Where they do not tell nats apart, at 1e5, k2 ends the process."""

HEAVY = 3.0
"""From here on a name may take the place of words that were said otherwise."""

_MAX_PRIOR = 1e9
_MEANING = {
    "weight": "a factor on what the name is worth, 1 where none is given",
    "prior": "how much more frequent it is than others, 1 where none is given",
}

# White space in an ASCII name that a display form does not keep as it is.
_ODD_SPACE = re.compile(r"[^\S ]|  ")

# What no output shows, and neither XML nor a terminal may be given: control characters, marks that
# turn the direction of text, code points that are no characters.
_CONTROLS = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]"
)
_ARPABET = frozenset(PHONES)
_BRACKETS = r"(?:\([^()]*\)|\[[^\[\]]*\]|（[^（）]*）)"
_BRACKETED = re.compile(
    rf"(?:{_BRACKETS}\s+)*(?P<bare>[^\s(\[（].*?)(?:(?:\s+|(?=（)){_BRACKETS})*"
)
_OPENS = re.compile(r"[(\[（]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_LAST_FIRST = re.compile(
    r"[^\W\d_][\w'\u2019-]*(?: [^\W\d_][\w'\u2019-]*)?, "
    r"(?!(?:Inc|Ltd|LLC|LLP|Corp|Co|GmbH|AG|SE|SA|Jr|Sr|MD|PhD|DDS|DVM|RN|MBA|MSc|Esq)\b)"
    r"[^\W\d_][\w'\u2019-]+(?: [^\W\d_][\w-]*\.?)*"
)


class Entity(NamedTuple):
    """One name.

    A named tuple, since a million of them are made in under a second.

    Attributes:
        name: in the normal form of `normalise`; what is searched for.
        display: what the transcript shows, in its original casing.
        weight: factor on the boost, positive.
        category: a free label (``drug``), for reports.
        sounds_like: further spellings (normalised) whose tokens also emit `display`.
        pronunciations: each a tuple of phones, upper case without stress digits; or the
            model's own tokens, as they are written.
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
        if not self.sounds_like:
            return ((self.name, 0.0), *self.spoken)
        return ((self.name, 0.0), *((text, 0.0) for text in self.sounds_like), *self.spoken)

    def said(self, name: str, spoken: tuple[tuple[str, float], ...]) -> Entity:
        """Return it with another name and other spoken forms; sooner than `_replace` does."""
        return Entity(name, *self[1:-1], spoken)

    def to_json(self) -> dict[str, Any]:
        """Return the fields that have not their defaults; what `entity_of` takes."""
        defaults = self._field_defaults
        return {
            name: value
            for name, value in zip(self._fields, self)
            if name not in defaults or value != defaults[name]
        }


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
    found = read_list(path)
    names = _from_rows(found.numbers, found.rows, str(path), found.unit)
    names = replace(names, notes=(*found.notes, *names.notes)).require_any()
    if not len(names):
        raise EntityListError(
            f"{path}: there is no name in it. Write one per line, or leave the list out."
        )
    return names


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


def require_names(names: Any, source: str = "<list>") -> list[str | Mapping[str, Any]]:
    """Return the items of a list of names in memory.

    Raises:
        EntityListError: it is no list, or something in it is neither a string nor a mapping.
    """
    if isinstance(names, (str, bytes, Mapping, Path)) or not isinstance(names, Iterable):
        what = "a string" if isinstance(names, str) else f"of type {type(names).__name__}"
        raise EntityListError(
            f"{source}: {quoted(names)} is {what}, where a list of names is wanted, such as "
            f"['Imiglucerase']; a file is read with read_entities."
        )
    items = list(names)
    for position, item in enumerate(items, start=1):
        if not isinstance(item, (str, Mapping)):
            raise EntityListError(
                f"{source}, entry {position}: {quoted(item)} is no name; give a string, or a "
                f"mapping with a 'name'."
            )
    return items


def _from_rows(
    numbers: Sequence[int],
    rows: Sequence[str | Mapping[str, Any]],
    source: str,
    unit: str = "line",
) -> EntityList:
    texts = [row for row in rows if isinstance(row, str)]
    if len(texts) == len(rows):
        return _assemble(numbers, texts, source, unit=unit)
    objects = [{"name": row} if isinstance(row, str) else row for row in rows]
    return _from_objects(numbers, objects, source, unit)


def fault_of(text: str) -> str:
    """Say why a plain name can have no effect; empty if it can."""
    (cleaned,) = _cleaned([text])
    return _fault(normalise_lines([cleaned])[0], cleaned)


def plain_entities(texts: Sequence[str], source: str = "<list>") -> dict[str, Entity]:
    """Return text to entity, without weights or lines: a name may be empty.

    Raises:
        EntityListError: a name is far too long.
    """
    _require_short(range(1, len(texts) + 1), texts, source, "name")
    cleaned = _cleaned(texts)
    names = normalise_lines(cleaned)
    return {
        text: Entity("" if _fault(name, display) else name, display)
        for text, name, display in zip(texts, names, _displays(cleaned))
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
    _require_short(numbers, texts, f"{source}, {unit}", "name")
    whole = texts
    texts = _cleaned(texts)
    notes = [] if texts is whole else _cleaning_notes(numbers, whole, texts, unit)
    names = normalise_lines(texts)
    displays = _displays(texts)
    simple = extras is None and len(set(names)) == len(names) and "" not in names
    bracketed = bool(_OPENS.search("".join(displays)))
    simple = simple and not bracketed
    if simple and all(d.isascii() or not _fault(n, d) for n, d in zip(names, displays)):
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
        reason = _fault(name, display, weight, prior)
        if not reason and name in entities:
            reason = f"same as {unit} {entities[name].line} ({quoted(entities[name].display)})"
        if reason:
            rejected.append(Rejected(number, display, reason))
            continue
        shown = fields.pop("display", display)
        if not _visible(shown):
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
        if not _is_name(short) or short in entities or short in every:
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
        more = f", and {len(added) - 1} more without theirs" if len(added) > 1 else ""
        notes.append(
            f"{quoted(text)} is also looked for without what is in brackets, and shown as "
            f"{quoted(shown)} then{more}; write what is in brackets on a line of its own "
            "if it is a name, too"
        )
    if common:
        more = f" (and {len(common) - 1} more)" if len(common) > 1 else ""
        notes.append(
            f"{quoted(common[0])}{more} is looked for only together with what is in brackets, "
            "since the rest are common words; write it without brackets if it is meant alone"
        )
    return every, notes


def _order_notes(displays: Sequence[str]) -> list[str]:
    """Tell of names that are written with the last name first."""
    turned = [text for text in displays if _LAST_FIRST.fullmatch(text)]
    if not turned:
        return []
    last, _, first = turned[0].partition(", ")
    spoken = quoted(f"{first} {last}")
    more = f" and {len(turned) - 1} more" if len(turned) > 1 else ""
    return [
        f"{quoted(turned[0])}{more}: looked for in this order; write {spoken} if that is how "
        "it is said"
    ]


def _is_name(name: str) -> bool:
    """Tell whether a normal form has a letter or a digit; a combining mark alone is no name."""
    return any(map(str.isalnum, name)) or any(unicodedata.category(c)[0] in "LN" for c in name)


def _visible(text: str) -> bool:
    """Tell whether anything is to be seen of a text."""
    return any(unicodedata.category(c)[0] not in "ZC" for c in text)


def _require_short(numbers: Sequence[int], texts: Sequence[str], where: str, what: str) -> None:
    """Refuse what is far too long for a name."""
    if max(map(len, texts), default=0) <= LONGEST_NAME:
        return
    number, text = next((n, t) for n, t in zip(numbers, texts) if len(t) > LONGEST_NAME)
    raise EntityListError(
        f"{where} {number}: a {what} of {len(text)} characters, which begins with "
        f"{quoted(text, 40)}; the most is {LONGEST_NAME}. Write one name per line."
    )


def _cleaned(texts: Sequence[str]) -> Sequence[str]:
    """Return the names without control characters; the very same list if there are none."""
    if not _CONTROLS.search("".join(texts)):
        return texts
    return [_CONTROLS.sub("", text) for text in texts]


def _cleaning_notes(
    numbers: Sequence[int], before: Sequence[str], after: Sequence[str], unit: str
) -> list[str]:
    changed = [(n, a) for n, b, a in zip(numbers, before, after) if a != b]
    (number, text), others = changed[0], len(changed) - 1
    more = f" (and of {others} more)" if others else ""
    return [f"control characters of {quoted(text)} in {unit} {number}{more} are dropped"]


def _displays(texts: Sequence[str]) -> list[str]:
    """As written, but composed (NFC) and with single spaces."""
    block = "".join(texts)
    if block.isascii() and not _ODD_SPACE.search(block):
        return [text.strip() for text in texts]
    return [
        text.strip()
        if text.isascii() and not _ODD_SPACE.search(text)
        else " ".join(unicodedata.normalize("NFC", text).split())
        for text in texts
    ]


def _fault(name: str, display: str, weight: Any = 1.0, prior: Any = 1.0) -> str:
    """Say why an entry can have no effect; empty if it can."""
    if not _is_name(name):
        symbols = any(unicodedata.category(c)[0] == "S" for c in display)
        return f"{EMPTY}; {REMEDY}" if symbols else EMPTY
    if _SURROGATES.search(display):
        return "it has half of a character (a lone surrogate), which no file can hold"
    for what, value, most in (("weight", weight, MAX_WEIGHT), ("prior", prior, _MAX_PRIOR)):
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except Exception:  # whatever is in the place of a number
            number = math.nan
        if not (number > 0 and math.isfinite(number)):
            return f"its {what} ({_MEANING[what]}) must be a positive number, not {quoted(value)}"
        if not 1 / _MAX_PRIOR <= number <= most:
            return (
                f"its {what} must be at most {most:g}, not {quoted(value)}"
                if number > 1
                else (f"its {what} must be at least {1 / _MAX_PRIOR:g}, not {quoted(value)}")
            )
    return ""


def entity_of(fields: Any) -> Entity:
    """Return an entity that was kept as JSON (`Entity.to_json`, `Entity._asdict`).

    Raises:
        ValueError: it is none, or could be in no list.
    """
    if not isinstance(fields, Mapping) or not {"name", "display"} <= set(fields):
        raise ValueError(f"{quoted(fields)} is no entity with a name and a display")
    try:
        entity = Entity(**fields)
        entity = entity._replace(
            sounds_like=tuple(entity.sounds_like),
            pronunciations=tuple(tuple(phones) for phones in entity.pronunciations),
            spoken=tuple((text, float(cost)) for text, cost in entity.spoken),
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{quoted(fields)} is no entity: {quoted(error)}") from error
    name, display, weight, category, sounds_like, pronunciations, line, prior, spoken = entity
    texts = [name, display, *sounds_like, *(text for text, _ in spoken), category or ""]
    texts += [phone for phones in pronunciations for phone in phones]
    if not _is_texts(texts):
        raise ValueError(f"{quoted(fields)} is no entity: its texts must be strings")
    spellings = [name, *sounds_like, *(text for text, _ in spoken)]
    why = _fault(name, display, weight, prior)
    if why or _CONTROLS.search("".join(texts)) or not _visible(display):
        raise ValueError(f"{quoted(display)} is no entity: {why or 'it has control characters'}")
    if any(not text or " ".join(text.split()) != text for text in spellings):
        raise ValueError(f"{quoted(display)} is no entity: its spellings have white space")
    if not (line is None or isinstance(line, int)) or any(
        not 0 <= cost < math.inf for _, cost in spoken
    ):
        raise ValueError(f"{quoted(display)} is no entity: its line or a cost is no number")
    return entity._replace(weight=float(weight), prior=float(prior))


def _with_spellings(entity: Entity, spellings: Sequence[str]) -> tuple[Entity, list[Rejected]]:
    """Give the entity its `sounds_like` spellings, each once; report those that add nothing."""
    kept: list[str] = []
    rejected = []
    for text, spelling in zip(spellings, normalise_lines(spellings)):
        if not _is_name(spelling):
            rejected.append(Rejected(entity.line, text, EMPTY))
        elif spelling == entity.name or spelling in kept:
            reason = f"{quoted(entity.display)} has this spelling already"
            rejected.append(Rejected(entity.line, text, reason))
        else:
            kept.append(spelling)
    return entity._replace(sounds_like=tuple(kept)), rejected


def _require_known(keys: Iterable[Any], where: str) -> None:
    unknown = [key for key in keys if key not in COLUMNS]
    if unknown:
        raise EntityListError(
            f"{where}: unknown column or key {quoted(unknown[0])}; known are: {', '.join(COLUMNS)}."
        )
    if "name" not in keys:
        raise EntityListError(f"{where}: 'name' is missing.")


def _from_objects(
    numbers: Sequence[int], objects: Sequence[Mapping[str, Any]], source: str, unit: str
) -> EntityList:
    """Make entities of the rows of a table or of JSON objects."""
    extras, texts = [], []
    for number, row in zip(numbers, objects):
        where = f"{source}, {unit} {number}"
        _require_known(row, where)
        extras.append(_fields(row, where))
        texts.append(_one_line(row["name"], "name", where))
    return _assemble(numbers, texts, source, extras, unit)


def _fields(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the further fields of `Entity` that a row gives."""
    given = {key: value for key, value in row.items() if value is not None and key != "name"}
    for key in ("category", "display"):
        if key in given:
            given[key] = _SURROGATES.sub("\ufffd", _one_line(given[key], key, where))
    if "sounds_like" in given:
        given["sounds_like"] = _several(given["sounds_like"], "sounds_like", where)
    if "pronunciations" in given:
        phones = given["pronunciations"]
        if isinstance(phones, (list, tuple)):
            phones = [" ".join(p) if _is_texts(p) else p for p in phones]
        several = _several(phones, "pronunciations", where)
        given["pronunciations"] = tuple(_phones(text) for text in several)
    return given


def _phones(text: str) -> tuple[str, ...]:
    """Return phones without stress; those that are not ARPAbet, as they are written."""
    written = text.split()
    phones = tuple([phone.upper().rstrip("012") for phone in written])
    return phones if _ARPABET.issuperset(phones) else tuple(written)


def _one_line(value: Any, key: str, where: str) -> str:
    if not isinstance(value, str):
        raise EntityListError(f"{where}: {key!r} must be a string, not {quoted(value)}.")
    if key != "name":
        value = _CONTROLS.sub("", value)
        _require_short([0], [value], f"{where}, {key!r}", "text")
    return " ".join(value.split())


def _several(value: Any, key: str, where: str) -> tuple[str, ...]:
    """Strings from a JSON list, or from one string in which ``;`` separates them."""
    texts = value.split(";") if isinstance(value, str) else value
    if not _is_texts(texts):
        raise EntityListError(
            f"{where}: {key!r} must be strings (a list, or one string separated by ';'), "
            f"not {quoted(value)}."
        )
    cleaned = [_SURROGATES.sub("", _CONTROLS.sub("", text)).strip() for text in texts]
    _require_short(range(1, len(cleaned) + 1), cleaned, f"{where}, {key!r}", "text")
    return tuple([text for text in cleaned if text])


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(text, str) for text in value)


def write_names(path: PathLike, names: Iterable[str]) -> None:
    """Write a plain list, one name per line, sorted."""
    with atomic_path(Path(path)) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in sorted(names)), encoding="utf-8")
