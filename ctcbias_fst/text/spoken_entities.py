"""The names of a list with the ways in which they are said: by rule, and by the user's phones."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from ctcbias_fst.text.common_words import common_words, is_common, is_frequent
from ctcbias_fst.text.entities import EntityList, Rejected
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.entity_fields import REMEDY
from ctcbias_fst.text.name_parts import stands_for_letters
from ctcbias_fst.text.normalise import normalise_lines
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.spoken_forms import Said, needs_spoken_forms, said
from ctcbias_fst.text.spoken_symbols import unheard_symbols, unknown_symbols
from ctcbias_fst.text.text_files import and_more, quoted

_LONGEST_WORD_IN_CAPITALS = 6
_LONGEST_CONFUSED = 3
_OFTEN = 8.0
"""Nats: a word as common as *may*."""

_LONG_LIST = 100_000
_OF_LONG_LISTS = 2
"""So many spoken forms has a name of a list in which more names than that need them."""

_ONE_LETTER_WORDS = ("a", "i", "o")

_BLOCK = 8192
"""Names at a time: nothing else runs in the process while a text is searched."""

_SHORT_CAPITALS = re.compile(r"(?<!\w)[A-Z]{2,3}(?!\w)")


def add_spoken_forms(entities: EntityList, by_rule: bool = True, cased: bool = False) -> EntityList:
    """Return the list with `Entity.spoken` filled in where a name is said otherwise.

    What is left of a name without its symbols is not looked for where that is a common word or
    a single letter, nor a word such as *it* for ``IT``: such a name has its first spoken form
    as its `name`, or is rejected if there is none. A name with `sounds_like` has spoken forms of
    its user's, and gets no others.

    Args:
        entities: the list.
        by_rule: without it nothing is added, and what would need it is rejected.
        cased: the model writes capitals, which tell ``US`` from *us*.
    """
    notes = _taken_words(entities)
    # What the user wrote is a name or a display, whatever it is; most lists need nothing.
    written = [f"{entity.display}\n{entity.name}" for entity in entities]
    concerned: list[Entity] = []
    for at in range(0, len(written), _BLOCK):
        block = written[at : at + _BLOCK]
        if needs_spoken_forms("\n".join(block)):
            concerned += [
                entity
                for entity, text in zip(entities.entities[at : at + _BLOCK], block)
                if needs_spoken_forms(text) and not entity.spoken
            ]
    if not concerned:
        return entities.changed(entities, notes=notes) if notes else entities
    capitals = _in_capitals(entities)
    taken = {entity.name for entity in entities}
    taken.update(text for entity in entities if entity.sounds_like for text in entity.sounds_like)
    changed: dict[str, Entity | None] = {}
    rejected: list[Rejected] = []
    told = []
    untitled: list[tuple[str, str]] = []
    most = math.inf if by_rule else 0
    if by_rule and len(concerned) > _LONG_LIST:
        most = _OF_LONG_LISTS
        notes.append(
            f"{len(concerned)} names are said otherwise than they are written: in so long a list "
            f"each is looked for in the likeliest {most} ways"
        )
    ways = [
        _ways(entity, text, capitals, most)
        for entity, text in zip(concerned, _as_written(concerned))
    ]
    owners = _owners(ways, taken)
    by_name = {one.entity.name: one.entity for one in ways}
    for one in ways:
        entity = one.entity
        looked_for, why = _spoken(one, owners, cased)
        if looked_for is None:
            first = next((owners[form] for form, _ in one.forms if form in owners), None)
            reason = f"{why}; {REMEDY}" if first is None else _same(by_name[first], entities.unit)
            rejected.append(Rejected(entity.line, entity.display, reason))
        elif why:
            told.append(why)
        if looked_for is not entity:
            changed[entity.name] = looked_for
        bare = [form for form in one.untitled if owners.get(form) == entity.name]
        if bare and looked_for is not None:
            untitled.append((entity.display, min(bare, key=len)))
    if untitled:
        display, form = untitled[0]
        more = and_more(untitled, ", and {} more without theirs")
        notes.append(
            f"{quoted(display)} is also looked for without its titles, as {quoted(form)}, and "
            f"shown as it is listed{more}"
        )
    kept = [changed.get(entity.name, entity) for entity in entities] if changed else entities
    heard = (entity for entity in kept if entity is not None)
    return entities.changed(heard, rejected, [*notes, *first_few(told, len(told))])


class _Ways(NamedTuple):
    """How a name may be said.

    Attributes:
        entity: the name.
        text: what its user wrote.
        forms: by rule, with their costs, the likeliest first.
        confused: why its normal form is not looked for; empty if it is.
        common: what it is said as, too, and is not looked for: common words.
        untitled: those of the forms that leave out its titles.
    """

    entity: Entity
    text: str
    forms: Sequence[tuple[str, float]]
    confused: str
    common: str
    untitled: Sequence[str]


def _ways(entity: Entity, text: str, capitals: bool, most: float) -> _Ways:
    """Find how a name may be said: in at most so many ways by rule."""
    found = said(text, capitals, entity.name if text == entity.display else None)
    forms: Sequence[tuple[str, float]] = () if entity.sounds_like else found.forms
    forms = forms if len(forms) <= most else forms[: int(most)]
    confused = _confused(entity.name, text, capitals, found)
    return _Ways(entity, text, forms, confused, found.common, found.untitled)


def _owners(ways: Sequence[_Ways], taken: Collection[str]) -> dict[str, str]:
    """The name that each form belongs to, of those that may be said so: the likeliest, then the
    first of the list. What is taken belongs to none, nor does
    what is left of several names without their titles."""
    owners: dict[str, str] = {}
    disputed: dict[str, tuple[float, int, str]] = {}
    for one in ways:
        name = one.entity.name
        for form, _ in one.forms:
            if owners.setdefault(form, name) is not name:
                disputed[form] = math.inf, 0, ""
    if disputed:
        for place, one in enumerate(ways):
            for form, cost in one.forms:
                if form in disputed:
                    disputed[form] = min(disputed[form], (cost, place, one.entity.name))
        owners.update((form, name) for form, (_, _, name) in disputed.items())
        taken = {*taken, *(disputed.keys() & {form for one in ways for form in one.untitled})}
    for form in owners.keys() & taken:
        del owners[form]
    return owners


def _spoken(ways: _Ways, owners: Mapping[str, str], cased: bool) -> tuple[Entity | None, str]:
    """Return a name with its spoken forms, None if it cannot be looked for; and what to tell."""
    entity, text, forms, confused, common, _ = ways
    own = entity.sounds_like
    name = entity.name
    free = [one for one in forms if owners.get(one[0]) == name]
    first = name
    if confused and not free and not own:
        return None, confused
    if confused and own:
        first, *rest = own
        entity = entity._replace(name=first, sounds_like=tuple(rest))
    else:
        itself = [one for one in forms[1:] if one[0] == name]
        if free and (confused or (itself and unheard_symbols(text))):
            first = free[0][0]
            free = [*free[1:], *([] if confused else itself)]
        if first is not name or free:
            entity = entity.said(first, tuple(free))
    unknown = "" if own or text.isascii() else unknown_symbols(text)
    if unknown:
        shown = f"{quoted(unknown)} of {quoted(entity.display)} is not heard"
        return entity, f"{shown}: it is looked for as {quoted(first)}"
    if confused and not stands_for_letters(text):
        capitals = ", and in capitals," if cased and text.isupper() and text.isalpha() else ""
        return entity, _only(entity, first, confused, capitals)
    if common and not own:
        written = any(map(str.isdecimal, entity.name))  # which few models can write
        if free or not written:
            only = free[0][0] if written else first
            return entity, _only(entity, only, f"{_common(common)}; {REMEDY}")
    return entity, ""


def _only(entity: Entity, form: str, why: str, also: str = "") -> str:
    return f"{quoted(entity.display)} is looked for as {quoted(form)}{also} only: {why}"


def _same(other: Entity, unit: str) -> str:
    return f"same as {unit} {other.line} ({quoted(other.display)}) when spoken"


def same_when_spoken(entity: Entity, by_form: Mapping[str, Entity], unit: str) -> str:
    """Say which other name has the spoken forms of one; empty if none has.

    Args:
        entity: the name.
        by_form: the names by all that they are looked for as.
        unit: what `Entity.line` counts.
    """
    (text,) = _as_written([entity])
    found = (by_form.get(form) for form, _ in said(text).forms)
    other = next((one for one in found if one is not None and one is not entity), None)
    return "" if other is None else _same(other, unit)


def _taken_words(entities: EntityList) -> list[str]:
    """Tell of names that are common words when written small, and take their place."""
    common = common_words()
    found = [
        entity
        for entity in entities
        if (entity.name in common or entity.name in _ONE_LETTER_WORDS)
        and entity.display.lower() == entity.name != entity.display
        and (common.get(entity.name, 0.0) < _OFTEN or entity.display.isupper())
        and not _read_as_letters(entity.name, entity.display)
    ]
    if not found:
        return []
    name, shown = quoted(found[0].name), quoted(found[0].display)
    more = and_more(found, " ({} more are common words)")
    return [f"{name} is a common word, which is shown as {shown} wherever it is heard{more}"]


def _common(form: str) -> str:
    what = "are common words" if " " in form else "is a common word"
    return f"{form!r}, as it is said, {what}"


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
    return entities.changed(kept, rejected) if rejected else entities


def confused_in_small_letters(entities: EntityList) -> list[str]:
    """The names that are read as letters, and are another word when written small: ``IT``.

    Of a list all in capitals nothing is known.
    """
    found = [
        entity.name
        for entity in entities
        if entity.display.isupper() and _read_as_letters(entity.name, entity.display)
    ]
    return [] if not found or _in_capitals(entities) else found


def first_few(notes: Sequence[str], count: int, most: int = 3) -> list[str]:
    """Return the first of many notes, and how many more there are.

    Args:
        notes: at least the first ``most``.
        count: of all.
        most: are shown.
    """
    rest = count - most
    return [*notes[:most], *([f"{rest} more are looked for otherwise"] if rest > 0 else [])]


def _as_written(entities: Sequence[Entity]) -> list[str]:
    """The names as the user wrote them, as far as that is known."""
    normal = normalise_lines([entity.display for entity in entities])
    return [e.display if text == e.name else e.name for e, text in zip(entities, normal)]


def _in_capitals(entities: EntityList) -> bool:
    """Tell whether all names are in capitals, and one of them can be no initials."""
    shown = [entity.display for entity in entities]
    if any(text != text.upper() for text in shown):
        return False
    longest = max((len(w) for text in shown for w in text.split() if w.isalpha()), default=0)
    return longest > _LONGEST_WORD_IN_CAPITALS


def _confused(name: str, text: str, capitals: bool, found: Said) -> str:
    """Say why the normal form of a name is not looked for; empty if it is."""
    if stands_for_letters(text):
        # Nobody says p nk for P!nk.
        return _common(found.common) if found.common else f"{name!r} is not how it is said"
    if " " in name:
        return "" if capitals else _confused_word(text)
    symbols = unheard_symbols(text)
    if symbols and is_common(name) and not any(form == name for form, _ in found.forms):
        what = "a single letter" if len(name) == 1 else "a common word"
        shown = ", ".join(repr(symbol) for symbol in symbols)
        return f"{shown} is not heard, and without it {name!r} is {what}"
    if not capitals and text.isupper() and _read_as_letters(name, text):
        return f"{name!r} is a common word"
    return ""


def _confused_word(text: str) -> str:
    """Say which word of a name is to be read as letters, since it is a common word otherwise."""
    if text.isupper() or not _SHORT_CAPITALS.search(text):
        return ""
    words = text.split()
    for word in words:
        lower = word.lower()
        if _read_as_letters(lower, word):
            others = (other.lower() for other in words if other != word)
            if len(word) == 2 or all(map(is_common, others)):
                return f"{lower!r} is a common word"
    return ""


def _read_as_letters(name: str, shown: str) -> bool:
    """Tell whether a word in capitals is read as letters, and another word when written small.

    ``AM`` and ``IT`` are, and ``WHO``; ``AIDS`` and ``CAT`` may be said as words.
    """
    if not shown.isupper():
        return False
    return (len(name) == 2 and is_common(name)) or (
        1 < len(name) <= _LONGEST_CONFUSED and is_frequent(name)
    )
