"""Which names of a list a model can write, and what keeps it from writing the others."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ctcbias_fst.text.encoded_entities import encode_entities, nothing_collected, own_phones
from ctcbias_fst.text.entities import EntityList, Rejected
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.entity_fields import REMEDY
from ctcbias_fst.text.letters import Case
from ctcbias_fst.text.normalise import fold_diacritics
from ctcbias_fst.text.refused_forms import PHONES_REMEDY
from ctcbias_fst.text.spoken_entities import (
    add_spoken_forms,
    first_few,
    known_phones_only,
    same_when_spoken,
)
from ctcbias_fst.text.spoken_forms import said
from ctcbias_fst.text.text_files import and_more, quoted
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

_GREEK_ACCENTS = frozenset("άέήίόύώΐΰΆΈΉΊΌΎΏ")
_GREEK_VOWELS = re.compile("[αειουηωϊϋ]+")


@nothing_collected()
def check_entities(
    entities: EntityList, tokenizer: Tokenizer, spoken_forms: bool = True
) -> EntityList:
    """Return the list without the entries that can have no effect on this model.

    A name with letters the model lacks is tried once more with accents and ligatures in
    plain letters (``josé`` as ``jose``), and one with digits or symbols as it is said
    (`ctcbias_fst.text.spoken_forms`); what is displayed stays as it was.

    Args:
        entities: as read.
        tokenizer: of the model.
        spoken_forms: make spoken forms by rule, for names without `Entity.sounds_like`.

    Returns:
        The list with further rejects: entries, or single spellings of an entry, that the
        vocabulary cannot write; pronunciations with unknown phones; entries that became
        equal. Its `notes` tell of names that are
        looked for as they are said only.
    """
    known = known_phones_only(entities, tokenizer.vocabulary.index)
    spoken = add_spoken_forms(known, spoken_forms, tokenizer.vocabulary.case is Case.BOTH)
    kept, rejected, notes = _writable(spoken, tokenizer)
    return spoken.changed(kept, rejected, [*notes, *_unaccented(kept, tokenizer.vocabulary)])


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
    return entities.changed(entities, rejected)


def _unaccented(entities: Sequence[Entity], vocabulary: Vocabulary) -> list[str]:
    """Tell of Greek names without accents, which every word of two syllables has."""
    if _GREEK_ACCENTS.isdisjoint(vocabulary.letters):
        return []
    found = [
        entity
        for entity in entities
        if any(
            len(_GREEK_VOWELS.findall(word)) > 1 and _GREEK_ACCENTS.isdisjoint(word)
            for word in ([] if entity.name.isascii() else entity.name.split())
        )
    ]
    if not found:
        return []
    return [
        f"{quoted(found[0].display)}{and_more(found)} has no accent, and is looked for without, "
        "but the model's vocabulary has accents: list it with its own"
    ]


def _writable(
    entities: EntityList, tokenizer: Tokenizer
) -> tuple[list[Entity], list[Rejected], list[str]]:
    """Keep what the vocabulary can write, accents folded where that helps."""
    alphabet = set("".join([entity.name for entity in entities]))
    alphabet.update("".join([text for entity in entities for text in entity.sounds_like]))
    spoken = set("".join([text for entity in entities for text, _ in entity.spoken]))
    alphabet |= spoken
    if tokenizer.covers("".join(sorted(alphabet))):
        return list(entities), [], []
    uncovered = _Uncovered(tokenizer, alphabet, spoken)
    kept: dict[str, Entity] = {}
    rejected: list[Rejected] = []
    otherwise: list[Entity] = []
    by_form: dict[str, Entity] | None = None
    for entity in entities:
        if entity.pronunciations and own_phones(entity, tokenizer):
            kept.setdefault(entity.name, entity)
            continue
        written, reports = _as_writable(entity, uncovered)
        rejected += reports
        if written is None:
            if not entity.spoken and not entity.sounds_like:
                if by_form is None:
                    by_form = {text: e for e in entities for text, _ in e.spoken}
                same = same_when_spoken(entity, by_form, entities.unit)
                rejected[-1] = rejected[-1]._replace(reason=same or rejected[-1].reason)
            continue
        one = kept.setdefault(written.name, written)
        if one is not written:
            reason = f"same as {entities.unit} {one.line} ({quoted(one.display)}) on this model"
            rejected.append(Rejected(entity.line, entity.display, reason))
        elif written is not entity and entity.spoken and written.name == entity.spoken[0][0]:
            otherwise.append(written)
    notes = [
        f"{quoted(entity.display)} is looked for as it is said: {quoted(entity.name)}"
        for entity in otherwise[:3]
    ]
    return list(kept.values()), rejected, first_few(notes, len(otherwise))


def _as_writable(entity: Entity, uncovered: _Uncovered) -> tuple[Entity | None, Sequence[Rejected]]:
    """Return a name with the spellings that can be written, and what cannot be.

    The very same entity is returned if nothing is to be done; None if nothing can be written.
    """
    if not entity.sounds_like:
        spoken = entity.spoken
        if uncovered.spoken_is_good or not any(uncovered(text) for text, _ in spoken):
            if not uncovered(entity.name):
                return entity, ()
            if spoken and entity.name.isascii() and "'" not in entity.name:
                (name, _), *rest = spoken
                return entity.said(name, tuple(rest)), ()
    costs: dict[str, float] = {}
    reports, by_rule = [], []
    for place, (text, cost) in enumerate(entity.spellings):
        ruled = place > len(entity.sounds_like)
        written, missing = _written(text, uncovered)
        if written:
            for one in written:
                if (ruled or one is not written[0]) and one not in costs:
                    by_rule.append(one)
                costs.setdefault(one, cost)
        elif not ruled:
            letters = ", ".join(repr(c) for c in missing)
            reason = f"the model's vocabulary cannot write {letters}"
            reports.append(Rejected(entity.line, text if place else entity.display, reason))
    if not costs:
        first, *further = reports
        reason = first.reason + _remedy(entity, uncovered.vocabulary)
        return None, [first._replace(reason=reason), *further]
    name, *others = costs
    if reports and reports[0].text == entity.display:
        # What cannot be written as it is listed is looked for otherwise.
        first, *further = reports
        other = first._replace(reason=f"{first.reason}; it is looked for as {quoted(name)}")
        reports = further if name in by_rule else [other, *further]
    return entity._replace(
        name=name,
        sounds_like=tuple(text for text in others if text not in by_rule),
        spoken=tuple((text, costs[text]) for text in others if text in by_rule),
    ), reports


def _written(text: str, uncovered: _Uncovered) -> tuple[list[str], str]:
    """The ways in which a spelling can be written, the likeliest first; if there is none, what
    characters keep it from being written."""
    lacking = uncovered(text)
    # Only those letters that are not there: ğ stays where the dot of a Turkish İ goes.
    spelling = "".join([fold_diacritics(c) if c in lacking else c for c in text])
    missing = uncovered(spelling)
    if not missing:
        return [spelling], ""
    if "'" not in spelling:
        return [], missing
    # O'Brien is obrien, or o brien, or o ' brien
    several = [spelling.replace("'", by) for by in ("", " ", " ' ")]
    missing = uncovered(several[0])
    return [one for one in several if not uncovered(one)], missing


class _Uncovered:
    """Which characters keep texts from being written; most texts are settled at a glance."""

    def __init__(self, tokenizer: Tokenizer, alphabet: set[str], spoken: set[str]) -> None:
        """Take the characters of all texts, and those of all spoken forms."""
        self._tokenizer = tokenizer
        self.vocabulary = tokenizer.vocabulary
        good = [c for c in sorted(alphabet) if tokenizer.covers(c)]
        good = good if tokenizer.covers("".join(good)) else []
        self._other = re.compile(f"[^{re.escape(''.join(good))}]" if good else ".", re.DOTALL)
        self.spoken_is_good = self._other.search("".join(spoken)) is None

    def __call__(self, text: str) -> str:
        """Return them, each once."""
        return self._tokenizer.uncovered(text) if self._other.search(text) else ""


def _remedy(entity: Entity, vocabulary: Vocabulary) -> str:
    """What to do about a name that cannot be written, and why no rule helps."""
    parts = entity.display.split()
    if len(parts) > 1 and all(part in vocabulary.index for part in parts):
        return f"; these are tokens of the model: {PHONES_REMEDY}"
    if vocabulary.has_phones:
        return f", whose tokens are phones: {PHONES_REMEDY}"
    found = said(entity.display).common
    why = f", and {quoted(found)}, as it is said, is common" if found else ""
    return f"{why}: {REMEDY}"
