"""The names of a list with the ways in which they are said: by rule, and by the user's phones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ctcbias_fst.text.entities import Entity, EntityList, Rejected
from ctcbias_fst.text.files import quoted
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.spoken_forms import (
    is_common,
    is_frequent,
    needs_spoken_forms,
    spoken_forms,
    unheard_symbols,
    unknown_symbols,
)

__all__ = ["REMEDY", "add_spoken_forms", "first_few", "known_phones_only"]

REMEDY = "list it as it is said, and give what is to be shown as its 'display'"

_LONGEST_WORD_IN_CAPITALS = 6
_LONGEST_CONFUSED = 3


def add_spoken_forms(entities: EntityList) -> EntityList:
    """Return the list with `Entity.spoken` filled in where a name is said otherwise.

    What is left of a name without its symbols is not looked for where that is a common word or
    a single letter, nor a word such as *it* for ``IT``: such a name has its first spoken form
    as its `name`, or is rejected if there is none.
    """
    # What the user wrote is a name or a display, whatever it is; most lists need nothing.
    written = [f"{entity.display}\n{entity.name}" for entity in entities]
    if not needs_spoken_forms("\n".join(written)):
        return entities
    concerned = [
        entity
        for entity, text in zip(entities, written)
        if needs_spoken_forms(text) and not entity.spoken
    ]
    if not concerned:
        return entities
    capitals = _in_capitals(entities)
    taken = {text for entity in entities for text, _ in entity.spellings}
    changed: dict[str, Entity | None] = {}
    rejected: list[Rejected] = []
    notes: list[str] = []
    for entity in concerned:
        text = _written(entity)
        forms = [(form, cost) for form, cost in spoken_forms(text, capitals)]
        order = [form for form, _ in forms]
        confused = _confused(entity.name, text, capitals, order)
        free = [(form, cost) for form, cost in forms if form not in taken]
        if confused and not free:
            changed[entity.name] = None
            rejected.append(Rejected(entity.line, entity.display, f"{confused}; {REMEDY}"))
            continue
        first = entity.name
        if free and (confused or (first in order[1:] and unheard_symbols(text))):
            first = free[0][0]
            own = [(name, cost) for name, cost in forms if name == entity.name and not confused]
            free = [*free[1:], *own]
        changed[entity.name] = entity._replace(name=first, spoken=tuple(free))
        taken.update((first, *(form for form, _ in free)))
        unknown = unknown_symbols(text)
        if unknown:
            notes.append(
                f"{quoted(unknown)} of {quoted(entity.display)} is not heard: it is looked for as "
                f"{quoted(first)}"
            )
        if confused:
            notes.append(
                f"{quoted(entity.display)} is looked for as {quoted(first)} only: {confused}"
            )
    kept = [changed.get(entity.name, entity) for entity in entities]
    whole = sorted((*entities.rejected, *rejected), key=lambda reject: reject.line or 0)
    return replace(
        entities,
        entities=tuple(entity for entity in kept if entity is not None),
        rejected=tuple(whole),
        notes=(*entities.notes, *first_few(notes)),
    )


def known_phones_only(entities: EntityList, tokens: Collection[str]) -> EntityList:
    """Return the list without pronunciations that have a phone which nothing knows.

    Args:
        entities: the list; a name without its pronunciations stays in it.
        tokens: of the model, which may be phones.
    """
    if not any(entity.pronunciations for entity in entities):
        return entities
    kept: list[Entity] = []
    rejected: list[Rejected] = []
    for entity in entities:
        good = []
        for phones in entity.pronunciations:
            unknown = next((p for p in phones if p not in PHONES and p not in tokens), None)
            if unknown is None and phones:
                good.append(phones)
                continue
            reason = (
                f"in this pronunciation of {quoted(entity.display)}, {quoted(unknown)} is no "
                f"phone; known are {' '.join(PHONES)}"
            )
            rejected.append(Rejected(entity.line, " ".join(phones), reason))
        kept.append(entity._replace(pronunciations=tuple(good)))
    whole = sorted((*entities.rejected, *rejected), key=lambda reject: reject.line or 0)
    return replace(entities, entities=tuple(kept), rejected=tuple(whole)) if rejected else entities


def first_few(notes: Sequence[str], most: int = 3) -> list[str]:
    """Return a few of many notes, and how many more there are."""
    rest = len(notes) - most
    return [*notes[:most], *([f"{rest} more are looked for otherwise"] if rest > 0 else [])]


def _written(entity: Entity) -> str:
    """The name as the user wrote it, as far as that is known."""
    return entity.display if normalise(entity.display) == entity.name else entity.name


def _in_capitals(entities: EntityList) -> bool:
    """Tell whether all names are in capitals, and one of them can be no initials."""
    shown = [entity.display for entity in entities]
    if any(text != text.upper() for text in shown):
        return False
    longest = max((len(w) for text in shown for w in text.split() if w.isalpha()), default=0)
    return longest > _LONGEST_WORD_IN_CAPITALS


def _confused(name: str, text: str, capitals: bool, forms: Sequence[str]) -> str:
    """Say why the normal form of a name is not looked for; empty if it is."""
    if " " in name:
        return ""
    symbols = unheard_symbols(text)
    if symbols and is_common(name) and name not in forms:
        what = "a single letter" if len(name) == 1 else "a common word"
        shown = ", ".join(repr(symbol) for symbol in symbols)
        return f"{shown} is not heard, and without it {name!r} is {what}"
    if not capitals and text.isupper() and 1 < len(name) <= _LONGEST_CONFUSED and is_frequent(name):
        return f"{name!r} is a common word"
    return ""
