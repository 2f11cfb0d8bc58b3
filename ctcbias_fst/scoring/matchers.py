"""What finds the names of a list in texts, with the capitals that some depend on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ctcbias_fst.errors import ManifestError, warn_caller
from ctcbias_fst.text.entities import EntityList
from ctcbias_fst.text.entity_sources import EntitySource, entities_of
from ctcbias_fst.text.normalise import as_written
from ctcbias_fst.text.phrases import PhraseMatcher
from ctcbias_fst.text.spoken_entities import confused_in_small_letters

Lists = EntitySource | Mapping[str, EntitySource | None] | None
"""One list for all utterances, or one for each by its id; or none."""


_LETTERS = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True)
class Matchers:
    """What finds the names of one utterance, and the words that count as biased."""

    entities: PhraseMatcher
    biased: PhraseMatcher


def lists_of(entities: Lists) -> EntityList | dict[str, EntityList] | None:
    """The lists, read if they are not yet; what has no effect in those is warned of.

    Raises:
        EntityListError: one is no list, or cannot be read.
    """
    if isinstance(entities, Mapping):
        different = {id(own): own for own in entities.values() if own is not None}
        known = {key: _read(own) for key, own in different.items()}
        return {utterance: known.get(id(own), EntityList()) for utterance, own in entities.items()}
    return None if entities is None else _read(entities)


def _read(entities: EntitySource) -> EntityList:
    if isinstance(entities, EntityList):
        return entities
    names = entities_of(entities)
    for line in names.report():
        warn_caller(line)
    return names


def matchers_of(
    ids: Sequence[str],
    entities: EntityList | Mapping[str, EntityList] | None,
    possessive: bool,
    cases: Cases | None,
) -> Iterator[PhraseMatcher]:
    """Yield the matcher of each utterance; a shared list is indexed once."""
    if entities is None or isinstance(entities, EntityList):
        shared = _matcher(entities, possessive, cases)
        yield from [shared] * len(ids)
        return
    for utterance in ids:
        if utterance not in entities:
            raise ManifestError(
                f"utterance {utterance!r} has no list of names; give it one, empty if need be."
            )
        yield _matcher(entities[utterance], possessive, cases)


@dataclass
class Cases:
    """Whether capitals tell a name such as ``IT`` from the word *it*.

    Attributes:
        told: whether they do: references are in capitals and small letters, and hypotheses are
            not in capitals alone.
        warned: whether it was said that they do not.
    """

    told: bool
    warned: bool = False

    @classmethod
    def of(cls, references: Mapping[str, str], hypotheses: Mapping[str, str]) -> Cases:
        """Look at all texts of both sides."""
        told = any(t != t.lower() for t in references.values()) and all(
            any(t != t.upper() for t in side.values()) for side in (references, hypotheses)
        )
        return cls(told)

    def leave_out(self, names: Sequence[str]) -> None:
        """Say once that names cannot be counted."""
        if not self.warned:
            self.warned = True
            warn_caller(
                f"{names[0].upper()!r} is not counted: only capitals tell it from the word "
                f"{names[0]!r}, and the references have none, or a text nothing else"
                + (f" ({len(names) - 1} more names are such)" if len(names) > 1 else "")
            )


def _matcher(entities: EntityList | None, possessive: bool, cases: Cases | None) -> PhraseMatcher:
    """What finds the names of a list, those that small letters make another word in capitals."""
    if entities is None:
        return PhraseMatcher((), possessive)
    names = [entity.name for entity in entities]
    confused = [] if cases is None else confused_in_small_letters(entities)
    if cases is None or not confused:
        return PhraseMatcher(names, possessive)
    if cases.told:
        return PhraseMatcher(names, possessive, confused)
    cases.leave_out(confused)
    left = frozenset(confused)
    return PhraseMatcher([name for name in names if name not in left], possessive)


def with_capitals(words: Sequence[str], text: str, matchers: Matchers) -> Sequence[str]:
    """Normalised words, those in capitals that the text has so, if a name depends on it."""
    if not any(set(words) & one.in_capitals for one in (matchers.entities, matchers.biased)):
        return words
    shown: list[str] = []
    for written, count in as_written(words, text):
        own = words[len(shown) : len(shown) + count]
        letters = _LETTERS.search(written)  # of IT's without the s
        in_capitals = letters is not None and letters[0].isupper()
        shown += [word.upper() for word in own] if in_capitals else own
    return shown
