"""One name of a list."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from ctcbias_fst.errors import EntityListError, warn_caller
from ctcbias_fst.text.entity_fields import CONTROLS, fault, is_texts, visible
from ctcbias_fst.text.text_files import as_number, quoted


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

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.to_json().items())
        return f"Entity({fields})"

    @property
    def spellings(self) -> tuple[tuple[str, float], ...]:
        """All that is looked for, the name first, each with its cost."""
        if not self.sounds_like:
            return ((self.name, 0.0), *self.spoken)
        return ((self.name, 0.0), *((text, 0.0) for text in self.sounds_like), *self.spoken)

    def said(self, name: str, spoken: tuple[tuple[str, float], ...]) -> Entity:
        """Return it with another name and other spoken forms; sooner than `_replace` does."""
        return Entity(name, *self[1:-1], spoken)

    def to_row(self) -> dict[str, Any]:
        """Return it as an entry of a list: a mapping, as a user would write it."""
        return {
            "name": self.name,
            "display": self.display,
            "weight": self.weight,
            "prior": self.prior,
            **({} if self.category is None else {"category": self.category}),
            "sounds_like": list(self.sounds_like),
            "pronunciations": [" ".join(phones) for phones in self.pronunciations],
        }

    def to_json(self) -> dict[str, Any]:
        """Return the fields that have not their defaults; what `entity_of` takes."""
        defaults = self._field_defaults
        return {
            name: value
            for name, value in zip(self._fields, self)
            if name not in defaults or value != defaults[name]
        }


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
    if not is_texts(texts):
        raise ValueError(f"{quoted(fields)} is no entity: its texts must be strings")
    spellings = [name, *sounds_like, *(text for text, _ in spoken)]
    why = fault(name, display, weight, prior)
    if why or CONTROLS.search("".join(texts)) or not visible(display):
        raise ValueError(f"{quoted(display)} is no entity: {why or 'it has control characters'}")
    if any(not text or " ".join(text.split()) != text for text in spellings):
        raise ValueError(f"{quoted(display)} is no entity: its spellings have white space")
    if not (line is None or isinstance(line, int)) or any(
        not 0 <= cost < math.inf for _, cost in spoken
    ):
        raise ValueError(f"{quoted(display)} is no entity: its line or a cost is no number")
    return entity._replace(weight=float(weight), prior=float(prior))


def require_names(names: Any, source: str = "<list>") -> list[str | Mapping[str, Any]]:
    """Return the items of a list of names in memory.

    Raises:
        EntityListError: it is no list, or something in it is neither a string, a mapping nor an
            `Entity`.
    """
    if isinstance(names, Entity) or (isinstance(names, Mapping) and "name" in names):
        raise EntityListError(
            f"{source}: {quoted(names)} is one name, where a list of names is wanted: "
            f"[{quoted(names)}]"
        )
    if isinstance(names, (str, bytes, Mapping, Path)) or not isinstance(names, Iterable):
        what = "a string" if isinstance(names, str) else f"of type {type(names).__name__}"
        pairs = list(names.items()) if isinstance(names, Mapping) else []
        raise EntityListError(
            f"{source}: {quoted(names)} is {what}, where a list of names is wanted, such as "
            f"{with_weight(pairs[:1]) or '[{!r}]'.format('Imiglucerase')}; a file is read with "
            "read_entities."
        )
    items = [name.to_row() if isinstance(name, Entity) else name for name in read_once(names)]
    for position, item in enumerate(items, start=1):
        if not isinstance(item, (str, Mapping)):
            wanted = with_weight([item]) or "a string, or a mapping with a 'name'"
            raise EntityListError(
                f"{source}, entry {position}: {quoted(item)} is no name; give {wanted}."
            )
    return items


def read_once(names: Any) -> Any:
    """What can be read once only, as a list; anything else as it is.

    Warns:
        CtcbiasWarning: there is nothing in it: it may have been read before.
    """
    if not isinstance(names, Iterator):
        return names
    items = list(names)
    if not items:
        warn_caller(
            f"a {type(names).__name__} without names is an empty list: if it was used before, "
            "pass a list, which can be read again"
        )
    return items


def with_weight(items: Sequence[Any]) -> str:
    """How pairs of a name and a weight are given, by the first of them; empty if it is none."""
    for item in items:
        if isinstance(item, (tuple, list)) and len(item) == 2:
            name, weight = item
            number = isinstance(weight, Real) and not isinstance(weight, bool)
            if isinstance(name, str) and number:
                return f"[{{'name': {quoted(name)}, 'weight': {as_number(weight):g}}}]"
    return ""
