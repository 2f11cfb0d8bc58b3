"""Pronunciations of names: what the user says, a lexicon, letters and numbers, a G2P."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ctcbias_fst.errors import InputError
from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.lexicon import Lexicon
from ctcbias_fst.pronunciation.pronunciation_table import Pronunciation
from ctcbias_fst.pronunciation.readings import LETTER_NAMES, Atom, readings
from ctcbias_fst.recent import Recent
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.normalise import fold_diacritics, normalise
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.wanted import require_wanted

_SOURCES = ("user", "sounds_like", "lexicon", "letters", "g2p")

_VOWELS = frozenset("aeiouy")
_PHONES = frozenset(PHONES)

# The second pronunciation of a lexicon entry counts half the first, the third a quarter, …
_NEXT = math.log(2.0)

_KEPT = 20_000
"""Words whose pronunciations are kept for further lists, at most: some 1 kB each."""


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
        several = zip(names, names if displays is None else displays)
        return [self._name(name, display) for name, display in several]

    def pronounce_entities(self, entities: Iterable[Entity]) -> list[list[Pronunciation]]:
        """Return how each entity may sound.

        An entity's own `pronunciations` are all that count, each at no cost, but those with
        phones that are not ours. Those of its `sounds_like` spellings come before the name's
        own, which then cost log 2 more. Those of its `spoken` forms cost what these do.
        """
        found = []
        for entity in entities:
            require_wanted()
            found.append(self._entity(entity))
        return found

    @property
    def lexicon(self) -> Lexicon:
        """What is asked first."""
        return self._lexicon

    def is_listed(self, word: str) -> bool:
        """Tell whether the lexicon has a word, which is in normal form."""
        return word in self._lexicon

    def guess(self, word: str) -> tuple[int, ...]:
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

    def _entity(self, entity: Entity) -> list[Pronunciation]:
        given = [phones for phones in entity.pronunciations if _PHONES.issuperset(phones)]
        if given:
            return [Pronunciation.of(phones, 0.0, "user") for phones in given]
        own = self._name(entity.name, entity.display)
        if entity.spoken:
            said = [
                found._replace(cost=found.cost + cost)
                for text, cost in entity.spoken
                for found in self._name(text, text)
            ]
            own = self._best([*own, *said])
        if not entity.sounds_like:
            return own
        alike = [
            found._replace(source="sounds_like")
            for spelling in entity.sounds_like
            for found in self._name(spelling, spelling)
        ]
        later = [found._replace(cost=found.cost + _NEXT) for found in own]
        return self._best([*alike, *later])

    def _name(self, name: str, display: str) -> list[Pronunciation]:
        """All readings of a name, each the combinations of its words' pronunciations."""
        ways = readings(normalise(name), display)
        found: list[Pronunciation] = []
        for reading in ways:
            if len(reading.atoms) == 1 == len(ways) and reading.cost == 0:
                found = self._atom(reading.atoms[0])
                break
            partial = [Pronunciation((), reading.cost)]
            for atom in reading.atoms:
                partial = self._best(
                    Pronunciation(a.phones + b.phones, a.cost + b.cost, _join(a.source, b.source))
                    for a in partial
                    for b in self._atom(atom)
                )
            found += partial
        best = self._best(p for p in found if p.phones)
        # The first reading of a name may be one that the G2P cannot say.
        # Costs that are nearly the same are ties, so the first one may cost a little more.
        costs = [max(0.0, round(one.cost - best[0].cost, 4)) for one in best]
        return [Pronunciation(p.phones, cost, p.source) for p, cost in zip(best, costs)]

    def _atom(self, atom: Atom) -> list[Pronunciation]:
        """Pronounce a single word, or letter; nothing if it has a letter that is unknown."""
        known = self._known.get(atom)
        return self._known.put(atom, self._look_up(atom)) if known is None else known

    def _look_up(self, atom: Atom) -> list[Pronunciation]:
        if atom.letter:
            return [Pronunciation.of(LETTER_NAMES[atom.text].split(), 0.0, "letters")]
        word = atom.text
        for form in _forms(word):
            listed = self._lexicon.pronunciations(form)
            if listed:
                return [
                    Pronunciation.of(phones, rank * _NEXT, "lexicon")
                    for rank, phones in enumerate(listed[: self._n])
                ]
        word = fold_diacritics(word)
        if word.endswith("'s"):
            return [stem.possessive() for stem in self._look_up(Atom(word[:-2]))]
        return self._g2p.readings(word.replace("'", ""), self._n, self._max_cost)

    def _best(self, found: Iterable[Pronunciation]) -> list[Pronunciation]:
        """Keep each sequence of phones once, the best `n` of them, the best at cost 0."""
        ranked = sorted(found, key=lambda p: (round(p.cost, 3), p.phones))
        kept: dict[tuple[int, ...], Pronunciation] = {}
        for pronunciation in ranked:
            if pronunciation.cost - ranked[0].cost > self._max_cost or len(kept) == self._n:
                break
            kept.setdefault(pronunciation.phones, pronunciation)
        return list(kept.values())


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
