"""Pronunciations of names: what the user says, a lexicon, letters and numbers, a G2P."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeVar

from ctcbias_fst.errors import InputError
from ctcbias_fst.pronunciation.g2p import G2P, Reading
from ctcbias_fst.pronunciation.lexicon import Lexicon, possessive
from ctcbias_fst.pronunciation.readings import LETTER_NAMES, Atom, readings
from ctcbias_fst.recent import Recent
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.normalise import fold_diacritics, normalise
from ctcbias_fst.text.phones import PHONES

__all__ = ["Pronouncer", "Pronunciation"]

Item = TypeVar("Item")

_SOURCES = ("user", "sounds_like", "lexicon", "letters", "g2p")

_VOWELS = frozenset("aeiouy")
_PHONES = frozenset(PHONES)

# The second pronunciation of a lexicon entry counts half the first, the third a quarter, …
_NEXT = math.log(2.0)

_KEPT = 20_000
"""Words whose pronunciations are kept for further lists, at most: some 1 kB each."""

_TOGETHER = 10_000
"""Names that are pronounced together, at most."""


class Pronunciation(NamedTuple):
    """One way a name may sound.

    Attributes:
        phones: of `ctcbias_fst.text.phones.PHONES`; all words in a row.
        cost: at least 0, natural log: how much less likely than the best one of the name.
        source: ``user``, ``sounds_like``, ``lexicon``, ``letters``, ``g2p``; several with a
            ``+`` between them if the name's words come from different ones.
    """

    phones: tuple[str, ...]
    cost: float
    source: str


_Atoms = Mapping[Atom, list[Pronunciation]]


class Pronouncer:
    """Pronounces names. Threads may share it.

    Args:
        lexicon: asked first, word by word.
        g2p: for every other word.
        n: most pronunciations of a name.
        max_cost: pronunciations that cost more are left out.
    """

    def __init__(self, lexicon: Lexicon, g2p: G2P, n: int = 5, max_cost: float = 4.0) -> None:
        """Take the parts; `package.load_pronouncer` has those that are shipped."""
        if n < 1 or not max_cost >= 0:
            raise ValueError(f"n must be positive and max_cost not negative: {n}, {max_cost}")
        self._lexicon = lexicon
        self._g2p = g2p
        self._n = n
        self._max_cost = max_cost
        self._known: Recent[Atom, list[Pronunciation]] = Recent(_KEPT)

    def pronounce(self, name: str, display: str | None = None) -> list[Pronunciation]:
        """Return how a name may sound, best first, no two with the same phones.

        Args:
            name: in any form; it is normalised, and accents are dropped where no word of the
                lexicon has them.
            display: as the user wrote it, if `name` is normalised already: words in capitals
                are read as letters.

        Raises:
            InputError: it is empty, or has a character that is no letter of English.
        """
        found = self.pronounce_all([name], None if display is None else [display])[0]
        if not found:
            raise InputError(f"{name!r} cannot be pronounced: {self.why_not(name)}")
        return found

    def pronounce_all(
        self, names: Sequence[str], displays: Sequence[str] | None = None
    ) -> list[list[Pronunciation]]:
        """Return `pronounce` of each name, but an empty list where it would raise."""
        found: list[list[Pronunciation]] = []
        for both in _parts(list(zip(names, names if displays is None else displays))):
            atoms = self._atoms(both)
            found += [self._name(name, display, atoms) for name, display in both]
        return found

    def pronounce_entities(self, entities: Iterable[Entity]) -> list[list[Pronunciation]]:
        """Return how each entity may sound.

        An entity's own `pronunciations` are all that count, each at no cost, but those with
        phones that are not ours. Those of its
        `sounds_like` spellings come before the name's own, which then cost log 2 more. Those of
        its `spoken` forms cost what these do.
        """
        found: list[list[Pronunciation]] = []
        for several in _parts(list(entities)):
            atoms = self._atoms(
                both
                for entity in several
                if not any(map(_PHONES.issuperset, entity.pronunciations))
                for both in (
                    (entity.name, entity.display),
                    *zip(entity.sounds_like, entity.sounds_like),
                    *((text, text) for text, _ in entity.spoken),
                )
            )
            found += [self._entity(entity, atoms) for entity in several]
        return found

    def is_listed(self, word: str) -> bool:
        """Tell whether the lexicon has a word, which is in normal form."""
        return word in self._lexicon

    def guess(self, word: str) -> tuple[str, ...]:
        """Return the phones of a word that the lexicon lacks: the G2P's best reading, alone.

        It is for words that nobody wrote on a list, such as those a recogniser makes up; none
        if the word is not of letters of English with a vowel among them.
        """
        return self._g2p.best(word) if _VOWELS & set(word) else ()

    def why_not(self, name: str) -> str:
        """Say why a name has no pronunciation; empty if it has one."""
        plain = fold_diacritics(normalise(name))
        if not plain:
            return "it has no letter and no digit"
        letters = {c for c in plain if not c.isdecimal() and c not in " '"}
        foreign = sorted(letters - self._g2p.letters)
        if foreign:
            return (
                f"it has {' '.join(foreign)!r}, which English does not write; "
                "give it a spelling in a to z (sounds_like) or its phones (pronunciations)"
            )
        return "" if self.pronounce_all([name])[0] else "no letter of it is said"

    def _entity(self, entity: Entity, atoms: _Atoms) -> list[Pronunciation]:
        given = [phones for phones in entity.pronunciations if _PHONES.issuperset(phones)]
        if given:
            return [Pronunciation(phones, 0.0, "user") for phones in given]
        own = self._name(entity.name, entity.display, atoms)
        if entity.spoken:
            said = [
                found._replace(cost=found.cost + cost)
                for text, cost in entity.spoken
                for found in self._name(text, text, atoms)
            ]
            own = self._best([*own, *said])
        if not entity.sounds_like:
            return own
        alike = [
            found._replace(source="sounds_like")
            for spelling in entity.sounds_like
            for found in self._name(spelling, spelling, atoms)
        ]
        later = [found._replace(cost=found.cost + _NEXT) for found in own]
        return self._best([*alike, *later])

    def _name(self, name: str, display: str, atoms: _Atoms) -> list[Pronunciation]:
        """All readings of a name, each the combinations of its words' pronunciations."""
        ways = readings(normalise(name), display)
        found: list[Pronunciation] = []
        for reading in ways:
            if len(reading.atoms) == 1 == len(ways) and reading.cost == 0:
                found = atoms[reading.atoms[0]]
                break
            partial = [Pronunciation((), reading.cost, "")]
            for atom in reading.atoms:
                partial = self._best(
                    Pronunciation(a.phones + b.phones, a.cost + b.cost, _join(a.source, b.source))
                    for a in partial
                    for b in atoms[atom]
                )
            found += partial
        best = self._best(p for p in found if p.phones)
        # The first reading of a name may be one that the G2P cannot say.
        return [Pronunciation(p.phones, round(p.cost - best[0].cost, 4), p.source) for p in best]

    def _atoms(self, names: Iterable[tuple[str, str]]) -> dict[Atom, list[Pronunciation]]:
        """How the words of names sound; those that the lexicon lacks are read all at once."""
        wanted = dict.fromkeys(
            atom
            for name, display in names
            for reading in readings(normalise(name), display)
            for atom in reading.atoms
        )
        found: dict[Atom, list[Pronunciation]] = {}
        for atom in wanted:
            known = self._known.get(atom)
            if known is not None:
                found[atom] = known
        new = [atom for atom in wanted if atom not in found]
        words = list(dict.fromkeys(word for word in map(self._spelt, new) if word is not None))
        read: dict[str, list[Reading]] = {}
        if words:  # or else the G2P would build its graph for nothing
            read.update(zip(words, self._g2p.readings_of(words, self._n, self._max_cost)))
        for atom in new:
            found[atom] = self._known.put(atom, self._look_up(atom, read))
        return found

    def _spelt(self, atom: Atom) -> str | None:
        """What the G2P would have to read of an atom; None if it is not asked."""
        if atom.letter or any(self._lexicon.pronunciations(form) for form in _forms(atom.text)):
            return None
        word = fold_diacritics(atom.text)
        if word.endswith("'s"):
            return self._spelt(Atom(word[:-2]))
        return word.replace("'", "")

    def _look_up(self, atom: Atom, read: Mapping[str, list[Reading]]) -> list[Pronunciation]:
        """Pronounce a single word; nothing if it has a letter that is unknown.

        ``read`` is what the G2P makes of those words that it is asked for (:meth:`_spelt`).
        """
        if atom.letter:
            return [Pronunciation(tuple(LETTER_NAMES[atom.text].split()), 0.0, "letters")]
        word = atom.text
        for form in _forms(word):
            listed = self._lexicon.pronunciations(form)
            if listed:
                return [
                    Pronunciation(phones, rank * _NEXT, "lexicon")
                    for rank, phones in enumerate(listed[: self._n])
                ]
        word = fold_diacritics(word)
        if word.endswith("'s"):
            stem = self._look_up(Atom(word[:-2]), read)
            return [found._replace(phones=possessive(found.phones)) for found in stem]
        found = read[word.replace("'", "")]
        return [Pronunciation(phones, cost, "g2p") for phones, cost in found]

    def _best(self, found: Iterable[Pronunciation]) -> list[Pronunciation]:
        """Keep each sequence of phones once, the best `n` of them, the best at cost 0."""
        ranked = sorted(found, key=lambda p: (round(p.cost, 3), p.phones))
        kept: dict[tuple[str, ...], Pronunciation] = {}
        for pronunciation in ranked:
            if pronunciation.cost - ranked[0].cost > self._max_cost or len(kept) == self._n:
                break
            kept.setdefault(pronunciation.phones, pronunciation)
        return list(kept.values())


def _parts(several: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for begin in range(0, len(several), _TOGETHER):
        yield several[begin : begin + _TOGETHER]


def _forms(word: str) -> tuple[str, ...]:
    """The forms in which a lexicon may have a word, each once."""
    if word.isascii() and "'" not in word:
        return (word,)
    return tuple(dict.fromkeys((word, fold_diacritics(word), word.replace("'", ""))))


@lru_cache(maxsize=256)
def _join(first: str, second: str) -> str:
    """Combine sources, in the order in which they are asked."""
    parts = {*first.split("+"), *second.split("+")}
    return "+".join(source for source in _SOURCES if source in parts)
